"""Files to take away: the rankings in any format that the lab writes, and an adapter as PEFT keeps it."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.errors import NotFound
from lab.exchange import LOSSLESS, exported
from lab.formats import FORMATS
from lab.ui.naming import called
from lab.ui.office import Office

PREFERENCES = (LOSSLESS, "trl", "trl_conversational", "hh", "sharegpt", "openrlhf", "verl_rm", "verl_prompts")


def formats() -> list[dict[str, str]]:
    return [{"value": name, "label": FORMATS[name].description} for name in PREFERENCES]


def rankings_file(office: Office, query: dict[str, str], folder: Path) -> Path:
    """What `exported` writes, in the format and of the raters that the page asks for."""
    wanted = query.get("format", LOSSLESS)
    path = folder / (f"{wanted}{FORMATS[wanted].endings[0]}" if wanted in PREFERENCES else "other.jsonl")
    exported(office.store, path, wanted, query.get("raters", ""))
    return path


def adapter_file(office: Office, query: dict[str, str], folder: Path) -> Path:
    """A run's adapter folder as one zip file."""
    run = office.workspace.run(query.get("run", ""))
    if not run.adapter.is_dir():
        raise NotFound(f"{called(run)} has no adapter yet: it is written when the run ends.")
    return Path(shutil.make_archive(str(folder / f"{run.name}-adapter"), "zip", run.adapter))
