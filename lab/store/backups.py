"""Verified copies of the database: made in the background while people rank, read back before they count."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing, suppress
from pathlib import Path

from lab.errors import Damaged, DiskFull, LabError
from lab.folders import finish, unfinished
from lab.store.schema import check_rows, check_version, connect, refusal

KEPT = 5
EVERY_ROWS, EVERY_SECONDS, REST_SECONDS = 400, 600.0, 30.0
# A backup may take this share of the time at most, however large the database has grown.
SHARE = 0.05
PATTERN = "lab-*.db"


class Keeper:
    """Makes a backup after so many new rows or so much time; a backup that fails costs nobody a ranking."""

    def __init__(self, path: Path, folder: Path, rest: float = REST_SECONDS):
        """`rest` is the least time in seconds between the end of one backup and the start of the next."""
        self._path, self._folder, self._rest, self.fault = path, folder, rest, ""
        self._rows = self._kept = 0
        self._began, self._not_before = time.monotonic(), 0.0
        self._thread: threading.Thread | None = None

    def after(self, rows: int) -> None:
        """Called behind every commit with the rows written so far; returns at once."""
        self._rows, new, now = rows, rows - self._kept, time.monotonic()
        due = new >= EVERY_ROWS or (new and now - self._began >= EVERY_SECONDS)
        if due and now >= self._not_before and not (self._thread and self._thread.is_alive()):
            self._kept, self._began = rows, now
            self._thread = threading.Thread(target=self.try_one, name="store-backup", daemon=True)
            self._thread.start()

    def close(self) -> None:
        if self._thread:
            self._thread.join()
        if self._rows:
            self.catch_up()

    def catch_up(self) -> None:
        """A copy if anything was written since the last one, also by a process that died before it made one."""
        newest = newest_first(self._folder)[:1]
        if not newest or self._path.stat().st_mtime_ns > newest[0].stat().st_mtime_ns:
            self.try_one()

    def try_one(self) -> None:
        start = time.monotonic()
        try:
            make(self._path, self._folder)
            self.fault = ""
        except (OSError, sqlite3.Error, LabError) as problem:
            self.fault = f"The newest backup of the rankings failed; they themselves are saved. {self._why(problem)}"
        end = time.monotonic()
        self._not_before = end + max(self._rest, (end - start) / SHARE)

    def _why(self, problem: Exception) -> str:
        """The reason with what to do. The words of a full disk are those of a ranking that was not saved."""
        if isinstance(problem, LabError) and not isinstance(problem, DiskFull):
            return str(problem)
        return f"See that {self._folder} can be written and has room ({problem.__cause__ or problem})."


def make(path: Path, folder: Path, keep: int = KEPT) -> Path:
    """A copy of the database as it is now, read back before it gets its name; the oldest beyond `keep` go."""
    folder.mkdir(exist_ok=True, parents=True)
    try:
        with unfinished(folder) as part:
            count = _copied(path, part)
            stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime())
            target = folder / f"lab-{stamp}-{time.time_ns() % 1_000_000_000:09d}-{count}.db"
            finish(part, target)
    except sqlite3.Error as problem:
        raise refusal(problem, path) from problem
    for old in newest_first(folder)[keep:]:
        with suppress(OSError):
            old.unlink()
    return target


def newest_first(folder: Path) -> list[Path]:
    return sorted(folder.glob(PATTERN), key=lambda path: path.stat().st_mtime_ns, reverse=True)


def good(folder: Path) -> list[tuple[Path, int]]:
    """Backups that can be read to the last row, newest first, each with its number of rankings."""
    counted = ((path, rankings_in(path)) for path in newest_first(folder))
    return [(path, count) for path, count in counted if count is not None]


def rankings_in(path: Path) -> int | None:
    """How many rankings a database holds, or None when it is not good."""
    try:
        with closing(connect(path, write=False)) as link:
            check_version(link, path)
            return check_rows(link)
    except (sqlite3.Error, LabError, UnicodeDecodeError):
        return None


def _copied(path: Path, target: Path) -> int:
    """Copies in one step, which holds up a commit only for the copying; whoever calls waits for the disk."""
    target.touch(mode=0o600)
    with closing(connect(path, write=False)) as source, closing(sqlite3.connect(target, isolation_level=None)) as copy:
        copy.execute("PRAGMA synchronous = OFF")
        source.backup(copy)
        try:
            # Every row, so that a damaged one cannot spread into all backups until the last good one is gone.
            count = check_rows(copy)
        except (Damaged, UnicodeDecodeError) as problem:
            raise Damaged(
                f"{problem} So this copy was not kept and the older ones stay. Start the lab again, which puts damaged "
                "rows aside; if it happens once more, the disk may be failing."
            ) from problem
    return count
