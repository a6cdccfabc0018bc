"""What each save does to the tables: rules that need the rows already there, checked inside the transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass

from lab.errors import AlreadyRanked, BadInput, KeyReused, NotFound
from lab.store.records import (
    KEY_CHARACTERS,
    REPEAT,
    Turns,
    as_order,
    checked_guess,
    checked_key,
    checked_order,
    checked_rater,
    checked_shown,
    clean,
    finite,
    pairs_in,
)
from lab.store.schema import insert

LARGEST = (1 << 63) - 1
# The key of a withdrawal begins so where another ranking, whose key follows, took the place; and what parts the key of
# a ranking that came back from the number of the one that had its place.
INSTEAD, BACK = "instead:", "~"


@dataclass(frozen=True, slots=True)
class Given:
    """A ranking as it was sent, checked as far as that goes without the candidates."""

    key: str
    comparison_id: str
    order: tuple
    rater: str
    seconds: float
    note: str
    tags: tuple[str, ...]
    shown: tuple
    guess: tuple | None

    @classmethod
    def checked(cls, key, comparison_id, order, rater, seconds, note, tags, shown, guess) -> Given:
        tags = tuple(clean(tag, "A tag", 100) for tag in tags)
        return cls(
            checked_key(key), str(comparison_id), as_order(order), checked_rater(rater),
            finite(seconds, "The time taken", 0.0), clean(note, "The note"), tags, tuple(shown),
            None if guess is None else tuple(guess),
        )  # fmt: skip

    def content(self) -> tuple:
        """What must agree for a second save with one key to be the first one sent again."""
        return self.comparison_id, same(self.order), self.rater, self.note, self.tags


def ranking(link: sqlite3.Connection, given: Given, at: float | None = None, undone: bool = False) -> tuple[int, bool]:
    """Its seq, and whether the same ranking was saved under the same key before; `undone` when it comes withdrawn."""
    earlier = _sent_before(link, given)
    if earlier:
        return earlier, True
    found = link.execute("SELECT count, pool FROM comparison WHERE id = ?", (given.comparison_id,)).fetchone()
    if not found:
        raise NotFound(
            f"There is no comparison {given.comparison_id[:40]!r} here: the page is older than this workspace, so this "
            "is NOT saved. Reload the page."
        )
    count, pool = found
    order = checked_order(given.order, count)
    shown, guess = checked_shown(given.shown, count), checked_guess(given.guess, count)
    if not undone:
        _refuse_second(link, given)
    seq = insert(
        link, "ranking", given.key, given.comparison_id, _json(order), _json(shown), given.rater, given.seconds,
        given.note, _json(given.tags), None if guess is None else _json(guess), pairs_in(order),
        time.time() if at is None else at,
    )  # fmt: skip
    if pool == REPEAT:
        exclusion(link, seq, True)
    return seq, False


def replacement(link: sqlite3.Connection, given: Given, old: int) -> tuple[int, bool]:
    """The same for a ranking in the place of an older one, which is withdrawn with it; both are done, or neither."""
    earlier = _sent_before(link, given)
    if earlier:
        return earlier, True
    found = link.execute("SELECT comparison_id, rater FROM ranking WHERE seq = ?", (old,)).fetchone()
    if found != (given.comparison_id, given.rater):
        raise BadInput(
            f"Ranking {old} is not of these answers by {given.rater}, so nothing can take its place and this is NOT "
            "saved. Reload the page."
        )
    withdrawal(link, f"{INSTEAD}{given.key}", old)
    return ranking(link, given)


def restored(link: sqlite3.Connection, seq: int) -> int:
    """Brings back, under a new number, what a ranking that is withdrawn now had replaced; that number, or 0.

    Its key follows from the old one and from `seq`, so that it comes back once.
    """
    found = link.execute(
        'SELECT seq, key, comparison_id, "order", rater, seconds, note, tags, shown, guess, at FROM ranking '
        "WHERE seq = (SELECT ranking_seq FROM change WHERE key = ? || (SELECT key FROM ranking WHERE seq = ?))",
        (INSTEAD, seq),
    ).fetchone()
    if not found:
        return 0
    old, key, comparison_id, order, rater, seconds, note, tags, shown, guess, at = found
    given = Given(
        f"{key.split(BACK)[0][: KEY_CHARACTERS - 20]}{BACK}{seq}", comparison_id, as_order(json.loads(order)), rater,
        seconds, note, tuple(json.loads(tags)), tuple(json.loads(shown)), guess and tuple(json.loads(guess)),
    )  # fmt: skip
    new, already = ranking(link, given, at)
    if not already:
        exclusion(link, new, _is_excluded(link, old))
    return new


def _sent_before(link: sqlite3.Connection, given: Given) -> int | None:
    """The seq that this key has already; raises KeyReused when it belongs to another ranking."""
    found = link.execute(
        'SELECT seq, comparison_id, "order", rater, note, tags FROM ranking WHERE key = ?', (given.key,)
    ).fetchone()
    if not found:
        return None
    seq, comparison_id, order, rater, note, tags = found
    if given.content() != (comparison_id, same(json.loads(order)), rater, note, tuple(json.loads(tags))):
        raise KeyReused(
            f"This key already saved another ranking (number {seq}), so this one is NOT saved. "
            "Reload the page, which makes a new key, and rank again."
        )
    return seq


def _refuse_second(link: sqlite3.Connection, given: Given) -> None:
    earlier = link.execute(
        "SELECT seq FROM ranking r WHERE comparison_id = ? AND rater = ? AND NOT EXISTS "
        "(SELECT 1 FROM change WHERE ranking_seq = r.seq AND kind = 'withdraw')",
        (given.comparison_id, given.rater),
    ).fetchone()  # fmt: skip
    if earlier:
        raise AlreadyRanked(
            f"{given.rater} has already ranked these candidates (ranking {earlier[0]}), so this is NOT saved a second "
            "time. Undo the earlier ranking first to change it."
        )


def prompt(link: sqlite3.Connection, text: str, turns: Turns, source: str, wish: str = "") -> str:
    """The id that this source's prompt has, or a new one: `wish`, where it is free."""
    digest = hashlib.sha256(_json((text, turns)).encode()).digest()
    found = link.execute("SELECT id FROM prompt WHERE source = ? AND digest = ?", (source, digest)).fetchone()
    if found:
        return found[0]
    taken = wish and link.execute("SELECT 1 FROM prompt WHERE id = ?", (wish,)).fetchone()
    id = wish if wish and not taken else uuid.uuid4().hex
    insert(link, "prompt", id, text, _json(turns), source, digest, time.time())
    return id


def comparison(link: sqlite3.Connection, prompt_id: str, count: int, packed: tuple[str, bytes], pool: str,
               id: str = "", at: float | None = None) -> str:  # fmt: skip
    """Its id, which is new unless given."""
    if not link.execute("SELECT 1 FROM prompt WHERE id = ?", (str(prompt_id),)).fetchone():
        raise NotFound(f"There is no prompt {str(prompt_id)[:40]!r} here. Reload the page.")
    id = id or uuid.uuid4().hex
    insert(link, "comparison", id, str(prompt_id), count, *packed, pool, time.time() if at is None else at)
    return id


def withdrawal(link: sqlite3.Connection, key: str, seq: int) -> None:
    _known(link, seq)
    found = link.execute("SELECT ranking_seq FROM change WHERE key = ?", (key,)).fetchone()
    if found and found[0] != seq:
        raise KeyReused(f"This key already withdrew ranking {found[0]}, so ranking {seq} stands. Reload the page.")
    if (
        not found
        and not link.execute("SELECT 1 FROM change WHERE ranking_seq = ? AND kind = 'withdraw'", (seq,)).fetchone()
    ):
        insert(link, "change", key, seq, "withdraw", time.time())


def exclusion(link: sqlite3.Connection, seq: int, excluded: bool) -> None:
    """A repeat is left out from the start and stays out: its pairs are those of the first ranking."""
    _known(link, seq)
    pool = "SELECT pool FROM comparison WHERE id = (SELECT comparison_id FROM ranking WHERE seq = ?)"
    if not excluded and link.execute(pool, (seq,)).fetchone() == (REPEAT,):
        raise BadInput(f"Ranking {seq} repeats an earlier one, so it would count twice in training. It stays left out.")
    if _is_excluded(link, seq) != excluded:
        insert(link, "change", None, seq, "exclude" if excluded else "include", time.time())


def _is_excluded(link: sqlite3.Connection, seq: int) -> bool:
    question = "SELECT kind FROM change WHERE ranking_seq = ? AND kind != 'withdraw' ORDER BY seq DESC"
    return link.execute(question, (seq,)).fetchone() == ("exclude",)


def request(link: sqlite3.Connection, kind: str, payload: str) -> str:
    id = uuid.uuid4().hex
    insert(link, "request", id, kind, payload, time.time())
    return id


def same(order: Iterable[Iterable[int]]) -> list[list[int]]:
    """Orders that differ only in how a tie is written are the same ranking."""
    return [sorted(group) for group in order]


def _known(link: sqlite3.Connection, seq: int) -> None:
    whole = isinstance(seq, int) and abs(seq) <= LARGEST
    if not whole or not link.execute("SELECT 1 FROM ranking WHERE seq = ?", (seq,)).fetchone():
        raise NotFound(f"There is no ranking {seq!r:.40} in this workspace, so nothing was changed. Reload the page.")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
