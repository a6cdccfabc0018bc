"""What the curves of a run are drawn from: its event file, read once as it grows, kept as plain numbers."""

from __future__ import annotations

import math
import threading
import time
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field, replace
from itertools import pairwise
from statistics import median
from typing import Any

from lab.events import Changed, Event, Failed, Finished, Progress, Started, Step, Warned
from lab.ui.fields import in_digits, label
from lab.workspace import Run

# How much of the smoothed curve is its own past; with 0.7, about the last six steps count.
MEMORY = 0.7
KEPT = 32
LOOK_EVERY = 0.1


@dataclass
class Series:
    """One metric: raw values and their running mean, NaN where a step did not measure it."""

    raw: array = field(default_factory=lambda: array("d"))
    smooth: array = field(default_factory=lambda: array("d"))
    _sum: float = 0.0
    _weight: float = 0.0

    def add(self, value: float) -> None:
        """The mean is divided by the weights given so far, so that it does not start from 0; it forgets step by step,
        so that a value measured seldom counts nearly alone."""
        self._sum, self._weight = MEMORY * self._sum, MEMORY * self._weight
        if not math.isnan(value):
            self._sum += (1 - MEMORY) * value
            self._weight += 1 - MEMORY
        self.raw.append(value)
        self.smooth.append(self._sum / self._weight if self._weight else math.nan)

    def cut(self, count: int) -> Series:
        """The same series with its first values only."""
        kept = Series()
        for value in self.raw[:count]:
            kept.add(value)
        return kept


class Track:
    """One run. `generation` changes when points that were already given out are no longer true, after a roll back.
    `knobs` are the settings that the trainer has read last, `moved` is what it was told to change on the way."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.guard = threading.RLock()
        self.generation = 0
        self.steps = array("q")
        self.times = array("d")
        self.series: dict[str, Series] = {}
        self.marks: list[dict[str, Any]] = []
        self.moved: list[Changed] = []
        self.warned: list[tuple[Warned, float]] = []
        self.total = 0
        self.started: Started | None = None
        self.knobs: dict[str, Any] = {}
        self.end: Finished | Failed | None = None
        self.result: dict[str, Any] = {}
        self.progress: Progress | None = None
        self._offset = 0
        self._looked = -math.inf
        self._status = ("", -math.inf)

    def refresh(self, size: int = 0) -> Track:
        """Reads what was written since the last look, at most ten times a second however many browsers ask, unless it
        has not read so many bytes yet."""
        with self.guard:
            if time.monotonic() - self._looked > LOOK_EVERY or self._offset < size:
                while (found := self.run.events(self._offset)).offset > self._offset:
                    self._offset = found.offset
                    for event, at in found.events:
                        self._take(event, at)
                self._looked = time.monotonic()
        return self

    def status(self) -> str:
        """The run's own word for its state, looked up anew four times a second."""
        with self.guard:
            said, at = self._status
            if time.monotonic() - at > 0.25:
                said = self.run.status()
                self._status = (said, time.monotonic())
            return said

    def forget_status(self) -> None:
        """So that what a person just ordered is seen at once."""
        self._status = ("", -math.inf)

    @property
    def step(self) -> int:
        return self.steps[-1] if self.steps else 0

    @property
    def begun(self) -> float:
        """When the newest step that is done can have begun at the earliest."""
        return self.times[-2] if len(self.times) > 1 else 0.0

    def latest(self, key: str) -> float | None:
        """The newest value that was measured."""
        values = self.series[key].raw if key in self.series else ()
        return next((value for value in reversed(values) if not math.isnan(value)), None)

    def seconds_a_step(self) -> float | None:
        """The usual time of the last ten steps, whatever pause lay between; None before there are two."""
        times = self.times[-11:]
        return median(after - before for before, after in pairwise(times)) if len(times) > 1 else None

    def _take(self, event: Event, at: float) -> None:
        match event:
            case Started():
                if self.steps and event.step < self.steps[-1]:
                    self._go_back(event.step + 1)
                self.started, self.total, self.end, self.progress = event, event.total, None, None
                self.knobs = dict(event.config)
            case Step():
                self._take_step(event, at)
            case Changed():
                self.knobs[event.key] = event.after
                self._take_once(event)
            case Warned():
                self.warned.append((event, at))
                self.marks.append(_mark("warned", event.step, event.message, "", event.code))
            case Progress():
                self.progress = event
            case Finished() | Failed():
                self.end, self.progress = event, None
                self.result = event.result if isinstance(event, Finished) else self.result

    def _take_step(self, event: Step, at: float) -> None:
        if self.steps and event.step <= self.steps[-1]:
            self._go_back(event.step)
        self.progress = None
        self.steps.append(event.step)
        self.times.append(at)
        for key in event.metrics.keys() - self.series.keys():
            self.series[key] = Series()
            for _ in self.steps[1:]:
                self.series[key].add(math.nan)
        for key, series in self.series.items():
            value = event.metrics.get(key)
            series.add(math.nan if value is None else float(value))

    def _take_once(self, event: Changed) -> None:
        """A run that went back to the step at which a knob was moved reads it there anew; nobody moved it twice."""
        if all(replace(each, by=event.by) != event for each in self.moved):
            self.moved.append(event)
            if event.key == "reward":  # nobody's doing: it was trained anew on what was ranked
                words = f"follows {event.after} from here on, instead of {event.before}"
                self.marks.append(_mark("followed", event.step, words, "", event.key))
                return
            words = f"{label(event.key)} from {in_digits(event.before)} to {in_digits(event.after)}"
            self.marks.append(_mark("changed", event.step, words, event.by, event.key))

    def _go_back(self, step: int) -> None:
        """A run that was rolled back says a step again: what came after it is no longer part of the run."""
        kept = sum(1 for each in self.steps if each < step)
        left = self.steps[-1]
        self.steps, self.times = self.steps[:kept], self.times[:kept]
        self.series = {key: series.cut(kept) for key, series in self.series.items()}
        self.marks = [mark for mark in self.marks if mark["step"] < step]
        self.moved = [event for event in self.moved if event.step < step]
        self.warned = [(event, at) for event, at in self.warned if event.step < step]
        self.marks.append(_mark("rolled back", step - 1, f"went back here from step {left}", "", "rollback"))
        self.generation += 1


def _mark(kind: str, step: int, words: str, by: str, key: str) -> dict[str, Any]:
    return {"kind": kind, "step": step, "words": words, "by": by, "key": key}


class Tracks:
    """The runs that somebody looks at, for the whole app; the least recently seen is forgotten first."""

    def __init__(self, keep: int = KEPT) -> None:
        self._keep = keep
        self._guard = threading.Lock()
        self._found: OrderedDict[tuple[str, int], Track] = OrderedDict()

    def of(self, run: Run, size: int = 0) -> Track:
        """The run's track, read up to now; `size`: what its event file is known to hold."""
        key = birth(run)
        with self._guard:
            track = self._found.pop(key, None) or Track(run)
            self._found[key] = track
            while len(self._found) > self._keep:
                self._found.popitem(last=False)
        return track.refresh(size)


def birth(run: Run) -> tuple[str, int]:
    """Tells a run from another one that once had its folder: config.json is written once, when the run is made."""
    try:
        return str(run.folder), (run.folder / "config.json").stat().st_mtime_ns
    except OSError:
        return str(run.folder), 0
