"""Whether a workspace may be written to, decided by looking at it once, and what a person does where it may not."""

from __future__ import annotations

import os
from pathlib import Path

from lab.errors import BadFile, NewerWorkspace, ReadOnly
from lab.store.looking import Barred, version_of
from lab.store.schema import VERSION


def bar(root: Path) -> Barred | None:
    """Why nothing may be written into this folder; None where it may, and where there is no folder yet.

    Raises BadFile where it may not even be read, and ReadOnly where there is nothing in it to look at.
    """
    if not root.is_dir():
        return None
    if not os.access(root, os.R_OK | os.X_OK):
        raise BadFile(f"The workspace {root} may not be read. Ask whoever owns it to let you, or name another folder.")
    runs, db = root / "runs", root / "lab.db"
    version = version_of(db)
    if version > VERSION:
        return Barred(NewerWorkspace, _newer(root.name, version))
    if all(os.access(each, os.W_OK) for each in (root, runs, db) if each.exists()):
        return None
    if not runs.is_dir() and not db.exists():
        raise ReadOnly(
            f"{root} cannot be written to ({_cause(root)}) and holds no workspace to look at. Name a folder that you "
            "may write to."
        )
    return Barred(ReadOnly, _unwritable(root))


def _newer(name: str, version: int) -> str:
    return (
        f"The workspace {name} was written by a newer version of the lab: its database has version {version}, and this "
        f"lab knows up to {VERSION}. So it is only shown, and nothing in it is changed; what is new in it is missing "
        "here. Update the lab to go on with it."
    )


def _unwritable(root: Path) -> str:
    return (
        f"The workspace {root.name} cannot be written to ({_cause(root)}), so it is only shown, and nothing in it is "
        "changed. To go on with it, copy its folder to a place where you may write and open the copy with --workspace."
    )


def _cause(root: Path) -> str:
    """The system tells a disk that takes nothing from a folder that is somebody else's."""
    flags = os.statvfs(root).f_flag if hasattr(os, "statvfs") else 0
    return "its disk is read-only" if flags & getattr(os, "ST_RDONLY", 0) else "you may not write there"
