"""Sets of things that have something in common, and the sentences that name three of them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lab.world.things import Thing, of_group

MEMBERS = 8
ASKS = (
    "Name three {set}.",
    "Can you name three {set}?",
    "Give me three examples of {set}.",
    "I need three {set} for a quiz.",
    "Which three {set} come to mind?",
    "Please list three {set}.",
    "Tell me three {set}.",
    "Do you know three {set}?",
    "Think of three {set} for me.",
    "I am looking for three {set}.",
)
SAYS = (
    "Three {set} are {x}, {y} and {z}.",
    "You could name {x}, {y} and {z} as three {set}.",
    "Good examples of {set} are {x}, {y} and {z}.",
)
SHORTS = ("Try {x}, {y} and {z}.",)
MORE = ("You could also name {x}.", "Another answer for {set} would be {x}.")

# name; what a member does ("-" where nobody asks for it); group; relation; words of which one must stand in the
# value; words of which one must stand in an outsider's value, so that nothing doubtful is called wrong. Abilities
# stand after the relation "can" or "cannot".
TABLE = """
animals that can fly; can fly; animal; can; fly
animals that can swim; can swim; animal; can; swim
animals that can climb; can climb; animal; can; climb
animals that like to dig; can dig; animal; can; dig
animals that live in water; does live in water; animal; can; live in water
animals that lay eggs; does lay eggs; animal; can; lay eggs
animals that cannot fly; -; animal; cannot; fly
animals with feathers; does have feathers; animal; cover; feathers; fur wool hair skin shell scales
animals with scales; does have scales; animal; cover; scales; fur feathers wool hair
animals with a shell; does have a shell; animal; cover; shell; fur feathers wool hair
animals with fur; does have fur; animal; cover; fur; feathers scales shell skin
animals with six legs; does have six legs; animal; legs; six; no two four
animals with four legs; does have four legs; animal; legs; four; no two six eight ten
animals with two legs; does have two legs; animal; legs; two; no four six eight ten
animals without legs; -; animal; legs; no; two four six eight
animals that eat grass; does eat grass; animal; food; grass; zebras antelopes flies nectar seals squid clams
animals that eat fish; does eat fish; animal; food; fish; grass leaves nectar bamboo hay
animals that eat nuts or seeds; does eat nuts or seeds; animal; food; nuts seeds; seals clams zebras antelopes nectar
animals that eat nectar; does eat nectar; animal; food; nectar; fish meat grass seals zebras hay
animals that eat leaves; does eat leaves; animal; food; leaves; zebras antelopes flies nectar seals squid clams
animals that live in or by the sea; does live in or by the sea; animal; home; sea; \
farms deserts forests stables houses rainforests hives plains
animals that live on open plains; does live on open plains; animal; home; plains; \
sea ice rivers houses hives ponds coasts
animals that live near lakes or ponds; does live near lakes or ponds; animal; home; lakes ponds; \
deserts sea farms hives houses plains ice
animals with cubs as babies; does raise cubs; animal; young; cub; calf foal lamb chick duckling kitten puppy
animals with calves as babies; does raise calves; animal; young; calf; cub pup kitten chick puppy foal
animals with chicks as babies; does raise chicks; animal; young; chick; cub calf foal kitten pup puppy tadpole
green plants or foods; is green; food; colour; green; orange golden white blue
red plants or foods; is red; food; colour; red; yellow golden pale
white plants or foods; is white; food; colour; white; orange blue
yellow plants or foods; is yellow; food; colour; yellow; blue purple silver
foods that taste sweet; does taste sweet; food; taste; sweet; sour salty bitter strong savoury
foods that taste crunchy; does taste crunchy; food; taste; crunchy; soft creamy juicy rich
foods that grow on trees; does grow on trees; food; grows; trees; ground bushes vines lawns pods canes soil
foods that grow under the ground; does grow under the ground; food; grows; under; trees vines bushes canes lawns
good foods for a soup; -; food; use; soup; jam tart muffins
things made of steel; is made of steel; object; made_of; steel; wool cotton cloth paper clay wax foam
things made of wood; is made of wood; object; made_of; wood; wool cotton glass rubber wax foam wire cloth
things made of wool; is made of wool; object; made_of; wool; steel glass metal wood wax clay
things made of glass; is made of glass; object; made_of; glass; wool cotton rubber foam wax paper steel
things in a toolbox; does belong in a toolbox; object; place; toolbox; kitchen bed bathroom bedroom wall hall
things in a kitchen; does belong in a kitchen; object; place; kitchen; \
toolbox garage garden shed bathroom bedroom hall shirt
things with a handle; does have a handle; object; part; handle handles; \
cover edge pile hem sole wick lens point collar thumb
things with a blade or teeth; does have a blade or teeth; object; part; blade blades teeth; \
cover edge pile hem sole wick collar thumb bulb
vehicles that move on roads; does move on roads; vehicle; moves_on; roads; rails water air snow space
vehicles that move on water; does move on water; vehicle; moves_on; water; roads rails space snow fields
vehicles that need diesel; does need diesel; vehicle; power; diesel; pedals wind foot paddles arms jet push
string instruments; is a string instrument; instrument; family; string; wind brass percussion
wind instruments; is a wind instrument; instrument; family; wind; string percussion
brass instruments; is a brass instrument; instrument; family; brass; string percussion
percussion instruments; is a percussion instrument; instrument; family; percussion; string wind brass
"""


@dataclass(frozen=True, slots=True, eq=False)
class Set:
    """A named set: the plurals that are accepted as its members and those that surely do not belong to it.

    `does` is what a member does, with its auxiliary: "can fly", "does have fur", "is green". `things` and `others` are
    the countable members and outsiders themselves.
    """

    name: str
    does: str
    group: str
    members: tuple[str, ...]
    outsiders: tuple[str, ...]
    things: tuple[Thing, ...]
    others: tuple[Thing, ...]


@cache
def sets() -> tuple[Set, ...]:
    """Every set of the table."""
    return tuple(_set(*(cell.strip() for cell in line.split(";"))) for line in TABLE.strip().splitlines())


def _set(name: str, does: str, group: str, relation: str, inside: str, outside: str = "") -> Set:
    """The set that one row of the table describes."""
    things = tuple(thing for thing in of_group(group) if _has(thing, relation, inside))
    others = tuple(
        thing for thing in of_group(group) if thing not in things and _has_not(thing, relation, inside, outside)
    )
    return Set(
        name,
        does,
        group,
        _spread(_plurals(things)),
        _plurals(others),
        tuple(thing for thing in things if not thing.mass),
        tuple(thing for thing in others if not thing.mass),
    )


def _plurals(things: tuple[Thing, ...]) -> tuple[str, ...]:
    """The names for a list: names of several words could not be told apart in one."""
    return tuple(thing.plural for thing in things if " " not in thing.plural)


def _has(thing: Thing, relation: str, words: str) -> bool:
    """Whether the ability is known, or the relation's value has one of the words."""
    if relation in ("can", "cannot"):
        return words in (thing.can if relation == "can" else thing.cannot)
    return not frozenset(words.split()).isdisjoint(thing.facts.get(relation, "").split())


def _has_not(thing: Thing, relation: str, inside: str, outside: str) -> bool:
    """Whether it is sure that the thing does not belong."""
    if relation in ("can", "cannot"):
        return _has(thing, "cannot" if relation == "can" else "can", inside)
    return _has(thing, relation, outside)


def _spread(members: tuple[str, ...]) -> tuple[str, ...]:
    """At most `MEMBERS` of them, from the whole table: more would make the list of true answers very long."""
    count = min(MEMBERS, len(members))
    return tuple(members[i * len(members) // count] for i in range(count))
