"""Small things that every stage's step needs: finite numbers, settings as a dictionary, seeds that depend on the step."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import torch

from lab.errors import NotFinite


def finite(value: torch.Tensor | float, what: str) -> float:
    """The number, or NotFinite."""
    number = float(value)
    if not math.isfinite(number):
        raise NotFinite(
            f"The {what} is {number}, so training cannot go on from here. Halve the learning rate and start again from the "
            "last checkpoint."
        )
    return number


def as_dict(config: Any) -> dict[str, Any]:
    """A config's fields, for the Started event."""
    return asdict(config)


def step_seed(seed: int, step: int) -> int:
    """A sampling seed of one step: no random state has to be stored to resume."""
    return seed * 1_000_003 + step
