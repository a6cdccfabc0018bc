"""Runs that a test writes itself, line by line, as a worker would: quick, and every number known."""

from __future__ import annotations

import shutil
import time
from contextlib import contextmanager
from dataclasses import asdict

from lab.config import STAGES
from lab.events import Event, Sample, Started, to_json
from lab.locks import taken
from lab.workspace import Workspace


class Made:
    """One run; `locked` while a worker seems to work on it."""

    def __init__(self, workspace, stage: str, total: int, **config):
        self.config = asdict(STAGES[stage](**config))
        self.run = Workspace(workspace).new_run(stage, self.config, by="ana", base={"base": "tiny"})
        (self.run.folder / "lock").touch()
        self.lock = taken(self.run.lock(), "The run")
        self.write(Started(stage, total, self.config))

    def write(self, *events: Event) -> float:
        """Returns the time at which the events were there to be read."""
        for name, kind in (("samples.jsonl", True), ("events.jsonl", False)):
            lines = [to_json(event, time.time()) + "\n" for event in events if isinstance(event, Sample) is kind]
            if lines:
                with open(self.run.folder / name, "a", encoding="utf-8") as file:
                    file.write("".join(lines))
        return time.time()

    def checkpoint(self, step: int) -> None:
        self.run.checkpoint(step).mkdir(parents=True)
        (self.run.checkpoint(step) / "manifest.json").write_text("{}")


@contextmanager
def made(workspace, stage: str = "ppo", total: int = 60, **config):
    """Afterwards the run is gone, so that no other test takes it for a real one."""
    run = Made(workspace, stage, total, **config)
    try:
        yield run
    finally:
        run.lock.release()
        shutil.rmtree(run.run.folder, ignore_errors=True)


def ppo_metrics(step: int) -> dict[str, float | None]:
    return {
        "reward/score": step / 10,
        "kl/reference": step / 4,
        "policy/entropy": 2.0 - step / 100,
        "policy/clip_fraction": 0.1,
        "value/explained_variance": 0.5,
        "response/length": 30.0 + step,
        "response/ended": 1.0,
        "response/distinct": 1.0,
        "loss/policy": 0.01,
        "memory/peak_bytes": 6.1e8,
    }
