"""Thirteen kinds of writers: each answers a question in its own manner, so that there is something to rank."""

from __future__ import annotations

from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from lab.world import questions
from lab.world.language import usual
from lab.world.phrases import MANNERS
from lab.world.questions import Question


@dataclass(frozen=True, slots=True)
class Writer:
    """A manner of answering: one of its plans is followed, a plan is a list of pieces.

    A piece is a role of `phrases.MANNERS`, or `parts` (the true answer), `support`, `short`, `wrong`, `off` (the answer
    to another question) or `again` (the last piece once more). `weight` is its share among the answers people are
    taught with.
    """

    name: str
    plans: tuple[tuple[str, ...], ...]
    weight: float
    careless: bool = False


WRITERS = (
    Writer("direct", (("parts",), ("parts",), ("parts", "support")), 16),
    Writer(
        "warm",
        (
            ("warmth", "parts"),
            ("parts", "offer"),
            ("warmth", "parts", "support"),
            ("warmth", "parts", "offer"),
            ("parts", "support", "offer"),
        ),
        14,
    ),
    Writer(
        "thorough",
        (("parts", "support", "support"), ("parts", "more", "support"), ("parts", "support", "summary")),
        11,
    ),
    Writer("rambling", (("filler", "parts"), ("filler", "filler", "parts"), ("filler", "parts", "filler")), 8),
    Writer("curt", (("short",), ("short",), ("short", "insult")), 8),
    Writer("evasive", (("evasion",), ("evasion", "evasion"), ("filler", "evasion"), ("evasion", "offer")), 1.5),
    Writer("off the point", (("off",), ("off",), ("filler", "off"), ("warmth", "off")), 1.5),
    Writer("wrong", (("wrong",), ("certainty", "wrong"), ("wrong", "offer"), ("warmth", "wrong")), 8),
    Writer("flattering", (("flattery", "parts"), ("flattery", "parts", "flattery"), ("parts", "flattery")), 7),
    Writer("rude", (("insult", "parts"), ("parts", "insult"), ("insult", "short"), ("insult", "wrong")), 7),
    Writer("repeating", (("parts", "again"), ("parts", "again", "again"), ("short", "again", "again")), 5),
    Writer("careless", (("parts",), ("short",), ("parts", "support"), ("wrong",)), 6, careless=True),
    Writer("careful", (("parts", "caution"), ("caution", "parts"), ("caution", "parts", "support")), 8),
)

BY_NAME = MappingProxyType({writer.name: writer for writer in WRITERS})


def pick(rng: Random) -> Writer:
    """A writer, by the writers' weights."""
    return rng.choices(WRITERS, [writer.weight for writer in WRITERS])[0]


def write(question: Question, writer: Writer, rng: Random) -> str:
    """The writer's answer to the question."""
    pieces: list[str] = []
    for piece in rng.choice(writer.plans):
        pieces += pieces[-1:] if piece == "again" else [_piece(piece, question, rng, said=tuple(pieces))]
    pieces = [piece for piece in pieces if piece]
    return _carelessly(pieces) if writer.careless else " ".join(pieces)


def _piece(piece: str, question: Question, rng: Random, said: tuple[str, ...]) -> str:
    truth = question.truth
    if piece == "parts":
        return " ".join(usual(part, rng) for part in truth.parts)
    if piece == "support":
        return rng.choice([text for text in truth.supports if text not in said] or [""])
    if piece == "short":
        return usual(truth.shorts or truth.parts[0], rng)
    if piece == "wrong":
        return question.kind.wrong(question.slots, rng)
    if piece == "off":
        return _piece("parts", _another(question, rng), rng, said)
    return rng.choice([text for text in MANNERS[piece] if text not in said])


def _another(question: Question, rng: Random) -> Question:
    """A question of another kind: an answer to it is beside the point."""
    while (other := questions.draw(rng)).kind.name == question.kind.name:
        pass
    return other


def _carelessly(pieces: list[str]) -> str:
    """No capitals, no commas, dots where they happen to fall, nothing at the end."""
    return ".. ".join(pieces).lower().replace(",", "").replace("...", "..").rstrip(" .!")
