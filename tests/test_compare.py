"""A comparison reads its answers in small parts, and its figures are those of reading them whole."""

from __future__ import annotations

from dataclasses import fields
from itertools import accumulate

import pytest
import torch

from lab import compare, losses
from lab.cast import Cast, Scale
from lab.config import Compare
from lab.generate import sample
from lab.loading import load
from lab.models import Roles
from lab.text import Asked, batch_of

CAST = Cast(scale=Scale(2.0, -1.0))
CONFIG = Compare(count=8, tokens=24)
TEXTS = [f"{number} and what does a penguin eat?" for number in range(32)]


@pytest.fixture(scope="module")
def roles():
    found = load("tiny", device="cpu")
    found.add("reward", like="sft")
    found.head("reward")
    found.add("policy")
    torch.manual_seed(0)
    with torch.no_grad():
        for weight in found.weights("policy").values():
            weight.add_(0.2 * torch.randn_like(weight))
    return found


@torch.no_grad()
def whole(roles, role, prompts, ids):
    """Scores and exact KL of all rows at once, from all logits of both policies."""
    batch = batch_of(prompts, ids, roles.text.pad_id)
    policy, reference = (roles.logits(roles.hidden(each, batch)[:, :-1]) for each in (role, CAST.reference))
    kl = losses.masked_sum(losses.exact_kl(policy, reference, CONFIG.temperature), batch.mask, dim=1)
    return 2.0 * roles.raw_scores(batch) - 1.0, kl


def test_scores_and_kl_are_those_of_all_answers_read_whole(roles):
    prompts = [roles.text.prompt_ids(text) for text in TEXTS]
    ids, *found = compare._answer(roles, CAST, "policy", prompts, CONFIG, seed=3)
    assert ids == sample(roles, "policy", prompts, tokens=24, temperature=CONFIG.temperature, seed=3)
    for mine, expected in zip(found, whole(roles, "policy", prompts, ids), strict=True):
        assert torch.allclose(mine, expected, rtol=1e-2, atol=2e-2)
    assert found[1].min() > 0.1


def test_the_logits_of_a_group_are_never_held_whole(roles, monkeypatch):
    prompts, ids = [roles.text.prompt_ids(text) for text in TEXTS], [[7] * 72] * len(TEXTS)
    monkeypatch.setattr(compare, "sample", lambda *_, **__: ids)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as found:
        compare._answer(roles, CAST, "policy", prompts, CONFIG, seed=3)
    events = (each for each in found.profiler.kineto_results.events() if each.name() == "[memory]")
    peak = max(accumulate(each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())))
    assert peak < 1.5 * 4 * len(ids) * 72 * 4096


def test_memory_that_runs_out_leaves_the_figures_as_they_are(roles, monkeypatch):
    prompts, real = [roles.text.prompt_ids(text) for text in TEXTS], Roles.hidden
    expected = compare._answer(roles, CAST, "policy", prompts, CONFIG, seed=3)

    def short(self, role, batch, only=None):
        if len(batch.ids) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, role, batch, only)

    monkeypatch.setattr(Roles, "hidden", short)
    ids, *found = compare._answer(roles, CAST, "policy", prompts, CONFIG, seed=3)
    assert ids == expected[0]
    assert all(torch.allclose(a, b, rtol=1e-2, atol=2e-2) for a, b in zip(found, expected[1:], strict=True))


def test_no_two_sides_rounds_or_comparisons_draw_with_the_same_seed():
    most = {each.name: each for each in fields(Compare)}["best_of"].metadata["high"]
    seeds = [compare.seed_of(seed, side, i) for seed in range(3) for side in range(1, 10) for i in range(most)]
    assert most >= 64 and len(set(seeds)) == len(seeds) == 3 * 9 * most


def said(scores):
    texts = [""] * len(scores)
    return compare.Answers([[]] * len(scores), texts, [True] * len(scores), torch.tensor(scores), 0.0)


def rate(wins, losses, ties=0):
    ours, theirs = [1.0] * wins + [0.0] * (losses + ties), [0.0] * wins + [1.0] * losses + [0.0] * ties
    return compare.win_rate(said(ours), said(theirs), [Asked("Why?", (5,))] * len(ours))


def test_a_unanimous_comparison_leaves_a_doubt_that_shrinks_with_its_size():
    few, many = rate(20, 0), rate(200, 0)
    assert few["win_rate"] == few["high"] == 1.0 and 0.75 < few["low"] < 0.95 < many["low"] < 1.0
    none = rate(0, 20)
    assert none["win_rate"] == none["low"] == 0.0 and 0.05 < none["high"] < 0.25


def test_the_interval_of_a_divided_comparison_is_the_usual_one_and_ties_are_halves():
    found = rate(120, 60, 20)
    assert found["win_rate"] == pytest.approx(0.65)
    values = torch.tensor([1.0] * 120 + [0.0] * 60 + [0.5] * 20)
    half = 1.96 * float(values.std()) / len(values) ** 0.5
    assert (found["low"], found["high"]) == pytest.approx((0.65 - half, 0.65 + half), abs=0.015)
