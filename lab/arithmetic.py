"""What a CPU computes products in: bfloat16 where it multiplies that faster than float32, else float32.

Processors with matrix units (AMX) gain by it. Older ones imitate bfloat16, and on some that have it products take
longer than in float32 (`python -m lab doctor` measures it): there the lab computes in float32.
The environment variable LAB_PRODUCTS (bfloat16 or float32) decides instead of the measurement.
"""

from __future__ import annotations

import os
from functools import cache
from time import perf_counter

import torch

from lab import allocator
from lab.errors import BadInput

CHOICES = ("bfloat16", "float32")
WORTH_IT = 1.3  # times as fast: a margin, as bfloat16 also rounds more coarsely
SHAPE = (256, 512, 512)
TURNS = 25
WIDEST = 500_000_000  # parameters, for which 4 bytes each are no burden


@cache
def fastest() -> torch.dtype:
    """bfloat16 or float32; asked once a process, and measured only where the processor's kind does not say it.

    Raises BadInput when LAB_PRODUCTS names neither.
    """
    asked = os.environ.get("LAB_PRODUCTS")
    if asked:
        if asked not in CHOICES:
            raise BadInput(f"LAB_PRODUCTS is {asked!r}. Set it to {' or '.join(CHOICES)}, or leave it unset.")
        return getattr(torch, asked)
    if not (torch.backends.mkldnn.is_available() and torch.ops.mkldnn._is_mkldnn_bf16_supported()):
        return torch.float32
    if torch.cpu._is_amx_tile_supported():
        return torch.bfloat16
    return torch.bfloat16 if gain() > WORTH_IT else torch.float32


def weights(parameters: int) -> torch.dtype:
    """What a base of so many parameters is kept in, where our own pass reads it: as products want it, within reason."""
    return fastest() if parameters <= WIDEST else torch.bfloat16


def gain() -> float:
    """How many times as fast a product of SHAPE is in bfloat16 as in float32, the least time of each compared.

    The two take turns, so that another process that comes in between slows both and not one of them.
    """
    allocator.bound_compiled()
    rows, inner, columns = SHAPE
    taken: dict[torch.dtype, list[float]] = {torch.float32: [], torch.bfloat16: []}
    for _ in range(TURNS):
        for dtype, times in taken.items():
            a, b = torch.ones(rows, inner, dtype=dtype), torch.ones(columns, inner, dtype=dtype)
            began = perf_counter()
            torch.nn.functional.linear(a, b)
            times.append(perf_counter() - began)
    return min(taken[torch.float32]) / min(taken[torch.bfloat16])
