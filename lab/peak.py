"""The peak of memory of a piece of work, measured, and going on with smaller micro-batches when memory runs out."""

from __future__ import annotations

import gc
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import TypeVar

import torch

from lab import logprobs
from lab.generate import stream
from lab.memory import Knobs
from lab.models import Roles
from lab.rollout import Part
from lab.text import batch_of

T = TypeVar("T")


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


def rehearse(roles: Roles, role: str, knobs: Knobs) -> dict[str, int]:
    """Measured bytes of each phase with one micro-batch of random tokens at the longest: what foretell only reckons.

    Nothing is learned, and no random number is drawn that a run would draw.
    """
    device, rng = roles.device.type, Random(0)
    prompts = [[rng.randrange(8, 500) for _ in range(knobs.prompt)] for _ in range(max(knobs.batch, knobs.microbatch))]
    answers = [[rng.randrange(8, 500) for _ in range(knobs.tokens)] for _ in range(knobs.microbatch)]
    batch = batch_of(prompts[: knobs.microbatch], answers, roles.text.pad_id).to(roles.device)
    found = {}
    with measured(device) as peak:
        speaking = stream(roles, role, prompts[: knobs.batch], tokens=knobs.tokens)
        next(speaking), next(speaking)
        del speaking
    found["rollout"] = peak.bytes
    with measured(device) as peak, torch.no_grad():
        states = roles.hidden(role, batch)[:, :-1]
        logprobs.read(roles, states, roles.hidden(role, batch)[:, :-1], batch.responses, batch.mask)
    del states
    found["score"] = peak.bytes
    learning = [parameter for parameter in roles.model.parameters() if parameter.requires_grad]
    parameters = roles.trainable(role)
    with measured(device) as peak:
        states = roles.hidden(role, batch)[:, :-1]
        loss = logprobs.of(roles, states, batch.responses, batch.mask).sum()
        torch.autograd.grad(loss, parameters)
    found["update"] = peak.bytes
    roles.freeze()
    for parameter in learning:
        parameter.requires_grad_(True)
    return found


def with_smaller_microbatches(
    work: Callable[[int], T], microbatch: int, reset: Callable[[], None] = lambda: None
) -> tuple[T, int]:
    """What work(microbatch) returns, and the size that it went with: halved each time memory runs out, down to 1.

    The work cuts the same minibatch in smaller parts, so the optimizer's batch does not change. `reset` undoes what a
    broken attempt left, such as gradients of its first parts. At 1 the error goes on to the caller.
    """
    while True:
        try:
            return work(microbatch), microbatch
        except (torch.OutOfMemoryError, RuntimeError) as problem:
            if microbatch == 1 or not ran_out(problem):
                raise
        # Outside the except block: the error's traceback holds the tensors of the attempt.
        reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        microbatch = max(1, microbatch // 2)


def cut(parts: Sequence[Part], microbatch: int) -> list[Part]:
    """The same rows at the same width in parts of at most that many: what a smaller micro-batch goes through."""
    found = []
    for part in parts:
        places = torch.arange(len(part.rows), device=part.rows.device)
        found += [Part(part.rows[some], part.batch.rows(some)) for some in places.split(microbatch)]
    return found


def ran_out(problem: BaseException) -> bool:
    """Whether an error says that memory ran out: PyTorch has a class for GPUs, for a CPU only words."""
    return isinstance(problem, torch.OutOfMemoryError) or "can't allocate memory" in str(problem)
