"""The page's arithmetic and its care with settings and prompts, without a browser."""

from __future__ import annotations

import random
import re
from dataclasses import asdict

import pytest

from lab.config import Ppo, Sft
from lab.errors import BadFile, BadInput, BadName, BadNumber, NoRows, NotFound
from lab.events import Event, Finished, Started, to_json
from lab.locks import taken
from lab.store import Candidate, Comparison, Ranking
from lab.ui.compare.tally import speaker, tally, wilson
from lab.ui.feed import Item, candidates
from lab.ui.model import SUGGESTIONS
from lab.ui.naming import SHORT, called, in_titles, judge_called, policy_called, without_folder
from lab.ui.office import checked_name, rater_name
from lab.ui.pool import deal, read_pool
from lab.ui.prompts import MOST, from_file
from lab.ui.rank.guess import agreement
from lab.ui.roles import number
from lab.ui.theme import STATIC
from lab.workspace import Run, Workspace
from lab.world.questions import recognise


def duel(order, policies=("sft", "base"), rater="me") -> Ranking:
    compared = Comparison("c", "p", "Why?", tuple(Candidate("x", policy) for policy in policies), 0.0, "duel")
    return Ranking(1, "k", compared, order, (0, 1), rater, 1.0, "", (), None, 0.0, None, False)


def write(run: Run, *events: Event) -> None:
    (run.folder / "events.jsonl").write_text("".join(to_json(event, 1.0) + "\n" for event in events))


def test_wilsons_interval_holds_its_known_values_and_never_leaves_zero_to_one():
    # 8 of 10: 0.490 to 0.943 (Brown, Cai and DasGupta 2001, from the formula by hand).
    low, high = wilson(0.8, 10)
    assert (round(low, 3), round(high, 3)) == (0.490, 0.943)
    assert wilson(0.0, 0) == (0.0, 1.0)
    for share in (0.0, 1.0):
        low, high = wilson(share, 7)
        assert 0 <= low <= share <= high <= 1


def test_a_tie_counts_half_and_neither_skips_nor_simulated_raters_nor_other_pairs_count():
    found = tally(
        [
            duel(((0,), (1,))),
            duel(((0,), (1,)), ("base", "sft")),
            duel(((0, 1),)),
            duel(()),
            duel(((0,), (1,)), rater="simulated:helpful"),
            duel(((0,), (1,)), ("sft", "0004-ppo")),
        ],
        ("sft", False),
        ("base", False),
    )
    assert (found["wins"], found["losses"], found["ties"], found["rate"]) == (1, 1, 1, 0.5)


def saved_duel(store, answer: dict, order) -> None:
    """As the page saves it: asked of the policy in training and of SFT, and answered by whoever these were."""
    item = Item("i", read_pool({"kind": "duel", "source": "policy", "against": "sft"}), "", "own", ("policy", "sft"), 0)
    prompt, key = store.add_prompts([f"Question {store.last_request()}?"], "own")[0], store.ask("chat", {})
    two = store.add_comparison(prompt, candidates(item, {"texts": ["a", "b"]} | answer), pool="duel")
    store.rank(key, two, order, rater="ana")


def test_duels_of_the_policy_in_training_and_of_sft_count_for_the_runs_that_spoke(tmp_path):
    workspace = Workspace(tmp_path)
    first, other = workspace.new_run("ppo", asdict(Ppo())), workspace.new_run("ppo", asdict(Ppo()))
    sft = workspace.new_run("sft", asdict(Sft()))
    with workspace.store() as store, taken(other.lock(), "The run"):
        for names, steps, order in (
            ([first.name, "sft"], [40, 0], [[0], [1]]),
            ([other.name, "sft"], [40, 0], [[1], [0]]),
            ([other.name, sft.name], [60, 0], [[0], [1]]),
            ([other.name, sft.name], [0, 0], [[0, 1]]),
            ([f"{other.name}@0", sft.name], [0, 0], [[1], [0]]),  # before its first step
            ([f"{other.name}@20", sft.name], [20, 0], [[1], [0]]),  # a checkpoint
            (["policy", "sft"], [40, 0], [[0], [1]]),  # as an older lab wrote it
        ):
            saved_duel(store, {"policies": names, "steps": steps}, order)

        def counted(a: str, b: str) -> tuple[int, int, int]:
            found = tally(store.rankings(pools=("duel",)), speaker(workspace, a), speaker(workspace, b))
            return found["wins"], found["losses"], found["ties"]

        write(other, Started("ppo", 60, asdict(Ppo())))
        assert counted("policy", "sft") == (0, 1, 0), "before there was another SFT"
        write(sft, Started("sft", 1, asdict(Sft())), Finished(1, "done", {}))
        assert counted("policy", "sft") == (1, 1, 0)
        assert counted(other.name, "sft") == (0, 0, 1), "once it is done"
        assert counted(f"{other.name}@20", "sft") == (0, 1, 0)
        assert counted(first.name, "sft") == (0, 0, 0)


@pytest.mark.parametrize(
    ("policy", "step", "words"),
    [
        ("0004-ppo", 0, "0004-ppo"),
        ("0004-ppo", 20, "0004-ppo at step 20"),
        ("0004-ppo@20", 20, "0004-ppo at step 20"),
        ("0004-ppo@0", 0, "0004-ppo at step 0"),
        ("sft", 0, "SFT"),
    ],
)
def test_who_wrote_an_answer_is_said_with_the_step_once(tmp_path, policy, step, words):
    assert policy_called(Workspace(tmp_path), policy, step) == words


def test_a_run_with_a_title_is_called_by_it_as_itself_as_a_policy_and_as_a_judge(tmp_path):
    workspace = Workspace(tmp_path)
    judge, run = workspace.new_run("reward", {"half": "first"}), workspace.new_run("ppo", {})
    assert called(judge) == "0001-reward, first half" and called(run) == "0002-ppo"
    judge.rename("Kind")
    run.rename("Gentle")
    assert called(judge) == "Kind (0001-reward, first half)"
    assert policy_called(workspace, run.name) == "Gentle (0002-ppo)"
    assert policy_called(workspace, "0002-ppo@20", 20) == "Gentle (0002-ppo) at step 20"
    assert judge_called(workspace, "reward:0001-reward") == "the reward model Kind (0001-reward, first half)"
    run.rename("x" * 120)
    assert called(run) == f"{'x' * (SHORT - 1)}… (0002-ppo)"


def test_runs_in_a_text_of_the_lab_are_called_by_their_titles_once_and_paths_stay_what_they_are(tmp_path):
    workspace = Workspace(tmp_path)
    judge, run, plain = (workspace.new_run(*each) for each in (("reward", {"half": "first"}), ("ppo", {}), ("sft", {})))
    judge.rename("Kind")
    run.rename("Gentle")
    text = "Run 0002-ppo follows '0001-reward' from 0003-sft; 0002-ppo@20 and 0009-ppo, see runs/0002-ppo/log.txt."
    called_so = (
        "Run Gentle (0002-ppo) follows 'Kind (0001-reward, first half)' from 0003-sft; Gentle (0002-ppo) at step 20 "
        "and 0009-ppo, see runs/0002-ppo/log.txt."
    )
    assert in_titles(workspace, text) == in_titles(workspace, called_so) == called_so
    plain.rename("after 0002-ppo (0001-reward)")
    named = "after 0002-ppo (0001-reward) (0003-sft)"
    assert in_titles(workspace, "0003-sft of 0002-ppo") == in_titles(workspace, f"{named} of Gentle (0002-ppo)")
    assert in_titles(workspace, f"{named} of 0002-ppo@4") == f"{named} of Gentle (0002-ppo) at step 4"
    plain.rename("")
    run.delete()
    assert in_titles(workspace, "Run 0002-ppo was deleted.") == "Run Gentle (0002-ppo) was deleted."
    assert in_titles(workspace, f"0002-{plain.stage} and 12-ppo") == "0002-sft and 12-ppo"


@pytest.mark.parametrize(
    ("base", "shown"),
    [
        ("tiny", "tiny"),
        ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-0.5B"),
        ("/home/ana/models/small", "small"),
        ("~/small/", "small"),
        ("./small", "small"),
        ("C:\\models\\small", "small"),
        ("../a/small", "small"),
    ],
)
def test_of_a_base_in_a_folder_guests_see_its_name_alone(base, shown):
    assert without_folder(base) == shown


def test_agreement_is_all_or_nothing_for_equal_or_reversed_orders_and_half_for_equal_scores():
    order = [[2], [0, 3], [1]]
    assert agreement(order, [2.0, 1.0, 3.0, 2.0]) == (5, 5)
    assert agreement(order, [2.0, 3.0, 1.0, 2.0]) == (0, 5)
    assert agreement(order, [1.0, 1.0, 1.0, 1.0]) == (2.5, 5)
    assert agreement(order, None) == (0, 0)
    assert agreement([], [1.0, 2.0]) == (0, 0)


def test_a_mixture_holds_every_policy_once_there_are_enough_candidates():
    known = ["base", "sft", "0004-ppo"]
    for seed in range(20):
        assert set(deal(read_pool({"source": "mix"}), known, random.Random(seed))) == set(known)
    dealt = {
        deal(read_pool({"kind": "duel", "source": "sft", "against": "base"}), known, random.Random(s))
        for s in range(20)
    }
    assert dealt == {("sft", "base"), ("base", "sft")}


def test_a_policy_that_is_not_there_is_refused():
    with pytest.raises(NotFound):
        deal(read_pool({"source": "0009-ppo@20"}), ["base", "sft"], random.Random(0))


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"count": 1}, BadNumber),
        ({"count": 9}, BadNumber),
        ({"count": True}, BadNumber),
        ({"count": "4"}, BadNumber),
        ({"tokens": 513}, BadNumber),
        ({"tokens": 1e9}, BadNumber),
        ({"temperature": float("nan")}, BadNumber),
        ({"temperature": -1}, BadNumber),
        ({"prompts": "theirs"}, BadNumber),
        ({"source": "../../etc"}, BadInput),
        ({"source": 4}, BadInput),
        ({"kind": "race"}, BadInput),
        ({"kind": "duel"}, BadInput),
    ],
)
def test_settings_outside_their_range_are_refused(settings, error):
    with pytest.raises(error):
        read_pool(settings)


def test_what_a_browser_leaves_out_has_the_usual_value_and_a_duel_has_two_answers():
    assert read_pool(None) == read_pool({}) == read_pool({"unknown": 1})
    assert read_pool({"kind": "duel", "against": "base", "count": 8}).sampling.count == 2


@pytest.mark.parametrize(
    "name", ["", "   ", "x" * 65, "a\nb", "simulated:helpful", "Simulated:x", "All", "person", "Guest"]
)
def test_nobody_is_called_nothing_or_like_a_simulated_rater(name):
    with pytest.raises(BadName):
        checked_name(name)


OWN = "a" * 22


def test_a_guest_is_not_called_as_the_host_is():
    assert checked_name("me") == "me" and checked_name("Me2", host=False) == "Me2"
    with pytest.raises(BadName, match="The host is called me"):
        checked_name("Me", host=False)
    assert rater_name({"lab_guest": OWN, "lab_rater": "me"}, guest=True) == f"guest {number({'lab_guest': OWN})}"


def test_a_name_comes_from_the_cookie_and_a_forged_one_counts_as_none():
    assert rater_name({"lab_rater": "Ana%20Mar%C3%ADa"}) == "Ana María"
    assert rater_name({"lab_rater": "simulated%3Ahelpful"}) == "me"
    assert rater_name({}) == "me"
    assert rater_name({"lab_guest": OWN}) == "me"
    assert rater_name({"lab_guest": OWN}, guest=True) == f"guest {number({'lab_guest': OWN})}"
    assert rater_name({"lab_guest": "<b>", "lab_rater": " "}, guest=True) == "guest"
    assert rater_name({}, guest=True) == rater_name({"lab_rater": "me"}, guest=True) == "guest"
    assert rater_name({"lab_guest": OWN, "lab_rater": "Ana"}, guest=True) == "Ana"


def test_prompts_are_read_from_text_and_tables_each_once(tmp_path):
    (tmp_path / "a.txt").write_text("One?\n\n  Two?  \nOne?\n")
    (tmp_path / "b.jsonl").write_text(
        '{"prompt": "One?"}\n{"instruction": "Two?"}\n{"messages": [{"role": "user", "content": "Three?"}]}\n'
    )
    assert from_file(tmp_path / "a.txt") == (["One?", "Two?"], "")
    assert from_file(tmp_path / "b.jsonl") == (["One?", "Two?", "Three?"], "")


def test_rows_of_a_table_that_hold_no_prompt_are_counted_and_the_first_broken_one_named(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"prompt": "One?"}\n{"x": 1}\n')
    (tmp_path / "b.jsonl").write_text(
        '{"prompt": "One?"}\n{broken\n{"prompt": " "}\n{"prompt": "One?"}\n{also\n{"x": 1}\n'
    )
    assert from_file(tmp_path / "a.jsonl") == (["One?"], "Left out: 1 row without a prompt.")
    texts, left = from_file(tmp_path / "b.jsonl")
    assert texts == ["One?"]
    assert left.startswith("Left out: 2 rows that cannot be read (row 2: not JSON")
    assert left.endswith(") and 2 rows without a prompt.")


def test_more_prompts_than_are_taken_are_refused_before_any_is_stored(tmp_path):
    (tmp_path / "a.txt").write_text("".join(f"Prompt {number}?\n" for number in range(MOST + 1)))
    with pytest.raises(BadFile, match="20,001 prompts, and 20,000 at most"):
        from_file(tmp_path / "a.txt")


def test_a_file_without_a_prompt_is_refused(tmp_path):
    (tmp_path / "a.jsonl").write_text('{"x": 1}\n')
    with pytest.raises(NoRows):
        from_file(tmp_path / "a.jsonl")


def test_the_built_in_model_knows_what_the_chat_suggests_to_ask():
    assert all(recognise(each) for each in SUGGESTIONS)


def test_no_class_of_ours_is_one_that_gradios_notices_have():
    for sheet in STATIC.glob("*.css"):
        assert not re.findall(r"\.(?:warning|error|info|success)(?![\w-])", sheet.read_text(encoding="utf-8")), (
            sheet.name
        )
