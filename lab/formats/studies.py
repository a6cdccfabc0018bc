"""Formats of published comparisons, in which people judged two or more answers beside each other."""

from __future__ import annotations

import re
from types import MappingProxyType

from lab.formats.fields import (
    Row,
    as_object,
    items,
    need,
    number,
    source_id,
    text,
    text_or_empty,
    turns,
    unpacked,
)
from lab.formats.preferences import pair, split_conversations
from lab.formats.record import Message, Record, RowError, Unusable, ranked

SAMPLES = tuple(f"sample{number}" for number in range(4))
# What the winner is called: the index of the better answer, or None for a tie.
_WINNER = MappingProxyType({"model_a": 0, "model_b": 1, "tie": None, "tie (bothbad)": None})
_PREFERRED = MappingProxyType(
    {
        "a-is-better": 0, "a-is-clearly-better": 0, "a-is-slightly-better": 0, "tie": None,
        "b-is-slightly-better": 1, "b-is-clearly-better": 1, "b-is-better": 1,
    }
)  # fmt: skip


def arena_conversations(row: Row) -> Record:
    """Chatbot Arena's conversations; the judge is not kept as the rater, for there are thousands who voted once."""
    winner = text(row, "winner")
    if winner not in _WINNER:
        raise RowError(f"field winner is {winner!r:.40}, none of {', '.join(_WINNER)}")
    first, second = (turns(need(row, key), key) for key in ("conversation_a", "conversation_b"))
    if len(first) > 2 and first[:-1] != second[:-1]:
        raise Unusable(f"{len(first)} messages, whose earlier answers differ, so there is no common prompt")
    return pair(*split_conversations(first, second, ("conversation_a", "conversation_b")), row, _WINNER[winner])


def summaries(row: Row) -> Record:
    """OpenAI's summaries: `choice` is the index of the better one; the prompt is laid out as its paper has it."""
    info = as_object(unpacked(need(row, "info"), "info"))
    texts = [text(as_object(each), "text") for each in items(row, "summaries")]
    if len(texts) != 2:
        raise RowError(f"{len(texts)} summaries where two belong")
    better = number(need(row, "choice"), "choice")
    if better not in (0, 1):
        raise RowError(f"field choice is {better:g}, not 0 or 1")
    prompt = (Message("user", _asked_summary(info)),)
    found = pair(prompt, texts[0], texts[1], row, int(better))
    return Record(found.prompt, found.candidates, found.groups, None, _by(row, "worker"), source_id(info))


def best_sample(row: Row) -> Record:
    """lm-human-preferences as text: `best` is the index of the one chosen, and among the others nobody chose."""
    samples = [text(row, key) for key in SAMPLES if row.get(key) is not None]
    best = number(need(row, "best"), "best")
    if best not in range(len(samples)):
        raise RowError(f"field best is {best:g}, and there are {len(samples)} samples, counted from 0")
    if len(set(samples)) < len(samples) or not all(words.strip() for words in samples):
        raise Unusable("two of its samples are the same or one is empty")
    groups = ranked([float(place == best) for place in range(len(samples))])
    return Record((Message("user", text(row, "query")),), tuple(samples), groups, None, "", source_id(row))


def sample_difference(row: Row) -> Record:
    """lm-human-preferences as text: `difference` says by how much sample1 is better than sample0."""
    difference = number(need(row, "difference"), "difference")
    better = None if not difference else int(difference > 0)
    return pair((Message("user", text(row, "query")),), text(row, "sample0"), text(row, "sample1"), row, better)


def human_eval(row: Row) -> Record:
    """open-instruct's evaluation; a row without a preference is a remark about the question."""
    preferred = text_or_empty(row, "preference").strip().lower()
    if not preferred:
        raise Unusable("no preference was given")
    if preferred not in _PREFERRED:
        raise RowError(f"field preference is {preferred!r:.40}, none of {', '.join(_PREFERRED)}")
    answers = text(row, "completion_a"), text(row, "completion_b")
    found = pair((Message("user", text(row, "prompt")),), *answers, row, _PREFERRED[preferred])
    return Record(found.prompt, found.candidates, found.groups, None, _by(row, "evaluator"), found.source_id)


def are_ids(value: object) -> bool:
    """Whether a text is given as numbers of a vocabulary, also where a table's cell holds them."""
    if isinstance(value, str):
        return re.fullmatch(r"\s*\[[\d,\s]+\]\s*", value) is not None
    return isinstance(value, list) and bool(value) and all(type(each) is int for each in value)


def _by(row: Row, key: str) -> str:
    """Who judged: a name, or a number that stands for one."""
    return str(row[key]) if isinstance(row.get(key), str | int) else ""


def _asked_summary(info: Row) -> str:
    if info.get("post") is None:
        return f"Article: {text(info, 'article')}\n\nTL;DR:"
    lines = [f"SUBREDDIT: r/{text(info, 'subreddit')}"] if info.get("subreddit") else []
    lines += [f"TITLE: {text(info, 'title')}"] if info.get("title") else []
    return "\n".join([*lines, f"POST: {text(info, 'post')}", "TL;DR:"])
