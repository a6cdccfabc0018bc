"""The worker: one process that owns the device and the one copy of the base, trains, and answers requests in between."""

from __future__ import annotations

import logging
import os
import uuid
from collections import deque
from collections.abc import Callable
from time import monotonic, sleep, time
from typing import Any

import psutil

from lab.errors import LabError
from lab.events import Failed, Step
from lab.runner import Job, Writer, drive
from lab.serve import Server
from lab.studio import Studio
from lab.workspace import Served, Workspace, taken

POLL_SECONDS, STALE_SECONDS = 0.03, 120.0
log = logging.getLogger("lab.worker")


class Worker:
    """Requests come from lab.db, answers go to served.jsonl, what the worker is doing to worker.json."""

    def __init__(self, workspace: Workspace, studio: Studio, alive: Callable[[], bool]):
        self.workspace, self.studio, self.alive = workspace, studio, alive
        if not workspace.db.exists():
            workspace.store().close()
        self.server, self.store = Server(studio), workspace.store(read_only=True)
        self.waiting: deque[tuple[str, str, dict[str, Any]]] = deque()
        self.seen, self.looked, self.started = 0, 0.0, time()

    def forever(self) -> None:
        """Until `alive` says no."""
        self._forget_what_is_old()
        self.report()
        while self.alive():
            self.look()
            if self.waiting:
                self._run(*self.waiting.popleft())
            else:
                sleep(POLL_SECONDS)

    def look(self) -> None:
        """Answer what was asked since the last look; runs are put in line."""
        if monotonic() - self.looked < POLL_SECONDS:
            return
        for seq, request_id, kind, payload, _ in self.store.requests_after(self.seen):
            self.seen = seq
            if kind in ("run", "resume"):
                self.waiting.append((request_id, kind, payload))
                self.server.say(request_id, {"queued": len(self.waiting)})
            else:
                self._guarded(request_id, lambda k=kind, p=payload, r=request_id: self.server.answer(r, k, p))
        self.looked = monotonic()

    def _forget_what_is_old(self) -> None:
        """Start where the last worker ended: what was answered, or asked long ago by a page that has given up, is passed over."""
        served = Served(self.workspace.served)
        served.refresh()
        for seq, request_id, _, _, at in self.store.requests_after(0):
            answered = (served.get(request_id) or {}).get("done")
            if not answered and time() - at < STALE_SECONDS:
                return
            self.seen = seq

    def _run(self, request_id: str, kind: str, payload: dict[str, Any]) -> None:
        job = self._guarded(request_id, lambda: self._job(kind, payload))
        if job is None:
            return
        self.server.say(request_id, {"done": True, "run": job.run.name})
        self.studio.training = job.run.name
        self.report(busy=job.run.name)
        self._guarded(request_id, lambda: self._drive(job), job)
        self.studio.training, self.studio.step = "", 0
        self.studio.roles.freeze()
        self.report()

    def _job(self, kind: str, payload: dict[str, Any]) -> Job:
        if kind == "resume":
            step = payload.get("from")
            return self.studio.resume(str(payload.get("run")), None if step is None else int(step))
        stage, knobs, inputs = str(payload.get("stage")), payload.get("config") or {}, payload.get("inputs") or {}
        return self.studio.start(stage, knobs, inputs, str(payload.get("by") or ""))

    def _drive(self, job: Job) -> None:
        for event in drive(job, self.between):
            if isinstance(event, Step):
                self.studio.step = event.step

    def between(self) -> None:
        """Between two events of a run. Raises SystemExit when the parent is gone: the last checkpoint stands."""
        self.look()
        if not self.alive():
            raise SystemExit(0)

    def _guarded(self, request_id: str, do: Callable[[], Any], job: Job | None = None) -> Any:
        """The worker's edge: a refusal becomes an answer, anything else is logged under a reference and said so."""
        try:
            return do()
        except LabError as problem:
            self.server.refuse(request_id, problem)
        except Exception as problem:
            reference = uuid.uuid4().hex[:8]
            log.exception("E_INTERNAL %s", reference)
            text = f"Something unexpected happened ({type(problem).__name__}, ref {reference}); worker.log has the details."
            failure = LabError(f"{text} Nothing that was saved is lost. Try again.")
            self.server.refuse(request_id, failure)
            if job:
                self._fail(job, str(failure))
        return None

    def _fail(self, job: Job, message: str) -> None:
        writer = Writer(job.run)
        writer.write(Failed(self.studio.step, "E_INTERNAL", message))
        writer.close()

    def report(self, busy: str | None = None, message: str = "") -> None:
        """worker.json."""
        roles = self.studio.roles
        self.workspace.say(
            {
                "pid": os.getpid(),
                "started": self.started,
                "base": roles.name,
                "four_bit": roles.four_bit,
                "ready": True,
                "busy": busy,
                "device": str(roles.device),
                "context": roles.text.context,
                "message": message,
            }
        )


def work(
    workspace: Workspace, base: str = "", *, threads: int = 0, parent: int = 0, alive: Callable[[], bool] | None = None
) -> None:
    """Own the workspace and work until the parent process is gone (or `alive` says no). Raises Busy when another worker does.

    A base that cannot be loaded is said in worker.json, where the page shows it.
    """
    lock = taken(workspace.lock(), f"The workspace {workspace.root}")
    base = base or (workspace.base() or {}).get("base") or "tiny"
    started = {"pid": os.getpid(), "started": time(), "ready": False, "busy": None, "device": "", "message": ""}
    try:
        workspace.say(started | {"base": base})
        studio = open_studio(workspace, base, threads)
        Worker(workspace, studio, alive or (lambda: _lives(parent))).forever()
    except LabError as problem:
        workspace.say(started | {"base": base, "message": str(problem), "code": problem.code})
        raise
    finally:
        lock.release()


def open_studio(workspace: Workspace, base: str = "", threads: int = 0, four_bit: bool | None = None) -> Studio:
    """The workspace's base, loaded; the first base that a workspace is opened with stays its base."""
    import torch

    from lab.loading import load

    if threads:
        torch.set_num_threads(threads)
    known = workspace.base() or {}
    name = base or known.get("base") or "tiny"
    in_four = bool(known.get("four_bit")) if four_bit is None else four_bit
    studio = Studio(workspace, load(name, four_bit=in_four))
    if (known.get("base"), known.get("four_bit")) != (name, in_four):
        workspace.set_base({"base": name, "four_bit": in_four})
    return studio


def _lives(parent: int) -> bool:
    """Whether the parent process is there; 0 is no parent to wait for."""
    return not parent or (psutil.pid_exists(parent) and os.getppid() == parent)
