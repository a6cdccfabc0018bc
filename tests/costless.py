"""Products that are not worked out: for who counts the memory that they take, and no number in it."""

from __future__ import annotations

import torch
from torch.utils._python_dispatch import TorchDispatchMode

ATEN = torch.ops.aten
LEFT = {ATEN.mm.default: 0, ATEN.bmm.default: 0, ATEN.addmm.default: 1}  # where their first matrix stands


class NoProducts(TorchDispatchMode):
    """Products are zeros, which take as much room as they would; a processor without bfloat16 is slow in them."""

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if function is ATEN.addmm_.default:
            return args[0]
        if function in LEFT:
            left, right = args[LEFT[function] : LEFT[function] + 2]
            return left.new_zeros(*left.shape[:-1], right.shape[-1])
        return function(*args, **(kwargs or {}))
