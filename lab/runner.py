"""The one loop that owns a trainer: it writes its events, obeys the controls, keeps checkpoints and ends in order."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, fields, replace
from pathlib import Path
from time import monotonic, sleep
from typing import Any

from lab import checkpoint, disk
from lab.config import lessened
from lab.errors import BadNumber, LabError, NotFinite, OutOfMemory
from lab.events import Changed, Event, Failed, Finished, Progress, Sample, Started, Step, Warned, standing
from lab.folders import mend
from lab.journal import Journal
from lab.locks import taken
from lab.shortage import ran_out
from lab.state import State
from lab.workspace import Run

CHECKPOINT_SECONDS, PAUSE_SECONDS = 10.0, 0.05
IN_STEP = ("rollout", "scored", "update")  # what a step of a policy's training says how far it is with


def nothing() -> None:
    """What happens between two events of a run that nobody else waits for."""


@dataclass
class Job:
    """A run and the generator of its work. `finish` turns the trainer's result into the run's and keeps the adapter.

    `over` is called once the run goes on no more, however it ended. `again` makes the job anew from one of its steps
    after something was not finite, which the message says; None where that is not to be tried.
    """

    run: Run
    events: Iterator[Event]
    state: State | None
    finish: Callable[[dict[str, Any]], dict[str, Any]]
    over: Callable[[], None] = nothing
    again: Callable[[int, NotFinite], Job] | None = None


@dataclass
class Live:
    """The config in force: the run's own, with the knobs that somebody moved in control.json laid over it."""

    run: Run
    config: Any

    def __call__(self) -> Any:
        """Knobs that may not move, are unknown or out of range are left as they were."""
        moved = self.run.control()["live"]
        allowed = {each.name: moved[each.name] for each in fields(self.config) if _may_move(each, moved)}
        found = self.config
        for name, value in allowed.items():
            try:
                found = replace(found, **{name: type(getattr(found, name))(value)})
            except (BadNumber, TypeError, ValueError):
                continue
        return found

    def moved(self, name: str) -> float | None:
        """When somebody last moved a knob, even to where it is; None where nobody has."""
        return self.run.control()["moved"].get(name)


def _may_move(each: Any, moved: dict[str, Any]) -> bool:
    value = moved.get(each.name)
    return each.metadata["live"] and isinstance(value, int | float) and math.isfinite(value)


def drive(job: Job, between: Callable[[], None] = nothing) -> Iterator[Event]:
    """Every event of the job, each written before it is passed on; `between` runs after each, with the model at rest.

    A refusal of the lab ends the run with a Failed event, and so does memory that runs out. Stop and pause take effect
    at the next Step, and before the first that a run takes or goes on with; a reading before the first or after the
    last, and a comparison, stop at the next Progress.
    """
    ends = ExitStack()
    ends.callback(job.over)
    try:
        ends.callback(taken(job.run.lock(), f"Run {job.run.name}").release)
        for folder in (job.run.folder, _folder(job.run)):
            mend(folder)
        writer = Writer(job.run)
        ends.callback(writer.close)
        for event in _or_failed(job, writer):
            if event is not None:
                yield event
            between()  # here, where a fault of what goes on meanwhile is not taken for the run's own
    finally:
        ends.close()


def _or_failed(job: Job, writer: Writer) -> Iterator[Event | None]:
    """What happens, and at the end of a run that cannot go on why."""
    try:
        yield from _once_again(job, writer)
    except LabError as problem:
        yield writer.write(Failed(writer.step, problem.code, str(problem)))
    except (RuntimeError, MemoryError) as problem:
        if not ran_out(problem):
            raise
        yield writer.write(Failed(writer.step, OutOfMemory.code, _short_of_memory(job.run)))


def _once_again(job: Job, writer: Writer) -> Iterator[Event | None]:
    """What happens; where a number is not finite, a run goes back once, to before its last update of the weights."""
    try:
        yield from _driven(job, writer)
        return
    except NotFinite as problem:
        step = _way_back(job)
        if step is None:
            raise
        broke = problem.with_traceback(None)  # which holds the tensors of the attempt
    anew, job.again = job.again(step, broke), None
    job.events, job.state, job.finish = anew.events, anew.state, anew.finish
    yield from _driven(job, writer)


def _way_back(job: Job) -> int | None:
    """The newest checkpoint from which a later update was made, 0 for the beginning, None where there is none.

    Weights that the last update has spoilt may be in every checkpoint since.
    """
    if job.again is None or job.state is None:
        return None
    last = job.state.learned
    return max((each for each in job.run.checkpoints() if each < last), default=0 if last == 1 else None)


def _driven(job: Job, writer: Writer) -> Iterator[Event | None]:
    """Every event; None again and again while the run is paused."""
    saved, updates = monotonic(), 0
    for event in job.events:
        if isinstance(event, Finished):
            yield from _until_room(job, writer)
            event = replace(event, result=job.finish(event.result))
        yield writer.write(event)
        if _between_steps(event, job.state, updates) and _order(job.run, writer.step) == "stop":
            job.events.close()
            yield writer.write(Finished(writer.step, "stopped", _kept_as_it_stands(job, writer)))
            return
        if job.state is None or not isinstance(event, Step | Started):
            continue
        updates, order = job.state.updates, _order(job.run, event.step)
        due = order != "run" or monotonic() - saved > CHECKPOINT_SECONDS
        due |= checkpoint.is_milestone(event.step, event.step)
        # While updates are left out, nothing is learned that an older checkpoint should give way to.
        if isinstance(event, Step) and due and (order != "run" or not job.state.skipped):
            yield from _until_room(job, writer)
            keep(job, writer)
            saved = monotonic()
        while order == "pause":
            yield None
            sleep(PAUSE_SECONDS)
            order = _order(job.run, event.step)
        if order == "stop":
            job.events.close()
            result = job.finish({}) if isinstance(event, Step) else _kept_as_it_stands(job, writer)
            yield writer.write(Finished(event.step, "stopped", result))
            return


def _until_room(job: Job, writer: Writer) -> Iterator[Event | None]:
    """None again and again while the disk has no room for what the job is about to keep, which is told once.

    Not where it is to stop: then that is tried at once, and refused where it does not fit.
    """
    size = job.state.size() if job.state else 0
    lacks = disk.lacking(job.run.folder, size) if size else 0
    if lacks:
        yield writer.write(
            Warned(
                writer.step,
                "W_DISK",
                f"The disk is nearly full, so the run waits before it saves step {writer.step}. It needs another "
                f"{lacks / 2**20:.0f} MB, and goes on by itself once there is so much room.",
                "Free some space on the disk, or stop here.",
                grave=True,
            )
        )
    while lacks and _order(job.run, writer.step) != "stop":
        yield None
        sleep(PAUSE_SECONDS)
        lacks = disk.lacking(job.run.folder, size)


def _between_steps(event: Event, state: State | None, updates: int) -> bool:
    """Whether a run can end here, before its first step or after its last: a reading may take as long as all steps do.

    A comparison has no steps. Otherwise the weights must be those of the last step, after so many updates.
    """
    reads = isinstance(event, Progress) and event.what not in IN_STEP
    return reads and (state is None or state.updates == updates)


def _kept_as_it_stands(job: Job, writer: Writer) -> dict[str, Any]:
    """What a run keeps that ends between steps; one that has learned nothing yet keeps nothing."""
    if job.state and not job.state.step:
        return {}
    if job.state:
        keep(job, writer)
    return job.finish({})


def _short_of_memory(run: Run) -> str:
    """What to turn in a run whose smallest parts are too large for the memory, and what is left of it."""
    config, saved = run.facts()["config"], run.checkpoints()
    less = lessened(config)
    on = ["turn checkpointing on"] if less.pop("checkpointing", "") else []
    turns = [f"lower {name} (now {config[name]})" for name in less] + on
    kept = f"which goes on from step {saved[-1]}" if saved else "which has no checkpoint yet"
    advice = f"Start a new run with less: {', '.join(turns)}, or choose" if turns else "Choose"
    return (
        f"Memory ran out, even with the work in its smallest parts. {advice} a smaller base. Or close what else takes "
        f"memory and resume this one, {kept}."
    )


def keep(job: Job, writer: Writer) -> Path:
    """A checkpoint of the job as it stands, which must be at a step; the disk has every line up to there before it."""
    writer.sync()
    # Who stops a run may do so to go back to any checkpoint that was there.
    stopped = job.run.control()["order"] == "stop"
    return checkpoint.save(_folder(job.run), job.state, prune=not stopped)


def _order(run: Run, step: int) -> str:
    """run, pause or stop; a pause that begins at a later step is not one yet."""
    control = run.control()
    later = control["order"] == "pause" and step < (control["until"] or 0)
    return "run" if later else control["order"]


def steps_of(run: Run) -> list[Step]:
    """The steps that the run has behind it, each as last taken."""
    found: list[Event] = []
    offset, before = 0, -1
    while before != offset:
        before = offset
        read = run.events(before)
        offset = read.offset
        found += [event for event, _ in read.events if isinstance(event, Started | Step)]
    return standing(found)


def _folder(run: Run) -> Path:
    return run.folder / "checkpoint"


class Writer:
    """The run's two journals; knows the last step and who moved a knob."""

    def __init__(self, run: Run):
        self.run, self.step = run, 0
        self.events, self.samples = Journal(run.folder / "events.jsonl"), Journal(run.folder / "samples.jsonl")

    def write(self, event: Event) -> Event:
        """Write an event where it belongs; returns it as written."""
        if isinstance(event, Changed) and not event.by:
            event = replace(event, by=self.run.control()["by"])
        if isinstance(event, Step | Started):
            self.step = event.step
        (self.samples if isinstance(event, Sample) else self.events).write(event)
        if isinstance(event, Finished | Failed):
            self.sync()
        return event

    def sync(self) -> None:
        """Returns once the disk has every line of both."""
        self.events.sync()
        self.samples.sync()

    def close(self) -> None:
        self.events.close()
        self.samples.close()
