"""That the system killed the model process under a run, kept beside that run for whoever is to resume it."""

from __future__ import annotations

import logging
from pathlib import Path

from lab.errors import LabError, OutOfMemory
from lab.events import Failed
from lab.journal import read_json, replace_json
from lab.ui.tracks import Track
from lab.workspace import Run, Workspace

# The status of a process that was killed, as Linux does when memory runs out.
KILLED = -9
BY_SYSTEM = "the system killed {}, probably because memory ran out"
WHY = BY_SYSTEM.format("the model process")
log = logging.getLogger("lab.ui")


def note(root: Path, pid: int) -> None:
    """Beside the run that this process was busy with, before the next one says in worker.json what it does itself."""
    facts = read_json(root / "worker.json") or {}
    if facts.get("pid") != pid or not facts.get("busy"):
        return
    try:
        run = Workspace(root).run(str(facts["busy"]))
        replace_json(run.folder / "killed.json", {"begun": run.begun()})
    except (LabError, OSError) as problem:
        log.warning("%s: %s", facts["busy"], problem)


def was_killed(run: Run) -> bool:
    """Whether an interrupted run was so, and has not gone on since."""
    kept = read_json(run.folder / "killed.json")
    return kept is not None and kept.get("begun") == run.begun()


def broke_off(track: Track) -> Failed | None:
    """The error that a run stands at: its own, or what is to be said where the system killed it."""
    if isinstance(track.end, Failed):
        return track.end
    if track.status() != "interrupted" or not was_killed(track.run):
        return None
    saved = track.run.checkpoints()
    way = f"goes on from step {saved[-1]}" if saved else "begins again, for it had no checkpoint yet"
    return Failed(
        track.step,
        OutOfMemory.code,
        f"{WHY[0].upper()}{WHY[1:]}. Nothing that was saved is lost. Close what else takes memory and resume this run, "
        f"which {way}; or start one with less, such as a smaller microbatch, or choose a smaller base.",
    )
