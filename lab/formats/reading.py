"""Imports a file: rows to records, the bad rows with their lines, and all or nothing when too many are bad."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lab.errors import BadFile, NoRows
from lab.formats.detect import detect, format_of
from lab.formats.files import FileRow, rows
from lab.formats.record import Imported, Preview, Record, Rejected, RowError, Unusable, checked
from lab.formats.table import Format, format_named, known

MOST_BAD = 0.2
EXAMPLES = 3


def read(path: str | Path, format: str = "auto") -> Imported:
    """Every usable record of the file, and every other row with its line and the reason.

    Raises NoRows when nothing is usable or the format holds no preference in text, BadFile when more than a fifth of
    the rows do not fit the format, BadEncoding when the bytes are not Unicode text, NotFound, and BadInput for a format
    that nobody knows.
    """
    chosen = None if format == "auto" else format_named(format)
    found = rows(path, lambda fields: format_of(fields) is not None)
    chosen = chosen or _detected(found, Path(path).name)
    if not chosen.reads:
        raise NoRows(f"{Path(path).name} is recognised as {chosen.name}. {chosen.refusal}")
    records: list[Record] = []
    sources: list[FileRow] = []
    rejected: list[Rejected] = []
    bad: list[Rejected] = []
    for row in chosen.gather(found):
        try:
            got = _records(row, chosen)
        except RowError as problem:
            left = [Rejected(line, str(problem)) for line in (row.line, *row.others)]
            rejected += left
            bad += [] if isinstance(problem, Unusable) else left
        else:
            records += got
            sources += [row] * len(got)
    rejected.sort(key=lambda each: each.line)
    _refuse_if_hopeless(Path(path).name, chosen, records, rejected, bad, len(found))
    return Imported(chosen.name, tuple(records), tuple(rejected), tuple(sources))


def preview(path: str | Path, format: str = "auto", rows: int = 5) -> Preview:
    """What `read` would give, cut to the first records; raises the same errors."""
    found = read(path, format)
    alone = sum(len(record.candidates) < 2 for record in found.records)
    return Preview(found.format, found.records[:rows], len(found.records), found.rejected, alone)


def _records(row: FileRow, chosen: Format) -> list[Record]:
    if row.fault:
        raise RowError(row.fault)
    got = chosen.read(row.fields)
    return [checked(record) for record in (got if isinstance(got, tuple) else (got,))]


def _detected(found: Sequence[FileRow], name: str) -> Format:
    whole = [row.fields for row in found if not row.fault]
    guess = detect(whole)
    if guess is not None:
        return format_named(guess)
    if not whole:
        raise NoRows(f"{name} has no usable row{_examples([Rejected(row.line, row.fault) for row in found])}.")
    fields = ", ".join(list(whole[0])[:12]) or "none"
    broken = [Rejected(row.line, row.fault) for row in found if row.fault]
    raise NoRows(
        f"No known format has the fields of {name} ({fields}), so none of its {len(found)} rows can be used"
        f"{_examples(broken)}. Rename the fields to those of a format; in a shell, --format NAME reads it as one of "
        f"them: {known()}."
    )


def _refuse_if_hopeless(
    name: str, chosen: Format, records: list[Record], rejected: list[Rejected], bad: list[Rejected], total: int
) -> None:
    if not records:
        raise NoRows(
            f"None of the {total} rows of {name} can be used as {chosen.name}{_examples(rejected)}. "
            "Check the file; in a shell, --format NAME reads it as another format."
        )
    if len(bad) > MOST_BAD * total:
        raise BadFile(
            f"{len(bad)} of the {total} rows of {name} do not fit the format {chosen.name}{_examples(bad)}. Over "
            f"{MOST_BAD:.0%} bad rows point to a wrong format or a damaged file, so none of them was read. "
            "Mend those rows; in a shell, --format NAME reads it as another format."
        )


def _examples(rejected: Sequence[Rejected]) -> str:
    return "".join(f"; row {row.line}: {row.reason}" for row in rejected[:EXAMPLES])
