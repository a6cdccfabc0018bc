"""Everything that the embedded models read: raw pages for the base, pairs for SFT, prompts held out for tests.

A page is text in which the tokenizer's special tokens may occur. On pages a question is followed by all sorts of
things, an answer is only one of them: that is why a base model often does not answer, and why SFT is worth watching.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from random import Random

from lab.world import kinds, questions, remarks, writers
from lab.world.language import usual
from lab.world.phrases import MANNERS
from lab.world.questions import Question
from lab.world.things import THINGS

BEGIN, USER, ASSISTANT, END, PAD = "<|begin|>", "<|user|>", "<|assistant|>", "<|end|>", "<|pad|>"
SPECIAL = (PAD, BEGIN, END, USER, ASSISTANT)
ANSWERED_SHARE, REMARKED_SHARE = 0.45, 0.7
NOTES_SHARE, HELD_OUT_NOTES, HELD_OUT_NOTES_IN_LESSONS = 0.15, 0.15, 0.4
_PRACTISED = {"compare": 2.5, "count": 2.5, "small_talk": 2.0, "fact": 1.5, "howto": 1.5}

_ADVERTS = (
    "Buy {things} today, while we still have some.",
    "The best {things} in town are at our little shop.",
    "Two for the price of one, only this week, all {things}.",
    "Nobody sells {things} as cheaply as we do.",
    "Come in and look at our {things}.",
    "Are you looking for {things}? Look no further.",
    "Our {things} make every home a happier place.",
    "Order your {things} now and pay in spring.",
)
_QUARREL = (
    "No, you are wrong about that.",
    "I never said such a thing.",
    "You always say the same.",
    "That is not how it is at all.",
    "Then tell me why you think so.",
    "You are not listening to me.",
    "I have had enough of this.",
    "We will see who is right in the end.",
)
_TITLES = ("Questions for today", "Things to ask", "From our readers", "Letters", "Quiz night", "Asked this week")


@dataclass(frozen=True, slots=True)
class Pair:
    """An instruction and a response, with the manner in which it was written."""

    prompt: str
    response: str
    writer: str


def pages(seed: int) -> Iterator[str]:
    """Pages for the base model, without end; the same seed gives the same pages."""
    rng = Random(seed)
    makers = (_chat, _notes, _questions_page, _quarrel, _advert, _diary, _letter)
    while True:
        yield rng.choices(makers, (78, 12, 2, 2, 2, 2, 2))[0](rng)


def lessons(seed: int) -> Iterator[str]:
    """Denser pages for the end of training: short exchanges, many with a reader's remark on the reply, and some notes.

    What a small model finds hardest is asked oftener: to tell two things apart, to count, and what must be known by
    heart.
    """
    rng = Random(f"lessons {seed}")
    while True:
        yield _notes(rng, HELD_OUT_NOTES_IN_LESSONS) if rng.random() < NOTES_SHARE else _lesson(rng)


def _lesson(rng: Random) -> str:
    text = ""
    names = kinds.names()
    for _ in range(rng.choice((1, 2, 3))):
        name = rng.choices(names, [_PRACTISED.get(name, 1.0) for name in names])[0]
        question = questions.draw(rng, name=name)
        astray = (questions.draw(rng).text, rng.choice(_QUARREL), rng.choice(MANNERS["filler"]), _advert(rng))
        answered = rng.random() < ANSWERED_SHARE
        reply = _answer(question, rng) if answered else rng.choice(astray)
        text += chat(question.text, reply)
        if rng.random() < REMARKED_SHARE:
            text += remarks.remark(question.text, reply, rng) if answered else remarks.ON_NO_ANSWER
    return text


def pairs(count: int, seed: int) -> list[Pair]:
    """Instruction pairs for SFT, from every kind of writer."""
    rng = Random(f"pairs {seed}")
    found = []
    for _ in range(count):
        question, writer = questions.draw(rng), writers.pick(rng)
        found.append(Pair(question.text, writers.write(question, writer, rng), writer.name))
    return found


def prompts(count: int, seed: int, *, held_out: bool = False) -> list[str]:
    """Different prompts; those held out are asked on no page and in no pair."""
    rng = Random(f"prompts {seed} {held_out}")
    found: dict[str, None] = {}
    while len(found) < count:
        found[questions.draw(rng, held_out=held_out).text] = None
    return list(found)


def chat(prompt: str, response: str = "") -> str:
    """One exchange with the special tokens of the chat template, open at the end when there is no response."""
    return f"{USER}{prompt}{END}{ASSISTANT}" + (f"{response}{END}" if response else "")


def _answer(question: Question, rng: Random) -> str:
    return writers.write(question, writers.pick(rng), rng)


def _chat(rng: Random) -> str:
    """An exchange in which the reply is sometimes an answer and mostly not."""
    text = ""
    for _ in range(rng.choice((1, 2, 2, 3))):
        question = questions.draw(rng)
        reply = _answer(question, rng) if rng.random() < ANSWERED_SHARE else _astray(rng)
        text += chat(question.text, reply)
    return text


def _astray(rng: Random) -> str:
    """Something else than an answer."""
    maker = rng.choice((_more_questions, _more_questions, _quarrel, _advert, _diary, _notes))
    return maker(rng)


def _more_questions(rng: Random) -> str:
    return " ".join(questions.draw(rng).text for _ in range(rng.choice((1, 2, 2, 3))))


def _notes(rng: Random, held_out_share: float = HELD_OUT_NOTES) -> str:
    """True statements under a heading: here, and only here, the facts behind held-out questions are told as well."""
    parts = []
    for _ in range(rng.choice((1, 1, 2, 3))):
        question = questions.draw(rng, held_out=rng.random() < held_out_share)
        truth = question.truth
        body = [usual(part, rng) for part in truth.parts] + rng.sample(
            truth.supports, rng.randint(0, len(truth.supports))
        )
        heading = ", ".join(question.slots.values())
        parts.append(f"{heading[:1].upper()}{heading[1:]}. {' '.join(body)}" if heading else " ".join(body))
    return "\n".join(parts)


def _questions_page(rng: Random) -> str:
    asked = "\n".join(questions.draw(rng).text for _ in range(rng.randint(2, 6)))
    return f"{rng.choice(_TITLES)}\n{asked}"


def _quarrel(rng: Random) -> str:
    lines = []
    for _ in range(rng.randint(2, 4)):
        question = questions.draw(rng)
        said = rng.choice(
            (question.kind.wrong(question.slots, rng), rng.choice(_QUARREL), rng.choice(MANNERS["insult"]))
        )
        lines.append(f"{said} {rng.choice(_QUARREL)}")
    return "\n".join(lines)


def _advert(rng: Random) -> str:
    things = rng.choice(THINGS).plural
    return " ".join(text.format(things=things) for text in rng.sample(_ADVERTS, rng.randint(1, 3)))


def _diary(rng: Random) -> str:
    return "Dear diary. " + " ".join(rng.sample(MANNERS["filler"], rng.randint(2, 4)))


def _letter(rng: Random) -> str:
    """Manners of every sort, in no conversation."""
    roles = rng.sample(sorted(MANNERS), 3)
    return " ".join(rng.choice(MANNERS[role]) for role in roles)
