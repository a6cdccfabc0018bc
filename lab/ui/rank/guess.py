"""How far the reward model's guess agrees with a person: pairs that both put in the same order."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from lab.store import Store

Order = Sequence[Sequence[int]]


def agreement(order: Order, scores: Sequence[float] | None) -> tuple[float, int]:
    """(pairs on which they agree, pairs that the person ordered); equal scores count half, a tie not at all."""
    if scores is None:
        return 0.0, 0
    agreed, pairs = 0.0, 0
    for place, group in enumerate(order):
        worse = [index for later in order[place + 1 :] for index in later]
        for better in group:
            pairs += len(worse)
            agreed += sum(
                0.5 * ((scores[better] > scores[other]) + (scores[better] >= scores[other])) for other in worse
            )
    return agreed, pairs


class Agreement:
    """The running total of each rater; thread-safe, filled from the store on first use."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, dict[int, tuple[float, int]]] | None = None

    def add(self, rater: str, seq: int, order: Order, scores: Sequence[float] | None) -> None:
        with self._lock:
            self._book().setdefault(rater, {})[seq] = agreement(order, scores)

    def drop(self, rater: str, seq: int) -> None:
        with self._lock:
            self._book().get(rater, {}).pop(seq, None)

    def total(self, rater: str) -> tuple[float, int]:
        with self._lock:
            found = list(self._book().get(rater, {}).values())
        return sum(agreed for agreed, _ in found), sum(pairs for _, pairs in found)

    def _book(self) -> dict[str, dict[int, tuple[float, int]]]:
        if self._known is None:
            self._known = {}
            for each in self._store.rankings(pools=("rank",), ids=False):
                self._known.setdefault(each.rater, {})[each.seq] = agreement(each.order, each.guess)
        return self._known
