"""Where the work stands, read from the files: the model process, how many rankings, which runs, and what comes next."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lab import trust
from lab.config import PAIRS_TO_LEARN, PAIRS_TO_TEST
from lab.journal import read_json
from lab.store.raters import learnable
from lab.ui.killed import WHY, was_killed
from lab.ui.naming import run_called
from lab.ui.office import Office
from lab.ui.pages import page_of, stages_of
from lab.ui.points import run_or_none
from lab.workspace import Run

PAIRS, ENOUGH = 6, 30  # pairs of a ranking of four answers; rankings that one wants which generalises
# However such rankings and smaller ones are parted by prompt, both parts are large enough for the reward model.
FEWEST = PAIRS_TO_LEARN + PAIRS_TO_TEST + PAIRS - 1
AGE = 0.5


def snapshot(office: Office) -> dict[str, Any]:
    """At most half a second old, however many browsers ask."""
    return office.remembered("state", AGE, lambda: _look(office))


def _look(office: Office) -> dict[str, Any]:
    worker = office.worker
    facts = read_json(office.workspace.root / "worker.json") or {}
    ready = facts.get("pid") == worker.pid and bool(facts.get("ready"))
    busy = facts.get("busy") if ready else None
    rankings, pairs = learnable(office.store.counts())
    runs = office.runs()
    newest = {page: _newest(runs, page) for page in ("sft", "reward", "ppo")}
    interrupted = runs[-1].name if runs and runs[-1].status() == "interrupted" and not busy else None
    state = {
        "worker": "gone" if worker.given_up else "busy" if busy else "ready" if ready else "starting",
        "sentence": worker.sentence(),
        "fault": office.store.backup_fault,
        "base": facts.get("base"),
        "device": facts.get("device"),
        "precision": facts.get("precision"),
        "fit": bool((office.workspace.base() or {}).get("fit")),
        "context": facts.get("context"),
        "busy": busy,
        "doing": doing(office, busy) if busy else "",
        "interrupted": interrupted,
        "killed": bool(interrupted and was_killed(runs[-1])),
        "kept": bool(runs and runs[-1].checkpoints()),
        "rankings": rankings,
        "pairs": pairs,
        "enough": ENOUGH,
        "newest": newest,
        "called": {name: run_called(office.workspace, name) for name in (busy, interrupted) if name},
        "doubt": bool(newest["reward"] and _doubted(office.workspace.run(newest["reward"]))),
    }
    if office.workspace.barred:
        return {**state, "worker": "none", "next": None}
    return {**state, "next": next_step(state)}


def _doubted(run: Run) -> bool:
    return bool(trust.doubt(run)) or trust.may_be_luck(run)


def _newest(runs: Sequence[Run], page: str) -> str | None:
    """A tuned policy whose run somebody stopped counts as well: it can be judged."""
    ended, stages = ("done", "stopped") if page == "ppo" else ("done",), stages_of(page)
    found = (run for run in reversed(runs) if run.stage in stages and run.status() in ended and run.adapter.is_dir())
    return next((run.name for run in found), None)


def next_step(state: dict[str, Any]) -> dict[str, str] | None:
    """One sentence, the tab it leads to, the words on its button, the stage that this starts, the run that it shows."""
    newest, done, busy, words = state["newest"], state["rankings"], state["busy"], state.get("called") or {}
    if busy:
        return _step(f"{words.get(busy, busy)} {state['doing']}.", _tab_of(busy), "Watch it", run=busy)
    if state["interrupted"]:
        name = state["interrupted"]
        way = "go on from its last checkpoint" if state.get("kept") else "begin again: it had no checkpoint yet"
        why = f": {WHY}" if state.get("killed") else ""
        return _step(f"{words.get(name, name)} was interrupted{why}. It can {way}.", _tab_of(name), "See it", run=name)
    if not newest["reward"]:
        missing = FEWEST - state["pairs"]
        if missing > 0:
            count = -(-missing // PAIRS)
            more = f"{count} more prompts" if count > 1 else "one more prompt"
            return _step(f"Rank {more} with four answers, then the reward model can learn.", "rank", "Rank")
        return _step(
            f"{done} rankings are enough for a first reward model.", "reward", "Train the reward model", "reward"
        )
    if not newest["ppo"] and state["doubt"]:
        return _step("The reward model may be guessing: rank more, or start PPO all the same.", "ppo", "Run PPO")
    if not newest["ppo"]:
        return _step(
            "The reward model has learned from the rankings; more make it surer. PPO can follow it now.",
            "ppo",
            "Run PPO",
            "ppo",
        )
    return _step("Is the tuned model really better? Judge it blind.", "compare", "Compare")


def doing(office: Office, name: str) -> str:
    """What the worker does with a run."""
    run = run_or_none(office.workspace.run, name)
    if run is not None and run.status() == "paused":
        return "is paused"
    return "is going on" if name.endswith("-compare") else "is being trained now"


def _tab_of(name: str) -> str:
    """Where a run is shown; one of Compare has no desk, but its tab."""
    stage = name.rpartition("-")[2]
    return page_of(stage) or stage


def _step(sentence: str, tab: str, button: str, start: str = "", run: str = "") -> dict[str, str]:
    return {"sentence": sentence, "tab": tab, "button": button, "start": start, "run": run}
