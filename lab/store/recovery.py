"""Opens a database that may be damaged: the damaged file is put aside and the newest good backup takes its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import Damaged, NewerWorkspace
from lab.journal import sync_folder
from lab.store.schema import check_rows, check_version, connect, create, is_broken, refusal

BACKUPS_KEPT = 5


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found damaged at the start, and what stands in its place; `rankings` counts those in the backup."""

    reason: str
    damaged: Path | None
    backup: Path | None
    rankings: int

    def __str__(self) -> str:
        aside = f"It was kept as {self.damaged.name}." if self.damaged else ""
        if not self.backup:
            return (
                f"The database was damaged: {self.reason} {aside} There was no good backup, so an empty one was begun."
            )
        return (
            f"The database was damaged: {self.reason} {aside} The backup {self.backup.name} with {self.rankings} rankings was "
            "opened instead; rankings made after it are only in the damaged file."
        )


def prepare(path: Path, backups: Path) -> Recovered | None:
    """Leaves a good database at `path`: as it was, new, or from a backup, and then says so."""
    fresh = not path.exists() or not path.stat().st_size
    if fresh and not good_backups(backups):
        _new(path)
    reason = _fault(path) if not fresh or path.exists() and path.stat().st_size else "The file was missing or empty."
    return None if not reason else _replaced(path, backups, reason)


def _new(path: Path) -> None:
    path.touch(mode=0o600)
    with closing(connect(path, write=True)) as link:
        create(link)
    sync_folder(path.parent)


def _fault(path: Path) -> str:
    """What is wrong with this database, '' for nothing; raises NewerWorkspace, and whatever is not the file's fault."""
    try:
        with closing(connect(path, write=True)) as link:
            check_version(link, path)
            check_rows(link)
            link.execute("BEGIN IMMEDIATE")
            link.execute("ROLLBACK")
        return ""
    except Damaged as problem:
        return str(problem)
    except (sqlite3.Error, UnicodeDecodeError, OverflowError) as problem:
        readonly = getattr(problem, "sqlite_errorname", "").startswith("SQLITE_READONLY") and os.access(path, os.W_OK)
        if readonly or not isinstance(problem, sqlite3.Error) or is_broken(problem):
            return f"{type(problem).__name__}: {problem}."
        raise refusal(problem, path) from problem


def _replaced(path: Path, backups: Path, reason: str) -> Recovered:
    damaged = _put_aside(path)
    for backup in good_backups(backups):
        temporary = path.with_name(f".{uuid.uuid4().hex}.part")
        shutil.copyfile(backup, temporary)
        _sync(temporary)
        os.replace(temporary, path)
        sync_folder(path.parent)
        return Recovered(reason, damaged, backup, rankings_in(path))
    _new(path)
    return Recovered(reason, damaged, None, 0)


def _put_aside(path: Path) -> Path | None:
    """The file under another name, and its journal with it: left there, it would be played into the backup."""
    stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    target = path.with_name(f"{path.name}.damaged-{stamp}")
    if target.exists():
        target = path.with_name(f"{target.name}-{uuid.uuid4().hex[:6]}")
    for ending in ("-journal", "-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{ending}", f"{target}{ending}")
    return target if target.exists() else None


def good_backups(folder: Path) -> list[Path]:
    """Those that can be opened and read to the last row, newest first."""
    newest_first = sorted(folder.glob("lab-*.db"), key=lambda path: path.stat().st_mtime_ns, reverse=True)
    return [path for path in newest_first if rankings_in(path) is not None]


def rankings_in(path: Path) -> int | None:
    """How many rankings a database holds, or None when it is not good."""
    try:
        with closing(connect(path, write=False)) as link:
            check_version(link, path)
            return check_rows(link)
    except (sqlite3.Error, Damaged, NewerWorkspace, UnicodeDecodeError):
        return None


def backup(link: sqlite3.Connection, folder: Path, keep: int = BACKUPS_KEPT) -> Path:
    """A copy of the database as it is now, read back before it gets its name; the oldest beyond `keep` go."""
    folder.mkdir(exist_ok=True, parents=True)
    temporary = folder / f".{uuid.uuid4().hex}.part"
    try:
        with closing(sqlite3.connect(temporary, isolation_level=None)) as target:
            link.backup(target)
        count = rankings_in(temporary)
        if count is None:
            raise Damaged("A backup could not be read back, so it was not kept. The disk may be failing.")
        _sync(temporary)
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
        path = folder / f"lab-{stamp}-{time.time_ns() % 1_000_000_000:09d}-{count}.db"
        os.replace(temporary, path)
        sync_folder(folder)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    for old in sorted(folder.glob("lab-*.db"), key=lambda each: each.stat().st_mtime_ns)[:-keep]:
        with suppress(OSError):
            old.unlink()
    return path


def _sync(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
