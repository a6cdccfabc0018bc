"""How much room the disk has, and what is not begun or kept without some."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.errors import DiskFull

# Below the first nothing new is begun, so that rankings can still be saved; the second is left beside what a run keeps.
LEAST, BESIDE = 64 * 2**20, 256 * 2**20


def free(folder: Path) -> int:
    """Bytes that may be written to the disk of a folder, which need not be there yet."""
    there = next(each for each in (folder.absolute(), *folder.absolute().parents) if each.exists())
    return shutil.disk_usage(there).free


def lacking(folder: Path, size: int) -> int:
    """Bytes to be freed before so many may be kept: for the old files and the new ones, and what else is written."""
    return max(0, 2 * size + BESIDE - free(folder))


def check(folder: Path, what: str) -> None:
    """DiskFull where there is no room to begin something."""
    left = free(folder)
    if left < LEAST:
        raise DiskFull(
            f"The disk has {left // 2**20} MB left, and {what} is not begun below {LEAST // 2**20}, so that "
            "rankings can still be saved. Free some space, then try again."
        )
