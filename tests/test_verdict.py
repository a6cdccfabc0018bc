"""Sentences about a reward model, and texts cut where they differ."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.evaluate import interval
from lab.ui import verdict
from lab.ui.timeline import differences

GOOD = {"pairs/accuracy": 0.82, "pairs/accuracy_low": 0.74, "pairs/accuracy_high": 0.9, "pairs": 96}


def test_the_accuracy_is_said_with_its_interval_and_what_guessing_would_be():
    said = verdict.accuracy(GOOD)
    assert said == "Right on 82 % of 96 pairs it never saw, between 74 and 90 %; guessing would be 50 %."


def test_an_interval_that_holds_a_coin_toss_is_no_reason_to_run_ppo():
    found = verdict.facts(GOOD | {"pairs/accuracy_low": 0.48})
    assert not found["good"] and "luck" in found["advice"]
    assert verdict.facts(GOOD)["good"]


@pytest.mark.parametrize("prompts", [1, 2, 3])
def test_a_few_prompts_that_happen_to_agree_leave_doubt(prompts):
    low, high = interval([torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0])] * prompts)
    assert low < 0.5 < 4 / 6 < high
    low, high = interval([torch.tensor([1.0, 1.0, 1.0, 1.0, -1.0, -1.0])] * 40)
    assert 0.6 < low < 4 / 6 < high < 0.75


def test_a_model_that_was_not_tested_says_so_and_claims_nothing():
    found = verdict.facts({})
    assert "not tested" in found["accuracy"] and not found["good"]
    assert found["margin"] == found["calibration"] == found["length"] == found["more"] == ""


def test_a_learning_curve_that_climbs_asks_for_more_rankings_and_a_flat_one_does_not():
    points = [{"rankings": 20, "accuracy": 0.6}, {"rankings": 40, "accuracy": 0.7}]
    assert "worth it" in verdict.worth_ranking(points)
    assert "nearly" in verdict.worth_ranking([points[1], {"rankings": 60, "accuracy": 0.705}])


def test_length_bias_is_named_above_one_half():
    assert "length for quality" in verdict.length({"length_correlation": 0.7})
    assert "no sign" in verdict.length({"length_correlation": 0.1})
    assert "shorter" in verdict.length({"length_correlation": -0.7})


texts = st.text(alphabet="ab \n<>&", max_size=40)


@given(texts, texts)
def test_the_pieces_of_a_difference_add_up_to_both_texts(before, after):
    left, right = differences(before, after)
    assert "".join(text for _, text in left) == before and "".join(text for _, text in right) == after
    assert {kind for kind, _ in left} <= {"same", "del"} and {kind for kind, _ in right} <= {"same", "ins"}


@given(texts)
def test_equal_texts_have_no_difference(text):
    assert all(kind == "same" for side in differences(text, text) for kind, _ in side)
