"""The glossary names every metric that a trainer emits, in words that a person understands."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from lab import dpo, ppo, reward, rloo_grpo, sft
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.events import Step
from lab.glossary import GLOSSARY, Metric, measured
from lab.loading import load
from lab.reward import Ranked
from lab.text import Asked
from lab.ui.numbers import number, short
from lab.words import WORDS

LAB = Path(__file__).parent.parent / "lab"
GROUPS = {key.split("/")[0] for key in GLOSSARY}
KEY = re.compile(rf"({'|'.join(sorted(GROUPS))})/[a-z_0-9]+")
# Ends of an interval and the like: facts of a Finished event's result, never a curve.
RESULTS = {"pairs/accuracy_low", "pairs/accuracy_high"}


def test_every_key_that_the_code_emits_is_in_the_glossary():
    found = set()
    for path in LAB.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and KEY.fullmatch(node.value):
                found.add(node.value)
    assert found - RESULTS <= set(GLOSSARY)


def of_sft(roles):
    config = Sft(steps=2, batch=4)
    pairs = [(each, "Fish and squid.") for each in TEXTS]
    return sft.sft(sft.begin(roles, config), pairs, lambda: config, held_out=pairs)


def of_reward(roles):
    config = Reward(batch=8, epochs=1, normalise_over=8, tokens=4)
    return reward.reward(reward.begin(roles, config), rankings(roles), asked(roles), lambda: config)


def of_dpo(roles):
    config = Dpo(batch=8)
    return dpo.dpo(dpo.begin(roles, Cast(), config), Cast(), rankings(roles), lambda: config)


def of_policy(stage, method, config):
    def events(roles):
        roles.add("reward", like="sft")
        roles.head("reward")
        return method(stage.begin(roles, Cast(), config), Cast(), asked(roles), lambda: config)

    return events


TEXTS = [f"{number} and what does a penguin eat?" for number in range(20)]
SHORT = {"steps": 2, "tokens": 6}
RUN = {
    "sft": of_sft,
    "reward": of_reward,
    "dpo": of_dpo,
    "ppo": of_policy(ppo, ppo.ppo, Ppo(batch=8, minibatch=8, microbatch=8, target_kl=1.0, **SHORT)),
} | {
    method: of_policy(rloo_grpo, rloo_grpo.rloo_grpo, Group(method=method, prompts=2, microbatch=8, **SHORT))
    for method in ("rloo", "grpo")
}


def asked(roles):
    return [Asked(text, tuple(roles.text.prompt_ids(text))) for text in TEXTS]


def rankings(roles):
    """The longest answer is the best one."""
    answers = [tuple(roles.text.response_ids(text)) for text in ("A penguin eats fish and squid.", "Fish.", "No, no.")]
    return [Ranked(each.ids, tuple(answers), ((0,), (2,), (1,))) for each in asked(roles)]


@pytest.mark.parametrize("stage", RUN)
def test_a_stage_has_a_curve_for_each_number_that_it_measures_and_for_no_other(stage):
    events = list(RUN[stage](load("tiny", device="cpu")))
    curves = {key for event in events if isinstance(event, Step) for key in event.metrics}
    told = {key for key in events[-1].result if KEY.fullmatch(key)} - RESULTS
    assert {metric.key for metric in measured(stage)} == curves | told
    assert any(metric.shown for metric in measured(stage)) and (stage == "reward" or stage.upper() in WORDS)


@pytest.mark.parametrize("metric", GLOSSARY.values(), ids=lambda metric: metric.key)
def test_every_metric_has_a_title_and_a_meaning_in_whole_sentences(metric: Metric):
    assert metric.title and metric.title[0].isupper() and "_" not in metric.title and len(metric.title) <= 45
    assert metric.meaning.endswith(".") and len(metric.meaning) > 20 and "_" not in metric.meaning


@pytest.mark.parametrize("metric", GLOSSARY.values(), ids=lambda metric: metric.key)
def test_every_healthy_range_has_its_ends_in_order(metric: Metric):
    assert metric.low is None or metric.high is None or metric.low < metric.high


def test_a_stage_shows_at_most_eight_curves_and_they_come_first():
    for stage in ("sft", "reward", "ppo", "rloo", "grpo", "dpo"):
        shown = [metric.shown for metric in measured(stage)]
        assert 1 <= sum(shown) <= 8 and shown == sorted(shown, reverse=True)


def test_words_are_explained_in_sentences():
    assert all(meaning.endswith(".") for meaning in WORDS.values())


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.8214, "share", "82.1 %"),
        (1.0, "share", "100 %"),
        (1.449, "seconds", "1.45 s"),
        (612_000_000, "bytes", "612 MB"),
        (0.0, "bytes", "0 B"),
        (3.14159, "nats", "3.14 nats"),
        (12345.0, "", "12,300"),
        (-0.00001234, "", "-1.23e-05"),
        (999_999.0, "", "1e+06"),
        (None, "nats", "–"),
    ],
)
def test_a_number_has_three_significant_digits_and_its_unit(value, unit, said):
    assert number(value, unit) == said


def test_a_short_number_reads_back_within_half_a_unit_of_the_third_digit():
    for value in (0.0001, 0.5551, 7.777, 123.4, 98765.0, -4.449e-9):
        assert abs(float(short(value).replace(",", "")) - value) <= 0.005 * abs(value)
