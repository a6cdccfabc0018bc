"""Comparisons that were asked for and have not begun: whoever comes later sees them too, and what they wait for."""

from __future__ import annotations

import time
from typing import Any

from lab.ui.naming import run_called
from lab.ui.office import Office
from lab.ui.points import run_or_none
from lab.ui.state import snapshot

# So many of the newest requests are looked through when the app has just started.
LATEST = 2_000
# Seconds after which an order that a living worker has said nothing about is none that it still knows of.
SILENCE = 120.0


class Waiting:
    """Follows the requests of the database, each read once however many pages ask."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self._seen = max(0, office.store.last_request() - LATEST)
        self._asked: dict[str, tuple[dict[str, Any], float]] = {}

    def inputs(self) -> dict[str, dict[str, Any]]:
        """What each comparison in line is to compare, by the id of its request, oldest first."""
        for seq, request, kind, payload, at in self.office.store.requests_after(self._seen):
            self._seen = seq
            if kind == "run" and payload.get("stage") == "compare":
                self._asked[request] = (payload.get("inputs") or {}, at)
        found = {}
        for request, (inputs, at) in list(self._asked.items()):
            answer = self.office.answer(request) or {}
            if answer.get("done"):
                self._asked.pop(request, None)
            elif answer or time.time() - at < SILENCE:
                found[request] = inputs
        return found

    def why(self) -> str:
        """What the first of them waits for."""
        state = snapshot(self.office)
        busy = state["busy"]
        if not busy and state["worker"] == "ready":
            return "begins now"
        if not busy:
            return f"waits for the model. {self.office.worker.sentence(whole=False)}"  # guests see it, too
        run = run_or_none(self.office.workspace.run, busy)
        words = run_called(self.office.workspace, busy)
        return f"waits for {words}, which is paused" if run and run.status() == "paused" else f"waits for {words}"
