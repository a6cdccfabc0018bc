"""The SFT page: teach the base model to answer, from built-in examples or a file, and read the answers change."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lab.errors import BadFile, NoRows
from lab.formats import Imported
from lab.formats import read as read_file
from lab.store.records import readable
from lab.ui import desk, remedies, timeline
from lab.ui.curves import Curves
from lab.ui.curves import serve as serve_curves
from lab.ui.live import Live
from lab.ui.notes import lead
from lab.ui.office import Office
from lab.ui.tracks import Track
from lab.ui.uploads import REASONS, uploaded
from lab.world import corpus

ROWS, MOST_PAIRS = 5, 20_000


def page(office: Office) -> None:
    """Called inside the page's tab."""
    tracks = desk.tracks_of(office)
    stage = desk.Stage("sft", lambda _: "", lambda body, _: inputs(body), more)
    desk.serve(office, stage)
    remedies.serve(office, stage)
    serve_curves(office, tracks)
    timeline.serve(office, tracks)
    office.action("sft-data", lambda body, _: preview(body))
    lead(
        "SFT", "Supervised fine-tuning shows the base model questions with good answers, until it answers in that form."
    )
    Live(("form.js", "desk.js", "sft.js"), **desk.forms("sft"), elem_id="sft-desk")
    Curves("sft", elem_id="sft-curves")
    timeline.Timeline("sft", elem_id="sft-timeline")


def more(track: Track | None) -> dict[str, Any]:
    """Warnings with their remedies."""
    return remedies.shown(track)


def inputs(body: dict[str, Any]) -> dict[str, Any]:
    """The examples of an uploaded file; nothing for the built-in ones."""
    if not body.get("file"):
        return {}
    pairs = [(record.messages, record.best) for record in demonstrations(uploaded(body["file"])).records]
    if len(pairs) > MOST_PAIRS:
        raise BadFile(f"The file has {len(pairs):,} examples; one run takes at most {MOST_PAIRS:,}. Give a part of it.")
    return {"pairs": pairs, "file": str(body.get("name") or "upload")[:120]}


def preview(body: dict[str, Any]) -> dict[str, Any]:
    """The first rows and every row that is left out, with its line and the reason; without a file, built-in rows."""
    if not body.get("file"):
        rows = [{"prompt": pair.prompt, "response": pair.response} for pair in corpus.pairs(ROWS, 0)]
        return {"rows": rows, "accepted": None, "rejected": [], "rejected_count": 0, "format": "built-in"}
    found = demonstrations(uploaded(body["file"]))
    rows = [{"prompt": readable(each.messages), "response": each.best} for each in found.records[:ROWS]]
    rejected = [{"line": each.line, "reason": each.reason} for each in found.rejected[:REASONS]]
    return {
        "rows": rows,
        "accepted": len(found.records),
        "rejected": rejected,
        "rejected_count": len(found.rejected),
        "format": found.format,
    }


def demonstrations(path: Path) -> Imported:
    """Rows that show one good answer; of a ranking, the best answer is taken."""
    found = read_file(path)
    kept = [(record, row) for record, row in zip(found.records, found.rows, strict=True) if record.prompt]
    if not kept:
        raise NoRows(
            f"The rows of {path.name} have no prompt, so there is nothing to answer. Give prompts with answers."
        )
    records, rows = zip(*kept, strict=True)
    return Imported(found.format, records, found.rejected, rows)
