"""Every kind of request that the world knows, gathered from the files that define them."""

from __future__ import annotations

from functools import cache

from lab.world import kinds_care, kinds_compare, kinds_facts, kinds_people, kinds_stories, kinds_tasks, kinds_words
from lab.world.language import Kind

KINDS: tuple[Kind, ...] = (
    *kinds_facts.KINDS,
    *kinds_compare.KINDS,
    *kinds_tasks.KINDS,
    *kinds_words.KINDS,
    *kinds_people.KINDS,
    *kinds_stories.KINDS,
    *kinds_care.KINDS,
)


@cache
def names() -> tuple[str, ...]:
    """The names of the kinds, each once, in the order of their definition."""
    return tuple(dict.fromkeys(kind.name for kind in KINDS))


@cache
def by_name(name: str) -> tuple[Kind, ...]:
    """All topics of one kind."""
    return tuple(kind for kind in KINDS if kind.name == name)
