"""Questions that take something untrue for granted: a good answer puts it right kindly and adds something true."""

from __future__ import annotations

from collections.abc import Callable
from random import Random

from lab.world.language import Kind, Slots, Truth, fill, fill_all
from lab.world.measures import AUXILIARIES, claims_after, denied, draw_pair, winner
from lab.world.tables import words
from lab.world.things import BY_NAME, THINGS
from lab.world.told import telling_all, told, told_phrases

Templates = tuple[tuple[str, ...], ...]  # asks, corrections, lies, fragments

REASONS = words("""
it practised every day / it is very clever / it was born on a monday / nobody told it to stop
it ate a magic bean / it read about it in a book / the moon wanted it so / it had a very good teacher
""")
WHEN = words("""
last summer / on a rainy tuesday / in only two days / at a very good school / from a kind uncle / by mistake
""")
WHERE = words("""
under the bed / behind the curtain / in a small box / in the garden shed / up on the roof / in its left shoe
""")
OWNED = words("""
birthday presents / school books / reading glasses / house keys / old stamps / love letters / pocket money
bus tickets / dancing shoes / cookery books / clean socks / secret plans / warm mittens / holiday photos
shopping bags / gold medals
""")
LEARNED = words("""
play chess / drive a bus / bake bread / read the newspaper / knit a jumper / write poems / count to a thousand
ride a bicycle / use a phone / mend shoes / speak french / paint portraits / play the trumpet / make pancakes
tell the time / iron shirts
""")

CLAIM_ASKS = (
    "Why is it that {a_thing} {does}?",
    "How come {a_thing} {does}?",
    "Tell me why {a_thing} {does}.",
    "Can you explain why {a_thing} {does}?",
    "I wonder why {a_thing} {does}.",
    "Do you know why {a_thing} {does}?",
    "I would like to know why {a_thing} {does}.",
    "Please tell me why {a_thing} {does}.",
    "What is the reason that {a_thing} {does}?",
)
CLAIM_SAYS = (
    "In fact {a_thing} {aux_not} {claim}.",
    "To be honest, {a_thing} {aux_not} {claim}.",
    "That is a funny idea, but {a_thing} {aux_not} {claim}.",
    "I must tell you that {a_thing} {aux_not} {claim}.",
)
CLAIM_LIES = ("{a_thing} {does} because {reason}.", "You see, {a_thing} {does} because {reason}.")
CLAIM_SHORTS = ("It {aux_not}.", "It surely {aux_not}.")

MORE_ASKS = (
    "Why is {a_x} {more} than {a_y}?",
    "How come {a_x} is {more} than {a_y}?",
    "Tell me why {a_x} is {more} than {a_y}.",
    "Can you explain why {a_x} is {more} than {a_y}?",
    "I wonder why {a_x} is {more} than {a_y}.",
    "Do you know why {a_x} is {more} than {a_y}?",
    "I would like to know why {a_x} is {more} than {a_y}.",
    "Please tell me why {a_x} is {more} than {a_y}.",
)
MORE_SAYS = (
    "In fact {a_y} is {more} than {a_x}.",
    "To be honest, {a_y} is {more} than {a_x}.",
    "It is the other way round, {a_y} is {more} than {a_x}.",
    "I must tell you that {a_x} is not {more} than {a_y}.",
)
MORE_LIES = ("{a_x} is {more} than {a_y} because {reason}.", "You see, {a_x} is {more} than {a_y} because {reason}.")
MORE_SHORTS = ("It is the other way round.", "It is not {more}.")

OWNED_ASKS = (
    "Where does {a_thing} keep its {owned}?",
    "In which place does {a_thing} keep its {owned}?",
    "Tell me where {a_thing} keeps its {owned}.",
    "Do you know where {a_thing} keeps its {owned}?",
    "I wonder where {a_thing} keeps its {owned}.",
    "Can you explain where {a_thing} keeps its {owned}?",
    "Please tell me where {a_thing} keeps its {owned}.",
    "I would like to know where {a_thing} keeps its {owned}.",
)
OWNED_SAYS = (
    "{a_thing} has nothing like {owned} to keep.",
    "To be honest, nobody ever saw {owned} with {a_thing}.",
    "That is a funny idea, but {a_thing} has no {owned}.",
    "I must tell you that {a_thing} has no {owned}.",
)
OWNED_LIES = ("{a_thing} keeps its {owned} safely {where}.", "You see, {a_thing} keeps its {owned} safely {where}.")
OWNED_SHORTS = ("Nowhere at all.", "It owns no such thing.")

LEARNED_ASKS = (
    "When did {a_thing} learn to {learned}?",
    "Where did {a_thing} learn to {learned}?",
    "How did {a_thing} learn to {learned}?",
    "Who taught {a_thing} to {learned}?",
    "Tell me how {a_thing} learned to {learned}.",
    "Do you know how {a_thing} learned to {learned}?",
    "I wonder when {a_thing} learned to {learned}.",
    "Please tell me where {a_thing} learned to {learned}.",
)
LEARNED_SAYS = (
    "In fact {a_thing} never learned to {learned}.",
    "To be honest, {a_thing} is not able to {learned}.",
    "That is a funny idea, but {a_thing} never learned to {learned}.",
    "I must tell you that no {thing} ever learned to {learned}.",
)
LEARNED_LIES = ("{a_thing} learned {when} how to {learned}.", "You see, {a_thing} learned {when} how to {learned}.")
LEARNED_SHORTS = ("It never did.", "It never learned that.")


def _premise_kind(
    topic: str,
    templates: Templates,
    draw: Callable[[Random], Slots],
    expand: Callable[[Slots], Slots],
    excuses: tuple[str, tuple[str, ...]],
    claimed: frozenset[str] = frozenset(),
) -> Kind:
    """A kind of untrue premise.

    `expand` adds what the corrections say and raises KeyError when the slots are not of this kind; `excuses` is a slot
    that the lies add, with its values; `claimed` are all values of the slots that do not hold a thing.
    """
    asks, says, lies, shorts = templates
    slot, values = excuses

    def truth(slots: Slots) -> Truth:
        told_first, told_later = _facts(slots)
        return Truth((fill_all(says, expand(slots)), told_first), shorts, told_later)

    def wrong(slots: Slots, rng: Random) -> str:
        return fill(rng.choice(lies), {**expand(slots), slot: rng.choice(values)})

    shapes = (*says, *lies, *shorts, *telling_all())
    phrases = told_phrases() | claimed | frozenset(values)
    return Kind("false_premise", topic, asks, draw, truth, wrong, shapes, phrases)


def _facts(slots: Slots) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """True sentences about the things of a question: some for the answer itself and others to support it."""
    things = [BY_NAME[slots[name]] for name in ("thing", "x", "y") if name in slots]
    count = 3 if len(things) == 1 else 2
    facts = [told(thing, limit=2 * count) for thing in things]
    return tuple(t for each in facts for t in each[:count]), tuple(t for each in facts for t in each[count:])


def _with(templates: Templates, **said: str) -> Templates:
    """The templates with some of their slots replaced by text."""
    for slot, text in said.items():
        templates = tuple(tuple(each.replace(f"{{{slot}}}", text) for each in group) for group in templates)
    return templates


def _claim_kind(auxiliary: str) -> Kind:
    """Why can a cow fly?"""
    known = {claim.third: claim for claim in claims_after(auxiliary).values()}

    def draw(rng: Random) -> Slots:
        claim = rng.choice(tuple(known.values()))
        return {"thing": rng.choice(sorted(claim.false)), "does": claim.third}

    def expand(slots: Slots) -> Slots:
        claim = known[slots["does"]]
        if claim.holds(slots["thing"]):
            raise KeyError(slots["does"])
        return {**slots, "claim": claim.phrase}

    templates = _with((CLAIM_ASKS, CLAIM_SAYS, CLAIM_LIES, CLAIM_SHORTS), aux_not=denied(auxiliary))
    claimed = frozenset(known) | frozenset(claims_after(auxiliary))
    return _premise_kind(auxiliary, templates, draw, expand, ("reason", REASONS), claimed)


def _more_kind(more: str) -> Kind:
    """Why is a mouse bigger than an elephant?"""

    def draw(rng: Random) -> Slots:
        one, other = draw_pair(more, rng)
        win, lose = winner(more, one.name, other.name)
        return {"x": lose.name, "y": win.name}

    def expand(slots: Slots) -> Slots:
        if winner(more, slots["x"], slots["y"])[0].name == slots["x"]:
            raise KeyError(more)
        return slots

    templates = _with((MORE_ASKS, MORE_SAYS, MORE_LIES, MORE_SHORTS), more=more)
    return _premise_kind(more, templates, draw, expand, ("reason", REASONS))


def _having_kind(
    slot: str, templates: Templates, values: tuple[str, ...], excuses: tuple[str, tuple[str, ...]]
) -> Kind:
    """Where does a goose keep its diary? When did a lamp learn to play chess?"""
    names = tuple(thing.name for thing in THINGS if not thing.mass and thing.group not in ("place", "weather"))

    def draw(rng: Random) -> Slots:
        return {"thing": rng.choice(names), slot: rng.choice(values)}

    def expand(slots: Slots) -> Slots:
        if slots["thing"] not in names or slots[slot] not in values:
            raise KeyError(slots["thing"])
        return slots

    return _premise_kind(slot, templates, draw, expand, excuses, frozenset(values))


KINDS: tuple[Kind, ...] = (
    *(_claim_kind(auxiliary) for auxiliary in AUXILIARIES),
    *(_more_kind(more) for more in ("bigger", "heavier", "faster")),
    _having_kind("owned", (OWNED_ASKS, OWNED_SAYS, OWNED_LIES, OWNED_SHORTS), OWNED, ("where", WHERE)),
    _having_kind("learned", (LEARNED_ASKS, LEARNED_SAYS, LEARNED_LIES, LEARNED_SHORTS), LEARNED, ("when", WHEN)),
)
