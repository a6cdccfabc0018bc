"""How the world's sentences are written and recognised: one set of templates, used in both directions.

A template is a sentence with named slots: "{a_thing} lives in {home}". `fill` turns it into text, `Shape` finds the
slots in a text again. `{a_thing}` is slot `thing` with its article. Because every sentence that the world can say comes
from a template, the world can also judge any text: which sentences it knows, and whether they are true.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from random import Random

Slots = Mapping[str, str]

_SLOT = re.compile(r"\{(a_)?(\w+)\}")
_END = re.compile(r"[.!?\n]+(?=\s|$)")
_DROPPED = re.compile(r"[,;:\"“”()*]|--")


@dataclass(frozen=True, slots=True)
class Truth:
    """What a good answer to one question consists of.

    `parts` are said in order, one wording of each: a fact has one part, four steps are four parts. `shorts` are
    fragments that answer without a sentence. `supports` are further true sentences on the subject.
    """

    parts: tuple[tuple[str, ...], ...]
    shorts: tuple[str, ...] = ()
    supports: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One kind of request: how it is asked, what is true, and how it is got wrong.

    `truth` takes the slots that occur in every one of `asks` and raises KeyError when they are not of this kind.
    `wrong` gives a sentence of the same shape that is not true. `shapes` lists every template that `truth` and `wrong`
    can fill.
    """

    name: str
    topic: str
    asks: tuple[str, ...]
    draw: Callable[[Random], Slots]
    truth: Callable[[Slots], Truth]
    wrong: Callable[[Slots, Random], str]
    shapes: tuple[str, ...]
    phrases: frozenset[str]
    deserves_care: bool = False


def with_article(noun: str) -> str:
    """The noun with "a" or "an", by its first letter; the world has no word whose sound disagrees with its spelling."""
    return ("an " if noun[0].lower() in "aeiou" else "a ") + noun


def fill(template: str, slots: Slots) -> str:
    """The template with its slots filled and its first letter raised; KeyError when a slot is missing."""

    def value(match: re.Match[str]) -> str:
        word = slots[match[2]]
        return with_article(word) if match[1] else word

    text = _SLOT.sub(value, template)
    return text[:1].upper() + text[1:]


def fill_all(templates: tuple[str, ...], slots: Slots) -> tuple[str, ...]:
    """Every template filled with the same slots."""
    return tuple(fill(template, slots) for template in templates)


def usual(wordings: Sequence[str], rng: Random) -> str:
    """One of several wordings, the first ones oftener (weight 1 over the rank): most things are said as usual."""
    return rng.choices(wordings, [1 / rank for rank in range(1, len(wordings) + 1)])[0]


def normalise(sentence: str) -> str:
    """Lower case, no punctuation, single spaces: two sentences that differ in care only become equal."""
    return " ".join(_DROPPED.sub(" ", sentence.lower().replace("'", "")).rstrip(" .!?").split())


def sentences(text: str) -> list[str]:
    """The text's sentences, normalised, empty ones left out."""
    return [known for piece in _END.split(text) if (known := normalise(piece))]


@dataclass(frozen=True)
class Shape:
    """A template as a recogniser of normalised sentences."""

    template: str

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Each slot becomes a lazy group; a slot that occurs twice must have the same value both times."""
        seen: set[str] = set()

        def group(match: re.Match[str]) -> str:
            article = "(?:an?|the) " if match[1] else ""
            if match[2] in seen:
                return f"{article}(?P={match[2]})"
            seen.add(match[2])
            return f"{article}(?P<{match[2]}>.+?)"

        return re.compile(_sub_outside(normalise(self.template), group) + "$")

    @property
    def literal_words(self) -> int:
        """How many words are fixed: the more, the surer a match."""
        return len(_SLOT.sub(" ", self.template).split())

    def may_begin_with(self, word: str) -> bool:
        """Whether a sentence that begins with this normalised word can be of this shape."""
        opening = normalise(self.template).split(" ", 1)[0]
        return "{" in opening or opening == word

    def match(self, sentence: str) -> dict[str, str] | None:
        """The slots of a normalised sentence, or None when it is not of this shape."""
        found = self.pattern.match(sentence)
        return found.groupdict() if found else None


def _sub_outside(template: str, group: Callable[[re.Match[str]], str]) -> str:
    """Escape the literal text of a template and replace its slots."""
    pieces, last = [], 0
    for match in _SLOT.finditer(template):
        pieces += [re.escape(template[last : match.start()]), group(match)]
        last = match.end()
    return "".join([*pieces, re.escape(template[last:])])
