"""Questions of fact: what is so, why it is so, and which three things have something in common."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import permutations
from random import Random

from lab.world import facts_lists, facts_table
from lab.world.facts_lists import Set
from lab.world.language import Kind, Slots, Truth, fill, fill_all, normalise
from lab.world.things import Thing, knowing, of_group

GROUPS = ("animal", "food", "object", "vehicle", "place", "instrument", "weather")
_SMALL_WORDS = frozenset(
    ("a", "an", "and", "are", "at", "by", "in", "is", "it", "its", "of", "on", "or", "the", "to", "very", "with")
)


@dataclass(frozen=True, slots=True)
class Spec:
    """One relation of one group: how it is asked, told and lied about."""

    group: str
    relation: str
    asks: tuple[str, ...]
    says: tuple[str, ...]
    shorts: tuple[str, ...]
    lies: tuple[str, ...]
    classes: tuple[frozenset[str], ...]

    def lies_about(self, thing: Thing) -> tuple[str, ...]:
        """The values that are surely not true of the thing."""
        known = thing[self.relation]
        values = self.lies or tuple(t[self.relation] for t in of_group(self.group) if self.relation in t.facts)
        return tuple(value for value in dict.fromkeys(values) if self._differ(known, value))

    def _differ(self, one: str, other: str) -> bool:
        """The two values share no content word and no class of words."""
        first, second = (frozenset(value.split()) - _SMALL_WORDS for value in (one, other))
        return not first & second and not any(first & words and second & words for words in self.classes)


def _spec(block: str) -> Spec:
    """A block of the table as a spec."""
    head, *lines = block.strip().splitlines()
    group, relation = head.split()

    def of(mark: str) -> tuple[str, ...]:
        return tuple(text for line in lines if line[0] == mark for text in line[2:].split(" / "))

    framed = tuple(
        frame.replace("{q}", clause)
        for i, clause in enumerate(of("~"))
        for frame in facts_table.FRAMES[i % len(facts_table.FRAMES)]
    )
    classes = tuple(frozenset(words.split()) for line in of("#") for words in line.split(";"))
    return Spec(group, relation, of("?") + framed, of("="), of("-"), of("!"), classes)


@cache
def specs(group: str) -> tuple[Spec, ...]:
    """What can be asked about the things of a group, the reason why first."""
    why = _spec(f"{group} why{facts_table.WHY}")
    told = (_spec(block) for block in facts_table.TABLE.strip().split("\n\n"))
    return (why, *(spec for spec in told if spec.group == group))


def for_mass(templates: tuple[str, ...]) -> tuple[str, ...]:
    """The templates for things without article and plural."""
    return tuple(text.replace("{a_thing}", "{thing}") for text in templates if "{plural}" not in text)


def known_of(thing: Thing) -> dict[str, str]:
    """Everything that a template can say of a thing."""
    return {"thing": thing.name, "plural": thing.plural, **thing.facts}


def told(thing: Thing, besides: tuple[str, ...] = (), limit: int = 4) -> tuple[str, ...]:
    """Some true sentences about a thing, none of them about the relations `besides`."""
    told_by = (s for s in specs(thing.group) if s.relation in thing.facts and s.relation not in besides)
    return tuple(fill(_first(spec, thing.mass), known_of(thing)) for spec in tuple(told_by)[:limit])


def telling(group: str) -> tuple[str, ...]:
    """The templates that `told` fills."""
    return tuple(dict.fromkeys(_first(spec, mass) for spec in specs(group) for mass in (False, True)))


def _first(spec: Spec, mass: bool) -> str:
    return for_mass(spec.says)[0] if mass else spec.says[0]


@cache
def values(group: str) -> frozenset[str]:
    """Every name, plural and fact of a group, as a recogniser reads it."""
    return frozenset(normalise(value) for thing in of_group(group) for value in known_of(thing).values())


def fact_kind(spec: Spec, mass: bool) -> Kind:
    """The kind of one relation, for countable things or for stuffs."""
    things = {thing.name: thing for thing in knowing(spec.group, spec.relation, mass)}
    asks, says, shorts = (for_mass(t) if mass else t for t in (spec.asks, spec.says, spec.shorts))
    lying = tuple(text for text in says if "{plural}" not in text)
    asked = ("thing", "can") if spec.relation == "why" else ("thing",)

    def draw(rng: Random) -> Slots:
        known = known_of(rng.choice(tuple(things.values())))
        return {slot: known[slot] for slot in asked}

    def truth(slots: Slots) -> Truth:
        known = _checked(known_of(things[slots["thing"]]), slots)
        return Truth((fill_all(says, known),), fill_all(shorts, known), told(things[slots["thing"]], (spec.relation,)))

    def wrong(slots: Slots, rng: Random) -> str:
        thing = things[slots["thing"]]
        return fill(rng.choice(lying), {**known_of(thing), spec.relation: rng.choice(spec.lies_about(thing))})

    shapes = tuple(dict.fromkeys((*says, *shorts, *telling(spec.group))))
    phrases = values(spec.group) | frozenset(normalise(lie) for lie in spec.lies)
    topic = f"{spec.group} {spec.relation}" + (", stuffs" if mass else "")
    name = "why" if spec.relation == "why" else "fact"
    return Kind(name, topic, asks, draw, truth, wrong, shapes, phrases)


def _checked(known: dict[str, str], slots: Slots) -> dict[str, str]:
    """What is known; KeyError when the question takes something else for granted."""
    for slot, value in slots.items():
        if known[slot] != value:
            raise KeyError(value)
    return known


@cache
def _list_truth(found: Set) -> Truth:
    """Every choice and order of three members, in every wording: thousands of sentences, so made once."""
    slots = tuple({"set": found.name, "x": x, "y": y, "z": z} for x, y, z in permutations(found.members, 3))
    wordings = tuple(fill(text, each) for text in facts_lists.SAYS for each in slots)
    shorts = tuple(fill(text, each) for text in facts_lists.SHORTS for each in slots)
    supports = tuple(fill(text, {"set": found.name, "x": x}) for text in facts_lists.MORE for x in found.members)
    return Truth((wordings,), shorts, supports)


def _list_kind(group: str) -> Kind:
    """The kind that asks for three members of a set."""
    sets = {found.name: found for found in facts_lists.sets() if found.group == group}

    def draw(rng: Random) -> Slots:
        return {"set": rng.choice(tuple(sets))}

    def truth(slots: Slots) -> Truth:
        return _list_truth(sets[slots["set"]])

    def wrong(slots: Slots, rng: Random) -> str:
        found = sets[slots["set"]]
        named = [*rng.sample(found.members, 2), rng.choice(found.outsiders)]
        rng.shuffle(named)
        return fill(rng.choice(facts_lists.SAYS), {"set": found.name, **dict(zip("xyz", named, strict=True))})

    shapes = facts_lists.SAYS + facts_lists.SHORTS + facts_lists.MORE
    words = frozenset(word for s in sets.values() for word in (s.name, *s.members, *s.outsiders))
    return Kind("list", group, facts_lists.ASKS, draw, truth, wrong, shapes, words)


KINDS: tuple[Kind, ...] = (
    *(fact_kind(spec, False) for group in GROUPS for spec in specs(group) if knowing(group, spec.relation)),
    *(fact_kind(spec, True) for group in ("food", "weather") for spec in specs(group)),
    fact_kind(specs("object")[0], True),
    *(_list_kind(group) for group in dict.fromkeys(found.group for found in facts_lists.sets())),
)
