"""People and policy go on together: between two steps of a run, its reward model is trained anew on what was ranked
since (Christiano et al. 2017), and the run follows the new one."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lab import trust
from lab.config import STAGES as KNOBS
from lab.errors import LabError
from lab.events import Event, Step
from lab.runner import Job, Live, drive, nothing
from lab.studio import Studio
from lab.workspace import Run

log = logging.getLogger("lab.refresh")
FOLLOW = ("ppo", "rloo", "grpo")  # a reward model


class Refresh:
    """Of one run. `tried` is the newest ranking that a reward model was trained on here: one that could not be followed
    is not tried again before as many have come once more."""

    def __init__(self, studio: Studio, job: Job):
        self.studio, self.job, self.tried = studio, job, 0

    def after(self, event: Event, between: Callable[[], None] = nothing) -> Run | None:
        """Train the reward model anew where it is due after this event, with the policy at rest; the run that did."""
        if not isinstance(event, Step) or self.job.run.stage not in FOLLOW:
            return None
        settings = self._settings()
        if not settings.refresh or event.step >= settings.steps or self.job.run.control()["order"] != "run":
            return None
        try:
            return self._at_rest(between) if self._due(settings.refresh) else None
        except LabError as problem:
            log.error("%s: %s", problem.code, problem)
            return None

    def _due(self, every: int) -> bool:
        with self.studio.workspace.store(read_only=True) as store:
            new = trust.ranked_since(self._followed(), store, self.tried)
        if len(new) < every:
            return False
        self.tried = new[-1]
        return True

    def _at_rest(self, between: Callable[[], None]) -> Run:
        """Train it, after which the model is as the policy's training left it; the run that did."""
        checkpointing = self.studio.roles.checkpointing
        try:
            return self._trained(between)
        finally:
            self.studio.roles.checkpointing = checkpointing
            self.job.state.wake()

    def _trained(self, between: Callable[[], None]) -> Run:
        """A run of its own with the settings of the one before and from the same SFT, though there be a newer one. It
        is followed once it may be trusted."""
        run, before = self.job.run, self._followed()
        facts = before.facts()
        inputs = {"raters": facts["inputs"].get("raters"), "reference": trust.scaled_on(before)}
        anew = self.studio.start("reward", facts["config"], inputs, run.facts().get("by") or "")

        def meanwhile() -> None:
            between()
            if run.control()["order"] == "stop":  # of the run that waits: it does not wait for all of this
                anew.run.set_control(order="stop")

        for _ in drive(anew, meanwhile):
            pass
        if anew.run.status() == "done" and (run.facts()["inputs"].get("anyway") or not trust.doubt(anew.run)):
            run.set_control(reward=anew.run.name)
        return anew.run

    def _followed(self) -> Run:
        run = self.job.run
        return self.studio.workspace.run(run.control()["reward"] or run.facts()["inputs"]["reward"])

    def _settings(self) -> Any:
        """The run's settings as they are now, with the knobs that were moved."""
        return Live(self.job.run, KNOBS[self.job.run.stage](**self.job.run.facts()["config"]))()
