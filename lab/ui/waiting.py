"""Runs that were asked for and have not begun: whoever comes later sees them too, and can take them back."""

from __future__ import annotations

import time
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lab.errors import Busy
from lab.ui.naming import run_called
from lab.ui.office import Office
from lab.ui.pages import stages_of
from lab.ui.points import run_or_none
from lab.ui.state import snapshot

# So many of the newest requests are looked through when the app has just started.
LATEST = 2_000
# Seconds after which an order that a living worker has said nothing about is none that it still knows of.
SILENCE = 120.0
_NEW: Mapping[str, str] = MappingProxyType({"reward": "reward model", "compare": "comparison"})


class Waiting:
    """Follows the requests of the database, each read once however many pages ask. Where no model runs, none is in
    line, so that what stands in files alone is shown also where the database cannot be read."""

    def __init__(self, office: Office) -> None:
        self.office, self._idle = office, office.workspace.barred is not None
        self._seen = 0 if self._idle else max(0, office.store.last_request() - LATEST)
        self._asked: dict[str, tuple[str, dict[str, Any], float]] = {}

    def orders(self) -> dict[str, tuple[str, dict[str, Any]]]:
        """Kind and payload of each order in line, by the id of its request, oldest first."""
        if self._idle:
            return {}
        for seq, request, kind, payload, at in self.office.store.requests_after(self._seen):
            self._seen = seq
            if kind in ("run", "resume"):
                self._asked[request] = (kind, payload, at)
        found = {}
        for request, (kind, payload, at) in list(self._asked.items()):
            answer = self.office.answer(request) or {}
            if answer.get("done"):
                self._asked.pop(request, None)
            elif answer or time.time() - at < SILENCE:
                found[request] = (kind, payload)
        return found

    def inputs(self) -> dict[str, dict[str, Any]]:
        """What each comparison in line is to compare, by the id of its request, oldest first."""
        return {
            request: payload.get("inputs") or {}
            for request, (_, payload) in self.orders().items()
            if payload.get("stage") == "compare"
        }

    def lines(self, page: str = "") -> list[dict[str, str]]:
        """What has not begun, in words; of a page, that which would be shown on it."""
        orders = self.orders()
        why = self.why() if orders else ""
        return [
            {"request": request, "words": f"{self._called(payload)} {why}".rstrip(".") + "."}
            for request, (_, payload) in orders.items()
            if not (self.office.answer(request) or {}).get("begun") and (not page or _stage(payload) in stages_of(page))
        ]

    def _called(self, payload: dict[str, Any]) -> str:
        stage, step = _stage(payload), payload.get("from")
        if "run" not in payload:
            return f"A new {_NEW.get(stage) or f'run of {stage.upper()}'}"
        way = "go on" if step is None else f"go back to step {step}"
        return f"{run_called(self.office.workspace, payload['run'])} is to {way}. It"

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


def _stage(payload: dict[str, Any]) -> str:
    return str(payload.get("stage") or str(payload.get("run")).rpartition("-")[2])


def waiting_of(office: Office) -> Waiting:
    """One for the whole app, so that each request is read once however many pages ask."""
    if not hasattr(office, "waiting"):
        office.waiting = Waiting(office)
    return office.waiting


def serve(office: Office) -> None:
    """The action behind Take back, which the desks and the Runs page share."""
    office.action("take-back", lambda body, _: take_back(office, body))


def take_back(office: Office, body: dict[str, Any]) -> dict[str, str]:
    """Take an order back. The worker alone decides whether it had begun, so what it has begun goes on."""
    request = body.get("request")
    if request not in waiting_of(office).orders():
        raise Busy("It waits no longer: it has begun, or somebody has taken it back. Look for it on the Runs page.")
    office.ask("forget", {"request": request})
    return {"said": "It is taken back, unless it has just begun: then stop it on its page."}
