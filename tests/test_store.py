"""The store's promises to people: what was answered is saved, once, and the rules of a ranking hold."""

from __future__ import annotations

import math
import subprocess
import sys
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from brought import bring

from lab.errors import (
    AlreadyRanked,
    BadInput,
    BadName,
    BadNumber,
    BadRanking,
    BadText,
    KeyReused,
    NotFound,
)
from lab.store import Candidate, Store
from lab.store.reading import Followed
from lab.store.records import pairs_in
from lab.store.schema import connect

ROOT = Path(__file__).parent.parent
FOUR = [
    Candidate(f"Answer {n}.", "sft", step=n, ids=(n, 4000 + n), ended=n % 2 == 0, seed=n, temperature=0.7, score=n / 3)
    for n in range(4)
]


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "lab.db") as store:
        yield store


@pytest.fixture
def shown(store):
    """The id of a comparison of four candidates."""
    return show(store)


def show(store, prompt="Why does a penguin stay warm?", pool="rank"):
    return store.add_comparison(store.add_prompts([prompt], "own")[0], FOUR, pool)


def child(code, *values):
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, values)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_everything_about_a_ranking_is_read_back_as_it_was_given(store, shown):
    seq, already = store.rank(
        "key-1", shown, [[3], [1, 0], [2]], rater="ana", seconds=12.5, note="3 says why", tags=["clear", "short"],
        shown=[2, 0, 3, 1], guess=[0.1, -2.0, 0.3, 4.0],
    )  # fmt: skip
    [found] = store.rankings()
    assert (seq, already) == (found.seq, False) == (1, False)
    assert found.comparison == store.comparison(shown)
    assert found.comparison.prompt == "Why does a penguin stay warm?" and found.comparison.candidates == tuple(FOUR)
    assert (found.key, found.order, found.shown) == ("key-1", ((3,), (1, 0), (2,)), (2, 0, 3, 1))
    assert (found.rater, found.seconds, found.note, found.tags) == ("ana", 12.5, "3 says why", ("clear", "short"))
    assert (found.guess, found.withdrawn_at, found.excluded) == ((0.1, -2.0, 0.3, 4.0), None, False)
    assert found.comparison.at <= found.at


def test_one_ranking_is_read_by_its_number_as_it_stands_among_all(store, shown):
    for number, comparison in enumerate([shown, show(store, "Why not?"), show(store, "And now?")]):
        store.rank(f"k{number}", comparison, [[1, 0], [3], [2]], rater="ana", guess=[0.1, -2.0, 0.3, 4.0])
    store.exclude(2)
    store.withdraw("w", 3)
    assert [store.ranking(seq) for seq in (1, 2)] == store.rankings()
    assert store.ranking(2).excluded and not store.ranking(1).excluded
    assert [store.ranking(seq) for seq in (3, 4, 0, -1, 1 << 70)] == [None] * 5


def test_a_second_store_on_the_same_file_reads_the_same(store, shown, tmp_path):
    store.rank("a", shown, [[0], [1], [2], [3]], rater="ana")
    with Store(tmp_path / "lab.db", read_only=True) as reader:
        assert reader.rankings() == store.rankings() and reader.counts() == store.counts()
        with pytest.raises(BadInput, match="reading only"):
            reader.rank("b", shown, [], rater="bob")


def test_the_same_ranking_sent_twice_is_saved_once(store, shown):
    order = [[0], [1, 2], [3]]
    assert store.rank("k", shown, order, rater="ana", seconds=3.0) == (1, False)
    assert store.rank("k", shown, [[0], [2, 1], [3]], rater="ana", seconds=3.9) == (1, True)
    assert len(store.rankings()) == 1


@pytest.mark.parametrize("change", [{"order": []}, {"rater": "bob"}, {"note": "other"}, {"tags": ["other"]}])
def test_a_key_with_other_content_is_refused(store, shown, change):
    first = {"order": [[0], [1], [2], [3]], "rater": "ana"}
    store.rank("k", shown, **first)
    with pytest.raises(KeyReused, match="number 1"):
        store.rank("k", shown, **(first | change))
    assert len(store.rankings()) == 1


def test_ten_quick_clicks_with_one_key_from_ten_threads_save_one_ranking(store, shown):
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: store.rank("k", shown, [[0], [1], [2], [3]], rater="ana"), range(10)))
    assert sorted(already for _, already in answers) == [False] + [True] * 9
    assert {seq for seq, _ in answers} == {1}


def test_a_rater_ranks_the_same_candidates_once_and_another_rater_may_too(store, shown):
    store.rank("a", shown, [[0], [1], [2], [3]], rater="ana")
    with pytest.raises(AlreadyRanked, match="ana"):
        store.rank("b", shown, [], rater="ana")
    store.rank("c", shown, [[3], [2], [1], [0]], rater="bob")
    assert [each.rater for each in store.rankings()] == ["ana", "bob"]


def test_two_people_who_rank_the_same_candidates_at_the_same_moment_are_both_kept(store):
    for number in range(20):
        shown, gate = show(store, f"Question {number}?"), threading.Barrier(2)

        def click(rater, shown=shown, gate=gate):
            gate.wait()
            return store.rank(f"{rater} {shown}", shown, [[0], [1], [2], [3]], rater=rater)

        with ThreadPoolExecutor(2) as pool:
            assert {already for _, already in pool.map(click, ["ana", "bob"])} == {False}
    assert store.counts()["raters"] == {"ana": 20, "bob": 20}


def test_eight_threads_with_fifty_rankings_each_lose_none(store):
    shown = show(store)

    def click(thread):
        order = [[0], [1], [2], [3]]
        return [store.rank(f"{thread}-{n}", shown, order, rater=f"rater {thread} {n}")[0] for n in range(50)]

    with ThreadPoolExecutor(8) as pool:
        seqs = [seq for some in pool.map(click, range(8)) for seq in some]
    assert sorted(seqs) == list(range(1, 401))
    found = {each.seq: each for each in store.rankings()}
    assert {each.key for each in found.values()} == {f"{thread}-{n}" for thread in range(8) for n in range(50)}
    assert store.counts()["rankings"] == len(store.counts()["raters"]) == 400


def test_two_processes_may_save_at_once(store, tmp_path):
    code = """
import sys
from lab.store import Store
store = Store(sys.argv[1])
for shown in sys.argv[3:]:
    store.rank(sys.argv[2] + shown, shown, [[0], [1], [2], [3]], rater=sys.argv[2])
store.close()
"""
    shown = [show(store, f"Question {n}?") for n in range(15)]
    others = [child(code, tmp_path / "lab.db", rater, *shown) for rater in ("bob", "cleo")]
    for each in shown:
        store.rank(f"ana{each}", each, [[3], [2], [1], [0]], rater="ana")
    assert [(other.communicate()[1], other.returncode) for other in others] == [("", 0), ("", 0)]
    assert store.counts()["raters"] == {"ana": 15, "bob": 15, "cleo": 15}


BAD_ORDERS = [
    [[0]], [[0], [1], [2]], [[0], [1], [2], [2]], [[0, 1, 2, 3], []], [[0], [1], [2], [4]], [[-1], [0], [1], [2]], [[]],
    [["0"], [1], [2], [3]], [[0.0], [1], [2], [3]], [[True], [0], [2], [3]], [0, 1, 2, 3], 7, None,
]  # fmt: skip


@pytest.mark.parametrize("order", BAD_ORDERS)
def test_an_order_that_does_not_place_every_candidate_once_is_refused(store, shown, order):
    with pytest.raises(BadRanking):
        store.rank("k", shown, order, rater="ana")
    assert store.rankings() == [] and store.counts()["rankings"] == 0


@pytest.mark.parametrize("rater", ["", "   ", "x" * 65, "a\nb", "a\u202eb"])
def test_a_name_that_cannot_stand_in_a_list_is_refused(store, shown, rater):
    with pytest.raises(BadName):
        store.rank("k", shown, [], rater=rater)


@pytest.mark.parametrize(
    ("problem", "more"),
    [
        (BadText, {"rater": "half \ud800"}),
        (BadText, {"note": "half \udfff"}),
        (BadText, {"note": "x" * 10_001}),
        (BadText, {"tags": [7]}),
        (BadNumber, {"seconds": math.nan}),
        (BadNumber, {"seconds": -1.0}),
        (BadNumber, {"seconds": "5"}),
        (BadNumber, {"guess": [1.0, 2.0, 3.0, math.inf]}),
        (BadNumber, {"guess": [1.0]}),
        (BadRanking, {"shown": [0, 1, 2]}),
        (BadRanking, {"shown": [0, 1, 2, 2]}),
    ],
)
def test_a_ranking_with_a_bad_part_is_refused_whole(store, shown, problem, more):
    with pytest.raises(problem):
        store.rank("k", shown, [], **({"rater": "ana"} | more))
    assert store.rankings(withdrawn=True) == []


def test_what_does_not_exist_is_not_found(store, shown):
    with pytest.raises(NotFound, match="Reload"):
        store.rank("k", "f" * 32, [], rater="ana")
    for call in (store.comparison, lambda id: store.add_comparison(id, FOUR)):
        with pytest.raises(NotFound):
            call("../../lab")
    for seq in (1, 0, -1, 1 << 70, "1", None):
        with pytest.raises(NotFound):
            store.withdraw("w", seq)
        with pytest.raises(NotFound):
            store.exclude(seq)
    with pytest.raises(BadInput, match="key"):
        store.rank("", shown, [], rater="ana")


def test_one_refusal_in_a_group_of_saves_costs_the_others_nothing(store, shown):
    """Twenty saves that wait together share a commit; half of them are refused inside it."""

    def click(n):
        try:
            return store.rank(f"k{n}", shown, [[0], [1], [2], [3]] if n % 2 else [[0]], rater=f"rater {n}")
        except BadRanking:
            return None

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(click, range(20)))
    assert [answer is None for answer in answers] == [n % 2 == 0 for n in range(20)]
    assert {each.key for each in store.rankings()} == {f"k{n}" for n in range(1, 20, 2)}


def test_undo_keeps_the_ranking_marked_and_lets_its_rater_rank_again(store, shown):
    seq, _ = store.rank("a", shown, [[0], [1], [2], [3]], rater="ana")
    store.withdraw("w", seq)
    store.withdraw("w", seq)
    store.withdraw("w2", seq)
    assert store.rankings() == [] and store.counts()["rankings"] == 0
    [gone] = store.rankings(withdrawn=True)
    assert gone.seq == seq and gone.withdrawn_at >= gone.at
    again, _ = store.rank("b", shown, [[3], [2], [1], [0]], rater="ana")
    assert [each.seq for each in store.rankings()] == [again] and again > seq
    with pytest.raises(KeyReused):
        store.withdraw("w", again)


def test_a_ranking_in_the_place_of_an_older_one_withdraws_that_with_its_own_save_or_not_at_all(store, shown):
    first, second = [[0], [1], [2], [3]], [[3], [2], [1], [0]]
    old, _ = store.rank("a", shown, first, rater="ana")
    other, _ = store.rank("b", show(store, "Why not?"), first, rater="ana")
    for wrong in ({"instead": other}, {"instead": old, "rater": "bob"}, {"instead": 99}):
        with pytest.raises(BadInput, match="NOT saved"):
            store.rank("c", shown, second, **({"rater": "ana"} | wrong))
    with pytest.raises(BadRanking):
        store.rank("c", shown, [[3]], rater="ana", instead=old)
    assert [each.seq for each in store.rankings()] == [old, other]
    new = store.rank("c", shown, second, rater="ana", instead=old)[0]
    assert store.rank("c", shown, second, rater="ana", instead=old) == (new, True)
    assert [each.seq for each in store.rankings()] == [other, new] and store.counts() == counted(store)
    with pytest.raises(AlreadyRanked):
        store.rank("d", shown, first, rater="ana", instead=old)


def test_undo_of_a_ranking_brings_back_what_it_had_taken_the_place_of_as_it_was(store, shown):
    order = [[0, 2], [1], [3]]
    about = {
        "seconds": 12.5,
        "note": "3 is wrong",
        "tags": ["rude"],
        "shown": [2, 0, 3, 1],
        "guess": [0.1, 2.0, 0.3, 4],
    }
    old, _ = store.rank("a", shown, order, rater="ana", **about)
    store.exclude(old)
    [was] = store.rankings()
    numbers = [old]
    for time in range(3):
        new, _ = store.rank(f"new {time}", shown, [[3], [2], [1], [0]], rater="ana", instead=numbers[-1])
        assert not store.ranking(new).excluded
        numbers.append(store.withdraw(f"undo {time}", new))
        assert store.withdraw(f"undo {time}", new) == numbers[-1], "sent twice, it comes back once"
        [back] = store.rankings()
        assert back == replace(was, seq=numbers[-1], key=f"a~{new}") and store.counts() == counted(store)
    assert store.withdraw("gone", numbers[-1]) == 0 and store.rankings() == []


def test_the_newest_of_a_rater_is_the_last_in_force_that_was_saved_here_under_such_a_key(store):
    order = [[0], [1], [2], [3]]
    for number, (key, rater, pool) in enumerate(
        [("a:1", "ana", "rank"), ("b:2", "ana", "repeat"), ("a:3", "ana", "duel"), ("a:4", "bob", "rank")]
    ):
        store.rank(key, show(store, f"Q{number}", pool), order if number else [], rater=rater)
    store.rank("import:5", show(store, "Q5", "import"), order, rater="ana")
    assert [store.newest_of("ana", key) for key in ("a:", "b:", "", "c:", "*")] == [1, 2, 2, 0, 0]
    assert (store.newest_of("ana", "a:", duels=True), store.newest_of("bob", "a:"), store.newest_of("cy")) == (3, 4, 0)
    new, _ = store.rank("a:6", store.ranking(1).comparison.id, order, rater="ana", instead=1)
    assert store.newest_of("ana", "a:") == new
    back = store.withdraw("undo", new)
    assert (store.newest_of("ana", "a:"), store.newest_of("ana")) == (back, 2), "what comes back was not saved anew"
    store.withdraw("more", back)
    assert store.newest_of("ana", "a:") == 0


def test_an_excluded_ranking_is_kept_and_may_come_back(store, shown):
    seq, _ = store.rank("a", shown, [[0], [1], [2], [3]], rater="ana")
    for excluded in (True, True, False, True):
        store.exclude(seq, excluded)
        assert [each.excluded for each in store.rankings()] == [excluded]
        assert len(store.rankings(excluded=False)) == store.counts()["rankings"] == (not excluded)


def test_counts_say_what_the_rankings_say(store):
    """A few hundred random acts; after each, the running totals must equal a count from scratch."""
    random, keys = Random(5), []
    orders = [[], [[0], [1], [2], [3]], [[0, 1], [2, 3]], [[0, 1, 2, 3]], [[2], [0, 1, 3]]]
    for n in range(60):
        act = random.random()
        if act < 0.6 or not keys:
            rater = random.choice(["ana", "bob", "simulated:helpful"])
            keys.append(store.rank(f"k{n}", show(store, f"Q{n}"), random.choice(orders), rater=rater)[0])
        elif act < 0.8:
            store.exclude(random.choice(keys), random.random() < 0.6)
        else:
            store.withdraw(f"w{n}", random.choice(keys))
        if n % 4 == 0:
            assert store.counts() == counted(store)
    assert store.counts() == counted(store)
    with Store(store.path, read_only=True) as fresh:
        assert fresh.counts() == store.counts()


def counted(store):
    kept = store.rankings(excluded=False)
    ranked = [each for each in kept if each.order]
    raters = {name: sum(each.rater == name for each in ranked) for name in {each.rater for each in ranked}}
    pairs = [
        (better, worse)
        for each in ranked
        for place, group in enumerate(each.order)
        for better in group
        for lower in each.order[place + 1 :]
        for worse in lower
    ]
    simulated = sum(each.simulated for each in ranked)
    pairs_of = {name: sum(pairs_in(each.order) for each in ranked if each.rater == name) for name in raters}
    return {
        "rankings": len(ranked), "pairs": len(pairs), "skips": len(kept) - len(ranked), "raters": raters,
        "pairs_of": pairs_of, "simulated": simulated, "by_person": len(ranked) - simulated,
    }  # fmt: skip


def test_rankings_can_be_asked_for_by_pool_and_behind_a_seq(store):
    for n, pool in enumerate(["rank", "duel", "rank"]):
        store.rank(f"k{n}", show(store, f"Q{n}", pool), [], rater="ana")
    assert [each.seq for each in store.rankings(pools=("rank",))] == [1, 3]
    assert [each.seq for each in store.rankings(pools=("duel", "rank"))] == [1, 2, 3]
    assert [each.comparison.pool for each in store.rankings(after=1)] == ["duel", "rank"]
    assert store.rankings(after=3) == []
    bare = store.rankings(ids=False)
    assert [each.text for each in bare[0].comparison.candidates] == [each.text for each in FOUR]
    assert {each.ids for each in bare[0].comparison.candidates} == {()}


def test_the_duels_are_those_that_are_in_force_whenever_they_are_asked_for(store):
    def same() -> list[int]:
        found = store.duels()
        assert found == store.rankings(pools=("duel",), ids=False)
        return [each.seq for each in found]

    assert same() == []
    for n, pool in enumerate(["rank", "duel", "import", "duel", "duel"]):
        store.rank(f"k{n}", show(store, f"Q{n}", pool), [[0], [1], [2], [3]], rater="ana")
        same()
    assert same() == [2, 4, 5]
    store.exclude(4)
    store.withdraw("w1", 1)
    store.withdraw("w2", 5)
    assert same() == [2, 4] and store.duels()[1].excluded
    store.exclude(4, False)
    store.rank("again", show(store, "Q4", "duel"), [], rater="ana")
    assert same() == [2, 4, 6] and not store.duels()[1].excluded


def test_to_ask_for_the_duels_again_costs_the_same_however_many_other_rankings_there_are(store):
    """In steps of SQLite's machine, of which even the cheapest look at each row would be one more."""
    duels, steps = Followed("duel"), []

    def asked() -> int:
        with closing(connect(store.path, write=False)) as link:
            link.set_progress_handler(lambda: steps.append(1), 1)
            steps.clear()
            duels.refresh(link)
        return len(steps)

    store.rank("first", show(store, "Q", "duel"), [], rater="ana")
    asked()
    few = asked()
    for n in range(40):
        store.rank(f"k{n}", show(store, f"Q{n}"), [], rater="ana")
    assert asked() > few + 40, "what is new is looked at"
    assert asked() == few


def test_rankings_of_one_pool_leave_the_texts_of_all_others_on_the_disk(store):
    asked = ((f"{n} " + "why " * 4_000, ["yes " * 10_000, "no"], [[0], [1]], "") for n in range(50))
    bring(store, asked, "ana", "long.jsonl")
    store.rank("k", show(store), [], rater="ana")
    tracemalloc.start()
    try:
        found, most = store.rankings(pools=("rank",)), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert [each.key for each in found] == ["k"]
    assert most < 16_000, "less than the shortest prompt of the import"


def test_it_is_counted_how_often_each_prompt_is_ranked(store):
    for n, (text, rater) in enumerate([("Q1", "ana"), ("Q1", "bob"), ("Q2", "ana"), ("Q3", "ana")]):
        store.rank(f"k{n}", show(store, text), [[0], [1, 2, 3]], rater=rater)
    bring(store, [("Q1", ["yes", "no"], [[0], [1]], "")], "carl", "pairs.jsonl")
    store.withdraw("w", 3)
    store.exclude(4)
    assert store.times_ranked(["Q1", "Q2", "Q3", "Q4"]) == {"Q1": 3, "Q3": 1}


def test_a_closed_store_says_so_and_a_missing_one_too(store, shown, tmp_path):
    store.close()
    store.close()
    with pytest.raises(BadInput, match="NOT saved"):
        store.rank("k", shown, [], rater="ana")
    with pytest.raises(NotFound):
        Store(tmp_path / "nowhere.db", read_only=True)


def test_what_was_sent_before_close_is_saved_by_close(store):
    shown = [show(store, f"Q{n}") for n in range(30)]
    results = []
    threads = [threading.Thread(target=lambda each=each: results.append(saved_or_not(store, each))) for each in shown]
    for thread in threads:
        thread.start()
    store.close()
    for thread in threads:
        thread.join()
    with Store(store.path) as again:
        assert len(again.rankings()) == sum(results)


def saved_or_not(store, shown):
    try:
        store.rank(shown, shown, [], rater="ana")
        return True
    except BadInput:
        return False
