"""Small things that every stage needs: finite numbers, settings as a dictionary, moved knobs, seeds, long readings."""

from __future__ import annotations

import math
import resource
import sys
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import asdict, fields, replace
from typing import Any, TypeVar

import torch

from lab.errors import NotFinite
from lab.events import Changed, Progress
from lab.shortage import in_parts

T = TypeVar("T")
R = TypeVar("R")
C = TypeVar("C")  # a stage's config


def finite(value: torch.Tensor | float, what: str) -> float:
    """The number, or NotFinite."""
    number = float(value.detach() if isinstance(value, torch.Tensor) else value)
    if not math.isfinite(number):
        raise NotFinite(
            f"The {what} is {number}. Training cannot go on from here: halve the learning rate and start again from "
            "the last checkpoint."
        )
    return number


def as_dict(config: Any) -> dict[str, Any]:
    """A config's fields, for the Started event."""
    return asdict(config)


def last_read(config: C, knobs: Mapping[str, Any]) -> C:
    """The config with the live knobs as they were read last: one that was moved while its run stood still is told."""
    return replace(config, **{name: value for name, value in knobs.items() if name in live_knobs(config)})


def live_knobs(config: Any) -> dict[str, Any]:
    """Those that may move while the run goes on, by name."""
    return {each.name: getattr(config, each.name) for each in fields(config) if each.metadata["live"]}


def changes(step: int, before: Any, after: Any) -> list[Changed]:
    """The live knobs that moved between two readings of the config; who moved them, the runner knows."""
    old, new = live_knobs(before), live_knobs(after)
    return [Changed(step, name, old[name], new[name], "") for name in new if old[name] != new[name]]


def step_seed(seed: int, step: int) -> int:
    """A sampling seed of one step: no random state has to be stored to resume."""
    return seed * 1_000_003 + step


def peak_bytes() -> int:
    """The largest memory in use so far: of the GPU where this process uses one, else resident in it."""
    on_card = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    if on_card:
        return on_card
    unit = 1 if sys.platform == "darwin" else 1024  # macOS counts bytes, Linux kilobytes
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def part_by_part(
    what: str, work: Callable[[Sequence[T]], list[R]], rows: Sequence[T], size: int
) -> Generator[Progress, None, list[R]]:
    """What work gives for all rows, `size` at a time or fewer where memory runs out, with a Progress after each.

    On a large base that takes minutes, and between two events those are served who rank meanwhile.
    """
    found, fitting = [], size
    yield Progress(what, 0, len(rows))
    for start in range(0, len(rows), size):
        parts, fitting = in_parts(work, rows[start : start + size], fitting)
        found += [each for part in parts for each in part]
        yield Progress(what, min(start + size, len(rows)), len(rows))
    return found


def result_of(work: Generator[Any, None, T]) -> T:
    """What a generator returns, its events unseen."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
