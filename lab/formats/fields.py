"""Takes one field out of a row as text, a number, a list or a conversation, or says in plain English what it is."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lab.formats.record import Message, RowError

Row = Mapping[str, Any]

_ROLE_OF = MappingProxyType({"human": "user", "prompter": "user", "gpt": "assistant", "bot": "assistant"})
_NAMES = MappingProxyType(
    {str: "text", bool: "true or false", int: "a number", float: "a number", list: "a list", dict: "an object"}
)


def what_is(value: object) -> str:
    return _NAMES.get(type(value), "nothing" if value is None else type(value).__name__)


def need(row: Row, key: str) -> Any:
    """The field's value; absent and null are the same thing: missing."""
    value = row.get(key)
    if value is None:
        raise RowError(f"missing field {key}")
    return value


def text(row: Row, key: str) -> str:
    value = need(row, key)
    if not isinstance(value, str):
        raise RowError(f"field {key} is {what_is(value)}, not text")
    return value


def text_or_empty(row: Row, key: str) -> str:
    return "" if row.get(key) is None else text(row, key)


def first_of(row: Row, keys: tuple[str, ...]) -> str:
    """The text of the first of these fields that the row has."""
    return text(row, next((key for key in keys if row.get(key) is not None), keys[-1]))


def as_object(item: object) -> Row:
    if not isinstance(item, Mapping):
        raise RowError(f"{what_is(item)} where an object belongs")
    return item


def items(row: Row, key: str) -> list[Any]:
    """A list, also where a table's cell holds it as JSON in a string."""
    value = unpacked(need(row, key), key)
    if not isinstance(value, list):
        raise RowError(f"field {key} is {what_is(value)}, not a list")
    return value


def number(value: object, key: str) -> float:
    """A finite number, also where a table holds it as text."""
    try:
        found = float(value) if isinstance(value, int | float | str) else math.nan
    except (ValueError, OverflowError):
        found = math.nan
    if not math.isfinite(found):
        raise RowError(f"field {key} is {value!r}, not a finite number")
    return found


def flag(row: Row, key: str) -> bool:
    """Yes or no, written as true, 1, 1.0 or "1"."""
    value = need(row, key)
    word = str(value).strip().lower()
    if word in ("1", "1.0", "true"):
        return True
    if word in ("0", "0.0", "false"):
        return False
    raise RowError(f"field {key} is {value!r}, not 0 or 1")


def margin(row: Row) -> float | None:
    value = row.get("margin")
    return None if value is None or value == "" else number(value, "margin")


def source_id(row: Row) -> str:
    """The row's own name for itself, or "" where it has none."""
    for key in ("id", "prompt_id", "question_id", "post_id"):
        if isinstance(row.get(key), str | int):
            return str(row[key])
    return ""


def message(value: object, key: str) -> Message:
    """A turn as {role, content} or as {from, value}; content may be a list of text parts."""
    if not isinstance(value, Mapping):
        raise RowError(f"field {key} holds {what_is(value)} where a message belongs")
    role, content = value.get("role", value.get("from")), value.get("content", value.get("value"))
    if not isinstance(role, str):
        raise RowError(f"a message in field {key} has no role")
    return Message(_ROLE_OF.get(role, role), _content(content, key))


def turns(value: object, key: str) -> tuple[Message, ...]:
    """A list of messages, without a system message that says nothing."""
    value = unpacked(value, key)
    if not isinstance(value, list):
        raise RowError(f"field {key} is {what_is(value)}, not a list of messages")
    found = tuple(message(item, key) for item in value)
    if not found:
        raise RowError(f"field {key} is an empty list")
    return found[1:] if found[0] == Message("system", "") else found


def conversation(value: object, key: str) -> tuple[Message, ...]:
    """A prompt: plain text is one user turn."""
    return (Message("user", value),) if isinstance(value, str) else turns(value, key)


def answer(value: object, key: str) -> str:
    """An answer: plain text, one assistant message, or a list with one assistant message."""
    if isinstance(value, str):
        return value
    found = turns(value, key) if isinstance(value, list) else (message(value, key),)
    if len(found) != 1:
        raise RowError(f"field {key} holds {len(found)} messages where one answer belongs")
    return spoken(found[0], key)


def spoken(turn: Message, key: str) -> str:
    if turn.role != "assistant":
        raise RowError(f"field {key} ends with the {turn.role}, not with the assistant")
    return turn.content


def system(row: Row, key: str = "system") -> tuple[Message, ...]:
    """The system message of a row that keeps it in a column of its own: none where the column is empty."""
    content = text_or_empty(row, key)
    return (Message("system", content),) if content.strip() else ()


def _content(content: object, key: str) -> str:
    if isinstance(content, list):
        return "".join(_part(part, key) for part in content)
    if not isinstance(content, str):
        raise RowError(f"a message in field {key} holds {what_is(content)}, not text")
    return content


def _part(part: object, key: str) -> str:
    found = part.get("text", part.get("value")) if isinstance(part, Mapping) else part
    if not isinstance(found, str) or (isinstance(part, Mapping) and part.get("type", "text") != "text"):
        raise RowError(f"a message in field {key} has a part that is not text")
    return found


def unpacked(value: object, key: str) -> object:
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except (ValueError, RecursionError) as problem:
        raise RowError(f"field {key} is text that should be JSON and is not") from problem
