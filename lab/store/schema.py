"""The tables, how a connection is opened, and the check that every row is what was written."""

from __future__ import annotations

import json
import os
import sqlite3
import zlib
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

from lab.errors import BadFile, BadInput, Busy, Damaged, DiskFull, NewerWorkspace, NotFound

VERSION = 1
APPLICATION = 0x524C4846  # "RLHF": tells the file from anybody else's database.
WAIT_SECONDS = 10.0

# `seq` is given by us, not by SQLite, so that it can be part of the row's checksum in `crc`.
TABLES = (
    """CREATE TABLE prompt (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, text TEXT NOT NULL, turns TEXT NOT NULL,
       source TEXT NOT NULL, digest BLOB NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL,
       UNIQUE (source, digest))""",
    """CREATE TABLE comparison (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE,
       prompt_id TEXT NOT NULL REFERENCES prompt (id), count INTEGER NOT NULL, candidates TEXT NOT NULL,
       ids BLOB NOT NULL, pool TEXT NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL)""",
    """CREATE TABLE ranking (seq INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE,
       comparison_id TEXT NOT NULL REFERENCES comparison (id), "order" TEXT NOT NULL, shown TEXT NOT NULL,
       rater TEXT NOT NULL, seconds REAL NOT NULL, note TEXT NOT NULL, tags TEXT NOT NULL, guess TEXT,
       pairs INTEGER NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE INDEX ranking_of ON ranking (comparison_id, rater)",
    """CREATE TABLE change (seq INTEGER PRIMARY KEY, key TEXT UNIQUE,
       ranking_seq INTEGER NOT NULL REFERENCES ranking (seq),
       kind TEXT NOT NULL CHECK (kind IN ('withdraw', 'exclude', 'include')),
       at REAL NOT NULL, crc INTEGER NOT NULL)""",
    "CREATE INDEX change_of ON change (ranking_seq, kind)",
    """CREATE TABLE request (seq INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, kind TEXT NOT NULL,
       payload TEXT NOT NULL, at REAL NOT NULL, crc INTEGER NOT NULL)""",
)
NAMES = ("prompt", "comparison", "ranking", "change", "request")
# Errors of SQLite that mean: these bytes are not the database that was written here. The second line holds those that
# could also be a mistake in our own statements, so they only count when a file is opened.
BROKEN = ("SQLITE_CORRUPT", "SQLITE_NOTADB", "SQLITE_FORMAT")
UNEXPECTED = ("SQLITE_ERROR", "SQLITE_MISMATCH", "SQLITE_CONSTRAINT", "SQLITE_TOOBIG")
BUSY = ("SQLITE_BUSY", "SQLITE_LOCKED")
FULL = ("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_IOERR_FSYNC", "SQLITE_IOERR_TRUNCATE")


def statements() -> list[str]:
    """Everything a new database is made of: tables, indices, and triggers that refuse to change or delete a row."""
    kept = [
        f"CREATE TRIGGER {name}_no_{verb.lower()} BEFORE {verb} ON {name} "
        "BEGIN SELECT RAISE (ABORT, 'rows are never changed or deleted'); END"
        for name in NAMES
        for verb in ("UPDATE", "DELETE")
    ]
    return [*TABLES, *kept]


def connect(path: Path, *, write: bool, mode: str = "") -> sqlite3.Connection:
    """A connection of the one kind that is allowed here: rollback journal, each commit on the disk, settings read back.

    A reader is opened for writing too, but forbidden to: only so can it undo a half commit that a killed writer left.
    `mode`: SQLite's own, where it is not to be that.
    """
    mode = mode or ("rw" if os.access(path, os.W_OK) else "ro")
    uri = f"{path.resolve().as_uri()}?mode={mode}"
    link = sqlite3.connect(uri, uri=True, timeout=WAIT_SECONDS, isolation_level=None, check_same_thread=False)
    try:
        _settle(link, write)
    except (sqlite3.Error, BadFile):
        link.close()
        raise
    return link


def _settle(link: sqlite3.Connection, write: bool) -> None:
    link.execute("PRAGMA synchronous = EXTRA")
    link.execute("PRAGMA foreign_keys = ON")
    link.execute("PRAGMA trusted_schema = OFF")
    link.execute("PRAGMA mmap_size = 0")
    if write:
        mode = link.execute("PRAGMA journal_mode = DELETE").fetchone()[0]
        level = link.execute("PRAGMA synchronous").fetchone()[0]
        if (mode, level) != ("delete", 3):
            raise BadFile(
                f"SQLite here gives journal mode {mode} and synchronous {level} where delete and 3 were asked for, so "
                "a saved ranking might not survive a power cut. Put the workspace on a local disk."
            )
    else:
        link.execute("PRAGMA query_only = ON")


def create(link: sqlite3.Connection) -> None:
    """Makes the tables where there are none yet; two processes may try at once, one of them does it."""
    link.execute("BEGIN IMMEDIATE")
    try:
        if not link.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
            for statement in statements():
                link.execute(statement)
            link.execute(f"PRAGMA application_id = {APPLICATION}")
            link.execute(f"PRAGMA user_version = {VERSION}")
        link.execute("COMMIT")
    finally:
        if link.in_transaction:
            link.execute("ROLLBACK")


def check_version(link: sqlite3.Connection, path: Path) -> None:
    """Raises NewerWorkspace before anything of a later lab is read, and Damaged for another program's file."""
    application = link.execute("PRAGMA application_id").fetchone()[0]
    version = link.execute("PRAGMA user_version").fetchone()[0]
    if application != APPLICATION or version < 1:
        raise Damaged(f"{path.name} is not a database of the lab (application {application:#x}, version {version}).")
    if version > VERSION:
        raise NewerWorkspace(
            f"{path.name} has version {version}; this lab knows up to {VERSION}. Opening it could lose what the newer "
            "lab stored, so it was left alone. Install the newer version of the lab, or choose another workspace."
        )


def check_rows(link: sqlite3.Connection) -> int:
    """Reads everything and returns the number of rankings; raises Damaged at the first byte that is not as written."""
    with closing(sqlite3.connect(":memory:")) as fresh:
        for statement in statements():
            fresh.execute(statement)
        wanted = fresh.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall()
    if link.execute("SELECT name, sql FROM sqlite_schema ORDER BY name").fetchall() != wanted:
        raise Damaged("The tables are not those that this version of the lab makes.")
    found = link.execute("PRAGMA integrity_check (1)").fetchone()[0]
    if found != "ok":
        raise Damaged(f"SQLite says: {found.splitlines()[-1]}.")
    if link.execute("PRAGMA foreign_key_check").fetchone():
        raise Damaged("A row refers to another that is not there.")
    return {name: _check_table(link, name) for name in NAMES}["ranking"]


def _check_table(link: sqlite3.Connection, name: str) -> int:
    count = 0
    for row in link.execute(f"SELECT * FROM {name}"):
        count += 1
        if not is_whole(row):
            raise Damaged(f"Row {row[0]} of table {name} does not match its checksum.")
    return count


def checksum(row: Sequence[object]) -> int:
    """Of all the other columns of a row; SQLite has none of its own and hands out flipped bytes as text."""
    plain = [value.hex() if isinstance(value, bytes) else value for value in row]
    return zlib.crc32(json.dumps(plain).encode())


def insert(link: sqlite3.Connection, table: str, *values: object) -> int:
    """Adds a row behind the newest and returns its seq; only inside a transaction.

    Raises BadInput where SQLite would hand out another value than it was given, an integer in a REAL column for
    instance: with a checksum that it cannot match, the row would count as damaged at the next start.
    """
    seq = link.execute(f"SELECT coalesce(max(seq), 0) + 1 FROM {table}").fetchone()[0]
    row = (seq, *values)
    link.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))}, ?)", (*row, checksum(row)))
    if not is_whole(link.execute(f"SELECT * FROM {table} WHERE seq = ?", (seq,)).fetchone()):
        raise BadInput(f"The database would give back other values than these, so they are NOT saved: {row!r:.200}")
    return seq


def is_whole(row: Sequence[object]) -> bool:
    """Whether a row, read back, is what was written: its last column is the checksum of the others."""
    return checksum(row[:-1]) == row[-1]


def is_broken(problem: sqlite3.Error) -> bool:
    """Whether an error while a file is opened means that its bytes are wrong; an error of Python's own has no name."""
    name = _name(problem)
    return name.startswith(BROKEN + UNEXPECTED) or (not name and isinstance(problem, sqlite3.OperationalError))


def refusal(problem: sqlite3.Error, path: Path) -> Exception:
    """What a person is told when SQLite would not do it; a mistake in our own statements stays what it is."""
    name = _name(problem)
    if name.startswith(FULL):
        return DiskFull(
            f"The disk would not take it ({problem}), so this is NOT saved; everything saved before is safe. "
            "Free some room on the disk, then send it again."
        )
    if name.startswith(BUSY):
        return Busy(f"{path.name} was in use for over {WAIT_SECONDS:.0f} seconds, so this is NOT saved. Try it again.")
    if name.startswith("SQLITE_READONLY_DBMOVED") or not path.exists():
        return NotFound(f"{path} was moved or deleted while in use, so this is NOT saved. Put it back and start again.")
    if name.startswith(BROKEN):
        return Damaged(f"{path.name} cannot be read ({problem}). Start the lab again: it opens the newest good backup.")
    if not name or name.startswith(UNEXPECTED):
        return problem
    return BadFile(f"{path} cannot be used ({problem}; {name}). See whether you may write to that folder.")


def _name(problem: sqlite3.Error) -> str:
    return getattr(problem, "sqlite_errorname", None) or ""
