"""Bedtime stories in four sentences: a hero appears, something turns up, a small trouble comes, and it ends kindly."""

from __future__ import annotations

from types import MappingProxyType

from lab.world.language import Kind
from lab.world.story_tables import HEROES, OBJECTS, PLACES, WISHES
from lab.world.tables import Lie, rows, table_kind

_BEGINNINGS = (
    "Once {a_trait} {hero} lived {home}.",
    "Long ago {a_trait} {hero} lived {home}.",
    "There was once {a_trait} {hero} {home}.",
    "{a_trait} {hero} once lived {home}.",
    "Everybody knew the {trait} {hero} who lived {home}.",
    "One spring, {a_trait} {hero} lived quietly {home}.",
    "In those days {a_trait} {hero} lived {home}.",
)
_TROUBLES = (
    "But {trouble}, and the {hero} gasped.",
    "Oh dear, {trouble}.",
    "Then, just before supper, {trouble}.",
    "Sadly, {trouble} that day.",
    "But then {trouble}.",
    "The {hero} sighed, for {trouble}.",
    "All of a sudden {trouble}.",
)
_ENDINGS = (
    "In the end {ending}.",
    "Luckily {ending}, and all was well.",
    "The {hero} smiled, because {ending}.",
    "Then {ending}, and everybody cheered.",
    "But soon {ending}, and nobody minded.",
    "By bedtime {ending}.",
    "And so {ending}, believe it or not.",
)
_FINDS = (
    "One morning the {hero} found {a_object} in the grass.",
    "By the road the {hero} saw {a_object}.",
    "One day {a_object} appeared beside the door.",
    "The {hero} opened a parcel and found {a_object}.",
    "Under a bench the {hero} discovered {a_object}.",
    "A kind stranger gave the {hero} {a_object}.",
    "Behind the shed lay {a_object}, and the {hero} cheered.",
)
_VISITS = (
    "One day the {hero} set off to see {a_place}.",
    "One morning the {hero} arrived at {a_place}.",
    "After a long walk the {hero} found {a_place}.",
    "A letter invited the {hero} to {a_place}.",
    "The {hero} packed two sandwiches and visited {a_place}.",
    "A friendly cloud showed the {hero} {a_place}.",
)
_WANTS = (
    "More than anything the {hero} wanted to {wish}.",
    "Every night the {hero} dreamed to {wish}.",
    "One day the {hero} decided to {wish}.",
    "The {hero} made a plan to {wish}.",
    "After breakfast the {hero} tried to {wish}.",
    "The {hero} had one big wish, to {wish}.",
)
_ASKS_OBJECT = (
    "Tell me a story about {a_hero} and {a_object}.",
    "Please write a story with {a_hero} and {a_object}.",
    "I would love a tale about {a_hero} and {a_object}.",
    "Can you invent a story about {a_hero} and {a_object}?",
    "Make up a bedtime story about {a_hero} who finds {a_object}.",
    "What happened when {a_hero} met {a_object}?",
    "My child wants a story about {a_hero} with {a_object}.",
    "Write a short tale in which {a_hero} gets {a_object}.",
    "Do you know the story of {a_hero} and {a_object}?",
    "Once there was {a_hero} and {a_object}, how did it go on?",
)
_ASKS_PLACE = (
    "Tell me a story about {a_hero} who visits {a_place}.",
    "Please write a story of {a_hero} in front of {a_place}.",
    "I would love a tale of {a_hero} on the way to {a_place}.",
    "Can you invent a story where {a_hero} sees {a_place}?",
    "Make up a bedtime story about {a_hero} at {a_place}.",
    "What happened when {a_hero} came to {a_place}?",
    "My child wants a story of {a_hero} and a trip to {a_place}.",
    "Write a short tale in which {a_hero} goes to {a_place}.",
    "Do you know the story of {a_hero} at {a_place}?",
)
_ASKS_WISH = (
    "Tell me a story about {a_hero} who wants to {wish}.",
    "Please write a story of {a_hero} trying to {wish}.",
    "I would love a tale of {a_hero} who had to {wish}.",
    "Can you invent a story where {a_hero} hopes to {wish}?",
    "Make up a bedtime story about {a_hero} who longs to {wish}.",
    "What happened when {a_hero} tried to {wish}?",
    "My child wants a story of {a_hero} learning how to {wish}.",
    "Write a short tale in which {a_hero} sets out to {wish}.",
    "Do you know the story of {a_hero} who wished to {wish}?",
)
_SUPPORTS = (
    "From that day on the {hero} told the tale every winter.",
    "And the {hero} slept very well that night.",
    "They all shared a pot of soup afterwards.",
)
_SHORTS = ("They lived happily ever after.", "A good {hero} and a good end.")


def _stories(topic: str, slot: str, table: str, asks: tuple[str, ...], meeting: tuple[str, ...]) -> Kind:
    """Stories of every hero with every row of a table; a wrong sentence belongs to another hero or another row."""
    tables = MappingProxyType({"hero": rows(HEROES, "trait", "home"), slot: rows(table, "trouble", "ending")})
    parts = (_BEGINNINGS, meeting, _TROUBLES, _ENDINGS)
    named = tuple(template for part in parts for template in part if "hero}" in template or f"{{a_{slot}}}" in template)
    lie = Lie(named, swapped=("hero", slot))
    return table_kind("story", topic, asks, tables, parts, lie, _SHORTS, _SUPPORTS)


KINDS: tuple[Kind, ...] = (
    _stories("objects", "object", OBJECTS, _ASKS_OBJECT, _FINDS),
    _stories("places", "place", PLACES, _ASKS_PLACE, _VISITS),
    _stories("wishes", "wish", WISHES, _ASKS_WISH, _WANTS),
)
