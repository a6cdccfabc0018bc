"""Workspaces that may only be looked at, for tests: one of a newer lab, and one on a disk that takes nothing."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path

from ranked import rank

from lab.events import Event, Finished, Sample, Started, Step, to_json
from lab.store import Candidate
from lab.store.schema import VERSION
from lab.workspace import Workspace

READ_ONLY_DISK = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'


def filled(root: Path) -> Path:
    """Five rankings, a duel, a tuned policy with an adapter, a reward model, and a comparison that has ended."""
    workspace = Workspace(root)
    rank(workspace, 5)
    with workspace.store() as store:
        [prompt] = store.add_prompts(["Why?"], "own")
        met = store.add_comparison(prompt, [Candidate("a", "0001-ppo"), Candidate("b", "base")], pool="duel")
        store.rank("duel", met, [[0], [1]], rater="me")
        store.ask("run", {"stage": "ppo", "config": {}, "inputs": {}, "by": "me"})
    steps = [Step(n, {"reward/score": n / 2, "kl/reference": n / 10}) for n in (1, 2)]
    made(workspace, "ppo", Started("ppo", 2, {}), *steps, Finished(2, "done", {}))
    made(workspace, "reward", Started("reward", 1, {}), Step(1, {}), Finished(1, "done", {"pairs/accuracy": 0.82}))
    won = {"a": "0001-ppo", "b": "base", "judge": "simulated:helpful", "win_rate": 0.9, "low": 0.8, "high": 0.95}
    made(workspace, "compare", Started("compare", 1, {}), Finished(1, "done", {**won, "count": 100}), inputs=won)
    sample = Sample(1, "Why?", "So.", 0.5, 0.1, 2, False, "policy")
    (root / "runs" / "0001-ppo" / "samples.jsonl").write_text(to_json(sample, 1.0) + "\n")
    return root


def made(workspace: Workspace, stage: str, *events: Event, inputs: dict | None = None) -> None:
    run = workspace.new_run(stage, {"beta": 0.1} if stage == "ppo" else {}, inputs=inputs or {})
    (run.folder / "events.jsonl").write_text(
        "".join(to_json(event, float(at)) + "\n" for at, event in enumerate(events))
    )
    run.adapter.mkdir()
    (run.adapter / "adapter_config.json").write_text("{}")


def newer(root: Path, *changes: str) -> Path:
    """As a later version of the lab leaves it."""
    with closing(sqlite3.connect(root / "lab.db", isolation_level=None)) as link:
        for change in (*changes, f"PRAGMA user_version = {VERSION + 1}"):
            link.execute(change)
    return root


def listing(root: Path) -> list[tuple[str, int, int]]:
    """Every file and folder there, when it was changed and how long it is."""
    found = ((path, path.lstat()) for path in (root, *root.rglob("*")))
    return sorted((str(path), facts.st_mtime_ns, facts.st_size) for path, facts in found)


def on_a_read_only_disk(root: Path, *command: str) -> list[str]:
    """The command, for which alone the folder is mounted without the right to write."""
    return ["unshare", "--mount", "sh", "-c", READ_ONLY_DISK, str(root), *command]


def why_no_mount(root: Path) -> str:
    """Why there can be no such disk here, '' where there can."""
    if not shutil.which("unshare"):
        return "this system has no unshare"
    done = subprocess.run(on_a_read_only_disk(root, "true"), capture_output=True, text=True)
    return f"no disk can be mounted here: {done.stderr.strip()}" if done.returncode else ""
