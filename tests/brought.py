"""Rankings as an import brings them, for tests that need some without a file."""

from __future__ import annotations

from collections.abc import Iterable

from lab.errors import LabError
from lab.store import Store, prepared


def bring(store: Store, rows: Iterable[tuple], rater: str, source: str) -> int:
    """Stores (prompt, [texts], order, note) and returns how many were new; raises the first refusal and stores none."""
    ready = prepared(rows, rater, source)
    for row in ready:
        if isinstance(row, LabError):
            raise row
    return store.add_prepared(ready)
