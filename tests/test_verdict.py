"""Sentences about a reward model, and texts cut where they differ."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from lab.config import Reward
from lab.evaluate import Scored, _ranks, by_question, interval, length_correlation
from lab.reward import Ranked, split
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
    assert "from 12 rankings to learn from on; it had 11" in verdict.facts({"rankings": 11})["more"]
    assert verdict.facts({"rankings": 12})["more"] == ""


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


def test_rankings_of_one_question_are_one_witness():
    """Twelve questions with ten rankings each, alike within a question, are no surer than twelve rankings are."""
    deltas = [torch.tensor([1.0 if question < 8 else -1.0]) for question in range(12) for _ in range(10)]
    about = [question for question in range(12) for _ in range(10)]
    together = by_question(deltas, about)
    assert [len(each) for each in together] == [10] * 12
    once = interval([torch.tensor([1.0 if question < 8 else -1.0]) for question in range(12)])
    assert interval(together) == pytest.approx(once) and interval(deltas)[0] > once[0]
    assert len(by_question(deltas, [None] * 120)) == 120


def test_a_question_is_learned_from_or_tested_on_however_it_is_spelled_and_goes_on():
    answers, order = ((5,), (6,), (7,), (8,)), ((0,), (1,), (2,), (3,))
    rankings = [
        Ranked((number, turn), answers, order, about=f"question {number}") for number in range(30) for turn in range(3)
    ]
    train, test = split(rankings, Reward())
    assert len(train) + len(test) == 90 and len({each.about for each in test}) == 6
    assert not {each.about for each in train} & {each.about for each in test}


def test_scores_and_lengths_of_many_responses_are_ranked_without_holding_each_against_each():
    raw, lengths = torch.randn(40_000).round(decimals=2), torch.arange(40_000) % 97
    test = [Scored(raw, ((0,), (1,)), tuple(lengths.tolist()))]
    assert abs(length_correlation(test)) < 0.05
    alike = [Scored(lengths.float(), ((0,), (1,)), tuple(lengths.tolist()))]
    assert length_correlation(alike) == pytest.approx(1.0, abs=1e-4)


@given(st.lists(st.integers(0, 5), min_size=1, max_size=12))
def test_equal_values_share_their_mean_rank(values):
    x = torch.tensor(values, dtype=torch.float)
    below, equal = (x[:, None] > x).sum(1), (x[:, None] == x).sum(1)
    assert torch.equal(_ranks(x), below + (equal - 1) / 2)


def test_a_reward_model_that_goes_against_one_of_its_raters_says_so_instead_of_praising_itself():
    result = {"pairs/accuracy": 0.83, "pairs/accuracy_low": 0.75, "pairs/accuracy_high": 0.9, "pairs": 78}
    found = verdict.facts(result | {"raters": {"imported": 1.0, "me": 0.278}})
    assert found["advice"].startswith("It goes against me: right on 28 %") and not found["good"]
    assert verdict.facts(result | {"raters": {"imported": 1.0, "me": 0.6}})["good"]
    assert verdict.facts(result | {"raters": {"me": 0.4}})["good"], "its one rater is who was tested"
