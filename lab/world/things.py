"""The things of the world and what is true of each: the table from which questions of fact and comparison are made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from lab.world import things_animals, things_foods, things_objects, things_world

ABILITIES: Mapping[str, str] = MappingProxyType(
    {"s": "swim", "f": "fly", "c": "climb", "d": "dig", "w": "live in water", "e": "lay eggs"}
)


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing. `mass` things take no article and have no plural; a size, weight or speed of 0 is never compared.

    `can` in `facts` follows the word "can", `use` follows "to", `home`, `grows`, `place`, `moves_on` and `when` bring
    their own preposition, `young` and `part` are singular nouns, and `why` is a clause that explains `can`.
    """

    name: str
    plural: str
    group: str
    facts: Mapping[str, str]
    mass: bool = False
    size: int = 0
    weight: int = 0
    speed: int = 0
    can: frozenset[str] = frozenset()
    cannot: frozenset[str] = frozenset()

    def __getitem__(self, relation: str) -> str:
        """The value of a relation; KeyError when it is not known of this thing."""
        return self.facts[relation]


def _abilities(letters: str) -> frozenset[str]:
    """The abilities that a run of letters stands for."""
    return frozenset(ABILITIES[letter] for letter in letters)


def _split_head(head: str) -> tuple[str, list[int], str]:
    """The name with its marks, the numbers after it, and the letters of abilities."""
    words = head.split()
    letters = words.pop() if ":" in words[-1] else ":"
    numbers = [int(word) for word in words if word.isdecimal()]
    return " ".join(word for word in words if not word.isdecimal()), numbers, letters


def _thing(row: str, group: str, fields: tuple[str, ...]) -> Thing:
    """One row of a table as a thing."""
    head, *values = row.split("|")
    name, numbers, letters = _split_head(head)
    mass = name.endswith("~")
    singular, _, plural = name.rstrip("~").partition("/")
    size, weight, speed = (numbers + [0, 0, 0])[:3]
    can, _, cannot = letters.partition(":")
    facts = {field: value for field, value in zip(fields, values, strict=True) if value != "-"}
    return Thing(
        singular,
        singular if mass else plural or singular + "s",
        group,
        MappingProxyType(facts),
        mass,
        size,
        weight,
        speed,
        _abilities(can),
        _abilities(cannot),
    )


def _table(rows: str, group: str, fields: tuple[str, ...]) -> tuple[Thing, ...]:
    """Every row of a table; a backslash at a line's end continues the row."""
    return tuple(_thing(row, group, fields) for row in rows.strip().splitlines())


THINGS: tuple[Thing, ...] = (
    *_table(things_animals.ROWS, "animal", things_animals.FIELDS),
    *_table(things_foods.ROWS, "food", things_foods.FIELDS),
    *_table(things_objects.OBJECTS, "object", things_objects.OBJECT_FIELDS),
    *_table(things_objects.VEHICLES, "vehicle", things_objects.VEHICLE_FIELDS),
    *_table(things_world.PLACES, "place", things_world.PLACE_FIELDS),
    *_table(things_world.INSTRUMENTS, "instrument", things_world.INSTRUMENT_FIELDS),
    *_table(things_world.WEATHER, "weather", things_world.WEATHER_FIELDS),
)

BY_NAME: Mapping[str, Thing] = MappingProxyType({thing.name: thing for thing in THINGS})


def of_group(*groups: str) -> tuple[Thing, ...]:
    """The things of these groups, in the order of the tables."""
    return tuple(thing for thing in THINGS if thing.group in groups)


def knowing(group: str, relation: str, mass: bool = False) -> tuple[Thing, ...]:
    """The countable (or, if asked, the mass) things of a group of which a relation is known."""
    return tuple(t for t in THINGS if t.group == group and t.mass is mass and relation in t.facts)
