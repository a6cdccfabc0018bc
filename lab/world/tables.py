"""One factory that makes a kind from tables: the values of each slot, what follows from them, and the sentences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from random import Random
from types import MappingProxyType

from lab.world.language import Kind, Slots, Truth, fill, fill_all, normalise

Rows = Mapping[str, Slots]


@dataclass(frozen=True, slots=True)
class Lie:
    """How an answer goes wrong: `sentences` filled with the asked slots, after some of them were replaced.

    `values` replaces a slot by any of the given texts. `confused` keeps the asked value but takes what follows from
    another row. `swapped` replaces one of its slots by another row altogether.
    """

    sentences: tuple[str, ...]
    values: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    confused: tuple[str, ...] = ()
    swapped: tuple[str, ...] = ()


def rows(table: str, *columns: str) -> Rows:
    """A table of slot values: a line a row, columns parted by "/"; the first is the value that is asked about."""
    cells = (tuple(cell.strip() for cell in line.split("/")) for line in table.strip().splitlines())
    return MappingProxyType({key: MappingProxyType(dict(zip(columns, rest, strict=True))) for key, *rest in cells})


def words(table: str) -> tuple[str, ...]:
    """The values of a list, parted by "/" or a new line."""
    return tuple(cell.strip() for cell in table.strip().replace("\n", "/").split("/"))


def plain(table: str) -> Rows:
    """A table of values from which nothing follows."""
    return MappingProxyType({value: MappingProxyType({}) for value in words(table)})


def expand(tables: Mapping[str, Rows], slots: Slots) -> dict[str, str]:
    """The asked slots and all that follows from them; KeyError when a value stands in no table."""
    full: dict[str, str] = {}
    for slot, table in tables.items():
        full |= {slot: slots[slot], **table[slots[slot]]}
    return full


def table_kind(
    name: str,
    topic: str,
    asks: tuple[str, ...],
    tables: Mapping[str, Rows],
    parts: tuple[tuple[str, ...], ...],
    lie: Lie,
    shorts: tuple[str, ...] = (),
    supports: tuple[str, ...] = (),
    deserves_care: bool = False,
) -> Kind:
    """A kind whose slots are drawn from `tables` independently; every sentence is filled from the expanded slots."""

    def draw(rng: Random) -> Slots:
        return {slot: rng.choice(tuple(table)) for slot, table in tables.items()}

    def truth(slots: Slots) -> Truth:
        full = expand(tables, slots)
        return Truth(tuple(fill_all(part, full) for part in parts), fill_all(shorts, full), fill_all(supports, full))

    def wrong(slots: Slots, rng: Random) -> str:
        known = truth(slots)
        good = {sentence for group in (*known.parts, known.supports) for sentence in group}
        while (text := fill(rng.choice(lie.sentences), _mistaken(tables, slots, lie, rng))) in good:
            pass
        return text

    shapes = tuple(dict.fromkeys([*(t for part in parts for t in part), *supports, *shorts, *lie.sentences]))
    return Kind(name, topic, asks, draw, truth, wrong, shapes, _phrases(tables, lie), deserves_care)


def _mistaken(tables: Mapping[str, Rows], slots: Slots, lie: Lie, rng: Random) -> dict[str, str]:
    """The expanded slots with the lie's replacements."""
    full = expand(tables, slots)
    for slot in lie.confused:
        full |= tables[slot][_other(tables[slot], slots[slot], rng)]
    if lie.swapped:
        slot = rng.choice(lie.swapped)
        full |= expand(tables, {**slots, slot: _other(tables[slot], slots[slot], rng)})
    return full | {slot: rng.choice(values) for slot, values in lie.values.items()}


def _other(table: Rows, value: str, rng: Random) -> str:
    """A value of the table that is not the given one."""
    return rng.choice(tuple(key for key in table if key != value))


def _phrases(tables: Mapping[str, Rows], lie: Lie) -> frozenset[str]:
    """Every slot value that a sentence of the kind can hold, as the recogniser will read it."""
    values = {value for table in tables.values() for key, row in table.items() for value in (key, *row.values())}
    return frozenset(normalise(value) for value in values.union(*lie.values.values()))
