"""What the worker has answered, served.jsonl, as whoever waits for an answer follows it."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from pathlib import Path

from lab.journal import tail_json

MOST_ANSWERS, MOST_BYTES = 2_000, 1 << 24


class Served:
    """Follows served.jsonl by byte offset and keeps the newest record of each request; any thread may call it."""

    def __init__(self, path: Path, keep: int = MOST_ANSWERS):
        self._path, self._keep = Path(path), keep
        self._offset, self._newest, self._guard = 0, {}, threading.Lock()

    def refresh(self) -> None:
        """Reads what is new; the first time only the last 16 MiB, for a page that waits is younger than that."""
        with self._guard:
            if not self._offset and self._path.exists():
                self._offset = max(0, self._path.stat().st_size - MOST_BYTES)
            before = -1
            while before != self._offset:
                before = self._offset
                records, self._offset, _ = tail_json(self._path, before)
                for record in records:
                    self._take(record)

    def get(self, request_id: str) -> dict | None:
        with self._guard:
            return self._newest.get(request_id)

    def _take(self, record: Mapping) -> None:
        # The oldest go first: a page that has not fetched its answer among the last thousands is gone.
        self._newest.pop(record.get("id"), None)
        self._newest[record.get("id")] = record
        while len(self._newest) > self._keep:
            del self._newest[next(iter(self._newest))]
