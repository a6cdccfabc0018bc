"""Checks once, when a base is loaded, that what the lab computes is what the model computes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from lab import trunk
from lab.errors import NotFinite, SelfCheck
from lab.losses import positions
from lab.models import BASE, Roles
from lab.shortage import ran_out
from lab.text import Batch, batch_of

ROUNDINGS = (
    2 * torch.finfo(torch.bfloat16).eps
)  # of a number's size: a cap on the logits rounds three times in bfloat16
# Of the largest state: float32 over 30 layers keeps 1e-5; one rounding to bfloat16 would leave 4e-3. Products by 4 bits
# are rounded so in either pass, and each layer's may fall to the other side.
SAME, SAME_IN_4_BITS = 1e-4, 0.05


class _Wide(TorchFunctionMode):
    """Products and embeddings in float32, whatever their weights are in, one layer's weights at a time."""

    def __torch_function__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        if function is F.linear:
            args = tuple(each.float() if isinstance(each, Tensor) else each for each in args)
        found = function(*args, **(kwargs or {}))
        return found.float() if function is F.embedding else found


@torch.no_grad()
def check(roles: Roles) -> None:
    """Raises SelfCheck where log-probs would be wrong: another output layer, or another pass, than the model's own.

    Raises NotFinite where the model's own logits are no numbers.
    """
    ids = [roles.text.eos_ids[0], 0, 1, 2]
    batch = batch_of([ids[:2]], [ids[2:]], roles.text.pad_id).to(roles.device)
    with _given_to(roles.model.get_output_embeddings()) as given:
        logits = _logits(roles, batch)
    if len(given) != 1:
        raise SelfCheck(f"This model's output layer is used {len(given)} times in a pass, not once. {_SUPPORTED}")
    if not logits.isfinite().all():
        raise NotFinite(
            f"What this model computes is not a number: its weights are damaged, or too large in {roles.precision} "
            "precision. Fetch them again, or choose another --precision."
        )
    _check_output_layer(roles.logits(given[0]), logits.float())
    if roles.lean(BASE):
        _check_trunk(roles, batch)
    else:
        _check_states(roles.hidden(BASE, batch), given[0][:, batch.width - 1 :])


def _logits(roles: Roles, batch: Batch) -> Tensor:
    """Of the model's own pass [B, P+T, V]; SelfCheck where it breaks off, unless memory ran out."""
    where = positions(batch.attention)
    try:
        with roles.using(BASE) as model, roles.autocast():
            return model(batch.ids, attention_mask=batch.attention, position_ids=where).logits
    except (RuntimeError, IndexError, ValueError) as problem:
        if ran_out(problem):
            raise
        raise SelfCheck(
            f"This model's first pass broke off: {(str(problem).splitlines() or [''])[0]}. That happens where "
            "config.json does not fit the weights. Fetch it again, or choose another base."
        ) from problem


@contextmanager
def _given_to(layer: torch.nn.Module) -> Iterator[list[Tensor]]:
    """What a layer is given to read while the block runs."""
    given: list[Tensor] = []
    handle = layer.register_forward_pre_hook(lambda module, args: given.append(args[0]))
    try:
        yield given
    finally:
        handle.remove()


_SUPPORTED = (
    "Every log-prob would be wrong, so this architecture is not supported; Llama, Qwen, Gemma, Mistral, Phi and GPT-2 "
    "shapes are."
)


def _check_output_layer(ours: Tensor, theirs: Tensor) -> None:
    """Of the same states, number by number: some architectures scale or cap their logits on the way."""
    gap = (ours - theirs).abs()
    if not bool((gap <= ROUNDINGS * theirs.abs() + 1e-6).all()):
        raise SelfCheck(
            f"This model's own logits differ by {gap.max():.2g} from its output layer applied to its last states, more "
            f"than rounding explains. {_SUPPORTED}"
        )


def _check_states(ours: Tensor, theirs: Tensor) -> None:
    gap, size = (ours.float() - theirs.float()).abs().max().item(), theirs.float().abs().max().item()
    if not gap <= ROUNDINGS * size:
        raise SelfCheck(
            f"This model's last states, up to {size:.2g}, differ by {gap:.2g} where it is cut. {_SUPPORTED}"
        )


def _check_trunk(roles: Roles, batch: Batch) -> None:
    """The lean pass and the library's, both in float32, so that no rounding hides an error; not so in 4 bits."""
    where = positions(batch.attention)
    with roles.using(BASE) as model, torch.autocast(roles.device.type, enabled=False):
        ours = trunk.states(roles.model, BASE, batch.ids, batch.attention, where)
        with _Wide():
            theirs = model.base_model(
                input_ids=batch.ids, attention_mask=batch.attention, position_ids=where, use_cache=False
            ).last_hidden_state
    gap, size = (ours - theirs).abs().max().item(), theirs.abs().max().item()
    if not gap <= (SAME_IN_4_BITS if roles.precision == "4-bit" else SAME) * size:
        raise SelfCheck(f"The lean pass differs by {gap:.2g} from this model's own, whose states go up to {size:.2g}.")
