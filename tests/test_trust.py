"""Which reward models PPO follows: tested on ten pairs, right on over 55 % of them; others by a word only."""

from __future__ import annotations

from random import Random

import pytest

from lab import trust
from lab.config import PAIRS_TO_LEARN, PAIRS_TO_TEST, Reward
from lab.errors import Damaged, TooFewRankings, UnsureReward
from lab.events import Failed, Finished, Started, to_json
from lab.journal import replace_json
from lab.reward import Ranked, split
from lab.store import Candidate, Store
from lab.ui import state
from lab.workspace import Workspace

SOUND = {"pairs": 10, "pairs/accuracy": 0.56, "gain": 2.0}


def ended(root, *events):
    run = Workspace(root).new_run("reward", {})
    with open(run.folder / "events.jsonl", "w", encoding="utf-8") as file:
        file.writelines(to_json(event, 1.0) + "\n" for event in (Started("reward", 1, {}), *events))
    return run


def test_ten_pairs_and_an_accuracy_above_the_limit_are_enough(tmp_path):
    run = ended(tmp_path, Finished(1, "done", SOUND))
    trust.check(run)
    assert trust.doubt(run) == ""


@pytest.mark.parametrize(
    ("changed", "number"), [({"pairs": 9}, "tested on 9 pairs"), ({"pairs/accuracy": 0.55}, "55 % of 10 pairs")]
)
def test_anything_less_is_refused_with_its_number_and_two_ways_to_go_on(tmp_path, changed, number):
    run = ended(tmp_path, Finished(1, "done", SOUND | changed))
    with pytest.raises(UnsureReward) as refused:
        trust.check(run)
    for said in (str(refused.value), trust.doubt(run)):
        assert number in said and "Rank" in said and "anyway" in said and said.endswith(".")
    assert "--anyway" in str(refused.value) and "--anyway" not in trust.doubt(run)


@pytest.mark.parametrize("events", [(), (Finished(1, "done", {"gain": 2.0}),), (Failed(1, "E_X", "Broken."),)])
def test_one_that_was_never_tested_is_not_trusted(tmp_path, events):
    with pytest.raises(UnsureReward, match="tested on 0 pairs"):
        trust.check(ended(tmp_path, *events))


def test_the_header_leads_to_the_page_and_starts_nothing_while_there_is_doubt():
    stands = {"newest": {"reward": "0001-reward", "ppo": None}, "rankings": 8, "busy": None, "interrupted": None}
    sure, unsure = (state.next_step(stands | {"doubt": doubt}) for doubt in (False, True))
    assert sure["start"] == "ppo" and unsure["start"] == "" and unsure["tab"] == "ppo"
    assert "rank more" in unsure["sentence"] and "all the same" in unsure["sentence"]


@pytest.mark.parametrize("most", [2, 3, 4])
def test_what_the_page_calls_enough_is_enough_however_rankings_of_up_to_four_answers_are_mixed(most):
    deal = Random(most)
    for seed in range(40):
        rankings = []
        while sum(len(each.pairs) for each in rankings) < state.FEWEST:
            order = tuple((place,) for place in range(deal.randint(2, most)))
            rankings.append(Ranked((len(rankings),), tuple((place,) for (place,) in order), order))
        train, test = split(rankings, Reward(seed=seed))
        assert len(train) + len(test) == len(rankings)
        assert sum(len(each.pairs) for each in test) >= PAIRS_TO_TEST
    with pytest.raises(TooFewRankings, match=f"needs {PAIRS_TO_LEARN} pairs .* and {PAIRS_TO_TEST} to be tested on"):
        split(rankings[: len(rankings) // 2], Reward())


def test_an_accuracy_that_may_be_a_coins_is_doubted_in_the_header_and_not_refused(tmp_path):
    for low, luck in ((0.33, True), (0.5, True), (0.51, False)):
        result = {"pairs": 24, "pairs/accuracy": 0.62, "pairs/accuracy_low": low, "gain": 1.0}
        run = ended(tmp_path / str(low), Finished(1, "done", result))
        trust.check(run)
        assert trust.may_be_luck(run) is luck
    assert not trust.may_be_luck(ended(tmp_path / "untested", Finished(1, "done", {"gain": 1.0})))


def test_a_run_that_starts_from_another_sft_than_its_reward_model_is_told_what_its_scores_then_mean(tmp_path):
    run = Workspace(tmp_path).new_run("reward", {}, inputs={"reference": "sft"})
    assert list(trust.apart(run, "sft")) == [] and trust.scaled_on(run) == "shipped"
    [warned] = trust.apart(run, "0012-sft")
    assert "starts from 0012-sft" in warned.message and "the SFT that came with the base" in warned.message
    assert "first step" in warned.remedy and not warned.grave
    older = Workspace(tmp_path).new_run("reward", {})
    assert list(trust.apart(older, "0012-sft")) == [], "nobody knows what it was scaled on"


@pytest.mark.parametrize(
    "kept", [{"newest": 4, "rankings": [[0] * 5]}, {"rankings": [[0, 0, 0, 0, 2], [0, 0, 0, 0, 4]]}]
)
def test_what_came_since_a_reward_model_is_told_by_its_raters_without_what_was_left_out(tmp_path, kept):
    run = ended(tmp_path, Finished(1, "done", SOUND))
    replace_json(run.folder / "data.json", {"raters": "person", **kept})
    with Store(tmp_path / "lab.db") as store:
        for number, rater in enumerate(["ana"] * 5 + ["simulated:terse", "ben", "ben", "ana"]):
            [prompt] = store.add_prompts([f"Question {number}?"], "own")
            found = store.add_comparison(prompt, [Candidate("Yes.", "sft"), Candidate("No.", "sft")])
            store.rank(str(number), found, [[0], [1]], rater=rater)
        store.exclude(2)
        store.exclude(8)
        assert trust.ranked_since(run, store) == [5, 7, 9] and trust.ranked_since(run, store, 7) == [9]
        (run.folder / "data.json").unlink()
        with pytest.raises(Damaged):
            trust.ranked_since(run, store)
