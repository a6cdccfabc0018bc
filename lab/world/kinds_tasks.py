"""Kinds of request about doing things: how to do a task, how to plan an occasion, which of two things to choose."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from random import Random
from types import MappingProxyType

from lab.world.choices_table import CHOICES
from lab.world.language import Kind, Slots, Truth, fill, fill_all, normalise
from lab.world.plans_table import COMPANIES, DAYS, OCCASIONS
from lab.world.tasks_table import NONSENSE, TASKS

HOWTO_ASKS = (
    "How do I {task}?",
    "Tell me how to {task}.",
    "I want to {task}, what do I do?",
    "Please teach me to {task}.",
    "What are the steps to {task}?",
    "I have never tried to {task}, where do I start?",
    "Can you explain how to {task}?",
    "I need to {task} today, please help me.",
    "What is the best way to {task}?",
    "Show me how to {task}, step by step.",
)
_LEADS = (
    ("First,", "Start like this,", "To begin,"),
    ("Then", "Next,", "After that,"),
    ("Now", "Third,", "When that is done,"),
    ("Last,", "To finish,", "At the end,"),
)
_TIP_LEADS = ("It helps to", "Remember to")
_JOINS = ("and", "until", "so", "while", "before")
_SPLIT = re.compile(rf"(.+?) (?:{'|'.join(_JOINS)}) (.+)")
_STEP_SHAPES = tuple(
    f"{lead} {rest}."
    for lead in (*(lead for leads in _LEADS for lead in leads), *_TIP_LEADS)
    for rest in ("{step}", *(f"{{step}} {join} {{more}}" for join in _JOINS))
)


@dataclass(frozen=True, slots=True)
class _Task:
    """One task as its table row gives it."""

    name: str
    steps: tuple[str, ...]
    tips: tuple[str, ...]


def _read_tasks(text: str) -> Iterator[_Task]:
    """The tasks of one group; `lab.world.tasks_table` says how a row reads."""
    for row in " ".join(text.split()).rstrip(".").split(". "):
        name, rest = row.split(": ")
        steps, tips = (tuple(piece.strip() for piece in part.split(";")) for part in rest.split("|"))
        yield _Task(name, steps, tips)


def _leads_for(count: int) -> tuple[tuple[str, ...], ...]:
    """The lead-ins of each step; three steps have no "third" beside the last."""
    return _LEADS if count == len(_LEADS) else (*_LEADS[: count - 1], _LEADS[-1])


def _step_phrases(steps: Iterable[str]) -> frozenset[str]:
    """What the slots of a step sentence can hold: the whole step, or its two halves beside the joining word."""
    found: set[str] = set()
    for step in steps:
        halves = _SPLIT.fullmatch(step)
        found.update(halves.groups() if halves else (step,))
    return frozenset(found)


def _brief(step: str) -> str:
    """The first half of a step, unless so little of it remains that it says nothing."""
    halves = _SPLIT.fullmatch(step)
    return halves[1] if halves and len(halves[1].split()) > 2 else step


def _explain(task: _Task) -> Truth:
    """The steps in order, each with every lead-in of its place."""
    leads = _leads_for(len(task.steps))
    parts = tuple(tuple(f"{lead} {step}." for lead in leads[i]) for i, step in enumerate(task.steps))
    first, last = _brief(task.steps[0]), _brief(task.steps[-1])
    short = f"{first[0].upper()}{first[1:]}, then {last}."
    tips = tuple(f"{lead} {tip}." for lead, tip in zip(_TIP_LEADS, task.tips, strict=True))
    return Truth(parts, (short,), tips)


def _howto(group: str, text: str, elsewhere: tuple[str, ...]) -> Kind:
    """One group of tasks; a bad step is nonsense, or comes from a task of another group."""
    tasks = MappingProxyType({task.name: task for task in _read_tasks(text)})
    names = tuple(tasks)

    def wrong(slots: Slots, rng: Random) -> str:
        task = tasks[slots["task"]]
        pool = NONSENSE if rng.random() < 0.5 else tuple(step for step in elsewhere if step not in task.steps)
        lead = rng.choice(rng.choice(_leads_for(len(task.steps))))
        return f"{lead} {rng.choice(pool)}."

    own = (step for task in tasks.values() for step in (*task.steps, *task.tips))
    return Kind(
        name="howto",
        topic=group,
        asks=HOWTO_ASKS,
        draw=lambda rng: {"task": rng.choice(names)},
        truth=lambda slots: _explain(tasks[slots["task"]]),
        wrong=wrong,
        shapes=_STEP_SHAPES,
        phrases=_step_phrases((*own, *elsewhere, *NONSENSE)),
    )


def _howto_kinds() -> Iterator[Kind]:
    groups = {group: tuple(_read_tasks(text)) for group, text in TASKS}
    for group, text in TASKS:
        others = (task for name, tasks in groups.items() if name != group for task in tasks)
        yield _howto(group, text, tuple(step for task in others for step in task.steps))


PLAN_ASKS = (
    "Plan {a_occasion} for {company} on {a_day}.",
    "How would you plan {a_occasion} for {company} on {a_day}?",
    "Please help me plan {a_occasion} for {company} on {a_day}.",
    "I am giving {a_occasion} for {company} on {a_day}, any ideas?",
    "On {a_day}, how should we plan {a_occasion} for {company}?",
    "What should we do at {a_occasion} for {company} on {a_day}?",
    "I need a plan, it is {a_occasion} for {company} on {a_day}.",
    "For {company}, plan {a_occasion} on {a_day}.",
    "Can you suggest how to run {a_occasion} for {company} on {a_day}?",
    "We want {a_occasion} for {company} on {a_day}, where do we begin?",
)
_OPENINGS = (
    "First, choose somewhere {place} and {setup}.",
    "Start somewhere {place} where you can {setup}.",
    "To begin, find somewhere {place}, then {setup}.",
)
_MIDDLES = (
    "Then {activity}, with {comfort} for the {company}.",
    "Next, {activity}, and have {comfort} for the {company}.",
    "Now {activity} and keep {comfort} for the {company}.",
)
_ENDINGS = (
    "Last, {ending} over {treat}.",
    "At the end, serve {treat} and {ending}.",
    "To finish, bring out {treat} and {ending}.",
)
_PLAN_SUPPORTS = ("On {a_day} it helps to {tip}.", "It is true that {company} are happiest when {mood}.")


def _plan() -> Kind:
    """Where and how it starts follows the day, what is ready follows the company, and the occasion runs through all."""
    occasions = MappingProxyType(
        {row[0]: dict(zip(("setup", "activity", "ending"), row[1:], strict=True)) for row in OCCASIONS}
    )
    companies = MappingProxyType({row[0]: row[1:] for row in COMPANIES})
    days = MappingProxyType({row[0]: row[1:] for row in DAYS})

    def filled(slots: Slots) -> dict[str, str]:
        comfort, _, mood = companies[slots["company"]]
        place, _, treat, _, tip = days[slots["day"]]
        told = {"comfort": comfort, "mood": mood, "place": place, "treat": treat, "tip": tip}
        return {**slots, **occasions[slots["occasion"]], **told}

    def truth(slots: Slots) -> Truth:
        told = filled(slots)
        parts = tuple(fill_all(templates, told) for templates in (_OPENINGS, _MIDDLES, _ENDINGS))
        return Truth(parts, (fill("{comfort} and {treat}.", told),), fill_all(_PLAN_SUPPORTS, told))

    def wrong(slots: Slots, rng: Random) -> str:
        day = days[slots["day"]]
        bad = {"place": day[1], "treat": day[3], "comfort": companies[slots["company"]][1]}
        return fill(rng.choice(rng.choice((_OPENINGS, _MIDDLES, _ENDINGS))), {**filled(slots), **bad})

    return Kind(
        name="plan",
        topic="occasions",
        asks=PLAN_ASKS,
        draw=lambda rng: {
            "occasion": rng.choice(OCCASIONS)[0],
            "company": rng.choice(COMPANIES)[0],
            "day": rng.choice(DAYS)[0],
        },
        truth=truth,
        wrong=wrong,
        shapes=(*_OPENINGS, *_MIDDLES, *_ENDINGS, *_PLAN_SUPPORTS),
        phrases=frozenset(normalise(value) for table in (OCCASIONS, COMPANIES, DAYS) for row in table for value in row),
    )


CHOOSE_ASKS = (
    "Should I choose {x} or {y}?",
    "Which is better, {x} or {y}?",
    "{x} or {y}, what would you pick?",
    "Help me choose between {x} and {y}.",
    "I cannot decide between {x} and {y}.",
    "Would you go for {x} or {y}?",
    "Please pick one for me, {x} or {y}.",
    "Tell me whether to choose {x} or {y}.",
    "I like {x} and I like {y}, which one should I choose?",
)
CHOOSE_FOR_ASKS = (
    "Should I choose {x} or {y} for {need}?",
    "For {need}, which is better, {x} or {y}?",
    "What would you pick for {need}, would it be {x} or {y}?",
    "Help me choose between {x} and {y} for {need}.",
    "I cannot decide between {x} and {y} for {need}.",
    "Would you rather have {x} or {y} for {need}?",
    "{x} or {y}, what is right for {need}?",
    "Please pick {x} or {y} for {need}.",
    "Tell me whether to choose {x} or {y} for {need}.",
)
_PICKS = (
    "I would choose {pick} because {reason}.",
    "Go for {pick}, since {reason}.",
    "My choice is {pick} because {reason}.",
)
_PICKS_FOR = ("For {need}, choose {pick} because {reason}.", "Choose {pick} for {need}, since {reason}.")
_PRAISE = "The good thing about {pick} is that {reason}."
_REFUSALS = (
    "I would not choose either of them.",
    "Neither of the two is worth having.",
    "I will not pick one, so toss a coin.",
)


def _read_options(text: str) -> dict[str, tuple[str, ...]]:
    """Each option's three reasons; `lab.world.choices_table` says how a row reads."""
    rows = (line.split(": ") for line in text.strip().splitlines())
    return {option: tuple(reason.strip() for reason in reasons.split(";")) for option, reasons in rows}


def _choose(group: str, needs: tuple[str, ...], text: str, for_need: bool) -> Kind:
    """One group of options, asked with or without a need; either option will do, anything else will not."""
    options = MappingProxyType(_read_options(text))
    names = tuple(options)
    templates = (*_PICKS, *_PICKS_FOR) if for_need else _PICKS

    def choice(slots: Slots, pick: str) -> dict[str, str]:
        reason = options[pick][1 + needs.index(slots["need"]) if for_need else 0]
        return {**slots, "pick": pick, "reason": reason}

    def truth(slots: Slots) -> Truth:
        pair = (slots["x"], slots["y"])
        if pair[0] == pair[1] or not set(pair) <= set(options) or (for_need and slots["need"] not in needs):
            raise KeyError(pair)
        picks = tuple(text for pick in pair for text in fill_all(templates, choice(slots, pick)))
        praise = tuple(fill(_PRAISE, {"pick": pick, "reason": options[pick][0]}) for pick in pair)
        return Truth((picks,), fill_all(("{x}.", "{y}."), slots), praise)

    def wrong(slots: Slots, rng: Random) -> str:
        if rng.random() < 0.25:
            return rng.choice(_REFUSALS)
        other = rng.choice([name for name in names if name not in (slots["x"], slots["y"])])
        return fill(rng.choice(templates), choice(slots, other))

    def draw(rng: Random) -> Slots:
        x, y = rng.sample(names, 2)
        return {"x": x, "y": y, "need": rng.choice(needs)} if for_need else {"x": x, "y": y}

    return Kind(
        name="choose",
        topic=f"{group} for a need" if for_need else group,
        asks=CHOOSE_FOR_ASKS if for_need else CHOOSE_ASKS,
        draw=draw,
        truth=truth,
        wrong=wrong,
        shapes=(*templates, _PRAISE, *_REFUSALS),
        phrases=frozenset((*names, *needs, *(reason for reasons in options.values() for reason in reasons))),
    )


KINDS: tuple[Kind, ...] = (
    *_howto_kinds(),
    _plan(),
    *(_choose(group, needs, text, for_need) for for_need in (False, True) for group, needs, text in CHOICES),
)
