"""Self-consistency: now and then answers that a person has ranked come back, shuffled and unmarked."""

from __future__ import annotations

import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field

from lab.store import Candidate, Comparison, Store
from lab.store.records import REPEAT
from lab.ui.rank.guess import Order, agreement

# Rankings before the first repeat, and how many of the newest are still fresh in mind.
FEWEST, FRESH = 10, 5
KEPT = ("rank", REPEAT)
Kind = tuple[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class Known:
    """One ranking of a person: the answers in their order of display, and how they were put in order.

    `kind` is what a repeat has in common with its first ranking.
    """

    pool: str
    comparison: str
    prompt: str
    texts: tuple[str, ...]
    order: Order
    kind: Kind = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "kind", (self.prompt, tuple(sorted(self.texts))))


class Repeats:
    """What each rater has ranked, filled from the store on first use; thread-safe."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, dict[int, Known]] | None = None

    def add(self, rater: str, seq: int, given: Known) -> None:
        with self._lock:
            self._book().setdefault(rater, {})[seq] = given

    def drop(self, rater: str, seq: int) -> None:
        with self._lock:
            self._book().get(rater, {}).pop(seq, None)

    def due(self, rater: str, every: int) -> Known | None:
        """A ranking to be repeated now, when `every` new ones have been made since the last repeat; 0 is never."""
        with self._lock:
            mine = list(self._book().get(rater, {}).values())
        first = [each for each in mine if each.pool != REPEAT]
        since = next((n for n, each in enumerate(reversed(mine)) if each.pool == REPEAT), len(mine))
        if not every or len(first) < FEWEST or since < every:
            return None
        seen = {each.kind for each in mine if each.pool == REPEAT}
        fit = [each for each in first[:-FRESH] if each.kind not in seen and _tells_something(each)]
        return random.choice(fit) if fit else None

    def total(self, rater: str) -> tuple[float, int]:
        """(pairs ordered as the first time, pairs) over all repeats of a rater."""
        with self._lock:
            mine = list(self._book().get(rater, {}).values())
        first = _firsts(mine)
        found = [_same(each, first.get(each.kind)) for each in mine if each.pool == REPEAT]
        return sum(agreed for agreed, _ in found), sum(pairs for _, pairs in found)

    def of(self, rater: str, seq: int) -> tuple[float, int]:
        """The same for one repeat; (0, 0) for any other ranking."""
        with self._lock:
            mine = dict(self._book().get(rater, {}))
        asked = mine.get(seq)
        if asked is None or asked.pool != REPEAT:
            return 0.0, 0
        return _same(asked, _firsts(list(mine.values())).get(asked.kind))

    def _book(self) -> dict[str, dict[int, Known]]:
        if self._known is None:
            self._known = {}
            for each in self._store.rankings(pools=KEPT, ids=False):
                if counts(each.comparison, each.order):
                    self._known.setdefault(each.rater, {})[each.seq] = known(each.comparison, each.order)
        return self._known


def counts(compared: Comparison, order: Order) -> bool:
    """Whether a ranking goes into the book: a skipped repeat does, or it would be due again at once."""
    return compared.pool == REPEAT or compared.pool == "rank" and bool(order)


def known(compared: Comparison, order: Order) -> Known:
    texts = tuple(each.text for each in compared.candidates)
    return Known(compared.pool, compared.id, compared.prompt_id, texts, order)


def reshuffled(candidates: Sequence[Candidate], rng: random.Random) -> list[Candidate]:
    """The same candidates in an order of display that differs from theirs."""
    found = list(candidates)
    while len(found) > 1 and found == list(candidates):
        rng.shuffle(found)
    return found


def _tells_something(each: Known) -> bool:
    """Whether it has an order, and answers that can be told apart."""
    return len(each.order) > 1 and len(set(each.texts)) == len(each.texts)


def _firsts(mine: Sequence[Known]) -> dict[Kind, Known]:
    """The first ranking of each kind, in one walk: a search for each repeat would grow with the square."""
    return {each.kind: each for each in reversed(mine) if each.pool != REPEAT}


def _same(repeat: Known, first: Known | None) -> tuple[float, int]:
    """(pairs that the repeat orders as the first ranking did, pairs of that); a tie now counts half."""
    if first is None or not repeat.order:
        return 0.0, 0
    places = {repeat.texts[index]: -place for place, group in enumerate(repeat.order) for index in group}
    return agreement(first.order, [places[text] for text in first.texts])
