"""Formats whose rows continue one another: the conversation above a row is gathered before the row is read."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

from lab.formats.fields import Row, first_of, message, need, number, system, text, text_or_empty
from lab.formats.files import FileRow
from lab.formats.preferences import H2O_CHOSEN, H2O_PROMPT, H2O_REJECTED, pair
from lab.formats.record import Message, Record, RowError, Unusable, ranked

ABOVE = "rows above it"  # from the first turn down to the one that is answered
SIBLINGS = "ranked answers"


def gather_tree(rows: Sequence[FileRow]) -> list[FileRow]:
    """OASST2: one row for each message whose answers are ranked; a message that takes part in none stays as it is."""
    by_id = {name: row for row in rows if (name := _id(row, "message_id"))}
    answers = defaultdict(list)
    for row in rows:
        if _is_ranked(row):
            answers[_id(row, "parent_id")].append(row)
    joined, used = [], set()
    for parent, group in answers.items():
        above = _path(parent, by_id)
        if len(group) < 2 or not above or _id(above[0], "parent_id"):
            continue
        first, *others = group
        fields = {ABOVE: [row.fields for row in above], SIBLINGS: [row.fields for row in group]}
        joined.append(FileRow(first.line, fields, others=tuple(row.line for row in others)))
        used |= {row.line for row in (*above, *group)}
    return sorted([*joined, *(row for row in rows if row.line not in used)], key=lambda row: row.line)


def oasst(row: Row) -> Record:
    """Siblings under one message by `rank`, where 0 is the best."""
    if SIBLINGS not in row:
        raise _left_alone(row)
    prompt = tuple(message({"role": need(each, "role"), "content": text(each, "text")}, "text") for each in row[ABOVE])
    answers = [(text(each, "text"), number(each["rank"], "rank")) for each in row[SIBLINGS]]
    if any(not words.strip() for words, _ in answers):
        raise RowError("empty answer")
    return Record(prompt, tuple(words for words, _ in answers), ranked([-rank for _, rank in answers]))


def gather_chain(rows: Sequence[FileRow]) -> Iterator[FileRow]:
    """H2O: a row that continues another gets the rows above it, where the file holds all of them."""
    by_id = {name: row for row in rows if (name := _id(row, "id"))}
    for row in rows:
        above = _path(_id(row, "parent_id"), by_id)
        whole = above and not _id(above[0], "parent_id")
        yield FileRow(row.line, row.fields | {ABOVE: [each.fields for each in above]}, row.fault) if whole else row


def h2o(row: Row) -> Record:
    """H2O LLM Studio's table; in the rows above, the chosen answer is what the assistant said."""
    above = row.get(ABOVE, ())
    if not above and _name(row.get("parent_id")):
        raise Unusable("the row that it continues (parent_id) is not in the file, or has no beginning")
    asked = first_of(row, H2O_PROMPT)
    if text_or_empty(row, "rejected_prompt").strip() not in ("", asked.strip()):
        raise Unusable("the rejected answer belongs to another prompt (rejected_prompt)")
    earlier: list[Message] = []
    for each in above:
        earlier += [Message("user", first_of(each, H2O_PROMPT)), Message("assistant", first_of(each, H2O_CHOSEN))]
    prompt = (*system(above[0] if above else row), *earlier, Message("user", asked))
    return pair(prompt, first_of(row, H2O_CHOSEN), first_of(row, H2O_REJECTED), row)


def _path(name: str, by_id: dict[str, FileRow]) -> list[FileRow]:
    """The rows from the topmost that there is down to `name`; a ring of rows is walked once."""
    found: dict[str, FileRow] = {}
    while name in by_id and name not in found:
        found[name] = by_id[name]
        name = _id(by_id[name], "parent_id")
    return list(found.values())[::-1]


def _is_ranked(row: FileRow) -> bool:
    return (
        not row.fault
        and row.fields.get("role") == "assistant"
        and row.fields.get("rank") not in (None, "")
        and not _is_deleted(row.fields)
    )


def _is_deleted(row: Row) -> bool:
    return str(row.get("deleted", "")).lower() in ("true", "1")


def _left_alone(row: Row) -> RowError:
    if text(row, "role") not in ("prompter", "assistant"):
        return RowError(f"role {row['role']!r:.40} is neither prompter nor assistant")
    if _is_deleted(row):
        return Unusable("a message that was deleted")
    if row["role"] == "prompter":
        return Unusable("a question with fewer than two ranked answers")
    if row.get("rank") in (None, ""):
        return Unusable("an answer that nobody ranked")
    return Unusable("its question has no other ranked answer, or the messages above it are not in the file")


def _id(row: FileRow, key: str) -> str:
    return _name(row.fields.get(key))


def _name(value: object) -> str:
    """An id as text; tables write a missing one in several ways, and a whole number as 7.0."""
    name = str(value).strip() if isinstance(value, str | int | float) else ""
    return "" if name in ("None", "nan", "NaN", "null") else name.removesuffix(".0")
