"""The peak of memory of a piece of work, measured."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from random import Random

import torch

from lab import logprobs
from lab.generate import first_and_last, prepare
from lab.memory import HEARD, SHARED, Knobs, Row
from lab.models import Roles
from lab.shortage import ran_out
from lab.text import batch_of


class Peak:
    """`bytes`: the most that was held above the start, set when the measured block ends."""

    bytes: int = 0


@contextmanager
def measured(device: str = "cpu", every: float = 0.002) -> Iterator[Peak]:
    """Measures the block: on a GPU by the allocator's own count, on a CPU by a thread that samples resident memory."""
    peak = Peak()
    gc.collect()
    if device == "cuda":
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        try:
            yield peak
        finally:
            torch.cuda.synchronize()
            peak.bytes = torch.cuda.max_memory_allocated() - before
        return
    sampler = _Sampler(every)
    sampler.start()
    try:
        yield peak
    finally:
        peak.bytes = sampler.stop()


class _Sampler(threading.Thread):
    """Watches this process's resident memory until told to stop."""

    def __init__(self, every: float):
        super().__init__(daemon=True)
        import psutil

        self.process, self.every, self.ended = psutil.Process(), every, threading.Event()
        self.before = self.largest = self.process.memory_info().rss

    def run(self) -> None:
        while not self.ended.wait(self.every):
            self.largest = max(self.largest, self.process.memory_info().rss)

    def stop(self) -> int:
        """The most above the start."""
        self.ended.set()
        self.join()
        return max(self.largest, self.process.memory_info().rss) - self.before


def foretold(rows: Sequence[Row], knobs: Knobs) -> dict[str, int]:
    """Bytes that a rehearsal should measure in each phase: of the shared states it holds one micro-batch's alone, and
    none that a sampler has said."""
    found = {"rollout": 0, "score": 0, "update": 0}
    for row in (row for row in rows if row.phase in found and row.role != HEARD):
        found[row.phase] += row.bytes * knobs.microbatch // knobs.batch if row.role == SHARED else row.bytes
    return found


def rehearse(roles: Roles, role: str, knobs: Knobs) -> dict[str, int]:
    """Measured bytes of each phase with one micro-batch of random tokens at the longest: what foretell only reckons.

    Nothing is learned, and no random number is drawn that a run would draw. A rollout that memory does not suffice for
    is left out: a run cuts it in smaller ones.
    """
    found = {}
    prepare(roles, role)
    for phase, work in phases(roles, role, knobs).items():
        try:
            with measured(roles.device.type) as peak:
                work()
            found[phase] = peak.bytes
        except (RuntimeError, MemoryError) as problem:
            if phase != "rollout" or not ran_out(problem):
                raise
    return found


def phases(roles: Roles, role: str, knobs: Knobs) -> dict[str, Callable[[], None]]:
    """The work of each phase, of which nothing is left when it is done."""
    rng, known = Random(0), min(500, roles.text.rows)

    def drawn(count: int, length: int) -> list[list[int]]:
        return [[rng.randrange(known) for _ in range(length)] for _ in range(count)]

    prompts = drawn(max(knobs.batch, knobs.microbatch), knobs.prompt)
    answers = drawn(knobs.microbatch, knobs.tokens)
    batch = batch_of(prompts[: knobs.microbatch], answers, roles.text.pad_id).to(roles.device)
    stem = roles.stem(knobs.unfrozen, role)

    @torch.no_grad()
    def score() -> None:
        part = replace(batch, stem=stem and replace(stem))
        states = roles.hidden(role, part)[:, :-1]
        logprobs.read(roles, states, roles.hidden(role, part)[:, :-1], part.responses, part.mask)

    def update() -> None:
        learning = [parameter for parameter in roles.model.parameters() if parameter.requires_grad]
        part, parameters = replace(batch, stem=stem and replace(stem)), roles.trainable(role, knobs.unfrozen)
        states = roles.hidden(role, part)[:, :-1]
        torch.autograd.grad(logprobs.of(roles, states, part.responses, part.mask).sum(), parameters)
        roles.freeze()
        for parameter in learning:
            parameter.requires_grad_(True)

    answered = prompts[: knobs.batch]
    return {"rollout": lambda: first_and_last(roles, role, answered, knobs.tokens), "score": score, "update": update}
