"""Self-consistency: when a ranking comes back, that nothing tells before the click, and that it never counts twice."""

from __future__ import annotations

import random
import uuid

import pytest

from lab.errors import BadInput
from lab.material import for_reward, raters_of
from lab.store import Candidate
from lab.ui.office import NAMELESS
from lab.ui.pool import read_pool
from lab.ui.rank.desk import Desk
from lab.ui.rank.repeats import FEWEST, FRESH, Known, Repeats, reshuffled

TAB, RATER = "tabofthetest", "ana"
ORDER = [[2], [0], [3], [1]]


@pytest.fixture
def desk(office):
    return Desk(office)


def submit(desk, comparison: str, order, rater=RATER, **pool) -> dict:
    body = {"tab": TAB, "pool": pool, "key": uuid.uuid4().hex, "comparison": comparison, "order": order}
    return desk.submit(body, rater)


def rank_new(desk, number: int, order=ORDER, rater=RATER, **pool) -> dict:
    """Rank four new answers that this tab has in hand."""
    store = desk.office.store
    prompt = store.add_prompts([f"Question {number}?"], "built-in")[0]
    shown = store.add_comparison(prompt, [Candidate(f"answer {number} {letter}", "sft") for letter in "abcd"])
    desk.feed.give(TAB, desk.feed.recall(shown, read_pool(pool)))
    return submit(desk, shown, order, rater, **pool)


def until_due(desk, count: int = FEWEST) -> dict:
    """The view that follows the last of so many rankings."""
    return [rank_new(desk, number) for number in range(count)][-1]["next"]


def as_before(desk, view: dict) -> list[list[int]]:
    """The order of the first ranking, in the display order of the repeat."""
    letters = ["abcd"[group[0]] for group in ORDER]
    now = [card["text"][-1] for card in view["candidates"]]
    return [[now.index(letter)] for letter in letters]


def test_after_ten_rankings_an_older_one_comes_back_in_another_order_and_looks_like_any_other(desk, office):
    view = until_due(desk)
    found = office.store.comparison(view["comparison"])
    assert found.pool == "repeat" and int(found.prompt.split()[1][:-1]) < FEWEST - FRESH
    assert sorted(card["text"][-1] for card in view["candidates"]) == list("abcd")
    assert [card["text"][-1] for card in view["candidates"]] != list("abcd")
    plain = rank_new(desk, 50, repeats=0)["next"]
    assert set(view) == set(plain) and set(view["candidates"][0]) == {"text", "finished"}
    assert view["progress"]["again"] == 0


def test_the_click_reveals_the_agreement_with_oneself_and_the_next_one_is_new(desk, office):
    view = until_due(desk)
    found = submit(desk, view["comparison"], as_before(desk, view))
    assert found["reveal"]["again"] == (6, 6)
    assert (found["next"]["progress"]["same"], found["next"]["progress"]["again"]) == (6, 6)
    assert found["next"]["comparison"] == ""
    assert rank_new(desk, 99)["reveal"]["again"] == (0, 0)


def test_the_reverse_order_agrees_in_nothing_and_one_tie_counts_half_a_pair(desk):
    view = until_due(desk)
    before = as_before(desk, view)
    reverse = submit(desk, view["comparison"], before[::-1])
    assert reverse["reveal"]["again"] == (0, 6)
    desk.undo({"tab": TAB, "key": uuid.uuid4().hex, "seq": reverse["seq"], "host": True}, RATER)
    tied = [before[0], before[1] + before[2], before[3]]
    assert submit(desk, view["comparison"], tied)["reveal"]["again"] == (5.5, 6)


def test_a_repeat_counts_in_no_total_and_in_no_training(desk, office):
    view = until_due(desk)
    before, rankings = office.store.counts(), FEWEST
    submit(desk, view["comparison"], as_before(desk, view))
    assert office.store.counts() == before
    kept = office.store.rankings()
    assert len(kept) == rankings + 1 and kept[-1].excluded

    class Words:
        context = 100

        def response_ids(self, text, ended):
            return [1] * 4

        def prompt_ids(self, messages, room):
            return [2] * 4

    material = for_reward(Words(), kept, raters_of(kept, RATER), 100)
    assert len(material["rankings"]) == rankings
    with pytest.raises(BadInput):
        office.store.exclude(kept[-1].seq, False)


def test_nothing_comes_back_below_ten_rankings_or_when_the_knob_is_at_zero(desk):
    assert until_due(desk, FEWEST - 1)["comparison"] == ""
    assert rank_new(desk, 20, repeats=0)["next"]["comparison"] == ""


def test_nothing_comes_back_to_guests_whom_nothing_tells_apart(desk):
    views = [rank_new(desk, number, rater=NAMELESS)["next"] for number in range(FEWEST)]
    assert views[-1]["comparison"] == ""


def test_a_tie_of_all_is_never_repeated_and_the_next_repeat_waits_for_ten_more(desk):
    for number in range(FEWEST):
        last = rank_new(desk, number, order=[[0, 1, 2, 3]])
    assert last["next"]["comparison"] == ""
    view = until_due(desk, FRESH + 1)
    assert desk.office.store.comparison(view["comparison"]).pool == "repeat"
    submit(desk, view["comparison"], as_before(desk, view))
    later = [rank_new(desk, 100 + number)["next"]["comparison"] for number in range(FEWEST)]
    assert later[:-1] == [""] * (FEWEST - 1) and later[-1] != ""


def test_a_new_process_knows_what_was_repeated(desk, office):
    view = until_due(desk)
    submit(desk, view["comparison"], as_before(desk, view))
    assert Desk(office).repeats.total(RATER) == (6, 6)


def test_a_repeat_that_is_skipped_is_not_due_again_at_once_and_counts_as_no_agreement(desk, office):
    view = until_due(desk)
    answer = submit(desk, view["comparison"], [])
    assert not pool_of(office, answer["next"]) == "repeat" and answer["reveal"]["again"] == (0.0, 0)
    desk.repeats = Repeats(office.store)
    assert desk.repeats.due(RATER, 10) is None, "a new process knows it too"
    assert desk.repeats.total(RATER) == (0.0, 0)
    assert pool_of(office, [rank_new(desk, number) for number in range(20, 30)][-1]["next"]) == "repeat"


def pool_of(office, view: dict) -> str:
    """'' for answers that are still to be written."""
    return office.store.comparison(view["comparison"]).pool if view["comparison"] else ""


def test_two_answers_are_shuffled_into_the_only_other_order():
    two = [Candidate("a", "sft"), Candidate("b", "sft")]
    assert reshuffled(two, random.Random(0)) == two[::-1]


def test_a_ranking_that_takes_the_place_of_another_and_its_undo_are_counted_once_in_what_is_known_of_a_rater(desk):
    view = until_due(desk)
    submit(desk, view["comparison"], as_before(desk, view))
    first = next(each for each in desk.office.store.rankings() if each.comparison.prompt == view["prompt"])
    body = {"tab": TAB, "key": uuid.uuid4().hex, "seq": first.seq, "host": True}
    again = desk.again(body, RATER)
    assert again["instead"] == first.seq and again["progress"]["mine"] == FEWEST and desk.repeats.total(RATER) == (6, 6)
    new = {"tab": TAB, "key": uuid.uuid4().hex, "comparison": first.comparison.id, "instead": first.seq, "host": True}
    saved = desk.submit(new | {"order": ORDER[::-1]}, RATER)
    assert saved["next"]["progress"]["mine"] == FEWEST and desk.repeats.total(RATER) == (0, 6)
    back = desk.undo(body | {"key": uuid.uuid4().hex, "seq": saved["seq"]}, RATER)
    assert back["progress"]["mine"] == FEWEST and desk.repeats.total(RATER) == (6, 6)
    assert [list(group) for group in desk.office.store.ranking(back["instead"]).order] == ORDER
    assert [list(group) for group in back["before"]["groups"]] == ORDER[::-1]
    gone = desk.undo(body | {"key": uuid.uuid4().hex, "seq": back["instead"]}, RATER)
    assert gone["instead"] == 0 and gone["progress"]["mine"] == FEWEST - 1
    following = desk.next({"tab": TAB, "another": True}, RATER)
    assert following["comparison"] != first.comparison.id, "in hand once, however often it was brought back"


@pytest.mark.parametrize("instead", ["own", "again"])
def test_what_a_person_is_asked_once_more_is_shown_to_nobody_else_and_comes_back_to_them(desk, office, instead):
    view = until_due(desk)
    first = office.store.rankings()[0].seq
    body = {"tab": TAB, "pool": {}, "prompt": "Mine?", "key": uuid.uuid4().hex, "seq": first, "host": True}
    getattr(desk, instead)(body, RATER)
    shown = [desk.next({"tab": "tabofanother", "pool": {}, "another": True}, "ben") for _ in range(3)]
    assert view["item"] not in [each["item"] for each in shown]
    assert not any(each["comparison"] for each in shown), "all new, none of them ranked before"
    if instead == "again":
        desk.own(body, RATER)
        assert desk.next({"tab": TAB, "pool": {}, "another": True}, RATER)["prompt"] == "Question 0?"
    assert desk.next({"tab": TAB, "pool": {}, "another": True}, RATER)["item"] == view["item"]


def test_a_repeat_that_was_put_aside_comes_before_another_one_is_made(desk, office):
    view = until_due(desk)
    desk.own({"tab": TAB, "pool": {}, "prompt": "Mine?"}, RATER)
    following = rank_new(desk, 60)["next"]
    assert following["item"] == view["item"]
    assert submit(desk, view["comparison"], as_before(desk, view))["next"]["comparison"] == ""


def test_the_agreement_is_added_up_over_all_repeats_of_many_rankings(office):
    repeats, count = Repeats(office.store), 400
    for number in range(count):
        texts = tuple(f"answer {number} {letter} " + "word " * 40 for letter in "abcd")
        first = Known("rank", f"first {number}", f"prompt {number}", texts, ORDER)
        repeats.add(RATER, 2 * number, first)
        if number % 10 == 0:
            order = [[3 - index] for [index] in ORDER]
            repeats.add(RATER, 2 * number + 1, Known("repeat", f"again {number}", first.prompt, texts[::-1], order))
    assert repeats.total(RATER) == (6 * count / 10, 6 * count // 10)
