"""How often one policy won against another, with the interval that so few duels leave open."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from lab.config import TUNING
from lab.store import Candidate, Ranking
from lab.ui.desk import LIVE
from lab.workspace import SHIPPED, Workspace

Z95 = 1.959964
Speaker = tuple[str, bool]


def wilson(share: float, count: int, z: float = Z95) -> tuple[float, float]:
    """Wilson's interval for a share of `count` trials (Wilson 1927); (0, 1) when there was none."""
    if not count:
        return 0.0, 1.0
    middle = (share + z * z / (2 * count)) / (1 + z * z / count)
    half = z * math.sqrt(share * (1 - share) / count + z * z / (4 * count * count)) / (1 + z * z / count)
    return max(0.0, middle - half), min(1.0, middle + half)


def speaker(workspace: Workspace, policy: str, base: Mapping[str, Any] | None = None) -> Speaker:
    """Who speaks under this name now: a run, or base, sft or a checkpoint, and whether it is still in training."""
    if policy == "policy":
        names = (run.name for run in reversed(workspace.runs()) if run.stage in TUNING and run.status() in LIVE)
        return next(names, policy), True
    if policy == SHIPPED:
        return "sft", False
    newest = workspace.newest("sft", base=base) if policy == "sft" else None
    return newest.name if newest else policy, False


def spoke(candidate: Candidate) -> Speaker:
    """Who gave this answer: a run has a step of its own, or @0 behind its name, only while it is trained.

    Rows of an older lab have the name that was asked for, or no @0, which tells less: they count as they did.
    """
    name, _, step = candidate.policy.partition("@")
    return (name, True) if step == "0" else (candidate.policy, bool(candidate.step) and not step)


def tally(rankings: Iterable[Ranking], a: Speaker, b: Speaker) -> dict[str, Any]:
    """Duels of people between these two: wins of `a`, of `b`, ties, and a's win rate, where a tie counts half."""
    wins = losses = ties = 0
    for each in rankings:
        names = [spoke(candidate) for candidate in each.comparison.candidates]
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
