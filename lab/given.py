"""Files that a verb of the command line is given, read: instruction pairs, prompts, and answers to be scored."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lab.errors import BadFile, BadInput, EmptyPrompt, NoRows, NotFound

if TYPE_CHECKING:
    from lab.formats.files import FileRow
    from lab.text import Text


def row_ids(text: Text, path: Path, row: FileRow) -> tuple[list[int], list[int]]:
    """The ids of a row's prompt and response; what the model cannot read is refused with the row's number."""
    try:
        response = text.response_ids(row.fields["response"])
        return text.prompt_ids(row.fields["prompt"], len(response)), response
    except BadInput as problem:
        raise type(problem)(f"Row {row.line} of {path}: {problem}") from problem


def texts_of(path: Path) -> list[FileRow]:
    """The rows of a file of prompts and responses; BadFile names the first row that is none."""
    from lab.formats.files import rows

    found = rows(path)
    for row in found:
        lacking = [key for key in ("prompt", "response") if row.fault or not isinstance(row.fields.get(key), str)]
        if lacking:
            why = row.fault or f'no text under "{lacking[0]}"'
            raise BadFile(f'Row {row.line} of {path}: {why}. Give JSON lines with "prompt" and "response".')
    return found


def pairs_of(path: Path) -> tuple[list[tuple[list[dict[str, str]], str]], list[tuple[int, str]]]:
    """Prompts with their best answers, and the rows that were left out, with why."""
    from lab.formats import read

    found = read(path, "auto")
    # A format gives a prompt to every record or, as plain text, to none.
    pairs = [(record.messages, record.best) for record in found.records if record.prompt]
    if not pairs:
        raise NoRows(
            f"{path} holds no pair of a prompt and an answer. Give instruction data, such as Alpaca's or TRL's."
        )
    return pairs, [(row.line, row.reason) for row in found.rejected]


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that hold something. Raises NotFound, BadFile, BadEncoding and EmptyPrompt."""
    from lab.formats.files import text_of

    try:
        raw = path.read_bytes()
    except FileNotFoundError as problem:
        raise NotFound(f"There is no file {path}. Check its name.") from problem
    except OSError as problem:
        raise BadFile(f"{path} cannot be read ({problem.strerror}). Give a file with one prompt a line.") from problem
    found = [line.strip() for line in text_of(raw, path.name).splitlines() if line.strip()]
    if not found:
        raise EmptyPrompt(f"{path} has no line with text in it. Write one prompt a line.")
    return found
