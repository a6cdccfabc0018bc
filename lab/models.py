"""One base model in several roles: adapters by role, scalar heads, and the only place that switches between them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint

from lab import folding, trunk
from lab.errors import Damaged, NotFound
from lab.losses import positions
from lab.shortage import ran_out
from lab.stem import Stem, layers_of, learning, used
from lab.text import Batch, Text, batch_of

BASE = "base"


@dataclass
class Roles:
    """One copy of the base weights that plays every part.

    An adapter is named after its role (sft, policy, reward, or a run); heads are fp32 and stand outside PEFT. `name` is
    what the base was loaded as, `precision` what its weights are in (one of config.PRECISIONS), `products` what its
    products are computed in, `fingerprint` what adapters and checkpoints know it by, `checkpointing` whether a
    pass that learns keeps only what runs between two layers, `recorded` whether a GPU records a token's pass (until one
    could not be).
    """

    model: Any
    text: Text
    heads: nn.ModuleDict
    device: torch.device
    name: str = ""
    precision: str = "auto"
    products: torch.dtype = torch.bfloat16
    fingerprint: str = ""
    checkpointing: bool = False
    recorded: bool = True
    _layers: list[Any] = field(default_factory=list)
    _lean: dict[str, bool] = field(default_factory=dict)
    _weights: dict[str, dict[str, nn.Parameter]] = field(default_factory=dict)  # by role, as a walk over all finds them
    _tried: dict[int, bool] = field(default_factory=dict)

    def known(self) -> list[str]:
        """The roles that can be played now."""
        return [BASE, *self.model.peft_config]

    def check(self, role: str) -> None:
        """NotFound for a role that nothing plays yet."""
        if role not in self.known():
            raise NotFound(f"There is no {role} yet. Known: {', '.join(self.known())}.")

    def add(self, role: str, rank: int = 8, like: str | None = None) -> None:
        """A new adapter for a role, or an exact copy of the adapter of another role; an old one of that name goes.

        What learns at the moment goes on learning: flags of other parameters stay as they are.
        """
        rank = self.model.peft_config[like].r if like else rank
        self.remove(role)
        learning = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self.model.add_adapter(role, lora_config(rank))
        self.freeze()
        for parameter in learning:
            parameter.requires_grad_(True)
        if like:
            copy_weights(self.weights(like), self.weights(role))
        self.changed()

    def changed(self) -> None:
        """Look at the model's layers anew, after adapters came or went; nothing learns that did not before.

        No adapter stays active between passes: when an active one is deleted, PEFT lets another one learn in its place.
        """
        self._lean.clear()
        self._weights.clear()
        self._layers = [module for module in self.model.modules() if hasattr(module, "_active_adapter")]
        for layer in self._layers:
            layer._active_adapter = []

    def remove(self, role: str) -> None:
        """The adapter and head of a role go, if there are any."""
        self._weights.pop(role, None)
        if role in self.model.peft_config:
            self.model.delete_adapter(role)
        if role in self.heads:
            del self.heads[role]

    def weights(self, role: str) -> dict[str, nn.Parameter]:
        """The adapter's parameters by a name that is the same for every role."""
        if role not in self._weights:
            mark, named = f".{role}.", self.model.named_parameters()
            self._weights[role] = {name.replace(mark, "."): parameter for name, parameter in named if mark in name}
        return dict(self._weights[role])

    def head(self, name: str, seed: int = 0) -> nn.Linear:
        """A fresh scalar head, N(0, 1/(h+1)) with no bias at the start (Ziegler et al. 2019)."""
        size = self.model.get_output_embeddings().in_features  # not of every model the hidden size: OPT-350m's is not
        drawn = torch.randn(1, size, generator=torch.Generator().manual_seed(seed)) * (size + 1) ** -0.5
        head = nn.Linear(size, 1)
        with torch.no_grad():
            head.weight.copy_(drawn)
            head.bias.zero_()
        self.heads[name] = head.to(self.device)
        return self.heads[name]

    def trainable(self, role: str, unfrozen: float = 1.0) -> list[nn.Parameter]:
        """The adapter's parameters in the upper share of the layers, made trainable."""
        fixed = self._fixed(role, self._depth(unfrozen))
        found = [parameter for name, parameter in self.weights(role).items() if name not in fixed]
        for parameter in found:
            parameter.requires_grad_(True)
        return found

    def stem(self, unfrozen: float, first: str, *others: str) -> Stem | None:
        """A stem, still empty, for the first role and those that are like it below the share of layers that learns."""
        depth = self._depth(unfrozen)
        if not depth or not self._goes_on_from(depth):
            return None
        ours = self._fixed(first, depth)
        return Stem(depth, frozenset([first, *(role for role in others if _alike(ours, self._fixed(role, depth)))]))

    @torch.no_grad()
    def _goes_on_from(self, depth: int) -> bool:
        """Whether a pass that takes what the first `depth` layers say is the model's own: tried once, with the base.

        It is not where upper layers read more of lower ones than their states (Gemma 3n), or states have another shape.
        """
        if depth not in self._tried:
            batch = batch_of([[0, 1], [2]], [[3], [1, 2]], self.text.pad_id).to(self.device)
            stemmed = replace(batch, stem=Stem(depth, frozenset([BASE])))
            try:
                whole, kept, again = (self.hidden(BASE, each) for each in (batch, stemmed, stemmed))
                shape = getattr(stemmed.stem.states, "shape", ())
                same = torch.equal(kept, whole) and torch.equal(again, whole)
                self._tried[depth] = same and tuple(shape[:-1]) == tuple(batch.ids.shape)
            except (RuntimeError, AttributeError, LookupError, TypeError, ValueError) as problem:
                if ran_out(problem):
                    raise
                self._tried[depth] = False
        return self._tried[depth]

    @property
    def layered(self) -> bool:
        """Whether the model's layers can be told apart."""
        return bool(self._stack[1])

    def _depth(self, unfrozen: float) -> int:
        """How many of the first layers do not learn; none where the model's layers cannot be told apart."""
        count = len(self._stack[1])
        return count - learning(count, unfrozen) if count else 0

    def _fixed(self, role: str, depth: int) -> dict[str, nn.Parameter]:
        """The adapter's parameters that do not learn while the first `depth` layers do not: all but the upper layers'.

        So OPT's projections before and behind its layers do not learn either.
        """
        upper = tuple(f"{self._stack[0]}.{place}." for place in range(depth, len(self._stack[1])))
        return {name: each for name, each in self.weights(role).items() if depth and not name.startswith(upper)}

    @cached_property
    def _stack(self) -> tuple[str, Sequence[nn.Module]]:
        return layers_of(self.model)

    def freeze(self) -> None:
        """Nothing of the base or any adapter takes a gradient."""
        for parameter in self.model.parameters():
            parameter.requires_grad_(False)

    @contextmanager
    def using(self, role: str) -> Iterator[Any]:
        """The model in one role; flags of training are untouched, and no adapter is left active.

        Adapters are switched by their layers' own field, which PEFT does too, since its `set_adapter` walks the model
        and turns `requires_grad` on.
        """
        self.check(role)
        before = [layer._active_adapter for layer in self._layers]
        try:
            for layer in self._layers:
                layer._active_adapter = [] if role == BASE else [role]
            yield self.model.base_model.model
        finally:
            for layer, active in zip(self._layers, before, strict=True):
                layer._active_adapter = active

    def hidden(self, role: str, batch: Batch, only: torch.Tensor | None = None) -> torch.Tensor:
        """States [B, T+1, h] from the last prompt token on: entry t predicts response token t.

        only: the one entry of each row [B] that is wanted, which takes less: [B, 1, h]. What the batch's stem holds for
        this role is not computed again.
        """
        where, first = positions(batch.attention), batch.width - 1
        stem = batch.stem if batch.stem and role in batch.stem.roles else None
        with self.using(role) as model, self.autocast():
            if self.lean(role):
                wanted = first if only is None else first + only
                return trunk.states(
                    self.model, role, batch.ids, batch.attention, where, wanted, stem, self.checkpointing
                )
            with self._twice(role), used(self._stack[1], stem):
                states = model.base_model(
                    input_ids=batch.ids, attention_mask=batch.attention, position_ids=where, use_cache=False
                ).last_hidden_state
        states = states[:, first:]
        return states if only is None else states[torch.arange(len(only), device=states.device), only].unsqueeze(1)

    @contextmanager
    def _twice(self, role: str) -> Iterator[None]:
        """Where so chosen, layers of a pass that learns are computed again in the backward pass, in the same role."""
        from transformers.modeling_layers import GradientCheckpointingLayer

        wanted = self.checkpointing and torch.is_grad_enabled()
        layers = [each for each in self.model.modules() if wanted and isinstance(each, GradientCheckpointingLayer)]
        again = partial(checkpoint, use_reentrant=False, context_fn=lambda: (nullcontext(), self.using(role)))
        try:
            for layer in layers:  # `training` of the layer alone: what is inside it stays as it is for evaluation
                layer.gradient_checkpointing, layer.training, layer._gradient_checkpointing_func = True, True, again
            yield
        finally:
            for layer in layers:
                layer.gradient_checkpointing = layer.training = False

    def lean(self, role: str) -> bool:
        """Whether our own, leaner pass computes what the model does: Llama shapes, in 4 bits on a GPU alone."""
        if role not in self._lean:
            in_4_bits = self.precision == "4-bit"
            fits = trunk.serves(self.device.type, self.precision)
            self._lean[role] = fits and folding.suits(self.model, role, folding.ANY_SIZE, quantised=in_4_bits)
        return self._lean[role]

    def logits(self, states: torch.Tensor) -> torch.Tensor:
        """The output layer over states [..., h] in float32: [..., V]."""
        head = self.model.get_output_embeddings()
        if type(head) is nn.Linear:  # whose weights may be kept in another dtype than that of products
            dtype = self.product_of(head.weight)
            bias = None if head.bias is None else head.bias.to(dtype)
            logits = F.linear(states.to(dtype), head.weight.to(dtype), bias).float()
        else:
            with self.autocast():
                logits = head(states).float()
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return torch.tanh(logits / cap) * cap if cap else logits

    def product_of(self, weight: torch.Tensor) -> torch.dtype:
        """What a product with a weight is computed in; Apple's MPS computes as the weights are."""
        return weight.dtype if self.device.type == "mps" else self.products

    def at_end(self, role: str, batch: Batch) -> torch.Tensor:
        """The state [B, h] at each response's last token, where a reward head stands."""
        return self.hidden(role, batch, only=batch.mask.sum(1)).squeeze(1)

    def raw_scores(self, batch: Batch, role: str = "reward") -> torch.Tensor:
        """The reward head at each response's last token, [B]."""
        return self.heads[role](self.at_end(role, batch).float()).squeeze(-1)

    def autocast(self) -> torch.autocast:
        """bf16 products around fp32 adapters and heads where they pay; Apple's MPS computes as the weights are."""
        enabled = self.device.type != "mps" and self.products == torch.bfloat16
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled)


def _alike(ours: dict[str, nn.Parameter], theirs: dict[str, nn.Parameter]) -> bool:
    return ours.keys() == theirs.keys() and all(torch.equal(each, theirs[name]) for name, each in ours.items())


def copy_weights(source: dict[str, torch.Tensor], target: dict[str, nn.Parameter]) -> None:
    """Every weight of the target from the source's of the same name. Raises Damaged for one of another shape."""
    with torch.no_grad():
        for name, parameter in target.items():
            if source[name].shape != parameter.shape:
                found, wanted = (" by ".join(map(str, each.shape)) for each in (source[name], parameter))
                raise Damaged(
                    f"The weight {name} has {found or 'one'} numbers and not {wanted}, so it belongs to another model "
                    "or rank. Choose an earlier checkpoint, or train it again."
                )
            parameter.copy_(source[name])


def lora_config(rank: int) -> Any:
    """All linear layers but the output; no dropout, so that two passes agree."""
    from peft import LoraConfig

    return LoraConfig(r=rank, lora_alpha=2 * rank, lora_dropout=0.0, target_modules="all-linear", bias="none")
