"""Reads the rows of a json, jsonl, csv, tsv or parquet file or of a database, each with its line and nothing guessed.

Text stays text: no cell becomes a number or a missing value on the way ("NA", "None" and "007" arrive as they are).
A row that cannot be read is a `Row` with a fault, so that one bad line does not cost the others.
"""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import BadEncoding, BadFile, NoRows
from lab.formats.containers import DATABASE, contents, table_rows

MOST_ROWS = 100_000
MOST_BYTES = 1 << 29
KINDS = (".json", ".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".pq")

_SPACE = re.compile(r"\s*")
# UTF-32 first: its little-endian mark begins with UTF-16's.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
    (codecs.BOM_UTF8, "utf-8-sig"),
)


@dataclass(frozen=True, slots=True)
class FileRow:
    """A row and the line where it starts (in parquet, a database and a JSON list: its number), both from 1; `fault`
    says why it is no row. Where several were gathered into one, `others` are the lines of the rest."""

    line: int
    fields: dict[str, Any] = field(default_factory=dict)
    fault: str = ""
    others: tuple[int, ...] = ()


def rows(path: str | Path, fits: Callable[[dict[str, Any]], bool] = bool) -> list[FileRow]:
    """Every row of the file, without the null fields; raises BadFile, BadEncoding, NoRows or NotFound.

    Of the tables of a database it is the first one whose first row `fits`.
    """
    name, raw = contents(Path(path), MOST_BYTES, KINDS)
    if not raw.strip():
        raise NoRows(f"{name} is empty ({len(raw)} bytes), so there is nothing to read. Choose another file.")
    found: list[FileRow] = []
    for row in _parsed(name, raw, fits):
        if len(found) == MOST_ROWS:
            raise BadFile(
                f"{name} holds more than {MOST_ROWS:,} rows, more than are read at once. Split it into smaller files."
            )
        found.append(FileRow(row.line, {k: v for k, v in row.fields.items() if v is not None}, row.fault))
    return found


def text_of(raw: bytes, name: str) -> str:
    """UTF-8, or UTF-16 with its mark; anything else is refused with the place, never guessed."""
    encoding = next((encoding for mark, encoding in _MARKS if raw.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in raw:
        raise _bad_encoding(raw, raw.index(b"\0"), name, encoding)
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as problem:
        # Decoding utf-8-sig counts from behind the mark.
        at = problem.start + len(raw) - len(problem.object)
        raise _bad_encoding(raw, at, name, encoding) from problem


def _bad_encoding(raw: bytes, at: int, name: str, encoding: str) -> BadEncoding:
    line = raw.count(b"\n", 0, at) + 1
    return BadEncoding(
        f"{name} is not {encoding.removesuffix('-sig').upper()} text: line {line}, byte {at + 1} of the file, is "
        f"0x{raw[at]:02x}. Guessing the encoding could change letters unseen. Save the file as UTF-8 (or as UTF-16 "
        "with its byte order mark) and give it again."
    )


def _parsed(name: str, raw: bytes, fits: Callable[[dict[str, Any]], bool]) -> Iterator[FileRow]:
    kind = Path(name.removesuffix(".gz")).suffix.lower()
    if raw.startswith(b"PAR1"):
        return _parquet(raw, name)
    if raw.startswith(DATABASE):
        return (FileRow(*row) for row in enumerate(table_rows(raw, name, MOST_ROWS + 1, fits), start=1))
    if kind not in KINDS and raw.lstrip(codecs.BOM_UTF8).lstrip()[:1] not in (b"[", b"{"):
        raise BadFile(
            f"{name} is no kind of file that the lab reads. It reads {', '.join(KINDS)}, each also with .gz behind it "
            "or alone in a .zip, and SQLite databases."
        )
    text = text_of(raw, name)
    if kind in (".csv", ".tsv"):
        return _table(text, name)
    # Lines whose first one is broken may start with a bracket too; a list also ends with one.
    is_list = text.lstrip()[:1] == "[" and (kind == ".json" or text.rstrip()[-1:] == "]")
    return _list(text, name) if is_list else _json(text)


def _json(text: str) -> Iterator[FileRow]:
    """JSON lines, or one object spread over several lines."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        yield from _json_lines(text)
    else:
        yield _json_row(1 + text.count("\n", 0, _SPACE.match(text).end()), whole)


def _json_lines(text: str) -> Iterator[FileRow]:
    # Split at line feeds only: str.splitlines would also cut inside texts that hold other line separators.
    for line, words in enumerate(text.split("\n"), start=1):
        if words.strip():
            yield _json_line(line, words)


def _json_line(line: int, words: str) -> FileRow:
    try:
        return _json_row(line, json.loads(words))
    except RecursionError:
        return FileRow(line, fault="JSON nested too deeply")
    except ValueError as problem:
        return FileRow(line, fault=f"not JSON ({_what(problem)})")


def _json_row(line: int, value: object) -> FileRow:
    return FileRow(line, value) if isinstance(value, dict) else FileRow(line, fault="JSON, but not an object")


def _list(text: str, name: str) -> Iterator[FileRow]:
    """The objects of one JSON list, each with its number: in a list without line breaks all are on one line."""
    decoder = json.JSONDecoder()
    at, counted, line, number = text.index("[") + 1, 0, 1, 0
    while True:
        at = _SPACE.match(text, at).end()
        line, counted = line + text.count("\n", counted, at), at
        if text.startswith("]", at):
            return
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as problem:
            raise _broken(name, line, _what(problem)) from problem
        number += 1
        yield _json_row(number, value)
        at = _SPACE.match(text, at).end()
        if text.startswith(",", at):
            at += 1
        elif not text.startswith("]", at):
            raise _broken(name, line, "no comma or ] behind this row")


def _broken(name: str, line: int, why: str) -> BadFile:
    return BadFile(
        f"{name} is a list in JSON that breaks off in the row at line {line} ({why}). "
        "Mend that row or get a whole copy; one object a line (.jsonl) would let the other rows through."
    )


def _what(problem: Exception) -> str:
    return f"{problem.msg} at column {problem.colno}" if isinstance(problem, json.JSONDecodeError) else str(problem)


def _table(text: str, name: str) -> Iterator[FileRow]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=_delimiter(text))
    columns = next(reader, [])
    twice = {column for column in columns if columns.count(column) > 1}
    if twice:
        raise BadFile(
            f"{name} has {len(twice)} column names twice ({', '.join(map(repr, sorted(twice)))}). Rename one."
        )
    while True:
        line = reader.line_num + 1
        try:
            cells = next(reader, None)
        except csv.Error as problem:
            yield FileRow(line, fault=f"not a row of a table ({problem})")
            continue
        if cells is None:
            return
        if cells and len(cells) != len(columns):
            yield FileRow(line, fault=f"{len(cells)} cells where the header has {len(columns)}")
        elif cells:
            yield FileRow(line, dict(zip(columns, cells, strict=True)))


def _delimiter(text: str) -> str:
    """Comma, semicolon or tab: whichever the header has most of."""
    header = text.lstrip("\r\n").partition("\n")[0]
    return max(",;\t", key=header.count)


def _parquet(raw: bytes, name: str) -> Iterator[FileRow]:
    import pyarrow
    import pyarrow.parquet

    try:
        file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(raw))
        found = (fields for batch in file.iter_batches(batch_size=1024) for fields in batch.to_pylist())
        yield from (FileRow(number, fields) for number, fields in enumerate(found, start=1))
    except (pyarrow.ArrowException, OSError) as problem:
        raise BadFile(f"{name} is parquet that cannot be read ({problem}). Get a whole copy of it.") from problem
