"""Files to take away: the rankings in any format that the lab writes, and an adapter as PEFT keeps it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.errors import NoRows, NotFound
from lab.exchange import LOSSLESS, exported
from lab.formats import FORMATS, Message, Record, write
from lab.store import Ranking
from lab.ui.office import Office

PREFERENCES = (LOSSLESS, "trl", "trl_conversational", "hh", "sharegpt", "openrlhf")


def formats() -> list[dict[str, str]]:
    return [{"value": name, "label": FORMATS[name].description} for name in PREFERENCES]


def rankings_file(office: Office, query: dict[str, str], folder: Path) -> Path:
    """Everything that people ranked, but what was undone or excluded; simulated raters only where asked for.

    The lab's own format has all rankings with all that is known of them, so that it can be imported over and over.
    """
    wanted = query.get("format", PREFERENCES[0])
    if wanted == LOSSLESS:
        exported(office.store, folder / f"{LOSSLESS}.jsonl")
        return folder / f"{LOSSLESS}.jsonl"
    simulated = query.get("raters") == "all"
    kept = [each for each in office.store.rankings(excluded=False) if each.order and (simulated or not each.simulated)]
    if not kept:
        raise NoRows("There is no ranking to export yet. Rank a few prompts first.")
    path = folder / f"{wanted if wanted in PREFERENCES else 'other'}.jsonl"
    write([record(each) for each in kept], wanted, path)
    return path


def record(ranking: Ranking) -> Record:
    compared = ranking.comparison
    turns = compared.turns or (("user", compared.prompt),)
    return Record(
        prompt=tuple(Message(role, text) for role, text in turns),
        candidates=tuple(each.text for each in compared.candidates),
        groups=ranking.order,
        rater=ranking.rater,
        source_id=compared.id,
    )


def adapter_file(office: Office, query: dict[str, str], folder: Path) -> Path:
    """A run's adapter folder as one zip file."""
    run = office.workspace.run(query.get("run", ""))
    if not run.adapter.is_dir():
        raise NotFound(f"{run.name} has no adapter yet: it is written when the run ends.")
    return Path(shutil.make_archive(str(folder / f"{run.name}-adapter"), "zip", run.adapter))
