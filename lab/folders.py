"""Files and folders that are whole or absent: written beside, synced, renamed; a kill in between is mended."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

BESIDE, BEFORE = ".tmp-", ".old-"
PART = re.compile(r"\.[0-9a-f]{32}\.part(-journal)?")  # with what SQLite puts beside one that is a database
# No writing takes so long: what has not been touched for this time was left by a writer that was killed. A lock would
# not tell, since several processes write beside each other in a workspace, each its own files.
LEFT_SECONDS = 3600.0


@contextmanager
def whole(folder: Path) -> Iterator[Path]:
    """An empty folder to fill, which takes the place of `folder` at the end; when filling it fails, nothing changes."""
    beside = folder.with_name(f"{BESIDE}{folder.name}-{os.getpid()}")
    before = folder.with_name(f"{BEFORE}{folder.name}-{os.getpid()}")
    try:
        _remove(beside, before)
        beside.mkdir(parents=True)
        yield beside
        for path in beside.iterdir():
            _sync(path)
        sync_folder(beside)
        if folder.exists():
            folder.rename(before)
        beside.rename(folder)
        sync_folder(folder.parent)
    finally:
        if before.exists() and not folder.exists():
            before.rename(folder)
        _remove(beside, before)


@contextmanager
def unfinished(folder: Path) -> Iterator[Path]:
    """A name in `folder` for a file that nobody looks for yet; what still bears it at the end goes."""
    part = folder / f".{uuid.uuid4().hex}.part"
    try:
        yield part
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def discard(folder: Path) -> None:
    """The folder goes, at once for whoever reads it: under its name there is never a part of it."""
    beside = folder.with_name(f"{BESIDE}{folder.name}-{os.getpid()}")
    _remove(beside)
    with suppress(FileNotFoundError):
        folder.rename(beside)
    _remove(beside)


def finish(part: Path, path: Path) -> None:
    """On the disk first, under its name second: whoever reads finds the old file or the new one, also after a power
    cut. Both are in one folder; an OSError leaves the old file as it was."""
    _sync(part)
    os.replace(part, path)
    sync_folder(path.parent)


def sweep(*folders: Path) -> None:
    """Remove the unfinished files that killed writers left there; those that may still be written stay."""
    for part in [each for folder in folders for each in folder.glob(".*.part*") if PART.fullmatch(each.name)]:
        with suppress(OSError):
            if time.time() - part.stat().st_mtime > LEFT_SECONDS:
                part.unlink()


def sync_folder(folder: Path) -> None:
    """Makes new names in a folder survive a power cut, on the systems that can."""
    with suppress(OSError):
        _sync(folder)


def mend(parent: Path) -> None:
    """Bring back what a killed writer had moved aside and not yet replaced, and remove what it left half written.

    Only for who alone writes there.
    """
    for before in parent.glob(f"{BEFORE}*"):
        folder = parent / before.name.removeprefix(BEFORE).rpartition("-")[0]
        if not folder.exists():
            before.rename(folder)
    _remove(*parent.glob(f"{BESIDE}*"), *parent.glob(f"{BEFORE}*"))
    sweep(parent)


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
