"""What a file that somebody sent must be, and how many of the rows that it loses are told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gradio.utils import get_upload_folder

from lab.errors import BadInput, NotFound

REASONS = 20  # rows left out, with why; of more only their number is said


def uploaded(given: Any) -> Path:
    """A file that came through this app's own upload, and no other on this machine."""
    folder = Path(get_upload_folder()).resolve()
    if not isinstance(given, str) or "\0" in given:
        raise BadInput("Which file is meant? Choose it again.")
    path = Path(given).resolve()
    if folder not in path.parents or not path.is_file():
        raise NotFound("That file is no longer there. Choose it again.")
    return path
