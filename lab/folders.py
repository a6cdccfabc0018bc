"""Folders that are whole or absent: written beside, synced, renamed; a kill between two renames is mended later."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lab.journal import sync_folder

BESIDE, BEFORE = ".tmp-", ".old-"


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


def mend(parent: Path) -> None:
    """Bring back what a killed writer had moved aside and not yet replaced, and remove what it left half written.

    Only for who alone writes there.
    """
    for before in parent.glob(f"{BEFORE}*"):
        folder = parent / before.name.removeprefix(BEFORE).rpartition("-")[0]
        if not folder.exists():
            before.rename(folder)
    _remove(*parent.glob(f"{BESIDE}*"), *parent.glob(f"{BEFORE}*"))


def _remove(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def _sync(path: Path) -> None:
    """Wait until a file is on the disk."""
    with open(path, "rb") as file:
        os.fsync(file.fileno())
