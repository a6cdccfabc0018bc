"""Imports as a whole: which rankings each of them brought, and how these are taken back and come again."""

from __future__ import annotations

import hashlib
import sqlite3
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TypeVar

from lab.errors import NotFound
from lab.store.schema import insert
from lab.store.writing import withdrawal

T = TypeVar("T")
# (id, name, at, first seq, count)
Mark = tuple[str, str, float, int, int]
# Seconds between two rankings that no import leaves, since it stores them all at once.
PAUSE = 5.0


@dataclass(frozen=True, slots=True)
class Batch:
    """One import: the file's name, how many rankings it brought, and how many of them are in force."""

    id: str
    name: str
    at: float
    brought: int
    standing: int


def marked(link: sqlite3.Connection, id: str, name: str, add: Callable[[], T]) -> T:
    """What `add` gives. Its new rankings, which lie behind one another, become those of import `id`, unless that is ''.

    The first of them is said once more to be in training, or left out of it, as it is: this changes nothing and bears
    the mark.
    """
    before = _newest(link)
    found = add()
    first, count = before + 1, _newest(link) - before
    if id and count:
        kind = link.execute(
            "SELECT kind FROM change WHERE ranking_seq = ? AND kind != 'withdraw' ORDER BY seq DESC", (first,)
        ).fetchone()
        key = f"import:{id}:{first}:{count}:{name}"
        insert(link, "change", key, first, kind[0] if kind else "include", time.time())
    return found


def standing(link: sqlite3.Connection) -> list[Batch]:
    """The imports of which rankings are in force, the newest first; also those of a lab that did not mark them yet."""
    found: dict[str, Batch] = {}
    for id, name, at, first, count in _imports(link):
        same = found.get(id, Batch(id, name, at, 0, 0))
        left = same.standing + len(_in_force(link, first, count))
        found[id] = replace(same, brought=same.brought + count, standing=left)
    return sorted((each for each in found.values() if each.standing), key=lambda each: -each.at)


def taken_back(link: sqlite3.Connection, id: str) -> int:
    """Withdraws what an import brought and returns how many rankings that were; NotFound when none of it stands."""
    spans = [_in_force(link, first, count) for each, _, _, first, count in _imports(link) if each == id]
    for seq in (seq for span in spans for seq in span):
        withdrawal(link, f"back:{id}:{seq}", seq)
    if not any(spans):
        raise NotFound("Of this import no ranking is here any more: it was taken back already. Reload the page.")
    return sum(map(len, spans))


def come_again(link: sqlite3.Connection, key: str) -> str:
    """The key for a ranking of a file: its own, or where that one was taken back with its import the next one."""
    number, found = 0, key
    while _went_back(link, found):
        number += 1
        found = "again:" + hashlib.sha256(f"{number} {key}".encode()).hexdigest()
    return found


def _went_back(link: sqlite3.Connection, key: str) -> bool:
    question = """SELECT 1 FROM ranking r JOIN change c ON c.ranking_seq = r.seq
                  WHERE r.key = ? AND c.kind = 'withdraw' AND c.key GLOB 'back:*'"""
    return link.execute(question, (key,)).fetchone() is not None


def _imports(link: sqlite3.Connection) -> list[Mark]:
    marks = _marks(link)
    return marks + _unmarked(link, marks)


def _unmarked(link: sqlite3.Connection, marks: list[Mark]) -> list[Mark]:
    """The imports of an older lab, which marked none: told apart by the file that their prompts came from.

    Their rankings bear the key that only an import gives, lie behind one another and were stored at once. The lab's own
    export keeps its keys, so that what an older lab read from one cannot be told from what was ranked here.
    """
    known = {seq for *_, first, count in marks for seq in range(first, first + count)}
    all_seqs = link.execute("SELECT seq FROM ranking WHERE key GLOB 'import:*'").fetchall()
    left = {seq for (seq,) in all_seqs} - known
    if not left:
        return []
    question = """SELECT r.seq, r.at, p.source FROM ranking r
                  JOIN comparison c ON c.id = r.comparison_id JOIN prompt p ON p.id = c.prompt_id
                  WHERE c.pool = 'import' AND r.seq BETWEEN ? AND ? ORDER BY r.seq"""
    found: list[Mark] = []
    last = (0, 0.0)
    for seq, at, source in link.execute(question, (min(left), max(left))).fetchall():
        if seq not in left:
            continue
        if found and source == found[-1][1] and seq == last[0] + 1 and abs(at - last[1]) < PAUSE:
            found[-1] = (*found[-1][:4], found[-1][4] + 1)
        else:
            found.append((f"unmarked-{seq}", source, at, seq, 1))
        last = seq, at
    return found


def _marks(link: sqlite3.Connection) -> list[Mark]:
    """Of every import that was marked, the newest first.

    A withdrawal is none, whatever its key: that of an undo is chosen by a page.
    """
    question = "SELECT key, at FROM change WHERE key GLOB 'import:*' AND kind != 'withdraw' ORDER BY seq DESC"
    parts = ((*key.split(":", 4)[1:], at) for key, at in link.execute(question).fetchall())
    return [(id, name, at, int(first), int(count)) for id, first, count, name, at in parts]


def _in_force(link: sqlite3.Connection, first: int, count: int) -> list[int]:
    question = """SELECT seq FROM ranking r WHERE seq >= ? AND seq < ? AND NOT EXISTS
                  (SELECT 1 FROM change WHERE ranking_seq = r.seq AND kind = 'withdraw') ORDER BY seq"""
    return [seq for (seq,) in link.execute(question, (first, first + count)).fetchall()]


def _newest(link: sqlite3.Connection) -> int:
    return link.execute("SELECT coalesce(max(seq), 0) FROM ranking").fetchone()[0]
