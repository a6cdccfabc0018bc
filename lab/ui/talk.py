"""What is taken of a conversation that a browser sends: words of known roles, and no more of them than are read."""

from __future__ import annotations

from typing import Any

from lab.errors import BadInput
from lab.store.records import PROMPT_CHARACTERS, checked_prompt, clean

TURNS, CHARACTERS = 64, 5 * PROMPT_CHARACTERS
Turns = list[dict[str, str]]


def checked_talk(messages: Any) -> Turns:
    """The end of a conversation: what is older than TURNS and CHARACTERS hold is left out, for it is kept for ever.

    Raises BadInput for what is no conversation, and as `checked_prompt` does.
    """
    if not isinstance(messages, list) or not messages or not all(map(is_turn, messages)):
        raise BadInput("Write something first.")
    kept: Turns = []
    room = CHARACTERS
    for each in reversed(messages[-TURNS:]):
        turn = {"role": each["role"], "content": checked_words(each["role"], each["content"])}
        room -= len(turn["content"])
        if room < 0:
            break
        kept.append(turn)
    return kept[::-1]


def is_turn(message: Any) -> bool:
    known = isinstance(message, dict) and message.get("role") in ("user", "assistant")
    return known and isinstance(message.get("content"), str)


def checked_words(role: str, text: str) -> str:
    """A person says something; a model's answer may be empty."""
    return checked_prompt(text) if role == "user" else clean(text, "An answer", PROMPT_CHARACTERS)
