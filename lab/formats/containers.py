"""Takes the one table out of a file that holds others beside it: gzip, a zip archive, or an SQLite database."""

from __future__ import annotations

import gzip
import io
import sqlite3
import zipfile
import zlib
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path, PurePosixPath
from typing import Any

from lab.errors import BadFile, NoRows, NotFound

DATABASE = b"SQLite format 3\0"
_ZIP = b"PK\x03\x04"


def contents(path: Path, most: int, kinds: Sequence[str]) -> tuple[str, bytes]:
    """The name and the bytes of a file, or of the one file of a readable kind in a zip archive, unpacked."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else path.open("rb") as file:
            raw = file.read(most + 1)
    except FileNotFoundError as problem:
        raise NotFound(f"There is no file {path}. Check its name.") from problem
    except (OSError, EOFError, zlib.error) as problem:
        raise BadFile(f"{path} could not be read ({problem}). Get a whole copy of it.") from problem
    name, raw = _of_archive(raw, path.name, most, kinds) if raw.startswith(_ZIP) else (path.name, raw)
    if len(raw) > most:
        raise BadFile(f"{path.name} unpacks to more than {most:,} bytes. Split it into smaller files.")
    return name, raw


def table_rows(raw: bytes, name: str, most: int, fits: Callable[[dict[str, Any]], bool]) -> list[dict[str, Any]]:
    """At most so many rows of the first table whose first row `fits`, or else of the first table that has any."""
    try:
        with _opened(raw) as link:
            starts = {table: start[0] for table in _tables(link) if (start := _rows(link, table, 1))}
            chosen = next((table for table, start in starts.items() if fits(start)), next(iter(starts), None))
            found = _rows(link, chosen, most) if chosen else []
    except (sqlite3.Error, OverflowError) as problem:
        raise BadFile(f"{name} is a database that cannot be read ({problem}). Get a whole copy of it.") from problem
    if not found:
        raise NoRows(f"{name} is a database without a row in it. Choose another file.")
    return found


def _of_archive(raw: bytes, name: str, most: int, kinds: Sequence[str]) -> tuple[str, bytes]:
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            inside = [each for each in archive.namelist() if not each.endswith("/") and "__MACOSX" not in each]
            if "[Content_Types].xml" in inside:
                raise BadFile(f"{name} is a workbook, which the lab does not read. Save its sheet as CSV UTF-8.")
            readable = [each for each in inside if PurePosixPath(each).suffix.lower() in kinds]
            if len(readable) != 1:
                raise BadFile(
                    f"{name} holds {len(readable)} files of a kind that the lab reads ({', '.join(kinds)}), and it "
                    "takes an archive of one. Unpack it and give the file that is meant."
                )
            with archive.open(readable[0]) as file:
                return PurePosixPath(readable[0]).name, file.read(most + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError) as problem:
        raise BadFile(f"{name} is an archive that cannot be unpacked ({problem}). Unpack it yourself.") from problem


def _opened(raw: bytes) -> closing[sqlite3.Connection]:
    """A database in memory; the file on disk is never written to, and nothing that its schema computes is trusted."""
    link = sqlite3.connect(":memory:")
    # Bytes 18 and 19 ask for a write-ahead log beside the file, which a database in memory cannot have.
    link.deserialize(raw[:18] + b"\1\1" + raw[20:])
    link.execute("PRAGMA trusted_schema = OFF")
    link.execute("PRAGMA query_only = ON")
    return closing(link)


def _tables(link: sqlite3.Connection) -> list[str]:
    named = link.execute(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
        "AND sql NOT LIKE 'CREATE VIRTUAL%'"
    )
    return [name for (name,) in named]


def _rows(link: sqlite3.Connection, table: str, most: int) -> list[dict[str, Any]]:
    """What the table stores; columns that it computes are not asked for, since they may be of any size."""
    quoted = table.replace('"', '""')
    columns = [column for _, column, *_ in link.execute(f'PRAGMA table_info("{quoted}")')]
    asked = ", ".join('"' + column.replace('"', '""') + '"' for column in columns)
    found = link.execute(f'SELECT {asked} FROM "{quoted}" LIMIT ?', (most,))
    return [dict(zip(columns, row, strict=True)) for row in found]
