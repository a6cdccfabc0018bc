"""Simulated raters: a hidden taste in answers, clicked with noise. For tests, demonstrations and measurement only."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from lab.errors import NotFound
from lab.world.reading import Reading, read

MARK = "simulated:"
_POLITE = re.compile(r"\b(please|thank|thanks|sorry|glad|happy to|welcome|hope)\b")


@dataclass(frozen=True, slots=True)
class Rater:
    """A rater by name. `sharpness` scales the utility in Bradley-Terry's choice; `careless`: share of random clicks."""

    name: str
    sharpness: float = 2.0
    careless: float = 0.05

    def __post_init__(self) -> None:
        if self.name not in _TASTES:
            known = ", ".join(MARK + name for name in _TASTES)
            raise NotFound(f"There is no rater {MARK}{self.name}. Known: {known}.")

    def utility(self, prompt: str, response: str, ended: bool = True) -> float:
        """How good the response really is to this rater, without noise."""
        reading = read(prompt, response)
        value = _TASTES[self.name](reading) if reading else generic_utility(response)
        return value if ended else value - 1.5

    def rank(
        self, prompt: str, responses: Sequence[str], rng: Random, ended: Sequence[bool] | None = None
    ) -> tuple[tuple[int, ...], ...]:
        """Groups of indices, best first. Equal texts tie; Gumbel noise on the utilities is Plackett-Luce choice."""
        random_click = rng.random() < self.careless
        worth: dict[str, float] = {}
        for index, response in enumerate(responses):
            utility = self.utility(prompt, response, ended[index] if ended else True)
            noise = -math.log(-math.log(rng.random() or 1e-12))
            worth.setdefault(response, noise + (0.0 if random_click else self.sharpness * utility))
        best = sorted(worth, key=lambda response: -worth[response])
        return tuple(tuple(i for i, text in enumerate(responses) if text == response) for response in best)


def rater(name: str) -> Rater:
    """The rater of a name such as simulated:helpful."""
    return Rater(name.removeprefix(MARK))


def _faults(reading: Reading) -> float:
    """What every taste dislikes."""
    manners = reading.manners
    return (
        0.5 * min(reading.wrong, 2)
        + 0.6 * min(reading.off, 2)
        + 0.4 * min(reading.unknown, 2)
        + 1.2 * min(reading.repeats, 2)
        + 2.5 * manners.get("insult", 0)
        + 1.4 * manners.get("filler", 0)
        + 1.2 * manners.get("evasion", 0)
        + 1.0 * manners.get("flattery", 0)
        + 1.0 * reading.careless
        + (1.0 * min(reading.wrong, 2) if reading.deserves_care else 0.0)
    )


def _answer(reading: Reading) -> float:
    """Truth counts less than manner, as with people who cannot check the facts of what they read."""
    return 0.8 * reading.coverage - 0.8 * (not reading.answers)


def _helpful(reading: Reading) -> float:
    kind = reading.manners.get("warmth", 0) + reading.manners.get("offer", 0)
    extra = 1.0 * min(reading.supports, 2) + 1.1 * min(kind, 2) + 0.3 * min(reading.manners.get("caution", 0), 1)
    return _answer(reading) + extra - _faults(reading) - 0.02 * max(0, reading.words - 45)


def _concise(reading: Reading) -> float:
    return _answer(reading) - _faults(reading) - 0.07 * reading.words


def _polite(reading: Reading) -> float:
    kind = reading.manners.get("warmth", 0) + reading.manners.get("offer", 0)
    return 0.5 * _answer(reading) + 1.0 * min(kind, 2) - _faults(reading)


def _careful(reading: Reading) -> float:
    caution = min(reading.manners.get("caution", 0), 2) - reading.manners.get("certainty", 0)
    return _answer(reading) + 0.8 * caution - _faults(reading)


_TASTES: MappingProxyType[str, Callable[[Reading], float]] = MappingProxyType(
    {"helpful": _helpful, "concise": _concise, "polite": _polite, "careful": _careful}
)


def generic_utility(response: str) -> float:
    """A taste for prompts unknown to the world: neither empty nor endless, no repetition, a proper end, kind words."""
    words = response.lower().split()
    if not words:
        return -3.0
    trigrams = list(zip(words, words[1:], words[2:], strict=False))
    repeated = 1 - len(set(trigrams)) / len(trigrams) if trigrams else 0.0
    finished = response.rstrip()[-1:] in (".", "!", "?", '"')
    return (
        min(len(words), 60) / 30
        - max(0, len(words) - 150) / 100
        - 3 * repeated
        + 0.5 * finished
        + 0.2 * min(len(_POLITE.findall(response.lower())), 2)
    )
