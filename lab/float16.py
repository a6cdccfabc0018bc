"""A base's matrices in float16 beside its float32, for a processor that says a token: half as much to read each time.

What takes the time of a token is reading the weights. A base is loaded as bfloat16, whatever it is computed in, and
float16 holds that but for the last bits of the smallest numbers; inputs, sums and results stay float32 (FBGEMM, on
x86). The copies take seconds to make, so they are made once for a base and live as long as its layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROWS = 64  # from which on reading is not what takes the time
FINEST = 2.0**-25  # by which a weight may differ: half a step of float16's smallest numbers
AT_ONCE = 2**22  # numbers that are looked at together
_KEPT: WeakKeyDictionary[nn.Module, Float16 | None] = WeakKeyDictionary()


def available() -> bool:
    """Whether this processor's library multiplies float32 by float16."""
    return torch.backends.quantized.engine in ("fbgemm", "x86")


@dataclass(frozen=True, slots=True)
class Float16:
    """A frozen matrix [out, in], as the model has it in float32, and its copy in float16."""

    weight: Tensor
    packed: Any

    @property
    def dtype(self) -> torch.dtype:
        """What it is given and gives."""
        return self.weight.dtype

    def __call__(self, x: Tensor, bias: Tensor | None = None) -> Tensor:
        """x [N, in] times the matrix: [N, out]."""
        if len(x) > ROWS:
            return F.linear(x, self.weight, bias)
        found = torch.ops.quantized.linear_dynamic_fp16(x.contiguous(), self.packed)
        return found if bias is None else found.add_(bias)


def of(layer: nn.Module, weight: Tensor) -> Float16 | None:
    """The copy that is kept for a layer, the first of those whose weights stand side by side in `weight`; None where
    float16 does not hold them."""
    if layer not in _KEPT:
        weight = weight.detach()
        _KEPT[layer] = Float16(weight, torch.ops.quantized.linear_prepack_fp16(weight, None)) if holds(weight) else None
    return _KEPT[layer]


def holds(weight: Tensor) -> bool:
    """Whether float16 holds a float32 matrix: no number differs by more than FINEST."""
    parts = weight.split(max(1, AT_ONCE // weight.shape[1]))
    return all(bool((part.half().float() - part).abs().amax() <= FINEST) for part in parts)
