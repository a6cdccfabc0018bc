"""Which format a row is told to have: one real-looking row for each line of the table, and it is that line's own."""

from __future__ import annotations

import json

import pytest
from test_formats import ALONE, REFUSED, SAME_PAIR
from test_formats_answers import MAKERS
from test_formats_studies import flat, ranks, summary
from test_formats_trees import TREE

from lab.formats import FORMATS, detect
from lab.formats.detect import format_of

# Formats that are written for another tool and whose rows are those of `trl`.
SHARED = {"openrlhf", "verl_rm"}
VERL = {
    "data_source": "mine",
    "prompt": [{"role": "user", "content": "Why?"}],
    "ability": "math",
    "reward_model": {"style": "rule", "ground_truth": "7"},
    "extra_info": {"split": "train", "index": 3},
}
RATED = {"response": "Yes.", "annotations": {"helpfulness": {"Rating": "4"}}}
ROWS = [
    *SAME_PAIR,
    *((format, row) for format, row, _ in REFUSED),
    *((format, make("Yes.", True)) for format, make in MAKERS),
    *(("oasst", row) for row in TREE),
    *ALONE,
    ("text", {"text": "The sky is blue.", "meta": {}}),
    ("argilla", {"fields": {"prompt": "Why?"}, "responses": []}),
    ("argilla_flat", flat(ranks(1, 2))),
    ("summarize_from_feedback", summary(1)),
    ("ultrafeedback", {"instruction": "Why?", "models": ["m"], "completions": [RATED]}),
    ("verl_prompts", VERL),
]


@pytest.mark.parametrize(("format", "row"), ROWS)
def test_a_row_is_told_by_its_fields(format, row):
    assert detect([{key: value for key, value in row.items() if value is not None}]) == format


def test_every_line_of_the_table_has_a_row_here():
    assert {format for format, _ in ROWS} == set(FORMATS) - SHARED


@pytest.mark.parametrize("format", sorted(SHARED))
def test_a_format_that_shares_its_rows_is_read_under_its_own_name_when_asked(format):
    row = SAME_PAIR[0][1]
    assert format_of(row) == "trl" and FORMATS[format].read(row) == FORMATS["trl"].read(row)


BY_VALUE = {"hh", "trl_conversational", "rm_predict", "human_eval_tasks"}


@pytest.mark.parametrize(("format", "row"), [each for each in ROWS if each[0] not in BY_VALUE])
def test_a_table_in_which_every_cell_is_text_is_told_the_same_where_the_fields_names_tell(format, row):
    cells = {key: value if isinstance(value, str) else json.dumps(value) for key, value in row.items()}
    assert format_of(cells) == format
