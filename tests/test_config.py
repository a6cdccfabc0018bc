"""Knobs that depend on the size of the base: chosen where nobody sets them, and what was set stands."""

from __future__ import annotations

import pytest

from lab import stages
from lab.__main__ import parser
from lab.config import STAGES, Compare, Dpo, Group, Ppo, Reward, Sft, sized
from lab.loading import load
from lab.studio import Studio
from lab.verbs import _given
from lab.workspace import Workspace

TUNED = [Sft, Reward, Ppo, Group, Dpo]


@pytest.mark.parametrize("config", TUNED)
def test_the_embedded_models_learn_at_the_default_and_larger_ones_slower(config):
    usual = config().learning_rate
    assert [sized(config, size)["learning_rate"] for size in (1, 4_000_000, 12_900_000)] == [usual] * 3
    rates = [sized(config, int(size))["learning_rate"] for size in (1.3e7, 4e7, 1.35e8, 5e8, 1.5e9, 7e9, 7e10)]
    assert rates == sorted(rates, reverse=True) and rates[0] == usual and rates[1] < usual
    assert rates[4] == rates[5] == rates[6] >= 1e-5


def test_what_the_field_uses_with_lora():
    for size, rates in ((135_000_000, [2e-4, 1e-4, 2e-5]), (10**10, [1e-4, 5e-5, 1e-5])):
        assert [sized(config, size)["learning_rate"] for config in (Sft, Reward, Ppo)] == rates
    assert sized(Compare, 10**9) == {} and set(STAGES.values()) == {*TUNED, Compare}


def test_every_stage_that_has_knobs_can_be_begun_and_no_other():
    assert [*stages.STAGES] == [*STAGES]


def test_a_verb_leaves_the_rate_to_the_base_where_it_is_not_told():
    for flags, given in (([], None), (["--learning-rate", "0.25"], 0.25)):
        knobs = _given(parser().parse_args(["ppo", "--steps", "7", *flags]), Ppo)
        assert knobs.get("learning_rate") == given and knobs["steps"] == 7 and knobs["beta"] == Ppo().beta


def test_a_run_takes_the_rate_of_its_base_unless_somebody_sets_one(tmp_path, monkeypatch):
    roles = load("tiny", device="cpu")
    studio = Studio(Workspace(tmp_path), roles)
    for knobs, size, rate in (({}, 4e6, 3e-3), ({}, 1.5e9, 1e-4), ({"learning_rate": 0.5}, 1.5e9, 0.5)):
        monkeypatch.setattr(roles.model, "num_parameters", lambda size=size: int(size))
        kept = studio.start("sft", {"steps": 1} | knobs, {"pairs": [("Why?", "So.")]}).run.facts()["config"]
        assert kept["learning_rate"] == rate and kept["steps"] == 1
