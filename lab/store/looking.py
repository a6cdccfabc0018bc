"""A database that is only looked at: not a byte of it or beside it changes, also where its last writer was killed."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from lab.errors import BadFile, Damaged, LabError, NewerWorkspace
from lab.store.schema import APPLICATION, VERSION, check_rows, check_version, connect, create, refusal

# Of the first hundred bytes, https://sqlite.org/fileformat.html: how the file is written, and its maker's numbers.
MAGIC, BY_WAL, WAY, USER_VERSION, APPLICATION_ID = b"SQLite format 3\0", 2, 18, slice(60, 64), slice(68, 72)
BESIDE = ("-journal", "-wal")
# What reading a row that was written otherwise may raise.
OTHERWISE = (sqlite3.Error, ValueError, TypeError, LookupError)


@dataclass(frozen=True, slots=True)
class Barred:
    """Why nothing is written into a workspace: an error of the tree, and what a person is told, without any folder."""

    kind: type[LabError]
    why: str

    def error(self) -> LabError:
        return self.kind(self.why)


class Looking:
    """Answers questions to the database as it is; any thread may ask.

    One that was left in the middle of a commit, or whose newest rows stand in a log beside it, can be read by nobody
    who changes nothing: of such a one a copy is read, as it is then. Where there is none, an empty one is.
    """

    def __init__(self, path: Path, barred: Barred):
        """Raises Damaged for another program's file, and for rows that are not as they were written."""
        self._path, self._barred, self._guard = Path(path), barred, threading.Lock()
        self._copy: TemporaryDirectory | None = None
        if not self._path.exists():
            self._read_instead(_empty)
        elif _head(self._path)[WAY] == BY_WAL:
            self._read_instead(_copied)
        self.ask(self._check)

    def ask(self, use: Callable[[sqlite3.Connection], Any]) -> Any:
        """What `use` makes of a connection that cannot write; NewerWorkspace where it meets what it does not know."""
        try:
            with closing(self._connect()) as link:
                return use(link)
        except OTHERWISE as problem:
            raise self._refusal(problem) from problem

    def close(self) -> None:
        if self._copy:
            self._copy.cleanup()

    def _connect(self) -> sqlite3.Connection:
        try:
            return _reader(self._at())
        except sqlite3.OperationalError as problem:
            if getattr(problem, "sqlite_errorname", None) != "SQLITE_READONLY_ROLLBACK":
                raise
        self._read_instead(_copied)
        return _reader(self._at())

    def _at(self) -> Path:
        return Path(self._copy.name) / self._path.name if self._copy else self._path

    def _read_instead(self, make: Callable[[Path, Path], None]) -> None:
        with self._guard:
            if not self._copy:
                folder = TemporaryDirectory(prefix="lab-look-")
                make(self._path, Path(folder.name) / self._path.name)
                self._copy = folder

    def _check(self, link: sqlite3.Connection) -> None:
        """Of a newer one, whose rows nobody here can judge, only that it is the lab's."""
        if self._barred.kind is NewerWorkspace:
            return
        try:
            check_version(link, self._path)
            check_rows(link)
        except (Damaged, UnicodeDecodeError) as problem:
            raise self._damaged(problem) from problem

    def _refusal(self, problem: Exception) -> Exception:
        if self._barred.kind is NewerWorkspace:
            return NewerWorkspace(
                f"The newer version of the lab keeps this in another way ({problem}), so it cannot be shown here. "
                "Nothing of it is lost. Update the lab to see it."
            )
        found = refusal(problem, self._path) if isinstance(problem, sqlite3.Error) else problem
        return self._damaged(problem) if isinstance(found, Damaged) else found

    def _damaged(self, problem: Exception) -> Damaged:
        return Damaged(
            f"{self._path.name} cannot be read to its end ({problem}), and here it cannot be mended. Copy the "
            "workspace to a place where you may write and open the copy: the lab puts damaged rows aside there."
        )


def version_of(path: Path) -> int:
    """By which version of the tables a database was written last; 0 where it is none of the lab's. Changes nothing.

    Raises BadFile where it may not be read.
    """
    head = _head(path)
    found = int.from_bytes(head[USER_VERSION], "big") if _is_ours(head) else 0
    beside = any(_beside(path, each).exists() for each in BESIDE)
    if not beside or not (head[WAY] == BY_WAL or found > VERSION):
        return found
    # A commit that was cut short is undone, or one in a log counts, before its number does.
    with TemporaryDirectory(prefix="lab-look-") as folder, suppress(sqlite3.Error):
        _copied(path, copy := Path(folder) / path.name)
        with closing(_reader(copy)) as link:
            return link.execute("PRAGMA user_version").fetchone()[0] if _is_ours(_head(copy)) else 0
    return found


def _head(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read(100).ljust(100, b"\0")
    except (FileNotFoundError, NotADirectoryError):
        return bytes(100)
    except OSError as problem:
        raise BadFile(
            f"{path} cannot be read ({problem.strerror}). Ask whoever owns the workspace to let you read it."
        ) from problem


def _is_ours(head: bytes) -> bool:
    return head.startswith(MAGIC) and int.from_bytes(head[APPLICATION_ID], "big") == APPLICATION


def _beside(path: Path, ending: str) -> Path:
    return path.with_name(f"{path.name}{ending}")


def _reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, once the file has been read by it."""
    link = connect(path, write=False, mode="ro")
    try:
        link.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.Error:
        link.close()
        raise
    return link


def _copied(path: Path, copy: Path) -> None:
    """A copy as its writer would find it: what was not finished undone, what stood in a log put in its place."""
    for ending in ("", *BESIDE):
        with suppress(FileNotFoundError):
            shutil.copyfile(_beside(path, ending), _beside(copy, ending))
    with closing(connect(copy, write=True)) as link:
        link.execute("SELECT count(*) FROM sqlite_schema").fetchone()


def _empty(path: Path, copy: Path) -> None:
    copy.touch()
    with closing(connect(copy, write=True)) as link:
        create(link)
