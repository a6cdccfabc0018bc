"""What can be compared: which of two things is bigger, heavier or faster, and what a thing surely does or does not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from random import Random
from types import MappingProxyType

from lab.world.facts_lists import sets
from lab.world.things import BY_NAME, THINGS, Thing

ADJECTIVES = ("bigger", "smaller", "heavier", "lighter", "faster", "slower")
AUXILIARIES = ("can", "does", "is")
_LESS = frozenset(("smaller", "lighter", "slower"))
_CLEARLY_LONGER, _CLEARLY_HEAVIER, _CLEARLY_FASTER = 2, 3, 1.6
_NOT_LESS_SOLID = 1.5
_THIRD = MappingProxyType({"have": "has", "go": "goes"})


@dataclass(frozen=True, slots=True)
class Claim:
    """What can be claimed of a thing after an auxiliary, and the names of which it is surely true or false."""

    auxiliary: str
    phrase: str
    true: frozenset[str]
    false: frozenset[str]

    def holds(self, name: str) -> bool:
        """Whether the claim is true of the thing; KeyError when nobody is sure."""
        if name not in self.true | self.false:
            raise KeyError(name)
        return name in self.true

    @property
    def third(self) -> str:
        """The claim as it stands after a name: "can fly", "has fur", "is green"."""
        if self.auxiliary != "does":
            return f"{self.auxiliary} {self.phrase}"
        verb, _, rest = self.phrase.partition(" ")
        return f"{_THIRD.get(verb, verb + 's')} {rest}"


@cache
def claims() -> tuple[Claim, ...]:
    """Every claim, from the sets that lists are made of."""
    found = ((each.does.partition(" "), each) for each in sets() if each.does != "-")
    return tuple(Claim(aux, phrase, _names(each.things), _names(each.others)) for (aux, _, phrase), each in found)


@cache
def claims_after(auxiliary: str) -> Mapping[str, Claim]:
    """The claims that follow one auxiliary, by their phrase."""
    return MappingProxyType({claim.phrase: claim for claim in claims() if claim.auxiliary == auxiliary})


@cache
def comparable(adjective: str) -> tuple[Thing, ...]:
    """The things whose measure is known."""
    return tuple(thing for thing in THINGS if not thing.mass and _measure(adjective, thing))


def winner(adjective: str, x: str, y: str) -> tuple[Thing, Thing]:
    """The two things, the one that is bigger (heavier, slower, ...) first; KeyError when that is not clear."""
    one, other = BY_NAME[x], BY_NAME[y]
    for more, less in ((one, other), (other, one)):
        if _clearly_more(adjective, more, less):
            return (less, more) if adjective in _LESS else (more, less)
    raise KeyError(f"{x}, {y}")


def draw_pair(adjective: str, rng: Random) -> tuple[Thing, Thing]:
    """Two things of which one clearly has more, in any order."""
    while True:
        x, y = rng.sample(comparable(adjective), 2)
        if _clearly_more(adjective, x, y) or _clearly_more(adjective, y, x):
            return x, y


def _measure(adjective: str, thing: Thing) -> int:
    if adjective in ("bigger", "smaller"):
        return min(thing.size, thing.weight)
    return thing.weight if adjective in ("heavier", "lighter") else thing.speed


def _clearly_more(adjective: str, more: Thing, less: Thing) -> bool:
    """Whether nobody would doubt it: a long thin thing is bigger than another only when it is heavier as well."""
    if adjective in ("bigger", "smaller"):
        return more.size >= _CLEARLY_LONGER * less.size > 0 and more.weight >= _NOT_LESS_SOLID * less.weight > 0
    ratio = _CLEARLY_HEAVIER if adjective in ("heavier", "lighter") else _CLEARLY_FASTER
    return _measure(adjective, more) >= ratio * _measure(adjective, less) > 0


def _names(things: tuple[Thing, ...]) -> frozenset[str]:
    """Names of one word: in "does a polar bear eat fish" nothing marks where the name ends."""
    return frozenset(thing.name for thing in things if " " not in thing.name)


def denied(auxiliary: str) -> str:
    """The auxiliary with its "not"."""
    return "cannot" if auxiliary == "can" else f"{auxiliary} not"
