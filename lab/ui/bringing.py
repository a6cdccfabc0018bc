"""Rankings that other tools wrote, brought in by the host after a look at the file, and taken back by one click."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from lab.errors import BadFile, NoRows
from lab.excerpt import excerpts
from lab.exchange import import_file
from lab.formats import Imported
from lab.formats import read as read_file
from lab.store.records import SIMULATED
from lab.ui.office import Office
from lab.ui.uploads import REASONS, uploaded

MOST = 20_000
RATER = "imported"


def serve(office: Office) -> None:
    office.action("bring-look", lambda body, _: look(body))
    office.action("bring-add", lambda body, _: add(office, body))
    office.action("bring-list", lambda body, _: {"imports": imports(office)})
    office.action("bring-back", lambda body, _: back(office, body))


def look(body: dict[str, Any]) -> dict[str, Any]:
    """What a file would bring, with its first rows, by which one sees which answers it takes for the better ones; and
    every row that stays behind, with its number and the reason."""
    found = readable(body)
    ranked = [each for each in found.records if len(each.candidates) > 1]
    if not ranked:
        raise NoRows("The file shows one answer to each prompt, which ranks nothing. The SFT page can imitate them.")
    left = reasons(found)
    told = {"left": len(left), "reasons": left[:REASONS]}
    return {"format": found.format, "count": len(ranked), "rows": excerpts(ranked), **told}


def add(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Stores them. Those that the workspace has already are not stored again."""
    made = simulated(readable(body))
    found = import_file(office.store, uploaded(body.get("file")), rater=RATER)
    added = "1 ranking was added" if found.accepted == 1 else f"{found.accepted} rankings were added"
    return {"said": f"{added}{found.beside}. {made}", "imports": imports(office)}


def simulated(found: Imported) -> str:
    """Whether a file's rankings count among those of people."""
    raters = [each.rater for each in found.records if len(each.candidates) > 1]
    made = sum(rater.startswith(SIMULATED) for rater in raters)
    if not made:
        return "They count among those of people."
    who = "They are by simulated raters and do" if made == len(raters) else f"{made} of the file are simulated and do"
    return f"{who} not count among those of people. To learn from them, choose their rater under Whose rankings."


def imports(office: Office) -> list[dict[str, Any]]:
    """Every import of which rankings are in force, whenever and from wherever it was made."""
    return [asdict(each) for each in office.store.imports()]


def back(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Takes an import back as a whole; nothing of it is lost."""
    asked = str(body.get("id") or "")
    name = next((each.name for each in office.store.imports() if each.id == asked), "")
    count = office.store.take_back(asked)
    taken = "1 ranking" if count == 1 else f"{count} rankings"
    said = (
        f"{taken} of {name} {'was' if count == 1 else 'were'} taken back. Add the file again to have "
        f"{'it' if count == 1 else 'them'} back. A reward model that was trained before keeps what it learned."
    )
    return {"said": said, "imports": imports(office)}


def readable(body: dict[str, Any]) -> Imported:
    found = read_file(uploaded(body.get("file")))
    if len(found.records) > MOST:
        raise BadFile(
            f"The file has {len(found.records):,} rows; here at most {MOST:,} are taken at a time. From a shell, "
            "python -m lab import FILE takes any number."
        )
    return found


def reasons(found: Imported) -> list[str]:
    """Why each row stays behind, in the file's order; among rankings also an answer that stands alone."""
    rows = zip(found.rows, found.records, strict=True)
    alone = [
        (row.line, "one answer only, which the SFT page can imitate") for row, each in rows if len(each.candidates) < 2
    ]
    left = [(each.line, each.reason) for each in found.rejected] + alone
    return [f"Row {line}: {why}" for line, why in sorted(left)]
