"""What the worker has answered: served.jsonl, which it begins anew now and then, and whoever waits follows."""

from __future__ import annotations

import re
import threading
import uuid
from collections.abc import Container, Mapping
from pathlib import Path

from lab.journal import objects, replace_bytes

MOST_ANSWERS, MOST_BYTES = 2_000, 1 << 24
# Of what was answered so much is kept: that of some thousand requests, of which a page waits for the newest few.
KEPT_BYTES = 1 << 22
_ID = re.compile(rb'\{"id":"([^"\\]+)"')


class Served:
    """Follows served.jsonl by byte offset and keeps the newest record of each request; any thread may call it.

    A file that was begun anew has another first line than before, and is then read from its beginning.
    """

    def __init__(self, path: Path, keep: int = MOST_ANSWERS):
        self._path, self._keep = Path(path), keep
        self._first, self._offset, self._newest, self._guard = b"", 0, {}, threading.Lock()

    def refresh(self) -> None:
        """Reads what is new; of a file that it has not read before the last 16 MiB, for a page that waits is younger
        than that."""
        with self._guard:
            try:
                file = self._path.open("rb")
            except FileNotFoundError:
                return
            with file:
                first = file.readline()
                if first != self._first:
                    self._first, self._offset = first, max(0, file.seek(0, 2) - MOST_BYTES)
                file.seek(self._offset)
                for record in objects(file):
                    self._take(record)
                self._offset = file.tell()

    def get(self, request_id: str) -> dict | None:
        with self._guard:
            return self._newest.get(request_id)

    def _take(self, record: Mapping) -> None:
        # The oldest go first: a page that has not fetched its answer among the last thousands is gone.
        self._newest.pop(record.get("id"), None)
        self._newest[record.get("id")] = record
        while len(self._newest) > self._keep:
            del self._newest[next(iter(self._newest))]


def begin_anew(path: Path, orders: Container[str]) -> None:
    """Leave the newest line of each of these requests and of the newest other ones; for who alone writes there.

    Whoever reads meanwhile finds the old file or the new one, whole. Raises DiskFull, which leaves the old one.
    """
    kept: dict[str, bytes] = {}
    others: dict[str, bytes] = {}
    size = 0
    with Path(path).open("rb") as file:
        for line in file:
            found = _ID.match(line) if line.endswith(b"\n") else None
            if found is None:
                continue
            request = found[1].decode("utf-8", "replace")
            if request in orders:
                kept[request] = line
                continue
            size += len(line) - len(others.pop(request, b""))
            others[request] = line
            while size > KEPT_BYTES:
                size -= len(others.pop(next(iter(others))))
    first = b'{"file":"%b"}\n' % uuid.uuid4().hex.encode()
    replace_bytes(path, b"".join([first, *kept.values(), *others.values()]))
