"""Which adapter plays which part in a stage, and the scale on which its reward model scores."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf
from typing import TypeVar

import torch

Number = TypeVar("Number", float, torch.Tensor)


@dataclass(frozen=True, slots=True)
class Scale:
    """A score is gain * raw + bias: mean 0 and deviation 1 over the reference's own responses (Ziegler et al. 2019).

    `highest`: the best score among those.
    """

    gain: float = 1.0
    bias: float = 0.0
    highest: float = inf

    def of(self, raw: Number) -> Number:
        """The score of a raw one, before it is shaped."""
        return self.gain * raw + self.bias


@dataclass(frozen=True, slots=True)
class Cast:
    """The adapter of each part, and the scale of the reward model; who has no use for a part leaves it as it is."""

    policy: str = "policy"
    reference: str = "sft"
    reward: str = "reward"
    scale: Scale = Scale()
