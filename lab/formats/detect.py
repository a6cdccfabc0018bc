"""Tells a file's format from the fields of its first rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from itertools import islice

from lab.formats.fields import Row
from lab.formats.table import FORMATS

FIRST_ROWS = 20


def detect(rows: Iterable[Row]) -> str | None:
    """The format that most of the first rows have the fields of, so that a bad first row misleads nobody."""
    votes = Counter(name for row in islice(rows, FIRST_ROWS) if (name := format_of(row)) is not None)
    return votes.most_common(1)[0][0] if votes else None


def format_of(row: Row) -> str | None:
    return next((name for name, line in FORMATS.items() if line.matches(row)), None)
