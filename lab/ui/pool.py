"""Where candidates come from: the settings of a board, checked, and how its policies are dealt."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any

from lab.config import TEMPERATURE, check, knob
from lab.errors import BadInput, NotFound
from lab.ui.prompts import CHOICES

MIX = "mix"
POLICY = re.compile(r"base|sft|shipped|policy|mix|\d{4,9}-[a-z][a-z0-9]{0,31}(@\d{1,9})?")


@dataclass(frozen=True, slots=True)
class Sampling:
    """The knobs of a board."""

    count: int = knob(4, "answers to each prompt", low=2, high=8, shown=True)
    prompts: str = knob("both", "built-in prompts, your own, or both with yours first", choices=CHOICES, shown=True)
    temperature: float = knob(TEMPERATURE, "how varied the answers are", low=0.05, high=2.0, shown=True)
    tokens: int = knob(72, "longest answer in tokens", low=8, high=512, shown=True)
    repeats: int = knob(10, "rankings until one of yours comes back unmarked, as a test; 0: never", low=0, high=1000)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True)
class Pool:
    """Boards with equal settings share what is made ahead. `kind`: rank, or duel between `source` and `against`."""

    kind: str = "rank"
    source: str = "sft"
    against: str = ""
    sampling: Sampling = field(default_factory=Sampling)

    def __post_init__(self) -> None:
        if self.kind not in ("rank", "duel"):
            raise BadInput("A board ranks, or it is a duel.")
        for policy in (self.source, self.against) if self.kind == "duel" else (self.source,):
            if not isinstance(policy, str) or not POLICY.fullmatch(policy):
                raise BadInput(f"{str(policy)[:40]!r} is not a policy.")


def read_pool(found: object) -> Pool:
    """A browser's settings; what it leaves out has the usual value."""
    given = found if isinstance(found, dict) else {}
    knobs: dict[str, Any] = {each.name: given[each.name] for each in fields(Sampling) if each.name in given}
    if type(knobs.get("temperature")) is int:
        knobs["temperature"] = float(knobs["temperature"])
    if given.get("kind") == "duel":
        knobs["count"] = 2
    names = {name: given[name] for name in ("kind", "source", "against") if name in given}
    return Pool(**names, sampling=Sampling(**knobs))


def deal(pool: Pool, known: Sequence[str], rng: random.Random) -> tuple[str, ...]:
    """One policy for each candidate, in the order of display, shuffled here so that the position tells nothing."""
    count = pool.sampling.count
    if pool.kind == "duel":
        dealt = [pool.source, pool.against]
    elif pool.source == MIX:
        # Newest first and round and round, so that each policy appears while there are enough candidates.
        dealt = [known[-1 - n % len(known)] for n in range(count)]
    else:
        dealt = [pool.source] * count
    for policy in dealt:
        if policy.partition("@")[0] not in known:
            raise NotFound(f"There is no policy {policy!r} now. Choose another source of answers.")
    rng.shuffle(dealt)
    return tuple(dealt)
