"""Going on after memory has run out: the same work in smaller parts, with the same result."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from typing import TypeVar

import torch

ASKED = (
    "Memory ran out. Nothing that was saved is lost. Ask for less at a time, with fewer or shorter answers, or close "
    "what else takes memory, and try again."
)
# Of a CPU, of a file that finds no room in memory, of Apple's MPS, of a CUDA library that finds no room for itself, and
# of CUDA outside PyTorch's allocator.
WORDS = (
    "can't allocate memory",
    "Cannot allocate memory",
    "MPS backend out of memory",
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDA error: out of memory",
)
T = TypeVar("T")
R = TypeVar("R")


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
        except (RuntimeError, MemoryError) as problem:
            if microbatch == 1 or not ran_out(problem):
                raise
        # Outside the except block: the error's traceback holds the tensors of the attempt.
        reset()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        microbatch = max(1, microbatch // 2)


def in_parts(work: Callable[[Sequence[T]], R], rows: Sequence[T], size: int) -> tuple[list[R], int]:
    """What work gives for each `size` rows in turn, and the size that it went with: halved where memory runs out."""

    def parts(size: int) -> list[R]:
        return [work(rows[start : start + size]) for start in range(0, len(rows), size)]

    return with_smaller_microbatches(parts, size)


def ran_out(problem: BaseException) -> bool:
    """Whether an error says that memory ran out: PyTorch has a class for GPUs, Python one, and else only words."""
    words = str(problem)
    return isinstance(problem, (torch.OutOfMemoryError, MemoryError)) or any(each in words for each in WORDS)
