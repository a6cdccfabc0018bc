"""Opens a database that may be damaged: it is put aside, and its good rows and a good backup take its place."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
import uuid
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import Damaged
from lab.folders import finish, sync_folder, unfinished
from lab.store import backups
from lab.store.salvage import Salvage, fill, salvaged
from lab.store.schema import check_rows, check_version, connect, create, is_broken, refusal


@dataclass(frozen=True, slots=True)
class Recovered:
    """What was found damaged at the start, and what stands in its place.

    `rankings` counts those that are there now; `lost` the rows that stayed behind, None where the damaged file gave
    nothing and a backup, or an empty database, stands there as it was.
    """

    reason: str
    damaged: Path | None
    backup: Path | None
    rankings: int
    lost: int | None = None

    def __str__(self) -> str:
        aside = f" It was kept as {self.damaged.name}." if self.damaged else ""
        found = f"The database could not be used: {self.reason}{aside}"
        if self.lost is not None:
            helped = f" and of the backup {self.backup.name}" if self.backup else ""
            return (
                f"{found} A new one was made of its good rows{helped}, with {self.rankings} rankings; "
                f"{self.lost} damaged {'row' if self.lost == 1 else 'rows'} stayed behind."
            )
        if not self.backup:
            return f"{found} There was no good backup, so an empty one was begun."
        return (
            f"{found} The newest good backup, {self.backup.name} with {self.rankings} rankings, was opened instead; "
            "rankings made after it are not in it."
        )


def prepare(path: Path, folder: Path) -> Recovered | None:
    """Leaves a good database at `path`: as it was, new, or of good rows and a backup, and then says so.

    Raises NewerWorkspace for a file of a later version, and whatever is not the file's own fault.
    """
    if path.exists() and path.stat().st_size:
        reason = _fault(path)
        return _replaced(path, folder, reason) if reason else None
    if backups.newest_first(folder):
        return _replaced(path, folder, "the file was missing or empty.")
    _new(path)
    return None


def _new(path: Path) -> None:
    path.touch(mode=0o600)
    try:
        with closing(connect(path, write=True)) as link:
            create(link)
    except sqlite3.Error as problem:
        raise refusal(problem, path) from problem
    sync_folder(path.parent)


def _fault(path: Path) -> str:
    """What is wrong with this database, '' for nothing."""
    try:
        # Only looks at first, so that a file of a later version stays as it is to the last byte.
        with closing(connect(path, write=False)) as link:
            check_version(link, path)
            check_rows(link)
        with closing(connect(path, write=True)) as link:
            link.execute("BEGIN IMMEDIATE")
            link.execute("ROLLBACK")
        return ""
    except (Damaged, UnicodeDecodeError) as problem:
        return str(problem)
    except sqlite3.Error as problem:
        readonly = (getattr(problem, "sqlite_errorname", None) or "").startswith("SQLITE_READONLY")
        if is_broken(problem) or (readonly and os.access(path, os.W_OK)):
            return f"SQLite says: {problem}."
        raise refusal(problem, path) from problem


def _replaced(path: Path, folder: Path, reason: str) -> Recovered:
    here = salvaged(path) if path.exists() else Salvage({}, {})
    backup, rankings = next(iter(backups.good(folder)), (None, 0))
    there = salvaged(backup) if backup else Salvage({}, {})
    whole = here.with_gaps_filled(there)
    if whole.good.keys() > there.good.keys() or whole.rankings > rankings:
        return _rebuilt(path, whole, reason, backup if whole is not here else None)
    damaged = _put_aside(path)
    if backup:
        _copy_over(backup, path)
    else:
        _new(path)
    return Recovered(reason, damaged, backup, rankings)


def _rebuilt(path: Path, rows: Salvage, reason: str, backup: Path | None) -> Recovered:
    """A new database of these rows, made whole before the damaged file gives up its name."""
    try:
        with unfinished(path.parent) as part:
            _new(part)
            homeless = fill(part, rows.good)
            damaged = _put_aside(path)
            os.replace(part, path)  # SQLite has seen to it that the disk has every row
    except sqlite3.Error as problem:
        raise refusal(problem, path) from problem
    sync_folder(path.parent)
    kept = rows.good.keys() - homeless.keys()
    rankings = sum(name == "ranking" for name, _ in kept)
    return Recovered(reason, damaged, backup, rankings, len((rows.bad.keys() | homeless.keys()) - kept))


def _put_aside(path: Path) -> Path | None:
    """The file under another name, and its journal with it: left there, it would be played into the backup."""
    target = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}")
    if target.exists():
        target = path.with_name(f"{target.name}-{uuid.uuid4().hex[:6]}")
    for ending in ("-journal", "-wal", "-shm", ""):
        with suppress(FileNotFoundError):
            os.rename(f"{path}{ending}", f"{target}{ending}")
    sync_folder(path.parent)
    return target if target.exists() and target.stat().st_size else None


def _copy_over(backup: Path, path: Path) -> None:
    with unfinished(path.parent) as part:
        part.touch(mode=0o600)
        shutil.copyfile(backup, part)
        finish(part, path)
