"""The linear head: a taste that a linear head can see climbs, luck stays at guessing, the model stays as it is."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from random import Random

import pytest
import torch
from folders import make

from lab import reward
from lab.config import RANKINGS_FOR_CURVE, Reward
from lab.loading import load
from lab.models import BASE
from lab.probe import SHARES, fit, learning_curve
from lab.reward import Ranked
from lab.steps import result_of


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    return load(str(make(tmp_path_factory.mktemp("probe"), "llama")), device="cpu")


def rankings(roles, count: int, start: int, taste: bool) -> list[Ranked]:
    """Two responses each that differ in their last letter; by taste the one with an x is better, else luck decides."""
    rng, found = Random(start), []
    for number in range(start, start + count):
        texts = [f"answer {rng.randrange(1000)} {letter}" for letter in "xy"]
        order = ((0,), (1,)) if taste or rng.random() < 0.5 else ((1,), (0,))
        prompt = tuple(roles.text.prompt_ids(f"Question {number}?", room=40))
        found.append(Ranked(prompt, tuple(tuple(roles.text.response_ids(text)[:-1]) for text in texts), order))
    return found


def curve(*known):
    return result_of(learning_curve(*known))


def test_a_taste_that_shows_in_the_last_state_is_learned_from_few_rankings(roles):
    points = curve(roles, BASE, rankings(roles, 40, 0, True), rankings(roles, 20, 100, True))
    assert [point["rankings"] for point in points] == [round(40 * share) for share in SHARES]
    assert points[-1]["accuracy"] > 0.9
    assert all(point["low"] <= point["accuracy"] <= point["high"] for point in points)


def test_rankings_by_luck_teach_nothing_however_many_there_are(roles):
    points = curve(roles, BASE, rankings(roles, 80, 0, False), rankings(roles, 80, 200, False))
    assert all(0.3 < point["accuracy"] < 0.7 for point in points)


def test_too_few_rankings_or_none_to_test_on_give_no_curve(roles):
    enough = rankings(roles, RANKINGS_FOR_CURVE, 0, True)
    assert curve(roles, BASE, enough[1:], enough) == []
    assert curve(roles, BASE, enough, []) == []


def test_the_model_is_left_as_it_was(roles):
    before = {name: weight.clone() for name, weight in roles.model.named_parameters()}
    curve(roles, BASE, rankings(roles, RANKINGS_FOR_CURVE, 0, True), rankings(roles, 4, 50, True))
    assert all(torch.equal(weight, before[name]) for name, weight in roles.model.named_parameters())


def test_the_reward_model_begins_with_a_head_that_already_orders_the_rankings(roles):
    config = Reward(learning_rate=1e-8, epochs=1, held_out=0.5, normalise_over=8, tokens=4)
    found = {}
    for head in ("fitted", "random"):
        state = reward.begin(roles, replace(config, head=head), reference="sft")
        chosen, known = replace(config, head=head), rankings(roles, 80, 0, True)
        events = list(reward.reward(state, known, roles.text.asked(["Question?"], room=40), partial(replace, chosen)))
        found[head] = events[-1].result["pairs/accuracy"]
    assert found["fitted"] > 0.9 and found["fitted"] > found["random"]


def test_a_head_points_from_the_worse_state_to_the_better():
    """Two states that differ in one direction only: by symmetry the head can have no other."""
    better, worse = torch.tensor([1.0, 0.0, 0.0]), torch.tensor([-1.0, 0.0, 0.0])
    head = fit([(torch.stack([better, worse]), ((0,), (1,)))] * 50)
    assert head[0] > 0.1 and head[1:].abs().max() < 1e-6
