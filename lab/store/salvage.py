"""What is still good in a damaged database, row by row, and a new database made of it."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

from lab.errors import BadFile
from lab.store.schema import NAMES, check_rows, connect, is_whole

Rows = dict[tuple[str, int], tuple]


@dataclass(frozen=True, slots=True)
class Salvage:
    """By table and seq: the rows that are as they were written, and those that can be read but are not."""

    good: Rows
    bad: Rows

    @property
    def rankings(self) -> int:
        return sum(name == "ranking" for name, _ in self.good)

    def with_gaps_filled(self, spare: Salvage) -> Salvage:
        """With the rows of a backup that are missing here, if all that both hold is the same in both."""
        same = all(spare.good.get(place, row) == row for place, row in self.good.items())
        return Salvage(spare.good | self.good, self.bad) if same else self


def salvaged(path: Path) -> Salvage:
    """All that can be read of a file; nothing where it is no database. Raises nothing for damage of any kind."""
    found = Salvage({}, {})
    with suppress(sqlite3.Error, BadFile), closing(connect(path, write=False)) as link:
        link.text_factory = lambda raw: raw.decode("utf-8", "surrogateescape")
        for name in NAMES:
            # A page that cannot be read ends a table's reading, so it is read from its other end too.
            for way in ("ASC", "DESC"):
                with suppress(sqlite3.Error):
                    for row in link.execute(f"SELECT * FROM {name} ORDER BY seq {way}"):
                        (found.good if is_whole(row) else found.bad)[name, row[0]] = row
    return found


def fill(path: Path, rows: Rows) -> Rows:
    """Puts rows into a new database at `path`; returns those that have no place there, an answer without its prompt."""
    homeless = {}
    with closing(connect(path, write=True)) as link:
        link.execute("BEGIN IMMEDIATE")
        for name, seq in sorted(rows, key=lambda place: (NAMES.index(place[0]), place[1])):
            row = rows[name, seq]
            try:
                link.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(row))})", row)
            except sqlite3.IntegrityError:
                homeless[name, seq] = row
        check_rows(link)
        link.execute("COMMIT")
    return homeless
