"""Every format whose rows show one good answer to imitate: one pure function each, from a row to a record."""

from __future__ import annotations

from lab.formats.fields import Row, answer, conversation, need, source_id, spoken, system, text, turns
from lab.formats.preferences import alpaca_prompt
from lab.formats.record import Message, Record, RowError


def shown(prompt: tuple[Message, ...], words: str, row: Row) -> Record:
    if not words.strip():
        raise RowError("empty answer")
    return Record(prompt, (words,), (), None, "", source_id(row))


def alpaca(row: Row) -> Record:
    return shown(alpaca_prompt(row), text(row, "output"), row)


def messages(row: Row) -> Record:
    """A conversation under `messages` or `conversations`; its last turn is the answer."""
    key = "messages" if row.get("messages") is not None else "conversations"
    found = system(row) + turns(need(row, key), key)
    if len(found) < 2:
        raise RowError(f"field {key} holds 1 message; a demonstration needs a prompt and an answer")
    return shown(found[:-1], spoken(found[-1], key), row)


def prompt_completion(row: Row) -> Record:
    return _answered(row, "completion")


def prompt_response(row: Row) -> Record:
    return _answered(row, "response")


def _answered(row: Row, key: str) -> Record:
    return shown(conversation(need(row, "prompt"), "prompt"), answer(need(row, key), key), row)


def plain(row: Row) -> Record:
    """Text without a prompt: all of it is to be imitated."""
    return shown((), text(row, "text"), row)
