"""The second round of the shipped SFT learns from its own answers that the world can read, and from demonstrations."""

from __future__ import annotations

from pathlib import Path

import pytest

from assets import finetune
from lab.adapters import load_adapter
from lab.loading import EMBEDDED, load
from lab.world.language import sentences
from lab.world.questions import is_held_out, recognise
from lab.world.reading import read


def test_all_answers_stay_and_one_in_so_many_of_the_others():
    found = [(name, name.isupper()) for name in "aBcDefG"]
    assert list(finetune.chosen(found, 2)) == ["B", "c", "D", "f", "G"]


def test_own_answers_are_well_formed_and_to_questions_that_training_may_ask(monkeypatch):
    monkeypatch.setattr(finetune, "DRAWN", 48)
    roles = load("tiny", device="cpu")
    load_adapter(roles, "sft", Path(EMBEDDED / "tiny" / "sft"))
    found = list(finetune.own_answers(roles))
    assert 12 < len(found) < 48, "some are garbled, and some too short"
    for prompt, answer in found:
        assert read(prompt, answer).well_formed and len(sentences(answer)) > 1 and not is_held_out(recognise(prompt))


def test_the_mixture_has_both_sorts_in_the_shares_that_are_named():
    told = [(f"told {i}", "") for i in range(40_000)]
    own = [(f"own {i}", "") for i in range(40_000)]
    both = finetune.mixed(told, own)
    assert len(both) == finetune.SECOND.steps * finetune.SECOND.batch == len(set(both))
    share = sum(prompt.startswith("own") for prompt, _ in both) / len(both)
    assert share == pytest.approx(finetune.OWN_SHARE, abs=0.001)
