"""Writes records to a file in one of the formats, whole or not at all."""

from __future__ import annotations

import io
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lab.errors import BadFile, BadInput, DiskFull, NoRows
from lab.folders import finish, unfinished
from lab.formats.record import Record, Rejected, RowError, checked
from lab.formats.table import FORMATS, Format, format_named


@dataclass(frozen=True, slots=True)
class Written:
    """How many rows a file got, and each record that the format cannot say, by its place among those given."""

    rows: int
    left_out: tuple[Rejected, ...]


def write(records: Iterable[Record], format: str, path: str | Path) -> Written:
    """Rows as JSON lines, as one JSON list or as parquet, by the name's ending; raises NoRows when no row came out.

    Every row is read back before it is kept, so what this writes, `read` understands. A record of several ranked
    answers becomes one row for each pair, except in `rankings`.
    """
    path, target = Path(path), format_named(format)
    if not target.writes:
        able = ", ".join(name for name, row in FORMATS.items() if row.writes)
        raise BadInput(f"The lab reads {format} but does not write it, so no file was made. It writes {able}.")
    if path.suffix not in target.endings:
        kind = "parquet" if ".parquet" in target.endings else "JSON"
        endings = " or ".join(target.endings)
        raise BadFile(f"{path.name} would be {kind} under another name. Give it a name that ends in {endings}.")
    rows: list[dict[str, Any]] = []
    left_out: list[Rejected] = []
    for place, record in enumerate(records, start=1):
        _add_rows(record, place, target, rows, left_out)
    if not rows:
        why = f" ({left_out[0].reason})" if left_out else ""
        raise NoRows(f"None of {len(left_out)} records can be written as {format}{why}, so no file was made.")
    if target.once:
        rows = list({json.dumps(row): row for row in rows}.values())
    _replace(path, _parquet(rows) if path.suffix == ".parquet" else _text(rows, as_list=path.suffix == ".json"))
    return Written(len(rows), tuple(left_out))


def _add_rows(record: Record, place: int, target: Format, rows: list[dict[str, Any]], left_out: list[Rejected]) -> None:
    try:
        narrowed = target.narrow(checked(record))
    except RowError as problem:
        left_out.append(Rejected(place, str(problem)))
        return
    for part in narrowed:
        try:
            rows.append(_proved(part, target))
        except RowError as problem:
            left_out.append(Rejected(place, str(problem)))


def _proved(part: Record, target: Format) -> dict[str, Any]:
    """The row for this part of a record, once reading it gives that part again, where the lab reads the format."""
    row = target.shape(part)
    if not target.reads:
        return row
    again = checked(target.read({key: value for key, value in row.items() if value is not None}))
    if (again.prompt, again.candidates, again.groups) != (part.prompt, part.candidates, part.groups):
        raise RowError(f"its text holds what {target.name} would read as the mark of another turn")
    return row


def _text(rows: list[dict[str, Any]], as_list: bool) -> bytes:
    lines = [json.dumps(row, ensure_ascii=False, allow_nan=False) for row in rows]
    return ("[\n" + ",\n".join(lines) + "\n]\n" if as_list else "\n".join(lines) + "\n").encode()


def _parquet(rows: list[dict[str, Any]]) -> bytes:
    import pyarrow
    import pyarrow.parquet

    raw = io.BytesIO()
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows), raw)
    return raw.getvalue()


def _replace(path: Path, raw: bytes) -> None:
    try:
        with unfinished(path.parent) as part:
            with part.open("xb") as file:
                file.write(raw)
            finish(part, path)
    except OSError as problem:
        kind = DiskFull if problem.errno in DiskFull.errnos else BadFile
        raise kind(
            f"{path} could not be written ({problem}); an earlier file of that name is as it was. "
            "Free some room or choose another folder."
        ) from problem
