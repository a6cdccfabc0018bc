"""The first rows of a preference file as a person looks them over: prompts, answers, and which answer is the better."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from lab.formats import Record
from lab.store.records import readable

ROWS, LONGEST = 5, 240  # letters


def excerpts(records: Sequence[Record]) -> list[dict[str, Any]]:
    """A prompt with its answers, best first, each with its place in words; on one line, and cut where it is long."""
    return [{"prompt": _prompt(each), "answers": _answers(each)} for each in records[:ROWS]]


def lines(rows: Sequence[dict[str, Any]]) -> Iterator[str]:
    """Excerpts for a terminal, to which no letter of a file may speak as an order."""
    for row in rows:
        yield f"  {_printable(row['prompt'])}"
        yield from (f"    {each['place']}: {_printable(each['text'])}" for each in row["answers"])


def held(rankings: int, alone: int) -> str:
    """What a file holds, in words: rankings, and answers that stand alone, which can be imitated and not ranked."""
    parts = [(rankings, "ranking")] * (rankings > 0 or not alone) + [(alone, "example")] * (alone > 0)
    return " and ".join(f"1 {what}" if count == 1 else f"{count} {what}s" for count, what in parts)


def _prompt(record: Record) -> str:
    """Of a long conversation the turn that is answered."""
    whole = readable(record.messages)
    last = f"… {record.prompt[-1].content}" if len(record.prompt) > 1 and len(whole) > LONGEST else whole
    return _cut(last)


def _answers(record: Record) -> list[dict[str, str]]:
    groups = record.groups or (range(len(record.candidates)),)
    return [
        {"place": _place(number, record), "text": _cut(record.candidates[index])}
        for number, group in enumerate(groups)
        for index in group
    ]


def _place(number: int, record: Record) -> str:
    count = len(record.groups)
    if count < 2:
        return "answer" if len(record.candidates) < 2 else "equally good" if count else "not ranked"
    if len(record.candidates) == 2:
        return ("better", "worse")[number]
    return {0: "best", count - 1: "worst"}.get(number, f"place {number + 1}")


def _cut(text: str) -> str:
    """On one line; a text may be as long as its file, and only what can be shown is looked at."""
    line = " ".join(text[: 4 * LONGEST].split())
    whole = len(text) <= 4 * LONGEST and len(line) <= LONGEST
    return line if whole else f"{line[: LONGEST - 1].rstrip()}…"


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "�" for letter in text)
