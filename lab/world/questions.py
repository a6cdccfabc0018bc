"""Drawing questions, holding some of them out of all training text, and recognising a question in a person's words."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cache
from random import Random

from lab.world import kinds
from lab.world.language import Kind, Shape, Slots, Truth, fill, sentences, usual
from lab.world.phrases import CODAS, PRELUDES

HELD_OUT_SHARE = 0.1


@dataclass(frozen=True, slots=True)
class Question:
    """A request in words, with what it asks for."""

    kind: Kind
    slots: Slots
    text: str

    @property
    def truth(self) -> Truth:
        return self.kind.truth(self.slots)


def draw(rng: Random, *, held_out: bool = False, name: str | None = None) -> Question:
    """A question of the training share, or of the held-out share, which no training text ever asks."""
    while True:
        question = _any_question(rng, name or rng.choice(kinds.names()))
        if is_held_out(question) == held_out:
            return question


def _any_question(rng: Random, name: str) -> Question:
    kind = rng.choice(kinds.by_name(name))
    slots = kind.draw(rng)
    text = fill(usual(kind.asks, rng), slots)
    if rng.random() < 0.25:
        text = f"{rng.choice(PRELUDES)} {text}"
    if rng.random() < 0.2:
        text = f"{text} {rng.choice(CODAS)}"
    return Question(kind, slots, text)


def is_held_out(question: Question) -> bool:
    """Whether a question belongs to the share that is kept for testing.

    The share is a hash of what is asked, not of its wording, so that no other wording of a held-out question is trained
    on. A question without slots ("How are you?") can only be held out by its wording.
    """
    asked = sorted(question.slots.items()) or question.text
    key = f"{question.kind.name}|{question.kind.topic}|{asked}"
    return int(hashlib.sha256(key.encode()).hexdigest()[:8], 16) / 2**32 < HELD_OUT_SHARE


@cache
def recognise(prompt: str) -> Question | None:
    """The question in a prompt, or None when the world does not know it."""
    pieces = sentences(prompt)
    asked = " ".join(piece for piece in pieces if piece not in _around())
    found = (_question_in(flat, prompt) for flat in ([asked] if asked else pieces))
    return next((question for question in found if question), None)


def _question_in(flat: str, prompt: str) -> Question | None:
    """The question that normalised text asks, in any kind's words."""
    for kind, shape in _asks(flat.split(" ", 1)[0]):
        slots = shape.match(flat)
        if slots is not None and _is_true_of(kind, slots):
            return Question(kind, slots, prompt)
    return None


def _is_true_of(kind: Kind, slots: Slots) -> bool:
    try:
        kind.truth(slots)
    except KeyError:
        return False
    return True


@cache
def _around() -> frozenset[str]:
    return frozenset(piece for text in PRELUDES + CODAS for piece in sentences(text))


@cache
def _asks(first_word: str) -> tuple[tuple[Kind, Shape], ...]:
    """The asks that can begin with a word, those with most literal text first."""
    found = [(kind, Shape(" ".join(sentences(ask)))) for kind in kinds.KINDS for ask in kind.asks]
    found = [(kind, shape) for kind, shape in found if shape.may_begin_with(first_word)]
    return tuple(sorted(found, key=lambda pair: -pair[1].literal_words))
