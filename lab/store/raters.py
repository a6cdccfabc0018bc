"""Whose rankings a model learns from, where people and simulated raters have ranked in one workspace."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from lab.store.records import SIMULATED

PERSON, ALL = "person", "all"


def meant(raters: Collection[str], asked: str = "") -> str:
    """Who was asked for; where nobody said, the only rater there is, and else the people."""
    if asked:
        return asked
    return next(iter(raters)) if len(raters) == 1 else PERSON


def is_meant(rater: str, whose: str) -> bool:
    """`whose` is person for all people, all for everybody, or a rater's name."""
    if whose == ALL:
        return True
    return not rater.startswith(SIMULATED) if whose == PERSON else rater == whose


def learnable(counts: Mapping[str, Any], asked: str = "") -> tuple[int, int]:
    """(rankings, pairs) that a model would learn from, of what `Store.counts` says."""
    whose = meant(counts["raters"], asked)
    chosen = [rater for rater in counts["raters"] if is_meant(rater, whose)]
    return sum(counts["raters"][rater] for rater in chosen), sum(counts["pairs_of"][rater] for rater in chosen)
