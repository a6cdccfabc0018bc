"""Comparisons and yes-or-no questions: which of two is bigger, which of two can fly, does a robin have feathers."""

from __future__ import annotations

from random import Random

from lab.world import kinds_premises
from lab.world.language import Kind, Slots, Truth, fill, fill_all
from lab.world.measures import ADJECTIVES, AUXILIARIES, claims, claims_after, denied, draw_pair, winner
from lab.world.things import BY_NAME
from lab.world.told import telling_all, told, told_phrases

WHICH_ASKS = (
    "Which is {more}, {a_x} or {a_y}?",
    "Which one is {more}, {a_x} or {a_y}?",
    "Tell me which is {more}, {a_x} or {a_y}.",
    "Is {a_x} or {a_y} the {more} one?",
    "Please compare {a_x} with {a_y} and tell me which is {more}.",
    "Of {a_x} and {a_y}, which is {more}?",
    "I see {a_x} next to {a_y}, which one is {more}?",
    "We disagree about {a_x} and {a_y}, which one is {more}?",
    "I would like to know which is {more}, {a_x} or {a_y}.",
    "Would you say {a_x} or {a_y} is {more}?",
    "Guess which is {more}, {a_x} or {a_y}.",
)
WHICH_SAYS = (
    "{a_win} is {more} than {a_lose}.",
    "Of the two, {a_win} is {more}.",
    "The {more} one is {a_win}, not {a_lose}.",
    "I would say {a_win} is {more} than {a_lose}.",
    "It is {a_win} that is {more}.",
)
WHICH_SHORTS = ("Surely {a_win}.", "The {win}, of course.")

DOES_ASKS = (
    "Of {a_x} and {a_y}, which one {does}?",
    "Here are {a_x} and {a_y}, which one {does}?",
    "Look at {a_x} and {a_y} and tell me which one {does}.",
    "Compare {a_x} with {a_y}, which of them {does}?",
    "Is it {a_x} or {a_y} that {does}?",
    "Would you say it is {a_x} or {a_y} that {does}?",
    "Help me choose between {a_x} and {a_y}, which one {does}?",
    "My quiz asks about {a_x} and {a_y}, which one {does}?",
    "Tell me if it is {a_x} or {a_y} that {does}.",
    "I forgot if it is {a_x} or {a_y} that {does}.",
)
DOES_SAYS = (
    "It is {a_win} that {does}.",
    "Of the two, only {a_win} {does}.",
    "The one that {does} is {a_win}.",
    "The one that {does} is {a_win}, not {a_lose}.",
)

CLAIM_ASKS = (
    "{Aux} {a_thing} {claim}?",
    "Tell me, {aux} {a_thing} {claim}?",
    "Yes or no, {aux} {a_thing} {claim}?",
    "I am not sure, {aux} {a_thing} {claim}?",
    "Here is my question, {aux} {a_thing} {claim}?",
    "For my homework, {aux} {a_thing} {claim}?",
    "What do you think, {aux} {a_thing} {claim}?",
    "My friends want to know, {aux} {a_thing} {claim}?",
    "Quick question, {aux} {a_thing} {claim}?",
    "Be honest with me, {aux} {a_thing} {claim}?",
)
CLAIM_YES = (
    "Yes, {a_thing} {does}.",
    "Certainly, {a_thing} {does}.",
    "Indeed, {a_thing} {does}.",
    "It is true that {a_thing} {does}.",
)
CLAIM_NO = (
    "No, {a_thing} {aux_not} {claim}.",
    "Not at all, {a_thing} {aux_not} {claim}.",
    "I am sorry, but {a_thing} {aux_not} {claim}.",
    "In fact {a_thing} {aux_not} {claim}.",
)

IS_IT_ASKS = (
    "Is {a_x} {more} than {a_y}?",
    "Tell me, is {a_x} {more} than {a_y}?",
    "Yes or no, is {a_x} {more} than {a_y}?",
    "I am not sure, is {a_x} {more} than {a_y}?",
    "For my homework, is {a_x} {more} than {a_y}?",
    "What do you think, is {a_x} {more} than {a_y}?",
    "Is it true that {a_x} is {more} than {a_y}?",
    "Would you say that {a_x} is {more} than {a_y}?",
    "I heard that {a_x} is {more} than {a_y}, is that right?",
)
IS_IT_YES = (
    "Yes, {a_x} is {more} than {a_y}.",
    "That is right, {a_x} is {more} than {a_y}.",
    "It is true that {a_x} is {more} than {a_y}.",
)
IS_IT_NO = (
    "No, {a_x} is not {more} than {a_y}.",
    "That is not right, {a_y} is {more} than {a_x}.",
    "It is {a_y} that is {more} than {a_x}.",
)


def _with(templates: tuple[str, ...], **words: str) -> tuple[str, ...]:
    """The templates with some of their slots replaced by text or by other slots."""
    for slot, text in words.items():
        templates = tuple(t.replace(f"{{{slot}}}", text).replace(f"{{a_{slot}}}", f"{{a_{text[1:]}") for t in templates)
    return templates


def _either(templates: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Templates about a winner and a loser, for x as the winner and for y."""
    return _with(templates, win="{x}", lose="{y}"), _with(templates, win="{y}", lose="{x}")


def _told_of(slots: Slots) -> tuple[str, ...]:
    """Two true sentences about each of the two things."""
    return told(BY_NAME[slots["x"]], limit=2) + told(BY_NAME[slots["y"]], limit=2)


def _which_kind(more: str) -> Kind:
    """Which of two things is bigger (heavier, faster, ...)."""
    x_says, y_says = _either(_with(WHICH_SAYS, more=more))
    x_shorts, y_shorts = _either(WHICH_SHORTS)

    def draw(rng: Random) -> Slots:
        x, y = draw_pair(more, rng)
        return {"x": x.name, "y": y.name}

    def x_wins(slots: Slots) -> bool:
        return winner(more, slots["x"], slots["y"])[0].name == slots["x"]

    def truth(slots: Slots) -> Truth:
        says, shorts = (x_says, x_shorts) if x_wins(slots) else (y_says, y_shorts)
        return Truth((fill_all(says, slots),), fill_all(shorts, slots), _told_of(slots))

    def wrong(slots: Slots, rng: Random) -> str:
        return fill(rng.choice(y_says if x_wins(slots) else x_says), slots)

    shapes = (*x_says, *y_says, *x_shorts, *y_shorts, *telling_all())
    return Kind("compare", more, _with(WHICH_ASKS, more=more), draw, truth, wrong, shapes, told_phrases())


def _does_kind() -> Kind:
    """Which of two things does something: "Which one can fly, a bat or a cow?"."""
    known = {claim.third: claim for claim in claims()}
    x_says, y_says = _either(DOES_SAYS)
    x_shorts, y_shorts = _either(WHICH_SHORTS)

    def draw(rng: Random) -> Slots:
        claim = rng.choice(tuple(known.values()))
        pair = [rng.choice(sorted(claim.true)), rng.choice(sorted(claim.false))]
        rng.shuffle(pair)
        return {"does": claim.third, "x": pair[0], "y": pair[1]}

    def x_does(slots: Slots) -> bool:
        """KeyError when both do it or neither does."""
        claim = known[slots["does"]]
        if claim.holds(slots["x"]) == claim.holds(slots["y"]):
            raise KeyError(slots["does"])
        return claim.holds(slots["x"])

    def truth(slots: Slots) -> Truth:
        says, shorts = (x_says, x_shorts) if x_does(slots) else (y_says, y_shorts)
        return Truth((fill_all(says, slots),), fill_all(shorts, slots), _told_of(slots))

    def wrong(slots: Slots, rng: Random) -> str:
        return fill(rng.choice(y_says if x_does(slots) else x_says), slots)

    shapes = (*x_says, *y_says, *x_shorts, *y_shorts, *telling_all())
    return Kind("compare", "does", DOES_ASKS, draw, truth, wrong, shapes, told_phrases() | frozenset(known))


def _claim_kind(auxiliary: str) -> Kind:
    """Can, does or is a thing so?"""
    known = claims_after(auxiliary)
    yes, no = CLAIM_YES, _with(CLAIM_NO, aux_not=denied(auxiliary))
    yes_shorts, no_shorts = (f"Yes, it {auxiliary}.", "Yes."), (f"No, it {denied(auxiliary)}.", "No.")

    def draw(rng: Random) -> Slots:
        claim = rng.choice(tuple(known.values()))
        names = claim.true if rng.random() < 0.5 else claim.false
        return {"thing": rng.choice(sorted(names)), "claim": claim.phrase}

    def truth(slots: Slots) -> Truth:
        holds = known[slots["claim"]].holds(slots["thing"])
        says, shorts = (yes, yes_shorts) if holds else (no, no_shorts)
        said = fill_all(says, {**slots, "does": known[slots["claim"]].third})
        return Truth((said,), shorts, told(BY_NAME[slots["thing"]], limit=3))

    def wrong(slots: Slots, rng: Random) -> str:
        claim = known[slots["claim"]]
        return fill(rng.choice(no if claim.holds(slots["thing"]) else yes), {**slots, "does": claim.third})

    shapes = (*yes, *no, *yes_shorts, *no_shorts, *telling_all())
    asks = _with(CLAIM_ASKS, Aux=auxiliary.capitalize(), aux=auxiliary)
    phrases = told_phrases() | frozenset(known) | frozenset(claim.third for claim in known.values())
    return Kind("yes_no", auxiliary, asks, draw, truth, wrong, shapes, phrases)


def _is_it_kind(more: str) -> Kind:
    """Is one thing bigger (heavier, faster, ...) than another?"""
    yes, no = _with(IS_IT_YES, more=more), _with(IS_IT_NO, more=more)
    yes_shorts, no_shorts = ("Yes, it is.", "Yes."), ("No, it is not.", "No.")

    def draw(rng: Random) -> Slots:
        x, y = draw_pair(more, rng)
        return {"x": x.name, "y": y.name}

    def holds(slots: Slots) -> bool:
        return winner(more, slots["x"], slots["y"])[0].name == slots["x"]

    def truth(slots: Slots) -> Truth:
        says, shorts = (yes, yes_shorts) if holds(slots) else (no, no_shorts)
        return Truth((fill_all(says, slots),), shorts, _told_of(slots))

    def wrong(slots: Slots, rng: Random) -> str:
        return fill(rng.choice(no if holds(slots) else yes), slots)

    shapes = (*yes, *no, *yes_shorts, *no_shorts, *telling_all())
    return Kind("yes_no", more, _with(IS_IT_ASKS, more=more), draw, truth, wrong, shapes, told_phrases())


KINDS: tuple[Kind, ...] = (
    *(_which_kind(more) for more in ADJECTIVES),
    _does_kind(),
    *(_claim_kind(auxiliary) for auxiliary in AUXILIARIES),
    *(_is_it_kind(more) for more in ADJECTIVES),
    *kinds_premises.KINDS,
)
