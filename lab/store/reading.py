"""From rows to records: rankings with their comparisons, and counts that only look at what is new."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter as Tally

from lab.store.records import SIMULATED, Comparison, Ranking, groups, unpack

RANKINGS = """SELECT seq, key, comparison_id, "order", shown, rater, seconds, note, tags, guess, at FROM ranking
              WHERE seq > ? AND (? = '' OR comparison_id IN (SELECT id FROM comparison WHERE pool = ?)) ORDER BY seq"""
COMPARISONS = """SELECT c.id, c.prompt_id, p.text, p.turns, c.candidates, c.ids, c.at, c.pool
                 FROM comparison c JOIN prompt p ON p.id = c.prompt_id
                 WHERE c.id IN (SELECT comparison_id FROM ranking WHERE seq > ?) AND ? IN ('', c.pool)"""


def unpacked(row: tuple) -> Comparison:
    id, prompt_id, text, turns, candidates, ids, at, pool = row
    found = tuple((role, words) for role, words in json.loads(turns)) if turns != "[]" else ()
    return Comparison(id, prompt_id, text, unpack(candidates, ids), at, pool, found)


def rankings_from(link: sqlite3.Connection, after: int, pool: str | None) -> list[Ranking]:
    """All rankings behind `after`, marks included; the lock is only held while rows are fetched."""
    pool = pool or ""
    link.execute("BEGIN")
    rows = link.execute(RANKINGS, (after, pool, pool)).fetchall()
    compared = link.execute(COMPARISONS, (after, pool)).fetchall()
    changes = link.execute("SELECT ranking_seq, kind, at FROM change ORDER BY seq").fetchall()
    link.execute("ROLLBACK")
    comparisons = {row[0]: unpacked(row) for row in compared}
    withdrawn, excluded = marks(changes)
    return [_ranking(row, comparisons, withdrawn.get(row[0]), row[0] in excluded) for row in rows]


def marks(changes: list[tuple[int, str, float]]) -> tuple[dict[int, float], set[int]]:
    """When each was first withdrawn, and which are excluded now."""
    withdrawn: dict[int, float] = {}
    excluded: set[int] = set()
    for seq, kind, at in changes:
        if kind == "withdraw":
            withdrawn.setdefault(seq, at)
        else:
            (excluded.add if kind == "exclude" else excluded.discard)(seq)
    return withdrawn, excluded


def _ranking(row: tuple, comparisons: dict[str, Comparison], withdrawn_at: float | None, excluded: bool) -> Ranking:
    seq, key, comparison_id, order, shown, rater, seconds, note, tags, guess, at = row
    return Ranking(
        seq, key, comparisons[comparison_id], groups(order), tuple(json.loads(shown)) if shown != "[]" else (), rater,
        seconds, note, tuple(json.loads(tags)) if tags != "[]" else (), guess and tuple(json.loads(guess)), at,
        withdrawn_at, excluded,
    )  # fmt: skip


class Counter:
    """Running totals of the rankings in force. Rows never change, so each refresh reads only those behind the last."""

    def __init__(self):
        self._seen, self._seen_change = 0, 0
        self._out: dict[int, set[str]] = {}
        self._rankings, self._pairs, self._skips = Tally(), 0, 0

    def refresh(self, link: sqlite3.Connection) -> None:
        link.execute("BEGIN")
        new = link.execute(
            'SELECT rater, count(*), sum(pairs), sum("order" = \'[]\'), max(seq) FROM ranking WHERE seq > ? GROUP BY rater',
            (self._seen,),
        ).fetchall()  # fmt: skip
        changes = link.execute(
            'SELECT c.seq, c.ranking_seq, c.kind, r.rater, r.pairs, r."order" = \'[]\' FROM change c JOIN ranking r '
            "ON r.seq = c.ranking_seq WHERE c.seq > ? ORDER BY c.seq",
            (self._seen_change,),
        ).fetchall()  # fmt: skip
        link.execute("ROLLBACK")
        for rater, count, pairs, skips, newest in new:
            self._add(rater, count - skips, pairs, skips)
            self._seen = max(self._seen, newest)
        for seq, *change in changes:
            self._mark(*change)
            self._seen_change = seq

    def _mark(self, seq: int, kind: str, rater: str, pairs: int, skip: int) -> None:
        before = self._out.get(seq, set())
        name = "exclude" if kind == "include" else kind
        after = before - {name} if kind == "include" else before | {name}
        self._out[seq] = after
        change = bool(before) - bool(after)
        self._add(rater, change * (1 - skip), change * pairs, change * skip)

    def _add(self, rater: str, rankings: int, pairs: int, skips: int) -> None:
        self._rankings[rater] += rankings
        self._pairs += pairs
        self._skips += skips

    def facts(self) -> dict:
        raters = {rater: count for rater, count in self._rankings.items() if count}
        total = sum(raters.values())
        simulated = sum(count for rater, count in raters.items() if rater.startswith(SIMULATED))
        return {
            "rankings": total,
            "pairs": self._pairs,
            "skips": self._skips,
            "raters": raters,
            "simulated": simulated,
            "by_person": total - simulated,
        }
