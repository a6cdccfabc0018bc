"""Argilla's exports: records of version 1, the flat table of version 2, and what distilabel makes for it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.formats.fields import Row, as_object, conversation, items, need, number, source_id, system, text, what_is
from lab.formats.preferences import H2O_PROMPT, scored
from lab.formats.record import Message, Record, RowError, Unusable, ranked

PROMPT = (*H2O_PROMPT, "input", "query")
RESPONSES = ".responses"


def argilla(row: Row) -> tuple[Record, ...]:
    """Version 1: each submitted response is one person's ranking, rank 1 is best, equal ranks tie."""
    fields = need(row, "fields")
    if not isinstance(fields, Mapping):
        raise RowError(f"field fields is {what_is(fields)}, not an object")
    given = [as_object(each) for each in items(row, "responses")]
    submitted = [each for each in given if each.get("status", "submitted") == "submitted"]
    return _by_person(
        fields, [(each.get("user_id"), _question(as_object(need(each, "values")))) for each in submitted], row
    )


def is_flat(row: Row) -> bool:
    return any(name.endswith(RESPONSES) for name in row)


def argilla_flat(row: Row) -> tuple[Record, ...]:
    """Version 2: a column for each field, and three for each question; a suggestion is nobody's ranking.

    Some of its clients write a ranking as names alone, in the question's own order and not the person's (argilla issue
    5712), so names without ranks say nothing.
    """
    rankless = False
    for key in (key for key in row if key.endswith(RESPONSES)):
        values = items(row, key)
        rankless |= any(isinstance(value, list) for value in values)
        people, states = (_beside(row, f"{key}.{name}", len(values)) for name in ("users", "status"))
        orders = [_ranks(value) for value in values]
        if any(orders):
            found = zip(people, orders, states, strict=True)
            return _by_person(row, [(who, order) for who, order, state in found if state == "submitted"], row)
    if rankless:
        raise Unusable("its export lists the answers without their ranks, so which one is better is not known")
    raise Unusable("nobody answered a ranking question for it")


def distilabel(row: Row) -> Record:
    """Several generations by their ratings, higher is better; one that the judge did not rate is left out."""
    answers, ratings = items(row, "generations"), items(row, "ratings")
    if len(answers) != len(ratings):
        raise RowError(f"{len(answers)} generations and {len(ratings)} ratings; each answer needs one")
    rated = [
        (text({"generations": words}, "generations"), number(rating, "ratings"))
        for words, rating in zip(answers, ratings, strict=True)
        if rating is not None
    ]
    return scored((*system(row, "system_prompt"), *_asked(row)), rated, row)


def _by_person(fields: Row, given: list[tuple[Any, list[tuple[str, int]]]], row: Row) -> tuple[Record, ...]:
    """A record for each ranking of (answer's name, rank) that the people gave."""
    if not given:
        raise Unusable("nobody submitted a ranking for it")
    prompt = _asked(fields)
    return tuple(_record(prompt, fields, str(who or ""), order, row) for who, order in given)


def _asked(fields: Row) -> tuple[Message, ...]:
    """The prompt, which may be a field of a whole conversation."""
    key = next((key for key in PROMPT if fields.get(key) is not None), PROMPT[0])
    return conversation(need(fields, key), key)


def _record(prompt: tuple[Message, ...], fields: Row, who: str, order: list[tuple[str, int]], row: Row) -> Record:
    if not order:
        raise RowError("a response without a ranking (a list of value and rank)")
    # An export names the fields that hold the answers; some hold the answers themselves.
    candidates = tuple(text(fields, name) if name in fields else name for name, _ in order)
    return Record(prompt, candidates, ranked([-rank for _, rank in order]), None, who, source_id(row))


def _question(values: Row) -> list[tuple[str, int]]:
    """(answer's name, rank) of the one question among a response's values that is a ranking."""
    found = (_ranks(question.get("value")) for question in values.values() if isinstance(question, Mapping))
    return next((order for order in found if order), [])


def _ranks(given: object) -> list[tuple[str, int]]:
    """(answer's name, rank) of a ranking question's value, and nothing for the value of another question."""
    if not isinstance(given, list) or not all(isinstance(each, Mapping) and "rank" in each for each in given):
        return []
    order = [(text(each, "value"), each["rank"]) for each in given]
    if any(type(rank) is not int or rank < 1 for _, rank in order):
        raise RowError("a rank that is not a whole number from 1 (best) upwards")
    return order


def _beside(row: Row, key: str, count: int) -> list[Any]:
    """A column that runs beside the responses; without it, all were submitted, and by nobody in particular."""
    found = items(row, key) if row.get(key) is not None else [None if key.endswith("users") else "submitted"] * count
    if len(found) != count:
        raise RowError(f"{count} responses and {len(found)} in {key}")
    return found
