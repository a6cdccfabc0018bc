"""Reading files: lines, encodings, tables, and what happens when rows are bad."""

from __future__ import annotations

import gzip
import json
import sqlite3
import zipfile
from contextlib import closing

import pytest

from lab.errors import BadEncoding, BadFile, NoRows, NotFound
from lab.formats import files, read

GOOD = {"prompt": "Café?", "chosen": "Yes.", "rejected": "No."}


def saved(folder, words, name="rows.jsonl"):
    path = folder / name
    path.write_bytes(words if isinstance(words, bytes) else words.encode())
    return path


def lines(*rows):
    return "".join((row if isinstance(row, str) else json.dumps(row, ensure_ascii=False)) + "\n" for row in rows)


def test_three_bad_lines_of_a_hundred_are_named_and_the_others_are_read(tmp_path):
    rows = [GOOD] * 100
    rows[3], rows[49], rows[99] = "not json", {"prompt": "a", "chosen": "b"}, GOOD | {"rejected": ""}
    found = read(saved(tmp_path, lines(*rows)))
    assert len(found.records) == 97
    assert [row.line for row in found.rejected] == [4, 50, 100]
    assert [row.reason.split(" (")[0] for row in found.rejected] == [
        "not JSON",
        "missing field rejected",
        "empty answer",
    ]


def test_a_fifth_of_bad_rows_is_borne_and_more_is_refused(tmp_path):
    assert len(read(saved(tmp_path, lines(*[GOOD] * 4, "{"))).records) == 4
    with pytest.raises(BadFile, match="2 of the 5 rows.*row 4: not JSON.*none of them was read"):
        read(saved(tmp_path, lines(*[GOOD] * 3, "{", "{")))


def test_identical_answers_are_left_out_but_do_not_sink_the_file(tmp_path):
    found = read(saved(tmp_path, lines(GOOD, *[GOOD | {"chosen": "No."}] * 9)))
    assert (len(found.records), len(found.rejected)) == (1, 9)


@pytest.mark.parametrize(
    "words", ["", "\n \n", "[]", "not json\nnor this\n", lines(*[GOOD | {"chosen": "No."}] * 3), "{}"]
)
def test_nothing_usable_is_no_rows(tmp_path, words):
    with pytest.raises(NoRows):
        read(saved(tmp_path, words))


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_utf_8_and_marked_encodings_are_read(tmp_path, encoding):
    assert read(saved(tmp_path, lines(GOOD).encode(encoding))).records[0].prompt[0].content == "Café?"


def test_other_encodings_are_refused_with_line_and_byte(tmp_path):
    with pytest.raises(BadEncoding, match="line 2, byte 18 of the file, is 0xe9"):
        read(saved(tmp_path, '{"prompt": "a"}\n{é'.encode("latin-1")))
    with pytest.raises(BadEncoding, match="line 1, byte 5 of the file, is 0xff"):
        read(saved(tmp_path, b"\xef\xbb\xbf{\xff"))
    with pytest.raises(BadEncoding, match="byte 2 of the file, is 0x00.*byte order mark"):
        read(saved(tmp_path, lines(GOOD).encode("utf-16-le")))


def test_cells_of_a_table_stay_the_text_that_they_are(tmp_path):
    table = 'id,prompt,chosen,rejected\n007,NA,None,"=cmd()"\n1,"two\nlines",nan,null\n'
    found = read(saved(tmp_path, table, "rows.csv")).records
    assert (found[0].source_id, found[0].prompt[0].content, found[0].candidates) == ("007", "NA", ("None", "=cmd()"))
    assert (found[1].prompt[0].content, found[1].candidates) == ("two\nlines", ("nan", "null"))


def test_a_ragged_row_is_named_by_the_line_where_it_starts(tmp_path):
    table = 'prompt,chosen,rejected\n"a\nb",c,d\n\nx,y\n' + "a,b,c\n" * 8
    (rejected,) = read(saved(tmp_path, table, "rows.csv")).rejected
    assert (rejected.line, rejected.reason) == (5, "2 cells where the header has 3")


@pytest.mark.parametrize(("mark", "name"), [(";", "rows.csv"), ("\t", "rows.tsv")])
def test_semicolons_and_tabs_part_cells_too(tmp_path, mark, name):
    table = f"prompt{mark}chosen{mark}rejected\na, b{mark}c{mark}d\n"
    assert read(saved(tmp_path, table, name)).records[0].prompt[0].content == "a, b"


def test_a_column_that_stands_twice_is_refused(tmp_path):
    with pytest.raises(BadFile, match="'chosen'"):
        read(saved(tmp_path, "prompt,chosen,chosen,rejected\na,b,c,d\n", "rows.csv"))


@pytest.mark.parametrize("indent", [None, 1])
def test_a_list_in_json_counts_its_rows(tmp_path, indent):
    rows = [GOOD] * 8 + [{"prompt": "a"}, GOOD]
    found = read(saved(tmp_path, json.dumps(rows, indent=indent), "rows.json"))
    assert [row.line for row in found.rejected] == [9]
    assert [row.line for row in found.rows] == [*range(1, 9), 10]


@pytest.mark.parametrize("words", ['[{"a": 1},\n{"a": ]', '[{"a": 1}\n{"a": 1}]', '[{"a": 1},'])
def test_a_broken_list_names_the_line_and_imports_nothing(tmp_path, words):
    with pytest.raises(BadFile, match="line [12]"):
        read(saved(tmp_path, words, "rows.json"))


def test_lines_may_hold_separators_that_only_python_takes_for_line_ends(tmp_path):
    found = read(saved(tmp_path, lines(GOOD | {"chosen": "a\u2028b\x85c"}, "", GOOD).replace("\n", "\r\n")))
    assert found.records[0].candidates[0] == "a\u2028b\x85c"
    assert len(found.records) == 2


def test_one_object_over_several_lines_is_one_row(tmp_path):
    assert len(read(saved(tmp_path, json.dumps(GOOD, indent=2), "rows.json")).records) == 1


def test_json_nested_beyond_reason_is_a_bad_row_and_not_a_crash(tmp_path):
    found = read(saved(tmp_path, lines(*[GOOD] * 9, '{"prompt":' + "[" * 200_000)))
    assert [row.line for row in found.rejected] == [10]


def test_gzip_is_told_by_its_content_and_a_cut_one_is_refused(tmp_path):
    packed = gzip.compress(lines(GOOD).encode())
    assert len(read(saved(tmp_path, packed, "rows.jsonl.gz")).records) == 1
    assert len(read(saved(tmp_path, packed, "rows.jsonl")).records) == 1
    with pytest.raises(BadFile, match="could not be read"):
        read(saved(tmp_path, packed[:-12], "rows.jsonl.gz"))


def test_parquet_keeps_text_and_lists_of_messages(tmp_path):
    import pyarrow
    import pyarrow.parquet

    turns = [{"role": "user", "content": "007"}]
    rows = [{"prompt": turns, "chosen": "NA", "rejected": "x"}, {"prompt": turns, "chosen": None, "rejected": "x"}]
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows * 1 + rows[:1] * 4), tmp_path / "rows.parquet")
    found = read(tmp_path / "rows.parquet")
    assert (found.records[0].prompt[0].content, found.records[0].candidates[0]) == ("007", "NA")
    assert [(row.line, row.reason) for row in found.rejected] == [(2, "missing field chosen")]
    with pytest.raises(BadFile, match="parquet"):
        read(saved(tmp_path, b"PAR1 and then nothing", "cut.parquet"))


def zipped(folder, files, name="rows.zip"):
    with zipfile.ZipFile(folder / name, "w", zipfile.ZIP_DEFLATED) as archive:
        for inside, words in files.items():
            archive.writestr(inside, words)
    return folder / name


def test_a_zip_of_one_table_is_read_and_one_of_two_is_refused(tmp_path):
    files = {"data/rows.jsonl": lines(GOOD), "data/readme.md": "Rows.", "__MACOSX/data/._rows.jsonl": "x"}
    assert len(read(zipped(tmp_path, files)).records) == 1
    with pytest.raises(BadFile, match="rows.zip holds 2 files of a kind"):
        read(zipped(tmp_path, files | {"more.csv": "a,b\n"}))
    with pytest.raises(BadFile, match="rows.zip holds 0 files"):
        read(zipped(tmp_path, {"readme.md": "Rows."}))


def test_a_zip_that_is_cut_or_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    raw = zipped(tmp_path, {"rows.jsonl": lines(GOOD)}).read_bytes()
    with pytest.raises(BadFile, match="cannot be unpacked"):
        read(saved(tmp_path, raw[:-30], "cut.zip"))
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(BadFile, match="more than 1,000 bytes"):
        read(zipped(tmp_path, {"rows.jsonl": " " * 1001}))


def test_a_workbook_is_told_to_come_as_csv(tmp_path):
    with pytest.raises(BadFile, match="workbook.*CSV UTF-8"):
        read(zipped(tmp_path, {"[Content_Types].xml": "<a/>", "xl/worksheets/sheet1.xml": "<a/>"}, "rows.xlsx"))


def database(path, *, log="delete"):
    """What open-instruct's evaluation leaves: people, and what they preferred."""
    with closing(sqlite3.connect(path)) as link:
        link.execute(f"PRAGMA journal_mode = {log}")
        link.execute("CREATE TABLE user (id INTEGER PRIMARY KEY, username TEXT, password TEXT)")
        link.execute("INSERT INTO user VALUES (1, 'ana', 'secret')")
        link.execute(
            "CREATE TABLE evaluation_record (id INTEGER PRIMARY KEY, prompt TEXT, completion_a TEXT, "
            "completion_b TEXT, preference TEXT, evaluator TEXT, heavy BLOB AS (zeroblob(1000000000)))"
        )
        row = "INSERT INTO evaluation_record VALUES (?, 'Why?', 'Yes.', 'No.', ?, 'ana')"
        link.executemany(row, [(1, "b-is-better"), (2, ""), (3, "tie")])
        link.commit()
    return path


@pytest.mark.parametrize("log", ["delete", "wal"])
def test_of_a_database_the_table_that_fits_a_format_is_read(tmp_path, log):
    path = database(tmp_path / "evaluation.db", log=log)
    before = path.read_bytes()
    found = read(path)
    assert found.format == "human_eval"
    assert [(record.groups, record.rater) for record in found.records] == [(((1,), (0,)), "ana"), (((0, 1),), "ana")]
    assert [(row.line, row.reason) for row in found.rejected] == [(2, "no preference was given")]
    assert path.read_bytes() == before


def test_a_database_of_something_else_or_of_nothing_is_refused(tmp_path):
    with closing(sqlite3.connect(tmp_path / "none.db")) as link:
        link.execute("CREATE TABLE empty (a TEXT)")
        link.commit()
    with pytest.raises(NoRows, match="without a row"):
        read(tmp_path / "none.db")
    with closing(sqlite3.connect(tmp_path / "else.db")) as link:
        link.execute('CREATE TABLE "odd ""name" (stock TEXT)')
        link.execute('INSERT INTO "odd ""name" VALUES (7)')
        link.commit()
    with pytest.raises(NoRows, match=r"No known format has the fields of else.db \(stock\)"):
        read(tmp_path / "else.db")
    raw = database(tmp_path / "whole.db").read_bytes()
    with pytest.raises(BadFile, match="database that cannot be read"):
        read(saved(tmp_path, raw[:2000], "cut.db"))


def test_more_rows_than_one_import_takes_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_ROWS", 3)
    assert len(read(saved(tmp_path, lines(*[GOOD] * 3))).records) == 3
    with pytest.raises(BadFile, match="more than 3 rows"):
        read(saved(tmp_path, lines(*[GOOD] * 4)))


def test_a_file_that_unpacks_to_too_much_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "MOST_BYTES", 1000)
    with pytest.raises(BadFile, match="more than 1,000 bytes"):
        read(saved(tmp_path, gzip.compress(b" " * 1001), "rows.jsonl.gz"))


def test_missing_and_foreign_files_are_refused(tmp_path):
    with pytest.raises(NotFound, match="nowhere"):
        read(tmp_path / "nowhere.jsonl")
    with pytest.raises(BadFile, match="could not be read"):
        read(tmp_path)
    with pytest.raises(BadFile, match="no kind of file"):
        read(saved(tmp_path, b"\x89PNG\r\n", "picture.png"))
