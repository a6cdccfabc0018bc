"""The worker: one process that owns the device and the copy of the base, trains, and answers in between."""

from __future__ import annotations

import logging
import os
import uuid
from collections import deque
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from time import monotonic, sleep, time
from typing import Any

import psutil
import torch

from lab.errors import Busy, Damaged, DeviceLost, DiskFull, LabError, OutOfMemory, Unexpected
from lab.events import Failed, Started
from lab.journal import objects
from lab.locks import taken
from lab.refresh import Refresh
from lab.runner import Job, Writer, drive
from lab.serve import Server
from lab.served import MOST_BYTES, begin_anew
from lab.shortage import ASKED, ran_out
from lab.studio import Studio
from lab.workspace import Run, Workspace

POLL_SECONDS = 0.03
NEVER = (0.0, False)
SETTLED = 3.0  # seconds: longer than the tick of any disk's clock
# How long before the worker's start something may have been asked for and still be done: a page that watches an answer
# grow gives up after two minutes; an order to train is remembered for a day by whoever gave it.
STALE_SECONDS, STALE_ORDER_SECONDS = 120.0, 86_400.0
ORDERS = ("run", "resume")
# Answers are given for so long between two events of a run, which else would wait for the last of any crowd.
ANSWER_SECONDS = 2.0
ANEW = 70  # the status of a process that must give way to a new one
# How the errors of CUDA and ROCm begin, after most of which each further call of the process fails as well.
OF_THE_DEVICE = ("CUDA error", "HIP error")
LATEST = 500  # requests: those that are older have been answered or given up, but for orders, which wait in line
log = logging.getLogger("lab.worker")


class Leaving(SystemExit):
    """The process ends for an error of its GPU, with a status for which a new one is started."""

    def __init__(self, failure: DeviceLost):
        super().__init__(ANEW)
        self.failure = failure


class Worker:
    """Requests come from lab.db, answers go to served.jsonl, what the worker is doing to worker.json.

    `began` is when its process did, before the base was loaded.
    """

    def __init__(self, workspace: Workspace, studio: Studio, alive: Callable[[], bool], began: float):
        self.workspace, self.studio, self.policies, self.alive = workspace, studio, studio.policies, alive
        if not workspace.db.exists():
            workspace.store().close()
        self.server, self.store = Server(studio.policies), workspace.store(read_only=True)
        # Orders in line, and what is to be answered.
        self.waiting: deque[tuple[str, str, dict[str, Any], float]] = deque()
        self.asked: deque[tuple[str, str, dict[str, Any], float]] = deque()
        self.seen, self.looked, self.began, self.started = 0, 0.0, began, time()
        self.fault = ""  # of the last look
        self.written = NEVER  # when the database was, and whether that was long ago when it was looked at

    def forever(self) -> None:
        """Until `alive` says no."""
        self.report()
        self.take_over()
        while self.alive():
            self.look()
            if self.waiting:
                self._run(*self.waiting.popleft())
            elif not self.asked:
                sleep(POLL_SECONDS)

    def look(self) -> None:
        """Put what was asked since the last look in line, then answer for a while, first come, first served."""
        if monotonic() - self.looked >= POLL_SECONDS and self._news():
            self._read()
        began = monotonic()
        while self.asked and monotonic() - began < ANSWER_SECONDS:
            self._answer(*self.asked.popleft())
            self._keep_short()

    def _read(self) -> None:
        try:
            for seq, *request in list(self.store.requests_after(self.seen)):
                self.seen = seq
                self._take(*request)
            self.fault = ""
        except LabError as problem:  # such as Busy, during an import: what was asked is still there later
            self.written = NEVER
            self._log_once(problem)
        self.looked = monotonic()

    def _log_once(self, problem: LabError) -> None:
        """A fault that stays is met at every look, many times a second."""
        if str(problem) != self.fault:
            self.fault = str(problem)
            log.error("%s: %s", problem.code, problem)

    def _news(self) -> bool:
        """Whether the database may have changed since the last look, by its file, which costs less than opening it.

        A file that had just been written at the last look may have been written again within the same tick.
        """
        now = time()
        try:
            written = self.workspace.db.stat().st_mtime
        except OSError:
            return True  # the store says what is wrong
        before, self.written = self.written, (written, now - written > SETTLED)
        return before != (written, True)

    def _take(self, request_id: str, kind: str, payload: dict[str, Any], at: float) -> None:
        if kind in ORDERS:
            self.waiting.append((request_id, kind, payload, at))
            self.server.say(request_id, {"queued": len(self.waiting)})
        elif kind == "forget":
            self._forget(request_id, payload.get("request"))
        else:
            self.asked.append((request_id, kind, payload, at))

    def _answer(self, request_id: str, kind: str, payload: dict[str, Any], at: float) -> None:
        """Hardly anybody still waits for one that was asked so long ago; who does is told to ask again."""
        if time() - max(at, self.started) > STALE_SECONDS:
            why = (
                f"The model did not come to this within {STALE_SECONDS:.0f} seconds, so it was not answered. Ask again."
            )
            self.server.refuse(request_id, Busy(why))
        else:
            self._guarded(request_id, lambda: self.server.answer(request_id, kind, payload))

    def _forget(self, request_id: str, order: Any) -> None:
        """Take an order back that waits in line; one that has begun is stopped through its run."""
        for each in [each for each in self.waiting if each[0] == order]:
            self.waiting.remove(each)
            self.server.refuse(each[0], Busy("It was taken back before it began."))
        self.server.say(request_id, {"done": True})

    def _keep_short(self, least: int = MOST_BYTES) -> None:
        """Begin served.jsonl anew once it has grown beyond what a page reads; where the disk is full, it goes on."""
        served = self.workspace.served
        if served.exists() and served.stat().st_size > least:
            try:
                begin_anew(served, {request_id for _, request_id, *_ in self.store.requests_of(*ORDERS)})
            except (LabError, OSError) as problem:
                log.error("%s: %s", served.name, problem)

    def take_over(self) -> None:
        """Do what the last worker left undone, each request judged by itself.

        An order that had begun is refused instead: it may be what ended that worker, and would end this one too.
        """
        self._keep_short(least=0)
        answers = _last_answers(self.workspace.served)
        newest = self.store.requests_after(self.store.last_request() - LATEST)
        unique = {request[0]: request for request in (*self.store.requests_of(*ORDERS), *newest)}
        for seq, request_id, kind, payload, at in (unique[seq] for seq in sorted(unique)):
            self.seen = seq
            done, begun = answers.get(request_id, (False, False))
            age = self.began - at
            if done:
                continue
            if kind not in ORDERS:
                if kind == "forget" or age < STALE_SECONDS:
                    self._take(request_id, kind, payload, at)
            elif begun or age > STALE_ORDER_SECONDS:
                self.server.refuse(request_id, _left_behind(begun, age))
            else:
                self._take(request_id, kind, payload, at)

    def _run(self, request_id: str, kind: str, payload: dict[str, Any], at: float) -> None:
        self.server.say(request_id, {"begun": True})
        job = self._guarded(request_id, lambda: self._job(request_id, kind, payload, at))
        if job is None:
            return
        self.server.say(request_id, {"done": True, "run": job.run.name})
        self.policies.training = job.run.name
        self.report(busy=job.run.name)
        self._guarded(request_id, lambda: self._drive(job), job)
        self.policies.training, self.policies.step = "", 0
        self.studio.roles.freeze()
        self.report()

    def _job(self, request_id: str, kind: str, payload: dict[str, Any], at: float) -> Job | None:
        """None where the run has gone on since it was asked to: a button pressed twice must not undo its new steps."""
        if kind == "resume":
            run, step = self.workspace.run(str(payload.get("run"))), payload.get("from")
            if _gone_on(run, payload.get("begun"), at):
                self.server.say(request_id, {"done": True, "run": run.name})
                return None
            return self.studio.resume(run.name, None if step is None else int(step), hold=payload.get("hold") is True)
        stage, knobs, inputs = str(payload.get("stage")), payload.get("config") or {}, payload.get("inputs") or {}
        return self.studio.start(stage, knobs, inputs, str(payload.get("by") or ""), payload.get("fit") is True)

    def _drive(self, job: Job) -> None:
        """A run during which an answer loses the device ends for that reason as well."""
        try:
            refresh = Refresh(self.studio, job)
            for event in drive(job, self.between):
                if job.state:  # also before a resumed run says Started: it may have to warn first
                    self.policies.step = job.state.step
                refresh.after(event, self.between)
        except Leaving as leaving:
            self._fail(job, leaving.failure)
            raise

    def between(self) -> None:
        """Between two events of a run. Raises SystemExit when the parent is gone: the last checkpoint stands."""
        self.look()
        if not self.alive():
            raise SystemExit(0)

    def _guarded(self, request_id: str, do: Callable[[], Any], job: Job | None = None) -> Any:
        """The worker's edge: a refusal becomes an answer, anything else is logged under a reference and said so.

        Raises Leaving where the device is lost: the request is answered by then, so the next process is spared it.
        """
        try:
            return do()
        except LabError as problem:
            self.server.refuse(request_id, problem)
        except Exception as problem:
            failure = OutOfMemory(ASKED) if ran_out(problem) else _unexpected(problem)
            self.server.refuse(request_id, failure)
            if job:
                self._fail(job, failure)
            if isinstance(failure, DeviceLost):
                raise Leaving(failure) from problem
        return None

    def _fail(self, job: Job, failure: LabError) -> None:
        """Where that cannot be written, the run counts as interrupted."""
        try:
            with closing(Writer(job.run)) as writer:
                writer.write(Failed(self.policies.step, failure.code, str(failure)))
        except (DiskFull, OSError) as problem:
            log.error("%s: %s", job.run.name, problem)

    def report(self, busy: str | None = None, message: str = "") -> None:
        """worker.json, as it was where the disk is full."""
        roles = self.studio.roles
        record = {
            "pid": os.getpid(),
            "started": self.started,
            **self.policies.loaded,
            "precision": roles.precision,
            "ready": True,
            "busy": busy,
            "device": str(roles.device),
            "context": roles.text.context,
            "message": message,
        }
        try:
            self.workspace.say(record)
        except DiskFull as problem:
            log.error("worker.json: %s", problem)


def work(
    workspace: Workspace, base: str = "", *, threads: int = 0, parent: int = 0, alive: Callable[[], bool] | None = None
) -> None:
    """Own the workspace and work until the parent process is gone (or `alive` says no). Raises Busy when another does.

    A base that cannot be loaded is said in worker.json, where the page shows it.
    """
    lock = taken(workspace.lock(), f"The workspace {workspace.root}")
    base = base or (workspace.base() or {}).get("base") or "tiny"
    started = {"pid": os.getpid(), "started": time(), "ready": False, "busy": None, "device": "", "message": ""}
    try:
        workspace.say(started | {"base": base})
        studio = open_studio(
            workspace, base, threads, say=lambda text: workspace.say(started | {"base": base, "message": text})
        )
        Worker(workspace, studio, alive or (lambda: _lives(parent)), started["started"]).forever()
    except LabError as problem:
        workspace.say(started | {"base": base, "message": str(problem), "code": problem.code})
        raise
    finally:
        lock.release()


def open_studio(
    workspace: Workspace,
    base: str = "",
    threads: int = 0,
    precision: str = "",
    say: Callable[[str], None] | None = None,
) -> Studio:
    """The workspace's base, loaded; the first base that a workspace is opened with stays its base, in its precision."""
    from lab.loading import lasting, load

    if threads:
        torch.set_num_threads(threads)
    known = workspace.base()
    if known is None and (workspace.root / "base.json").exists() and not base:
        raise Damaged(
            f"base.json of the workspace {workspace.root} cannot be read, so nobody knows which base its runs belong "
            "to. Name it once: --base NAME."
        )
    known = known or {}
    name = lasting(base or str(known.get("base") or "tiny"))
    precision = precision or known.get("precision") or ("4-bit" if known.get("four_bit") else "auto")
    studio = Studio(workspace, load(name, precision=precision, say=say))
    kept = lasting(str(known.get("base") or name))
    if kept != known.get("base") and not workspace.barred:
        workspace.set_base(known | {"base": kept} | ({} if known.get("base") else {"precision": precision}))
    return studio


def lost(problem: Exception) -> bool:
    """Whether an error, which is not that memory ran out, leaves the process a device that it can use no more."""
    words = isinstance(problem, RuntimeError) and any(each in str(problem) for each in OF_THE_DEVICE)
    return words or isinstance(problem, torch.AcceleratorError)


def _unexpected(problem: Exception) -> DeviceLost | Unexpected:
    """What is said of a fault that nobody foresaw, whose trace goes to the log; called where it is caught."""
    reference, kind = uuid.uuid4().hex[:8], DeviceLost if lost(problem) else Unexpected
    log.exception("%s %s", kind.code, reference)
    if kind is DeviceLost:
        why = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(" .")
        return DeviceLost(
            f"The GPU broke off ({why}, ref {reference}); worker.log has the details. A process can do no more with it "
            "after that, so the model's process starts anew. Nothing that was saved is lost. Ask again once the model "
            "is ready, or resume the run."
        )
    return Unexpected(
        f"Something unexpected happened ({type(problem).__name__}, ref {reference}); worker.log has the details. "
        "Nothing that was saved is lost. Try again."
    )


def _last_answers(path: Path) -> dict[str, tuple[bool, bool]]:
    """Whether each request that was ever answered is done with, and whether it is an order that had begun."""
    if not path.exists():
        return {}
    with path.open("rb") as file:
        return {str(each.get("id")): (bool(each.get("done")), bool(each.get("begun"))) for each in objects(file)}


def _gone_on(run: Run, begun: Any, at: float) -> bool:
    """Whether a run has begun once more than the `begun` times of when it was asked to.

    Requests of old do not say how often that was; the clock, which may have been set since, must do for them.
    """
    if isinstance(begun, int):
        return run.begun() > begun
    offset, before = 0, -1
    while before != offset:
        before = offset
        found = run.events(before)
        offset = found.offset
        if any(isinstance(event, Started) and began > at for event, began in found.events):
            return True
    return False


def _left_behind(begun: bool, age: float) -> Busy:
    if begun:
        why = "The model process ended while it began this, so it was not tried again"
    else:
        why = f"This was asked for {age / 3600:.0f} hours before the model process started, so it was not begun"
    return Busy(f"{why}. If its run is in the list, resume it there; else give the order once more.")


def _lives(parent: int) -> bool:
    """Whether the parent process is there; 0 is no parent to wait for."""
    return not parent or (os.getppid() == parent and (os.name == "posix" or psutil.pid_exists(parent)))
