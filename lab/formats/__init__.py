"""Preference and demonstration data on disk: every format that the lab reads and writes."""

from __future__ import annotations

from lab.formats.detect import detect
from lab.formats.reading import preview, read
from lab.formats.record import Imported, Message, Preview, Record, Rejected
from lab.formats.table import FORMATS, Format
from lab.formats.write import Written, write

__all__ = [
    "FORMATS",
    "Format",
    "Imported",
    "Message",
    "Preview",
    "Record",
    "Rejected",
    "Written",
    "detect",
    "preview",
    "read",
    "write",
]
