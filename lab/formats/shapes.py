"""Rows to write, in each format's own shape, and the narrowing of a record to what one row can hold."""

from __future__ import annotations

from typing import Any

from lab.formats.record import Record, RowError


def pairs(record: Record) -> tuple[Record, ...]:
    """One record for each (better, worse) pair of candidates; ties give none, and a margin belongs to a lone pair."""
    groups = record.groups
    ordered = [
        (better, worse)
        for place, group in enumerate(groups)
        for better in group
        for lower in groups[place + 1 :]
        for worse in lower
    ]
    if not ordered:
        raise RowError("no answer is ranked above another")
    margin = record.margin if len(ordered) == 1 else None
    return tuple(
        Record(record.prompt, (record.candidates[a], record.candidates[b]), ((0,), (1,)), margin) for a, b in ordered
    )


def best(record: Record) -> tuple[Record, ...]:
    """The record with the one answer to imitate: the first of the best group, or the only candidate."""
    if len(record.candidates) > 1 and len(record.groups) < 2:
        raise RowError("no answer is ranked above another")
    place = record.groups[0][0] if record.groups else 0
    return (Record(record.prompt, (record.candidates[place],)),)


def whole(record: Record) -> tuple[Record, ...]:
    return (record,)


def trl(pair: Record) -> dict[str, Any]:
    return _strings(pair, "; write trl_conversational") | _margin(pair)


def trl_conversational(pair: Record) -> dict[str, Any]:
    chosen, rejected = ([_said(words)] for words in pair.candidates)
    return {"prompt": pair.messages, "chosen": chosen, "rejected": rejected} | _margin(pair)


def sharegpt(pair: Record) -> dict[str, Any]:
    """`chosen` and `rejected` are objects: LLaMA-Factory's converter indexes them by name and fails on a list."""
    names = {"user": "human", "assistant": "gpt", "system": "system"}
    turns = [{"from": names[turn.role], "value": turn.content} for turn in pair.prompt]
    chosen, rejected = ({"from": "gpt", "value": words} for words in pair.candidates)
    return {"conversations": turns, "chosen": chosen, "rejected": rejected}


def openrlhf(pair: Record) -> dict[str, Any]:
    """Whole conversations, which OpenRLHF reads with no prompt key set, as is its default."""
    chosen, rejected = ([*pair.messages, _said(words)] for words in pair.candidates)
    return {"chosen": chosen, "rejected": rejected} | _margin(pair)


def verl_rm(pair: Record) -> dict[str, Any]:
    """verl joins the strings of its pairs as they are and puts no template around them."""
    return _strings(pair, ", which is all that verl reads here")


def verl_prompts(record: Record) -> dict[str, Any]:
    """A prompt whose answer a reward model judges: verl looks for a ground truth only where a rule does."""
    return {
        "data_source": "rlhf_lab",
        "prompt": record.messages,
        "ability": "alignment",
        "reward_model": {"style": "model", "ground_truth": ""},
        "extra_info": {"split": "train"},
    }


def hh(pair: Record) -> dict[str, Any]:
    if pair.prompt[0].role == "system":
        raise RowError("a transcript has no place for a system message")
    names = {"user": "Human", "assistant": "Assistant"}
    opening = "".join(f"\n\n{names[turn.role]}: {turn.content}" for turn in pair.prompt)
    chosen, rejected = (f"{opening}\n\nAssistant: {words}" for words in pair.candidates)
    return {"chosen": chosen, "rejected": rejected}


def messages(shown: Record) -> dict[str, Any]:
    return {"messages": [*shown.messages, _said(shown.candidates[0])]}


def rankings(record: Record) -> dict[str, Any]:
    return {
        "id": record.source_id,
        "prompt": record.messages,
        "candidates": [{"text": words} for words in record.candidates],
        "order": [list(group) for group in record.groups],
        "margin": record.margin,
        "rater": record.rater,
    }


def _strings(pair: Record, instead: str) -> dict[str, str]:
    if len(pair.prompt) != 1:
        raise RowError(f"a prompt of {len(pair.prompt)} messages does not fit one string{instead}")
    chosen, rejected = pair.candidates
    return {"prompt": pair.prompt[0].content, "chosen": chosen, "rejected": rejected}


def _said(words: str) -> dict[str, str]:
    return {"role": "assistant", "content": words}


def _margin(pair: Record) -> dict[str, float]:
    return {} if pair.margin is None else {"margin": pair.margin}
