"""The one shape that every preference and demonstration format is read into and written from."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from lab.formats.files import FileRow

ROLES = ("system", "user", "assistant")
# The store's own limit for one prompt: a longer one is refused here, row by row, so that it cannot sink a whole import.
PROMPT_CHARACTERS = 20_000


@dataclass(frozen=True, slots=True)
class Message:
    """One turn of a conversation; `role` is one of ROLES."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class Record:
    """One prompt, its candidate answers and how they were ranked.

    `prompt` ends with a user turn and may start with a system message; only the plain-text format has no prompt.
    `groups` holds indices into `candidates`, best group first, ties share a group; () means that nobody ranked them,
    as in demonstrations and skipped rankings. `margin` is how much better the first of two answers is, where known.
    """

    prompt: tuple[Message, ...]
    candidates: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...] = ()
    margin: float | None = None
    rater: str = ""
    source_id: str = ""

    @property
    def messages(self) -> list[dict[str, str]]:
        """The prompt as a chat template takes it."""
        return [{"role": turn.role, "content": turn.content} for turn in self.prompt]

    @property
    def best(self) -> str:
        """The answer to imitate: one of the best group, or the first where nobody ranked them."""
        return self.candidates[self.groups[0][0] if self.groups else 0]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A row that was not used: its line in the file (or its place in the list), counted from 1, and why."""

    line: int
    reason: str


@dataclass(frozen=True, slots=True)
class Imported:
    """What a file held, read as `format`; `rows` has the row behind each record, and a row may have given several."""

    format: str
    records: tuple[Record, ...]
    rejected: tuple[Rejected, ...]
    rows: tuple[FileRow, ...]


@dataclass(frozen=True, slots=True)
class Preview:
    """The first records of a file, how many there are, how many of them show one answer alone, and every row that is
    left out."""

    format: str
    records: tuple[Record, ...]
    accepted: int
    rejected: tuple[Rejected, ...]
    alone: int = 0


class RowError(ValueError):
    """A row that is not what its format says: too many of these and the whole file is refused."""


class Unusable(RowError):
    """A well-formed row that says nothing the lab can use; any number of these leaves the other rows importable."""


def checked(record: Record) -> Record:
    """The record itself, once it keeps its promises; raises RowError with the promise that it breaks."""
    _check_prompt(record)
    _check_groups(record.groups, len(record.candidates))
    if record.margin is not None and not math.isfinite(record.margin):
        raise RowError(f"a margin of {record.margin}, which is not a finite number")
    for text in (*(message.content for message in record.prompt), *record.candidates, record.rater, record.source_id):
        if not _is_unicode(text):
            raise RowError("text that holds half of a surrogate pair, so it is not valid Unicode")
    return record


def ranked(scores: Sequence[float]) -> tuple[tuple[int, ...], ...]:
    """Groups, best first, from scores where higher is better; equal scores tie.

    >>> ranked([4.0, 5.0, 4.0])
    ((1,), (0, 2))
    """
    return tuple(
        tuple(index for index, score in enumerate(scores) if score == level)
        for level in sorted(set(scores), reverse=True)
    )


def _check_prompt(record: Record) -> None:
    prompt = record.prompt
    if not prompt and (len(record.candidates) > 1 or record.groups):
        raise RowError("empty prompt")
    for place, message in enumerate(prompt):
        if message.role not in ROLES:
            raise RowError(f"role {message.role!r} is not one of {', '.join(ROLES)}")
        if message.role == "system" and place:
            raise RowError(f"a system message at turn {place + 1}; it may only come first")
        if message.role == "system" and not message.content:
            raise RowError("a system message that says nothing")
    if prompt and prompt[-1].role != "user":
        raise RowError(f"the prompt ends with the {prompt[-1].role}, not with the user")
    if prompt and not prompt[-1].content.strip():
        raise RowError("empty prompt")
    length = sum(len(message.content) for message in prompt)
    if length > PROMPT_CHARACTERS:
        raise Unusable(f"a prompt of {length:,} characters; the limit is {PROMPT_CHARACTERS:,}")


def _check_groups(groups: tuple[tuple[int, ...], ...], count: int) -> None:
    if not count:
        raise RowError("no answers")
    if groups and (not all(groups) or sorted(index for group in groups for index in group) != list(range(count))):
        raise RowError(f"the order {[list(group) for group in groups]} does not name each of {count} answers once")


def _is_unicode(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        return False
    return True
