"""Append-only files of JSON lines with one writer and many followers, and small JSON files that are replaced whole."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from lab.errors import DiskFull
from lab.events import Event, from_json, to_json
from lab.folders import finish, unfinished

_BLOCK = 1 << 16


class Journal:
    """The one writer of an event file. A line is there whole or not at all, also after a full disk."""

    def __init__(self, path: Path):
        """Opens for append and first cuts off a last line without its newline: the mark of a killed writer."""
        self._path = Path(path)
        self._file = open(self._path, "ab", buffering=0)
        self._end = cut_torn_line(self._path)

    def write(self, event: Event, at: float | None = None) -> None:
        """One line, handed to the system at once; raises NotFinite or DiskFull and then leaves the file as it was."""
        line = to_json(event, time.time() if at is None else at)
        self._end = _append(self._file.fileno(), _encoded(line), self._end, self._path)

    def sync(self) -> None:
        """Returns once the disk has every line: called before each checkpoint."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_) -> None:
        self.close()


@dataclass(frozen=True, slots=True)
class Tail:
    """What stood behind an offset: events with their times, where to go on, and how many whole lines were no events."""

    events: list[tuple[Event, float]]
    offset: int
    bad: int


def tail(path: Path, offset: int = 0, limit: int = 20_000) -> Tail:
    """At most `limit` lines from `offset` on; a line still being written is left for the next call."""
    lines, offset = _lines(path, offset, limit)
    events, bad = [], 0
    for line in lines:
        try:
            events.append(from_json(line.decode()))
        except ValueError:
            bad += 1
    return Tail(events, offset, bad)


def objects(file: BinaryIO) -> Iterator[dict]:
    """The JSON objects in the lines from where an open file stands, which at the end stands behind the last whole line;
    lines that hold none are passed over."""
    end = file.tell()
    while (line := file.readline()).endswith(b"\n"):
        end += len(line)
        record = _object(line)
        if record is not None:
            yield record
    file.seek(end)


def append_json(path: Path, record: dict) -> None:
    """One line more, handed to the system at once; raises ValueError on a number that is not finite, or DiskFull."""
    line = _encoded(json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":")))
    with open(path, "ab", buffering=0) as file:
        _append(file.fileno(), line, cut_torn_line(path), path)


def replace_json(path: Path, record: dict, mode: int = 0o666) -> None:
    """The whole file anew: whoever reads finds the old record or the new one, also after a power cut."""
    text = json.dumps(record, allow_nan=False, ensure_ascii=False, indent=1) + "\n"
    replace_bytes(path, text.encode("utf-8", "replace"), mode)


def replace_bytes(path: Path, content: bytes, mode: int = 0o666) -> None:
    """The same for any content; raises DiskFull and leaves the old file.

    `mode` says who may read it, as far as the umask allows.
    """
    path = Path(path)
    try:
        with unfinished(path.parent) as part:
            with open(part, "xb", opener=lambda name, flags: os.open(name, flags, mode)) as file:
                file.write(content)
            finish(part, path)
    except OSError as problem:
        raise _refusal(problem, path) from problem


def read_json(path: Path) -> dict | None:
    """The record, or None where there is none: no file, half a file, or no JSON object in it."""
    try:
        return _object(Path(path).read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return None


def cut_torn_line(path: Path) -> int:
    """Shortens the file to its last newline and returns its length."""
    with open(path, "rb+") as file:
        end = file.seek(0, os.SEEK_END)
        keep = _behind_last_newline(file, end)
        if keep < end:
            file.truncate(keep)
    return keep


def _behind_last_newline(file: BinaryIO, end: int) -> int:
    # One byte first: nearly always the file ends well and no more has to be read.
    block = 1
    while end:
        start = max(0, end - block)
        file.seek(start)
        place = file.read(end - start).rfind(b"\n")
        if place >= 0:
            return start + place + 1
        end, block = start, _BLOCK
    return 0


def _append(handle: int, line: bytes, end: int, path: Path) -> int:
    """Writes the line behind `end` and returns the new end; after a failure the file ends where it did."""
    rest = memoryview(line)
    try:
        while rest:
            rest = rest[os.write(handle, rest) :]
    except OSError as problem:
        with suppress(OSError):
            os.ftruncate(handle, end)
        raise _refusal(problem, path) from problem
    return end + len(line)


def _refusal(problem: OSError, path: Path) -> OSError | DiskFull:
    if problem.errno not in DiskFull.errnos:
        return problem
    return DiskFull(
        f"No room was left for {Path(path).name} ({problem.strerror}), so what was just sent is not saved; what stood "
        "there before is as it was. Free some room on the disk and try again."
    )


def _encoded(line: str) -> bytes:
    # Half of a surrogate pair is no Unicode: a model's or a page's slip must not end a run.
    return line.encode("utf-8", "replace") + b"\n"


def _lines(path: Path, offset: int, limit: int) -> tuple[list[bytes], int]:
    found: list[bytes] = []
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            while len(found) < limit and (line := file.readline()).endswith(b"\n"):
                found.append(line)
                offset += len(line)
    except (FileNotFoundError, NotADirectoryError):
        return [], offset
    return found, offset


def _object(line: bytes) -> dict | None:
    try:
        record = json.loads(line.decode(), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")
