"""Reading files that others published, held against counts taken from the raw rows by simpler means."""

from __future__ import annotations

import gzip
import json
import os.path

import pytest
from published import MARK

from lab.formats import read, write


def test_sharegpt_pairs_keep_every_turn_and_both_answers(source):
    path = source("dpo_en_demo.json")
    raw, found = json.loads(path.read_text("utf-8")), read(path)
    assert (found.format, found.rejected, len(found.records)) == ("sharegpt", (), len(raw))
    for row, record in zip(raw, found.records, strict=True):
        assert [turn["value"] for turn in row["conversations"]] == [turn.content for turn in record.prompt]
        assert record.candidates == (row["chosen"]["value"], row["rejected"]["value"])


def test_typed_parts_read_as_text(source):
    path = source("v1_dpo_demo.jsonl")
    raw, found = [json.loads(line) for line in path.read_text("utf-8").splitlines()], read(path)
    assert (found.format, found.rejected, len(found.records)) == ("llamafactory_v1", (), len(raw))
    for row, record in zip(raw, found.records, strict=True):
        assert record.candidates[1] == row["rejected_messages"][-1]["content"][0]["value"]


def test_alpaca_demonstrations_are_all_read(source):
    path = source("alpaca_en_demo.json")
    raw, found = json.loads(path.read_text("utf-8")), read(path)
    assert (found.format, found.rejected) == ("alpaca", ())
    assert [record.candidates[0] for record in found.records] == [row["output"] for row in raw]


def test_transcripts_are_cut_where_the_published_rule_cuts_them(source):
    path = source("hh_harmless_test.jsonl.gz")
    expected, empty = [], []
    for line, words in enumerate(gzip.decompress(path.read_bytes()).decode().split("\n")[:-1], start=1):
        row = json.loads(words)
        cut = os.path.commonprefix([row["chosen"], row["rejected"]]).rfind(MARK) + len(MARK)
        answers = (row["chosen"][cut:], row["rejected"][cut:])
        expected += [answers] if all(map(str.strip, answers)) else []
        empty += [] if all(map(str.strip, answers)) else [line]
    found = read(path)
    assert found.format == "hh"
    assert [record.candidates for record in found.records] == expected
    assert [(row.line, row.reason) for row in found.rejected] == [(line, "empty answer") for line in empty]


@pytest.mark.parametrize(
    ("name", "format"),
    [
        ("dpo_en_demo.json", "sharegpt"),
        ("dpo_en_demo.json", "trl_conversational"),
        ("dpo_en_demo.json", "rankings"),
        ("v1_dpo_demo.jsonl", "openrlhf"),
        ("hh_harmless_test.jsonl.gz", "hh"),
        ("alpaca_en_demo.json", "messages"),
    ],
)
def test_published_rows_survive_being_written_and_read(source, tmp_path, name, format):
    records = read(source(name)).records
    written = write(records, format, tmp_path / "again.jsonl")
    assert written.left_out == ()
    assert read(tmp_path / "again.jsonl", format).records == records
