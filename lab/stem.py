"""What the lower layers say of a batch, computed once: roles whose adapters are alike there go on from it.

Where only upper layers learn, the policy, its reference and a reward model that began as the same adapter have the
lower layers in common, in every pass over a rollout. trlX's `num_layers_unfrozen` does the same for its reference.
On a processor our own loop (lab/decode.py) keeps what they say while it says the answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


@dataclass(slots=True)
class Stem:
    """States [B, S, h] behind the first `depth` layers, the same in each of some roles; the first pass brings them.

    `beside`: how many things more a layer of the library's says with its states, -1 where these stand alone.
    """

    depth: int
    roles: frozenset[str]
    states: Tensor | None = None
    beside: int = -1

    def part(self, rows: Tensor | slice, columns: slice) -> Stem:
        """Of some rows and columns of the batch."""
        return replace(self, states=None if self.states is None else self.states[rows, columns])

    def keep(self, said: Any) -> None:
        """What the last of its layers has said, [B, S, h], alone or with other things."""
        alone = isinstance(said, Tensor)
        self.states, self.beside = (said if alone else said[0]).detach(), -1 if alone else len(said) - 1

    def join(self, parts: Sequence[Stem]) -> None:
        """Holds what stems of some rows each hold, one below the other; the last column is the same in all of them."""
        found = [each.states for each in parts if each.states is not None]
        if len(found) < len(parts):
            return
        longest = max(states.shape[1] for states in found)
        found = [F.pad(states, (0, 0, longest - states.shape[1], 0)) for states in found]
        self.states = torch.cat(found) if len(found) > 1 else found[0]

    def say(self) -> Any:
        """The same."""
        return self.states if self.beside < 0 else (self.states, *[None] * self.beside)


def learning(layers: int, unfrozen: float) -> int:
    """How many of so many layers the upper share of them is, one at least."""
    return max(1, ceil(round(layers * unfrozen, 6)))


def layers_of(model: Any) -> tuple[str, Sequence[nn.Module]]:
    """The name and the modules of a model's layers, with or without PEFT; '' and none where they cannot be told apart.

    They stand in the one list as long as the text half has layers. What lies inside another such list is none (experts
    of a layer), nor is what lies outside the decoder where there are several (a vision tower).
    """
    count = model.config.get_text_config().num_hidden_layers
    lists = {
        name: each for name, each in model.named_modules() if isinstance(each, nn.ModuleList) and len(each) == count
    }
    found = {name: each for name, each in lists.items() if not name.startswith(tuple(f"{outer}." for outer in lists))}
    if len(found) > 1:
        inside = set(model.get_decoder().modules())
        found = {name: each for name, each in found.items() if each in inside}
    return next(iter(found.items())) if len(found) == 1 else ("", ())


@contextmanager
def used(layers: Sequence[nn.Module], stem: Stem | None) -> Iterator[None]:
    """A pass through the library's layers keeps what the stem is to hold, or takes it instead of computing it."""
    if stem is None:
        yield
    elif stem.states is None:
        handle = layers[stem.depth - 1].register_forward_hook(lambda layer, given, said: stem.keep(said))
        try:
            yield
        finally:
            handle.remove()
    else:
        with _answering(layers[: stem.depth], stem):
            yield


@contextmanager
def _answering(layers: Sequence[nn.Module], stem: Stem) -> Iterator[None]:
    """Every one of these layers says what the last would, whatever it is asked."""
    before = [vars(layer).get("forward") for layer in layers]  # accelerate's, where it has put one there
    try:
        for layer in layers:
            layer.forward = lambda *given, **options: stem.say()
        yield
    finally:
        for layer, own in zip(layers, before, strict=True):
            del layer.forward
            if own is not None:
                layer.forward = own
