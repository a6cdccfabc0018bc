"""Kinds of request about words and numbers: say a rude sentence politely, and count."""

from __future__ import annotations

from itertools import chain
from random import Random
from types import MappingProxyType

from lab.world.language import Kind, Slots, Truth, fill, fill_all
from lab.world.manners_table import MANNERS, Manner
from lab.world.sums_table import PLAIN_SUMS, STORY_SUMS, Sum

_POLITE_ASKS = (
    "Make this polite, RUDE.",
    "Say this nicely, RUDE.",
    "Please rewrite this kindly, RUDE.",
    "How can I say RUDE more politely?",
    "What is a kinder way to say RUDE?",
    "I nearly said RUDE, make it polite please.",
    "Turn this into a polite question, RUDE.",
    "Help me say RUDE without being rude.",
    "This sounds rude, RUDE, can you mend it?",
    "My grandmother heard me say RUDE, what should I say instead?",
)
_MANNERS = ("A small smile makes it even kinder.", "Most people help gladly when you ask nicely.")


def _rewrite(manner: Manner) -> Kind:
    """One form of rude sentence; a bad answer stays rude, or asks politely for something else."""
    fitting, last = manner.fitting, manner.keys[-1]

    def group(slots: Slots) -> tuple[str, ...]:
        values = fitting[slots[manner.keys[0]] if len(manner.keys) > 1 else ""]
        if slots[last] not in values:
            raise KeyError(slots[last])
        return values

    def draw(rng: Random) -> Slots:
        pairs = [(first, value) for first, values in fitting.items() for value in values]
        return dict(zip(manner.keys, rng.choice(pairs)[-len(manner.keys) :], strict=True))

    def truth(slots: Slots) -> Truth:
        group(slots)
        return Truth((fill_all(manner.polite, slots),), (fill(manner.short, slots),), _MANNERS)

    def wrong(slots: Slots, rng: Random) -> str:
        others = [value for value in group(slots) if value != slots[last]]
        if rng.random() < 0.5:
            return fill(rng.choice(manner.still_rude), slots)
        return fill(rng.choice(manner.polite), {**slots, last: rng.choice(others)})

    firsts = fitting if len(manner.keys) > 1 else ()
    return Kind(
        name="rewrite",
        topic=manner.topic,
        asks=tuple(ask.replace("RUDE", manner.rude) for ask in _POLITE_ASKS),
        draw=draw,
        truth=truth,
        wrong=wrong,
        shapes=(*manner.polite, *manner.still_rude, *_MANNERS),
        phrases=frozenset((*firsts, *chain.from_iterable(fitting.values()))),
    )


_SMALL = (
    *("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"),
    *("thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen"),
)
_TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
WORDS = (
    *_SMALL,
    *(ten if not unit else f"{ten}-{_SMALL[unit]}" for ten in _TENS for unit in range(10)),
    "one hundred",
)
_VALUES = MappingProxyType({text: n for n, word in enumerate(WORDS) for text in (word, str(n))})


def _near(z: int) -> tuple[str, ...]:
    """The words of other numbers close to z, none so small that a sentence about several things would read wrongly."""
    return tuple(WORDS[n] for n in range(max(2, z - 4), min(len(WORDS), z + 5)) if n != z)


def _count(form: Sum) -> Kind:
    """One form of sum; a bad answer is the same sentence with another number."""

    def told(slots: Slots) -> dict[str, str]:
        numbers = {key: _VALUES[slots[key]] for key in form.tops}
        legs = form.things[slots["things"]] if form.things else 0
        z = form.answer(numbers["m"], numbers.get("n", 0), legs)
        if z is None or not 0 <= z < len(WORDS):
            raise KeyError(tuple(slots.values()))
        return {**slots, **{key: WORDS[n] for key, n in numbers.items()}, "z": WORDS[z], "legs": WORDS[legs]}

    def truth(slots: Slots) -> Truth:
        words = told(slots)
        return Truth((fill_all(form.says, words),), (fill("{z}.", words),), fill_all(form.supports, words))

    def draw(rng: Random) -> Slots:
        while True:
            style = rng.choice((str, WORDS.__getitem__))
            slots = {key: style(rng.randint(0, top)) for key, top in form.tops.items()}
            slots |= {} if form.things is None else {"things": rng.choice(tuple(form.things))}
            try:
                told(slots)
            except KeyError:
                continue
            return slots

    def wrong(slots: Slots, rng: Random) -> str:
        words = told(slots)
        other = rng.choice(_near(_VALUES[words["z"]]))
        return fill(rng.choice(form.says), {**words, "z": other})

    return Kind(
        name="count",
        topic=form.topic,
        asks=form.asks,
        draw=draw,
        truth=truth,
        wrong=wrong,
        shapes=(*form.says, *form.supports),
        phrases=frozenset((*WORDS, *(form.things or ()))),
    )


KINDS: tuple[Kind, ...] = (
    *(_rewrite(manner) for manner in MANNERS),
    *(_count(form) for form in (*PLAIN_SUMS, *STORY_SUMS)),
)
