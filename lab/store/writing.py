"""What each save does to the tables: rules that need the rows already there, checked inside the transaction."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from lab.errors import AlreadyRanked, KeyReused, NotFound
from lab.store.records import (
    PROMPT_CHARACTERS,
    Candidate,
    Order,
    Turns,
    as_order,
    checked_guess,
    checked_key,
    checked_order,
    checked_prompt,
    checked_rater,
    checked_shown,
    clean,
    finite,
    pack,
    pairs_in,
)
from lab.store.schema import insert

LARGEST = (1 << 63) - 1


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


def ranking(link: sqlite3.Connection, given: Given, at: float | None = None) -> tuple[int, bool]:
    """Its seq, and whether the same ranking was saved under the same key before."""
    earlier = _sent_before(link, given)
    if earlier:
        return earlier, True
    count = link.execute("SELECT count FROM comparison WHERE id = ?", (given.comparison_id,)).fetchone()
    if not count:
        raise NotFound(
            f"There is no comparison {given.comparison_id[:40]!r} here: the page is older than this workspace, so this "
            "is NOT saved. Reload the page."
        )
    order = checked_order(given.order, count[0])
    shown, guess = checked_shown(given.shown, count[0]), checked_guess(given.guess, count[0])
    _refuse_second(link, given)
    return insert(
        link, "ranking", given.key, given.comparison_id, _json(order), _json(shown), given.rater, given.seconds,
        given.note, _json(given.tags), None if guess is None else _json(guess), pairs_in(order),
        time.time() if at is None else at,
    ), False  # fmt: skip


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


def prompt(link: sqlite3.Connection, text: str, turns: Turns, source: str) -> str:
    said = _json(turns)
    digest = hashlib.sha256(_json((text, turns)).encode()).digest()
    found = link.execute("SELECT id FROM prompt WHERE source = ? AND digest = ?", (source, digest)).fetchone()
    if found:
        return found[0]
    id = uuid.uuid4().hex
    insert(link, "prompt", id, text, said, source, digest, time.time())
    return id


def comparison(link: sqlite3.Connection, prompt_id: str, count: int, packed: tuple[str, bytes], pool: str) -> str:
    if not link.execute("SELECT 1 FROM prompt WHERE id = ?", (str(prompt_id),)).fetchone():
        raise NotFound(f"There is no prompt {str(prompt_id)[:40]!r} here. Reload the page.")
    id = uuid.uuid4().hex
    insert(link, "comparison", id, str(prompt_id), count, *packed, pool, time.time())
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
    _known(link, seq)
    kind = "exclude" if excluded else "include"
    newest = link.execute(
        "SELECT kind FROM change WHERE ranking_seq = ? AND kind != 'withdraw' ORDER BY seq DESC", (seq,)
    ).fetchone()
    if (newest[0] if newest else "include") != kind:
        insert(link, "change", None, seq, kind, time.time())


def request(link: sqlite3.Connection, kind: str, payload: str) -> str:
    id = uuid.uuid4().hex
    insert(link, "request", id, kind, payload, time.time())
    return id


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an import, ready to store."""

    key: str
    text: str
    turns: Turns
    source: str
    packed: tuple[str, bytes]
    count: int
    order: Order
    rater: str
    note: str


def imported(rows: Iterable[tuple], rater: str, source: str) -> list[Row]:
    """Checked rows with keys made from what they say: the second import of a file finds its keys taken."""
    rater, source = checked_rater(rater), clean(source, "The source", 200)
    seen, ready = Counter(), []
    for asked, texts, order, note in rows:
        text, turns = said(asked)
        order, note = checked_order(as_order(order), len(texts)), clean(note, "The note")
        packed = pack([Candidate(words, "import") for words in texts])
        content = _json((source, rater, text, turns, list(texts), order, note))
        seen[content] += 1
        key = "import:" + hashlib.sha256(f"{seen[content]} {content}".encode()).hexdigest()
        ready.append(Row(key, text, turns, source, packed, len(texts), order, rater, note))
    return ready


def imported_row(link: sqlite3.Connection, row: Row) -> bool:
    """True when the row was new."""
    if link.execute("SELECT 1 FROM ranking WHERE key = ?", (row.key,)).fetchone():
        return False
    prompt_id = prompt(link, row.text, row.turns, row.source)
    comparison_id = comparison(link, prompt_id, row.count, row.packed, "import")
    ranking(link, Given(row.key, comparison_id, row.order, row.rater, 0.0, row.note, (), (), None))
    return True


def said(asked: str | Sequence[Mapping[str, str]]) -> tuple[str, Turns]:
    """A prompt as readable text, and as turns where it is more than one message of a user."""
    if isinstance(asked, str):
        return checked_prompt(asked), ()
    turns = tuple((str(turn["role"]), clean(turn["content"], "A turn", PROMPT_CHARACTERS)) for turn in asked)
    if len(turns) == 1 and turns[0][0] == "user":
        return checked_prompt(turns[0][1]), ()
    readable = "\n\n".join(f"{role.capitalize()}: {words}" for role, words in turns)
    return checked_prompt(readable[:PROMPT_CHARACTERS]), turns


def same(order: Iterable[Iterable[int]]) -> list[list[int]]:
    """Orders that differ only in how a tie is written are the same ranking."""
    return [sorted(group) for group in order]


def _known(link: sqlite3.Connection, seq: int) -> None:
    whole = isinstance(seq, int) and abs(seq) <= LARGEST
    if not whole or not link.execute("SELECT 1 FROM ranking WHERE seq = ?", (seq,)).fetchone():
        raise NotFound(f"There is no ranking {seq!r:.40} in this workspace, so nothing was changed. Reload the page.")


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
