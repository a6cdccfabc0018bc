"""Questions of fact: what is so, why it is so, and which three things have something in common."""

from __future__ import annotations

from functools import cache
from itertools import permutations
from random import Random

from lab.world import facts_lists
from lab.world.facts_lists import Set
from lab.world.language import Kind, Slots, Truth, fill, fill_all, normalise
from lab.world.things import knowing
from lab.world.told import GROUPS, Spec, for_mass, known_of, specs, telling, told, values


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
