"""Where the work stands, read from the files: the model process, how many rankings, which runs, and what comes next."""

from __future__ import annotations

from typing import Any

from lab.journal import read_json
from lab.ui.office import Office

# The newcomer ranks eight; a reward model that generalises wants about thirty.
FIRST, ENOUGH = 8, 30


def snapshot(office: Office) -> dict[str, Any]:
    """Cheap enough for once a second a browser: one directory listing, a few small files and two counts."""
    worker = office.worker
    facts = read_json(office.workspace.root / "worker.json") or {}
    ready = worker.alive and bool(facts.get("ready"))
    busy = facts.get("busy") if ready else None
    counts = office.store.counts()
    newest = {stage: _newest(office, stage) for stage in ("sft", "reward", "ppo")}
    state = {
        "worker": "gone" if worker.given_up else "busy" if busy else "ready" if ready else "starting",
        "sentence": worker.sentence(),
        "base": facts.get("base"),
        "device": facts.get("device"),
        "busy": busy,
        "rankings": counts["rankings"],
        "enough": ENOUGH,
        "newest": newest,
    }
    return {**state, "next": next_step(state)}


def _newest(office: Office, stage: str) -> str | None:
    run = office.workspace.newest(stage)
    return run.name if run else None


def next_step(state: dict[str, Any]) -> dict[str, str] | None:
    """One sentence, the tab that it leads to and the words on its button; None while there is nothing to urge."""
    newest, done = state["newest"], state["rankings"]
    if state["busy"]:
        stage = state["busy"].rpartition("-")[2]
        return _step(f"{state['busy']} is being trained now.", stage, "Watch it") if stage in newest else None
    if not newest["reward"]:
        if done < FIRST:
            return _step(f"Rank answers: {FIRST - done} more prompts and the reward model can start.", "rank", "Rank")
        return _step(f"{done} rankings are enough for a first reward model.", "reward", "Train the reward model")
    if not newest["ppo"]:
        return _step("The reward model is trained. Let PPO follow it.", "ppo", "Run PPO")
    return _step("Is the tuned model really better? Judge it blind.", "compare", "Compare")


def _step(sentence: str, tab: str, button: str) -> dict[str, str]:
    return {"sentence": sentence, "tab": tab, "button": button}
