"""From rows to records: rankings with their comparisons, and counts that only look at what is new."""

from __future__ import annotations

import gc
import json
import sqlite3
import threading
from collections import Counter as Tally
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace

from lab.store.records import SIMULATED, Comparison, Ranking, Turns, unpack

RANKING = 'SELECT seq, key, comparison_id, "order", shown, tags, guess, rater, seconds, note, at FROM ranking'
# :pools is a JSON list, empty for all of them; :ids whether with token ids.
POOLED = "(:pools = '[]' OR pool IN (SELECT value FROM json_each(:pools)))"
BEHIND = "id IN (SELECT comparison_id FROM ranking WHERE seq > :after)"
ONE = "SELECT id, prompt_id, at, pool, candidates, ids FROM comparison WHERE id = ?"
NEWEST = "SELECT (SELECT coalesce(max(seq), 0) FROM ranking), (SELECT coalesce(max(seq), 0) FROM change)"
CHANGES = "SELECT ranking_seq, kind, at FROM change"
# The comparisons are walked through, and only for those of a wanted prompt is anything else looked up.
RANKED = """SELECT p.text, count(*) FROM comparison c
            CROSS JOIN prompt p ON p.id = c.prompt_id CROSS JOIN ranking r ON r.comparison_id = c.id
            WHERE c.prompt_id IN (SELECT id FROM prompt WHERE text IN (SELECT value FROM json_each(?)))
            AND NOT EXISTS (SELECT 1 FROM change WHERE ranking_seq = r.seq AND kind = 'withdraw') GROUP BY p.text"""

# What an import brought was saved by nobody here.
MINE = """SELECT seq, comparison_id FROM ranking WHERE rater = ?1 AND substr(key, 1, length(?2)) = ?2
          AND key NOT GLOB 'import:*' AND key NOT GLOB 'again:*' ORDER BY at DESC, seq DESC"""
STANDS = """SELECT 1 FROM comparison WHERE id = ? AND (pool = 'duel') = ?
            AND NOT EXISTS (SELECT 1 FROM change WHERE ranking_seq = ? AND kind = 'withdraw')"""


def _questions(of_pool: str, compared: str) -> tuple[str, str, str]:
    """For rankings, their comparisons and their prompts."""
    return (
        f"{RANKING} WHERE seq > :after AND (:pools = '[]' OR {of_pool}) ORDER BY seq",
        f"SELECT id, prompt_id, at, pool, candidates, CASE WHEN :ids THEN ids END FROM comparison WHERE {compared}",
        f"SELECT id, text, turns FROM prompt WHERE id IN (SELECT prompt_id FROM comparison WHERE {compared})",
    )


# For all of them the comparisons are walked through, which takes half as long as to look each up; for the few behind a
# seq, those alone are looked up.
ALL = _questions(f"comparison_id IN (SELECT id FROM comparison WHERE {POOLED})", POOLED)
NEW = _questions(f"EXISTS (SELECT 1 FROM comparison WHERE id = comparison_id AND {POOLED})", f"{BEHIND} AND {POOLED}")


def comparison(link: sqlite3.Connection, id: str) -> Comparison | None:
    rows = link.execute(ONE, (id,)).fetchall()
    prompts = link.execute("SELECT id, text, turns FROM prompt WHERE id = ?", (rows[0][1],)).fetchall() if rows else []
    return _comparisons(rows, prompts).get(id)


def rankings_from(link: sqlite3.Connection, after: int, pools: Sequence[str], ids: bool) -> list[Ranking]:
    """All rankings behind `after`, marks included; the lock is only held while rows are fetched."""
    wanted = {"after": after, "pools": json.dumps(pools), "ids": ids}
    link.execute("BEGIN")
    rows, compared, prompts = (link.execute(each, wanted).fetchall() for each in (NEW if after else ALL))
    changes = link.execute(f"{CHANGES} ORDER BY seq").fetchall()
    link.execute("ROLLBACK")
    with _no_collector():
        return _rankings(rows, _comparisons(compared, prompts), *marks(changes))


def ranking_at(link: sqlite3.Connection, seq: int) -> Ranking | None:
    """One ranking, marks included, which costs the same however many there are."""
    link.execute("BEGIN")
    rows = link.execute(f"{RANKING} WHERE seq = ?", (seq,)).fetchall()
    changes = link.execute(f"{CHANGES} WHERE ranking_seq = ? ORDER BY seq", (seq,)).fetchall()
    compared = {id: comparison(link, id) for _, _, id, *_ in rows}
    link.execute("ROLLBACK")
    return next(iter(_rankings(rows, compared, *marks(changes))), None)


def newest_of(link: sqlite3.Connection, rater: str, key: str, duels: bool) -> int:
    for seq, compared in link.execute(MINE, (rater, key)):
        if link.execute(STANDS, (compared, duels, seq)).fetchone():
            return seq
    return 0


def times_ranked(link: sqlite3.Connection, texts: Sequence[str]) -> dict[str, int]:
    return dict(link.execute(RANKED, (json.dumps(texts),)).fetchall())


@contextmanager
def _no_collector() -> Iterator[None]:
    """Nothing made here is garbage, but the collector would walk through all of it again and again, for a third of
    the time."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was:
            gc.enable()


def _comparisons(rows: list[tuple], prompts: list[tuple]) -> dict[str, Comparison]:
    asked = {id: (text, _turns(turns)) for id, text, turns in prompts}
    found = {}
    for id, prompt_id, at, pool, candidates, ids in rows:
        text, turns = asked[prompt_id]
        found[id] = Comparison(id, prompt_id, text, unpack(candidates, ids), at, pool, turns)
    return found


def _turns(text: str) -> Turns:
    return tuple((role, words) for role, words in json.loads(text)) if text != "[]" else ()


def _lists(rows: Sequence[tuple]) -> Iterator[tuple]:
    """Each ranking's order, shown, tags and guess. Parsed some hundreds at a time: far faster than one by one, and
    little garbage lives long enough for the collector to walk through it."""
    for start in range(0, len(rows), 500):
        some = (
            f"[{order},{shown},{tags},{guess or 'null'}]"
            for _, _, _, order, shown, tags, guess, *_ in rows[start : start + 500]
        )
        for order, shown, tags, guess in json.loads(f"[{','.join(some)}]"):
            yield tuple(map(tuple, order)), tuple(shown), tuple(tags), None if guess is None else tuple(guess)


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


def _rankings(
    rows: list[tuple], comparisons: dict[str, Comparison], withdrawn: dict[int, float], excluded: set[int]
) -> list[Ranking]:
    found = []
    for row, (order, shown, tags, guess) in zip(rows, _lists(rows), strict=True):
        seq, key, comparison_id, _, _, _, _, rater, seconds, note, at = row
        compared, gone = comparisons[comparison_id], withdrawn.get(seq)
        found.append(
            Ranking(seq, key, compared, order, shown, rater, seconds, note, tags, guess, at, gone, seq in excluded)
        )
    return found


class Followed:
    """The rankings of one pool that are in force; thread-safe. Rows never change, so each refresh reads only those
    behind the last, of its pool alone."""

    def __init__(self, pool: str):
        self._pool, self._guard = pool, threading.Lock()
        self._seen, self._seen_change = 0, 0
        self._found: dict[int, Ranking] = {}

    def refresh(self, link: sqlite3.Connection) -> list[Ranking]:
        """By seq, with excluded ones, without token ids."""
        with self._guard:
            wanted = {"after": self._seen, "pools": json.dumps([self._pool]), "ids": False}
            link.execute("BEGIN")
            rows, compared, prompts = (link.execute(each, wanted).fetchall() for each in (NEW if self._seen else ALL))
            changes = link.execute(f"{CHANGES} WHERE seq > ? ORDER BY seq", (self._seen_change,)).fetchall()
            newest = link.execute(NEWEST).fetchone()
            link.execute("ROLLBACK")
            found = _rankings(rows, _comparisons(compared, prompts), {}, set())
            self._found |= {each.seq: each for each in found}
            self._seen, self._seen_change = newest
            for seq, kind, _ in changes:
                self._mark(seq, kind)
            return list(self._found.values())

    def _mark(self, seq: int, kind: str) -> None:
        if kind == "withdraw":
            self._found.pop(seq, None)
        elif seq in self._found:
            self._found[seq] = replace(self._found[seq], excluded=kind == "exclude")


class Counter:
    """Running totals of the rankings in force. Rows never change, so each refresh reads only those behind the last."""

    def __init__(self):
        self._seen, self._seen_change = 0, 0
        self._out: dict[int, set[str]] = {}
        self._rankings, self._pairs, self._skips = Tally(), Tally(), 0

    def refresh(self, link: sqlite3.Connection) -> None:
        link.execute("BEGIN")
        new = link.execute(
            "SELECT rater, count(*), sum(pairs), sum(\"order\" = '[]'), max(seq) FROM ranking WHERE seq > ? "
            "GROUP BY rater",
            (self._seen,),
        ).fetchall()
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
        self._pairs[rater] += pairs
        self._skips += skips

    def facts(self) -> dict:
        raters = {rater: count for rater, count in self._rankings.items() if count}
        total = sum(raters.values())
        simulated = sum(count for rater, count in raters.items() if rater.startswith(SIMULATED))
        return {
            "rankings": total,
            "pairs": self._pairs.total(),
            "skips": self._skips,
            "raters": raters,
            "pairs_of": {rater: self._pairs[rater] for rater in raters},
            "simulated": simulated,
            "by_person": total - simulated,
        }
