"""Writing records: what is written reads back as the same thing, and what a format cannot say is left out and told."""

from __future__ import annotations

import errno
import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from lab.errors import BadFile, BadInput, DiskFull, NoRows
from lab.formats import FORMATS, Message, Record, read, write
from lab.formats.files import rows
from lab.ui.prompts import from_file

PROMPT = (Message("user", "Why?"),)
LONG = (Message("system", "Be brief."), Message("user", "Hi"), Message("assistant", "Hello."), Message("user", "Why?"))
TWO = ((0,), (1,))
PAIR_FORMATS = ("trl", "trl_conversational", "sharegpt", "openrlhf", "hh", "verl_rm")
ENDING = {"verl_rm": ".parquet"}

words = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
spoken = words.filter(str.strip)


def rows_of(path):
    return [row.fields for row in rows(path)]


@st.composite
def records(draw):
    turns = draw(st.lists(st.tuples(spoken, words), max_size=2))
    earlier = [Message(role, said) for pair in turns for role, said in zip(("user", "assistant"), pair, strict=True)]
    system = [Message("system", draw(spoken))] if draw(st.booleans()) else []
    candidates = tuple(draw(st.lists(words, min_size=1, max_size=5)))
    order = draw(st.permutations(range(len(candidates))))
    cuts = sorted({0, len(order), *draw(st.lists(st.integers(0, len(order)), max_size=4))})
    groups = tuple(tuple(order[a:b]) for a, b in zip(cuts, cuts[1:], strict=False)) if draw(st.booleans()) else ()
    margin = draw(st.none() | st.floats(allow_nan=False, allow_infinity=False))
    return Record(
        (*system, *earlier, Message("user", draw(spoken))), candidates, groups, margin, draw(words), draw(words)
    )


@settings(max_examples=60, deadline=None)
@given(st.lists(records(), min_size=1, max_size=4))
def test_rankings_read_back_as_they_were(tmp_path_factory, given_records):
    path = tmp_path_factory.mktemp("rankings") / "rankings.jsonl"
    assert write(given_records, "rankings", path).left_out == ()
    assert read(path).records == tuple(given_records)


@settings(max_examples=60, deadline=None)
@given(given_record=records(), format=st.sampled_from(PAIR_FORMATS))
def test_a_pair_format_reads_back_as_pairs_of_the_same_answers(tmp_path_factory, given_record, format):
    path = tmp_path_factory.mktemp("pairs") / f"pairs{ENDING.get(format, '.jsonl')}"
    place = {index: level for level, group in enumerate(given_record.groups) for index in group}
    texts = given_record.candidates
    ordered = {(texts[a], texts[b]) for a in place for b in place if place[a] < place[b]}
    try:
        written = write([given_record], format, path)
    except NoRows:
        return
    found = read(path, format).records
    assert len(found) == written.rows
    for record in found:
        assert record.prompt == given_record.prompt and record.candidates in ordered


@pytest.mark.parametrize("format", PAIR_FORMATS)
def test_a_ranking_becomes_every_pair_and_ties_none(tmp_path, format):
    given_record = Record(PROMPT, ("a", "b", "c", "d"), ((2,), (0, 3), (1,)))
    path = tmp_path / f"pairs{ENDING.get(format, '.jsonl')}"
    assert write([given_record], format, path).rows == 5
    pairs = {record.candidates for record in read(path, format).records}
    assert pairs == {("c", "a"), ("c", "d"), ("c", "b"), ("a", "b"), ("d", "b")}


def test_a_margin_is_written_for_a_lone_pair_only(tmp_path):
    write(
        [Record(PROMPT, ("a", "b"), TWO, 1.5), Record(PROMPT, ("a", "b", "c"), ((0,), (1, 2)), 1.5)],
        "trl",
        tmp_path / "x.jsonl",
    )
    assert [record.margin for record in read(tmp_path / "x.jsonl").records] == [1.5, None, None]


def test_the_shapes_are_those_that_the_other_tools_read(tmp_path):
    def row(format, prompt=PROMPT):
        write([Record(prompt, ("Yes.", "No."), TWO)], format, tmp_path / "x.json")
        return json.loads((tmp_path / "x.json").read_text())[0]

    asked, yes, no = (
        {"role": "user", "content": "Why?"},
        *({"role": "assistant", "content": w} for w in ("Yes.", "No.")),
    )
    assert row("trl") == {"prompt": "Why?", "chosen": "Yes.", "rejected": "No."}
    assert row("trl_conversational") == {"prompt": [asked], "chosen": [yes], "rejected": [no]}
    assert row("openrlhf") == {"chosen": [asked, yes], "rejected": [asked, no]}
    assert row("messages") == {"messages": [asked, yes]}
    assert row("hh")["chosen"] == "\n\nHuman: Why?\n\nAssistant: Yes."
    assert row("sharegpt", LONG) == {
        "conversations": [
            {"from": "system", "value": "Be brief."},
            {"from": "human", "value": "Hi"},
            {"from": "gpt", "value": "Hello."},
            {"from": "human", "value": "Why?"},
        ],
        "chosen": {"from": "gpt", "value": "Yes."},
        "rejected": {"from": "gpt", "value": "No."},
    }


def test_verl_gets_parquet_with_the_columns_that_it_reads(tmp_path):
    path = tmp_path / "x.parquet"
    assert write([Record(PROMPT, ("Yes.", "No."), TWO, 1.5)], "verl_rm", path).rows == 1
    assert rows_of(path) == [{"prompt": "Why?", "chosen": "Yes.", "rejected": "No."}]
    assert read(path).format == "trl"
    assert (
        "which is all that verl reads"
        in write([Record(LONG, ("a", "b"), TWO), Record(PROMPT, ("a", "b"), TWO)], "verl_rm", path).left_out[0].reason
    )


def test_verl_gets_each_prompt_once_also_where_nobody_ranked_its_answers(tmp_path):
    path = tmp_path / "x.parquet"
    given_records = [Record(LONG, ("a", "b"), TWO), Record(PROMPT, ("a", "b")), Record(LONG, ("c", "d"), ((0, 1),))]
    assert write(given_records, "verl_prompts", path).rows == 2
    first, second = rows_of(path)
    assert first["prompt"] == [{"role": turn.role, "content": turn.content} for turn in LONG]
    assert second == {
        "data_source": "rlhf_lab",
        "prompt": [{"role": "user", "content": "Why?"}],
        "ability": "alignment",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": "train"},
    }
    with pytest.raises(NoRows, match="verl_prompts. It holds prompts without answers.*Rank page"):
        read(path)
    assert from_file(path)[0] == ["Why?"]


def test_verl_takes_nothing_but_parquet_and_no_other_format_takes_it(tmp_path):
    record = Record(PROMPT, ("a", "b"), TWO)
    with pytest.raises(BadFile, match="x.jsonl would be parquet under another name.*ends in .parquet"):
        write([record], "verl_rm", tmp_path / "x.jsonl")
    with pytest.raises(BadFile, match="x.parquet would be JSON under another name"):
        write([record], "trl", tmp_path / "x.parquet")


@pytest.mark.parametrize(
    ("format", "record", "why"),
    [
        ("trl", Record(LONG, ("a", "b"), TWO), "4 messages"),
        ("hh", Record(LONG, ("a", "b"), TWO), "no place for a system message"),
        ("hh", Record((Message("user", "a\n\nHuman: b"),), ("a", "b"), TWO), "mark of another turn"),
        ("trl", Record(PROMPT, ("a", "a"), TWO), "identical"),
        ("trl", Record(PROMPT, ("a", ""), TWO), "empty answer"),
        ("trl", Record(PROMPT, ("a", "b"), ((0, 1),)), "no answer is ranked above another"),
        ("messages", Record(PROMPT, ("a", "b"), ()), "no answer is ranked above another"),
        ("rankings", Record(PROMPT, ("a", "b"), TWO, float("nan")), "margin of nan"),
        ("rankings", Record(PROMPT, ("a", "\ud800"), TWO), "surrogate"),
        ("rankings", Record(PROMPT, ("a", "b"), ((0,),)), "does not name each of 2 answers once"),
    ],
)
def test_a_record_that_a_format_cannot_say_is_left_out_with_the_reason(tmp_path, format, record, why):
    written = write([Record(PROMPT, ("x", "y"), TWO), record], format, tmp_path / "x.jsonl")
    assert written.rows == 1
    assert [row.line for row in written.left_out] == [2]
    assert why in written.left_out[0].reason


def test_demonstrations_take_the_best_answer(tmp_path):
    write([Record(PROMPT, ("a", "b", "c"), ((2,), (0, 1))), Record(LONG, ("only",))], "messages", tmp_path / "x.jsonl")
    assert [record.candidates for record in read(tmp_path / "x.jsonl").records] == [("c",), ("only",)]


def test_nothing_to_write_leaves_no_file(tmp_path):
    with pytest.raises(NoRows, match="no answer is ranked above another"):
        write([Record(PROMPT, ("a", "b"))], "trl", tmp_path / "x.jsonl")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("full", [errno.ENOSPC, errno.EDQUOT, errno.EFBIG])
def test_a_failed_write_leaves_the_earlier_file_and_no_remains(tmp_path, monkeypatch, full):
    path = tmp_path / "x.jsonl"
    write([Record(PROMPT, ("a", "b"), TWO)], "trl", path)
    before = path.read_bytes()

    def sync(_):
        raise OSError(full, os.strerror(full))

    monkeypatch.setattr("os.fsync", sync)
    with pytest.raises(DiskFull, match="an earlier file of that name is as it was"):
        write([Record(PROMPT, ("c", "d"), TWO)], "trl", path)
    assert (path.read_bytes(), [file.name for file in tmp_path.iterdir()]) == (before, ["x.jsonl"])


def test_only_writable_formats_and_json_names_are_taken(tmp_path):
    record = Record(PROMPT, ("a", "b"), TWO)
    with pytest.raises(BadInput, match="reads shp but does not write it.*rankings"):
        write([record], "shp", tmp_path / "x.jsonl")
    with pytest.raises(BadFile, match="x.csv would be JSON"):
        write([record], "trl", tmp_path / "x.csv")
    with pytest.raises(BadFile, match="could not be written"):
        write([record], "trl", tmp_path / "nowhere" / "x.jsonl")


def test_the_formats_that_are_written_are_these():
    written = {name for name, line in FORMATS.items() if line.writes}
    assert written == {*PAIR_FORMATS, "messages", "rankings", "verl_prompts"}
