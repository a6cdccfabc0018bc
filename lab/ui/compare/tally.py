"""How often one policy won against another, with the interval that so few duels leave open."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from lab.store import Ranking

Z95 = 1.959964


def wilson(share: float, count: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a share of `count` trials (Wilson 1927); (0, 1) when there was none."""
    if not count:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def tally(rankings: Iterable[Ranking], a: str, b: str) -> dict[str, Any]:
    """Duels of people between these two: wins of `a`, of `b`, ties, and a's win rate, where a tie counts half."""
    wins = losses = ties = 0
    for each in rankings:
        names = [candidate.policy for candidate in each.comparison.candidates]
        if each.simulated or not each.order or sorted(names) != sorted((a, b)):
            continue
        ties += len(each.order) == 1
        if len(each.order) == 2:
            best = names[each.order[0][0]]
            wins, losses = wins + (best == a), losses + (best == b)
    count = wins + losses + ties
    rate = (wins + ties / 2) / count if count else None
    low, high = wilson(rate or 0.0, count)
    return {"wins": wins, "losses": losses, "ties": ties, "count": count, "rate": rate, "low": low, "high": high}
