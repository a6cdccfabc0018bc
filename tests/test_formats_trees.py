"""Rows that continue one another: the answers of a message tree, and chains of rounds in a table."""

from __future__ import annotations

import random

import pytest
from test_formats import SKY, saved

from lab.errors import NoRows
from lab.formats import Message, Record, read


def node(name, parent, role, words, rank=None, **more):
    return {"message_id": name, "parent_id": parent, "role": role, "text": words, "rank": rank, "lang": "en"} | more


TREE = [
    node("q", None, "prompter", SKY),
    node("a", "q", "assistant", "Paint.", 1),
    node("b", "q", "assistant", "Scattering.", 0),
    node("c", "q", "assistant", "Unrated."),
    node("b1", "b", "prompter", "And at dusk?"),
    node("b1x", "b1", "assistant", "Red.", 2),
    node("b1y", "b1", "assistant", "The long way through the air.", 0),
    node("b1z", "b1", "assistant", "Also red.", 2),
]


def test_siblings_are_ranked_and_0_is_the_best(tmp_path):
    found = read(saved(tmp_path, TREE))
    asked = Message("user", SKY)
    assert found.format == "oasst"
    assert found.records == (
        Record((asked,), ("Paint.", "Scattering."), ((1,), (0,))),
        Record(
            (asked, Message("assistant", "Scattering."), Message("user", "And at dusk?")),
            ("Red.", "The long way through the air.", "Also red."),
            ((1,), (0, 2)),
        ),
    )
    assert [(row.line, row.reason) for row in found.rejected] == [(4, "an answer that nobody ranked")]


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    rows = TREE[:]
    random.Random(1).shuffle(rows)
    found = read(saved(tmp_path, rows)).records
    better = {record.prompt[-1].content: record.candidates[record.groups[0][0]] for record in found}
    assert better == {SKY: "Scattering.", "And at dusk?": "The long way through the air."}


def test_each_message_that_is_in_no_ranking_says_why(tmp_path):
    rows = [
        *TREE[:3],
        node("lone", None, "prompter", "Alone?"),
        node("one", "lone", "assistant", "Yes.", 0),
        node("o1", "gone", "assistant", "x", 0),
        node("o2", "gone", "assistant", "y", 1),
        node("d1", "q", "assistant", "Deleted.", 2, deleted=True),
        node("p1", "b", "prompter", "Ranked question?", 0),
        node("p2", "b", "prompter", "Another?", 1),
    ]
    found = read(saved(tmp_path, rows))
    assert len(found.records) == 1
    alone = "its question has no other ranked answer, or the messages above it are not in the file"
    assert [(row.line, row.reason) for row in found.rejected] == [
        (4, "a question with fewer than two ranked answers"),
        (5, alone),
        (6, alone),
        (7, alone),
        (8, "a message that was deleted"),
        (9, "a question with fewer than two ranked answers"),
        (10, "a question with fewer than two ranked answers"),
    ]


def test_a_ring_of_messages_ends(tmp_path):
    ring = [node("x", "y", "prompter", "a"), node("y", "x", "prompter", "b")]
    rows = [*ring, node("m", "x", "assistant", "c", 0), node("n", "x", "assistant", "d", 1)]
    with pytest.raises(NoRows, match="fewer than two ranked answers"):
        read(saved(tmp_path, rows))


def test_an_unreadable_message_makes_its_ranking_bad_and_no_other(tmp_path):
    rows = [*TREE * 1, node("z", None, "prompter", 7), node("z1", "z", "assistant", "a", 0)]
    rows += [node("z2", "z", "assistant", "b", 1)]
    found = read(saved(tmp_path, rows))
    assert len(found.records) == 2
    assert [(row.line, row.reason) for row in found.rejected][1:] == [
        (10, "field text is a number, not text"),
        (11, "field text is a number, not text"),
    ]


def h2o(name, parent, question, best="Yes.", worse="No.", **more):
    return {"id": name, "parent_id": parent, "question": question, "chosen": best, "rejected": worse} | more


def test_a_chain_of_rows_is_a_conversation_in_which_the_chosen_answer_was_said(tmp_path):
    rows = [
        h2o("3", "2", "Third?", "Good.", "Bad."),
        h2o("1", "", "First?", system="Be brief."),
        h2o("2", "1", "Second?", "So.", "Not so."),
    ]
    found = read(saved(tmp_path, rows)).records[0]
    assert [turn.content for turn in found.prompt] == [
        "Be brief.", "First?", "Yes.", "Second?", "So.", "Third?",
    ]  # fmt: skip
    assert (found.candidates, found.source_id) == (("Good.", "Bad."), "3")


def test_ids_that_a_table_wrote_as_numbers_still_meet(tmp_path):
    found = read(saved(tmp_path, [h2o(1, None, "First?"), h2o(2, 1.0, "Second?")])).records
    assert [turn.content for turn in found[1].prompt] == ["First?", "Yes.", "Second?"]


def test_a_row_whose_beginning_is_missing_is_left_out(tmp_path):
    rows = [h2o("1", "0", "First?"), h2o("2", "1", "Second?"), h2o("x", "x", "Itself?"), h2o("5", None, "Alone?")]
    found = read(saved(tmp_path, rows))
    assert [record.source_id for record in found.records] == ["5"]
    assert [row.line for row in found.rejected] == [1, 2, 3]
    assert all("not in the file, or has no beginning" in row.reason for row in found.rejected)
