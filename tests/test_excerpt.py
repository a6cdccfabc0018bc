"""The first rows of a file: what counts as better is seen, nothing is long, and a terminal takes no orders from it."""

from __future__ import annotations

import json

import pytest

from lab.excerpt import LONGEST, ROWS, excerpts, held, lines
from lab.formats import Message, Record, read

WHY = (Message("user", "Why?"),)


def places(*groups, count=4):
    [row] = excerpts([Record(WHY, tuple("abcd"[:count]), groups)])
    return [(each["place"], each["text"]) for each in row["answers"]]


def test_a_pair_has_a_better_and_a_worse_answer_whichever_the_file_names_first(tmp_path):
    rows = [
        {"prompt": "Why?", "chosen": "So.", "rejected": "No."},
        {"prompt": "Who?", "rejected": "No.", "chosen": "I."},
    ]
    file = tmp_path / "pairs.jsonl"
    file.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    found = excerpts(read(file).records)
    assert [row["prompt"] for row in found] == ["Why?", "Who?"]
    assert [[each["place"] for each in row["answers"]] for row in found] == [["better", "worse"]] * 2
    assert [[each["text"] for each in row["answers"]] for row in found] == [["So.", "No."], ["I.", "No."]]


def test_longer_rankings_stand_best_first_with_ties_side_by_side():
    assert places((1,), (0,), count=2) == [("better", "b"), ("worse", "a")]
    assert places((2,), (0, 3), (1,)) == [("best", "c"), ("place 2", "a"), ("place 2", "d"), ("worst", "b")]
    assert places((0, 1), count=2) == [("equally good", "a"), ("equally good", "b")]
    assert places(count=2) == [("not ranked", "a"), ("not ranked", "b")] and places(count=1) == [("answer", "a")]


def test_five_rows_are_shown_and_a_long_text_is_cut_on_one_line():
    found = excerpts([Record(WHY, ("word\n\n word " * 10**5, "x" * LONGEST), ((0,), (1,)))] * 9)
    long, short = (each["text"] for each in found[0]["answers"])
    assert len(found) == ROWS == 5
    assert len(long) <= LONGEST and long.endswith("…") and "\n" not in long and short == "x" * LONGEST


@pytest.mark.parametrize("system", ["Be brief.", "Be brief. " * LONGEST])
def test_of_a_conversation_the_turn_that_is_answered_is_seen(system):
    talk = (Message("system", system), Message("user", "Why is it so?"))
    [row] = excerpts([Record(talk, ("a",))])
    assert row["prompt"].endswith("Why is it so?") and len(row["prompt"]) <= LONGEST


def test_a_terminal_is_given_no_control_characters_of_a_file():
    row = Record((Message("user", "Why\x1b[2J?\u202e"),), ("So.\r\x07", "No."), ((0,), (1,)))
    assert [*lines(excerpts([row]))] == ["  Why�[2J?�", "    better: So. �", "    worse: No."]


@pytest.mark.parametrize(
    ("rankings", "alone", "words"),
    [(1, 0, "1 ranking"), (0, 0, "0 rankings"), (0, 1, "1 example"), (3, 2, "3 rankings and 2 examples")],
)
def test_what_a_file_holds_is_said_in_words(rankings, alone, words):
    assert held(rankings, alone) == words
