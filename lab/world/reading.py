"""The world's own parser: what a response says about its question, sentence by sentence, and in what manner."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from types import MappingProxyType

from lab.world import kinds
from lab.world.language import Kind, Shape, Truth, normalise, sentences
from lab.world.phrases import MANNERS
from lab.world.questions import Question, recognise

_NUMBER = re.compile(r"^\d+$")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a response is, as an answer to its prompt.

    `coverage` is the share of the answer's parts that were said in order; `wrong` counts sentences of the answer's
    shape that are not true, `off` sentences about something else, `unknown` sentences that the world cannot have said.
    `manners` counts sentences by role (phrases.MANNERS).
    """

    coverage: float
    wrong: int
    supports: int
    off: int
    unknown: int
    repeats: int
    manners: Mapping[str, int]
    words: int
    careless: bool
    deserves_care: bool

    @property
    def answers(self) -> bool:
        """The response says something to the question itself, true or not."""
        return self.coverage > 0 or self.wrong > 0

    @property
    def well_formed(self) -> bool:
        """Every sentence is one that the world can say, and there is at least one."""
        return self.unknown == 0 and self.words > 0


def read(prompt: str, response: str) -> Reading | None:
    """How the response answers the prompt, or None when the world does not know the prompt."""
    question = recognise(prompt)
    if question is None:
        return None
    said = sentences(response)
    known = tuple(dict.fromkeys(said))
    roles = Counter(_role(question, sentence) for sentence in known)
    return Reading(
        coverage=_coverage(question.truth, said) or float(roles["short"] > 0),
        wrong=roles["wrong"],
        supports=roles["support"],
        off=roles["off"],
        unknown=roles["unknown"],
        repeats=len(said) - len(known),
        manners=MappingProxyType({role: roles[role] for role in MANNERS if roles[role]}),
        words=len(response.split()),
        careless=_is_careless(response),
        deserves_care=question.kind.deserves_care,
    )


def _role(question: Question, sentence: str) -> str:
    """The part that one sentence plays: part, short, support, a manner, wrong, off or unknown."""
    truth = _normalised(question.kind, tuple(sorted(question.slots.items())))
    for role, known in truth.items():
        if sentence in known:
            return role
    if sentence in _manners():
        return _manners()[sentence]
    if _is_about(question, sentence):
        return "wrong"
    return "off" if _is_known(sentence) else "unknown"


@cache
def _normalised(kind: Kind, slots: tuple[tuple[str, str], ...]) -> Mapping[str, frozenset[str]]:
    truth = kind.truth(dict(slots))
    return MappingProxyType(
        {
            "part": frozenset(normalise(wording) for part in truth.parts for wording in part),
            "short": frozenset(normalise(wording) for wording in truth.shorts),
            "support": frozenset(normalise(wording) for wording in truth.supports),
        }
    )


def _coverage(truth: Truth, said: list[str]) -> float:
    """The longest run of parts that were said in their order, over all parts."""
    wordings = [frozenset(normalise(wording) for wording in part) for part in truth.parts]
    best = [0] * (len(wordings) + 1)
    for sentence in said:
        for i in range(len(wordings), 0, -1):
            if sentence in wordings[i - 1]:
                best[i] = max(best[i], max(best[:i]) + 1)
    return max(best) / len(wordings)


def _is_about(question: Question, sentence: str) -> bool:
    """Whether a sentence has the shape of an answer to this question and names the same subject."""
    if sentence in question.kind.phrases:
        return True
    asked = {name: normalise(value) for name, value in question.slots.items()}
    return any(
        all(slots[name] == value for name, value in asked.items() if name in slots)
        for slots in _slots_of(sentence, _shapes_of(question.kind), question.kind.phrases)
    )


def _is_known(sentence: str) -> bool:
    """Whether any kind could have said the sentence, in full or as a fragment."""
    return any(
        sentence in kind.phrases or any(_slots_of(sentence, shapes, kind.phrases))
        for kind, shapes in _shapes_beginning(sentence.split(" ", 1)[0])
    )


def _slots_of(sentence: str, shapes: tuple[Shape, ...], phrases: frozenset[str]):
    """The slots of every shape that fits the sentence with words that the world uses there."""
    for shape in shapes:
        slots = shape.match(sentence)
        if slots is not None and all(value in phrases or _NUMBER.match(value) for value in slots.values()):
            yield slots


@cache
def _shapes_of(kind: Kind) -> tuple[Shape, ...]:
    return tuple(Shape(template) for template in kind.shapes)


@cache
def _shapes_beginning(word: str) -> tuple[tuple[Kind, tuple[Shape, ...]], ...]:
    found = ((kind, tuple(shape for shape in _shapes_of(kind) if shape.may_begin_with(word))) for kind in kinds.KINDS)
    return tuple((kind, shapes) for kind, shapes in found)


@cache
def _manners() -> Mapping[str, str]:
    return MappingProxyType({normalise(text): role for role, texts in MANNERS.items() for text in texts})


def _is_careless(response: str) -> bool:
    """No capital at the beginning or no mark at the end."""
    text = response.strip()
    return bool(text) and (text[0].islower() or text[-1] not in ".!?")
