"""How facts are told: the templates of every relation, and true sentences about any thing."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from lab.world import facts_table
from lab.world.language import fill, normalise
from lab.world.things import Thing, of_group

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


@cache
def telling_all() -> tuple[str, ...]:
    """The templates that `told` fills for any group."""
    return tuple(dict.fromkeys(text for group in GROUPS for text in telling(group)))


@cache
def told_phrases() -> frozenset[str]:
    """Every name, plural and fact of the world."""
    return frozenset().union(*(values(group) for group in GROUPS))
