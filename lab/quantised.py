"""bitsandbytes, for bases in 8 or 4 bits and AdamW in 8: brought in where something is quantised, and nowhere else."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from lab.errors import Unsupported

PRECISIONS = ("8-bit", "4-bit")
FEW = 1024  # rows, of which two copies are no matter
_NAME = "bitsandbytes"


def kept_in(config: Any) -> str:
    """The precision of a base whose files hold what bitsandbytes has quantised already; '' for any other."""
    known = getattr(config, "quantization_config", None) or {}
    known = known if isinstance(known, dict) else known.to_dict()
    return next((f"{bits}-bit" for bits in (4, 8) if known.get(f"load_in_{bits}bit")), "")


def needs_bitsandbytes(what: str, device: torch.device) -> None:
    """Unsupported where bitsandbytes is not installed or has nothing for the device."""
    if find_spec(_NAME) is None:
        raise Unsupported(f"{what} needs bitsandbytes, which is not installed. Install it: pip install bitsandbytes.")
    if device.type not in ("cuda", "cpu"):
        raise Unsupported(
            f"{what} needs bitsandbytes, which computes on CUDA, ROCm and CPU, and this is {device.type}. Choose auto "
            "or bfloat16 weights and the plain adamw."
        )


def in_4_bits(layer: nn.Module) -> bool:
    """Whether bitsandbytes keeps a linear layer in 4 bits."""
    return type(layer).__name__ == "Linear4bit"


@dataclass(frozen=True, slots=True)
class Side:
    """Layers that read the same input, at least one of them in 4 bits, each multiplying as it does in the model.

    dtype: what they are given and give.
    """

    layers: tuple[nn.Module, ...]
    dtype: torch.dtype

    def __call__(self, x: Tensor) -> Tensor:
        """What the layers say side by side, with their biases: [N, sum of out] of [N, in]."""
        if len(self.layers) == 1:
            return self.layers[0](x)
        if len(x) <= FEW:
            return torch.cat([layer(x) for layer in self.layers], 1)
        sizes = [layer.out_features for layer in self.layers]
        found = x.new_empty(len(x), sum(sizes))
        for layer, place in zip(self.layers, found.split(sizes, 1), strict=True):
            place.copy_(layer(x))  # one after the other, so that no two stand beside their like
        return found

    def back(self, gradient: Tensor) -> Tensor:
        """The gradient [N, in] for what the layers were given, of that [N, sum of out] for what they say."""
        sizes = [layer.out_features for layer in self.layers]
        first, *others = zip(gradient.split(sizes, 1), self.layers, strict=True)
        found = first[0] @ _floats(first[1], self.dtype)
        for part, layer in others:
            found.addmm_(part, _floats(layer, self.dtype))
        return found


def _floats(layer: nn.Module, dtype: torch.dtype) -> Tensor:
    """A layer's weight [out, in], turned into floats where it is in 4 bits."""
    if not in_4_bits(layer):
        return layer.weight.to(dtype)
    from bitsandbytes.functional import dequantize_4bit

    return dequantize_4bit(layer.weight.data, layer.weight.quant_state).to(dtype)


def leave_out() -> None:
    """Lets peft do without bitsandbytes in this process, until `bring_in`; where it is loaded already, it stays.

    peft 0.21 imports it whatever the base, and it imports torch's compiler, for a base that has none of its layers:
    `python -X importtime -c "import peft"` shows how long that takes.
    """
    if _NAME in sys.modules:
        return
    sys.modules[_NAME] = None  # type: ignore[assignment]  # so the import system says that it is not installed
    try:
        for available in _as_peft_remembers():
            available()
    finally:
        del sys.modules[_NAME]


def bring_in() -> None:
    """Lets peft look for bitsandbytes again."""
    for available in _as_peft_remembers():
        available.cache_clear()


def _as_peft_remembers() -> tuple:
    """peft's own questions whether bitsandbytes is there, each answered once a process."""
    from peft.import_utils import is_bnb_4bit_available, is_bnb_available

    return is_bnb_available, is_bnb_4bit_available
