"""Rankings that come from elsewhere: rows of a file, and whole rankings of another workspace."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from lab.errors import BadInput, LabError
from lab.store.batches import come_again
from lab.store.records import (
    POOLS,
    PROMPT_CHARACTERS,
    Candidate,
    Order,
    Ranking,
    Turns,
    as_order,
    checked_key,
    checked_order,
    checked_prompt,
    checked_rater,
    clean,
    finite,
    pack,
    readable,
)
from lab.store.schema import insert
from lab.store.writing import Given, comparison, prompt, ranking


@dataclass(frozen=True, slots=True)
class Row:
    """A row of an import, ready to store; where one of its keys is taken, it is there already."""

    keys: tuple[str, str]
    text: str
    turns: Turns
    source: str
    packed: tuple[str, bytes]
    count: int
    order: Order
    rater: str
    note: str


def prepared(rows: Iterable[tuple], rater: str, source: str) -> list[Row | LabError]:
    """Each row checked, or why it cannot be imported; a row may name a rater of its own behind the note.

    Keys are made from what the rows say, so that the second import of a file finds its keys taken.
    """
    source, seen, ready = clean(source, "The source", 200), Counter(), []
    for row in rows:
        try:
            ready.append(_prepared(row, rater, source, seen))
        except LabError as problem:
            ready.append(problem)
    return ready


def _prepared(row: tuple, rater: str, source: str, seen: Counter) -> Row:
    asked, texts, order, note, *own = row
    by = checked_rater(own[0] if own and own[0] else rater)
    text, turns = said(asked)
    order, note = checked_order(as_order(order), len(texts)), clean(note, "The note")
    packed = pack([Candidate(words, "import") for words in texts])
    content = by, text, turns, list(texts), order, note
    seen[_json(content)] += 1
    # The second key is that of an older lab, for which the same file under another name was another one.
    keys = tuple(_key(seen[_json(content)], each) for each in (content, (source, *content)))
    return Row(keys, text, turns, source, packed, len(texts), order, by, note)


def _key(time: int, content: tuple) -> str:
    return "import:" + hashlib.sha256(f"{time} {_json(content)}".encode()).hexdigest()


def imported_row(link: sqlite3.Connection, row: Row) -> bool:
    """True when the row was new, or had been taken back with its import."""
    keys = [come_again(link, key) for key in row.keys]
    if link.execute("SELECT 1 FROM ranking WHERE key IN (?, ?)", keys).fetchone():
        return False
    prompt_id = prompt(link, row.text, row.turns, row.source)
    comparison_id = comparison(link, prompt_id, row.count, row.packed, "import")
    ranking(link, Given(keys[0], comparison_id, row.order, row.rater, 0.0, row.note, (), (), None))
    return True


def said(asked: str | Sequence[Mapping[str, str]]) -> tuple[str, Turns]:
    """A prompt as readable text, and as turns where it is more than one message of a user."""
    if isinstance(asked, str):
        return checked_prompt(asked), ()
    turns = tuple((str(turn["role"]), clean(turn["content"], "A turn", PROMPT_CHARACTERS)) for turn in asked)
    text = readable([{"role": role, "content": words} for role, words in turns])
    alone = len(turns) == 1 and turns[0][0] == "user"
    return checked_prompt(text[:PROMPT_CHARACTERS]), () if alone else turns


@dataclass(frozen=True, slots=True)
class Copy:
    """A ranking of another workspace, checked and ready to store as it stands."""

    ranking: Ranking
    given: Given
    packed: tuple[str, bytes]
    source: str

    @classmethod
    def checked(cls, ranking: Ranking, source: str) -> Copy:
        """Raises what `rank` and `add_comparison` would raise for the same parts."""
        compared = ranking.comparison
        checked_prompt(compared.prompt)
        if compared.pool not in POOLS:
            raise BadInput(f"{compared.pool!r:.40} is no pool of comparisons. There are {', '.join(POOLS)}.")
        for id in (compared.id, compared.prompt_id):
            checked_key(id)
        gone = None if ranking.withdrawn_at is None else finite(ranking.withdrawn_at, "A time", 0.0)
        compared = replace(compared, at=finite(compared.at, "A time", 0.0))
        ranking = replace(ranking, comparison=compared, at=finite(ranking.at, "A time", 0.0), withdrawn_at=gone)
        given = Given.checked(
            ranking.key, compared.id, ranking.order, ranking.rater, ranking.seconds, ranking.note, ranking.tags,
            ranking.shown, ranking.guess,
        )  # fmt: skip
        return cls(ranking, given, pack(compared.candidates), clean(source, "The source", 200))


def copied(link: sqlite3.Connection, copy: Copy) -> bool | LabError:
    """True when it was new here, or had been taken back with its import; False when it was here already; or why it
    cannot stand here, and then nothing is left."""
    link.execute("SAVEPOINT copy")
    try:
        outcome = _copied(link, copy)
    except LabError as problem:
        link.execute("ROLLBACK TO copy")
        outcome = problem
    link.execute("RELEASE copy")
    return outcome


def _copied(link: sqlite3.Connection, copy: Copy) -> bool:
    own, compared = copy.ranking, copy.ranking.comparison
    prompt_id = prompt(link, compared.prompt, compared.turns, copy.source, compared.prompt_id)
    found = link.execute("SELECT candidates, ids FROM comparison WHERE id = ?", (compared.id,)).fetchone()
    if found and found != copy.packed:
        raise BadInput(f"Comparison {compared.id[:40]} exists here with other answers.")
    if not found:
        comparison(link, prompt_id, len(compared.candidates), copy.packed, compared.pool, compared.id, compared.at)
    given = replace(copy.given, key=come_again(link, copy.given.key))
    seq, already = ranking(link, given, own.at, undone=own.withdrawn_at is not None)
    if not already and own.withdrawn_at is not None:
        insert(link, "change", None, seq, "withdraw", own.withdrawn_at)
    if not already and own.excluded:
        insert(link, "change", None, seq, "exclude", own.at)
    return not already


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
