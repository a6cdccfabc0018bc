"""Log-probs of chosen ids straight from hidden states: the output layer in chunks, never all logits of a batch at once.

    N tokens of a mask, h hidden, V vocabulary; only tokens of the mask are computed, the others stand as 0

The gradient of a token's log-prob with respect to its logits is (one at its id) - softmax: there is no graph over
[N, V]. Up to KEPT numbers of logits are kept for the backward pass, above that they are computed a second time.
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab import losses
from lab.models import Roles

CHUNK, KEPT = 2**23, 2**25  # numbers of logits: 32 MB in float32 at a time, 128 MB kept


class _LogProbs(torch.autograd.Function):
    """[N] log-probs of ids [N] under states [N, h] times a frozen weight [V, h]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, ids: Tensor, temperature: float) -> Tensor:
        kept, found, totals = [], [], []
        keep = len(ids) * len(weight) <= KEPT and ctx.needs_input_grad[0]
        for part, chosen in _chunks(weight, states, ids):
            logits = _logits(part, weight, temperature)
            total = logits.logsumexp(-1)
            found.append(_picked(logits, total, chosen))
            totals.append(total)
            kept += [logits] if keep else []
        ctx.save_for_backward(states, weight, ids, torch.cat(totals), *kept)
        ctx.temperature = temperature
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        states, weight, ids, totals, *kept = ctx.saved_tensors
        found = []
        for at, (part, chosen, total, factor) in enumerate(_chunks(weight, states, ids, totals, gradient)):
            logits = kept[at].clone() if kept else _logits(part, weight, ctx.temperature)
            factor = (factor / ctx.temperature).unsqueeze(1)
            slope = logits.sub_(total.unsqueeze(1)).exp_().mul_(-factor).scatter_add_(1, chosen.unsqueeze(1), factor)
            found.append(slope.to(states.dtype) @ weight)
        return torch.cat(found), None, None, None


def of(roles: Roles, states: Tensor, ids: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probs [B, T] of ids [B, T], from states [B, T, h] that stand one position before; 0 outside the mask."""
    weight = _frozen_head(roles)
    if weight is None:
        return torch.where(mask, losses.log_softmax_gather(roles.logits(states), ids, temperature), 0.0)
    found = _LogProbs.apply(states[mask].to(weight.dtype), weight, ids[mask], temperature)
    return found.new_zeros(mask.shape).masked_scatter(mask, found)


@torch.no_grad()
def read(
    roles: Roles, states: Tensor, reference: Tensor, ids: Tensor, mask: Tensor, temperature: float = 1.0
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Log-probs, the reference's log-probs, exact KL to it and entropy, each [B, T] and 0 outside the mask.

    The log-probs are those of `of`, bit for bit: the ratio at the first update is exactly 1.
    """
    weight = _frozen_head(roles)
    if weight is None:
        logits, other = roles.logits(states), roles.logits(reference)
        columns = (
            losses.log_softmax_gather(logits, ids, temperature),
            losses.log_softmax_gather(other, ids, temperature),
            losses.exact_kl(logits, other, temperature),
            losses.entropy(logits, temperature),
        )
        return tuple(torch.where(mask, column, 0.0) for column in columns)
    states, reference = states[mask].to(weight.dtype), reference[mask].to(weight.dtype)
    parts = [_measured(*each, weight, temperature) for each in _chunks(weight, states, reference, ids[mask])]
    empty = torch.zeros(mask.shape, device=mask.device)
    return tuple(empty.masked_scatter(mask, torch.cat(column)) for column in zip(*parts, strict=True))


def _measured(
    states: Tensor, reference: Tensor, ids: Tensor, weight: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four columns [n] of a chunk; each pass over [n, V] is made once."""
    logits, other = _logits(states, weight, temperature), _logits(reference, weight, temperature)
    total, other_total = logits.logsumexp(-1), other.logsumexp(-1)
    logp, ref = _picked(logits, total, ids), _picked(other, other_total, ids)
    chances = (logits - total.unsqueeze(1)).exp_()
    entropy = total - torch.linalg.vecdot(chances, logits)
    kl = torch.linalg.vecdot(chances, logits.sub_(other)) - (total - other_total)
    return logp, ref, kl, entropy


def _frozen_head(roles: Roles) -> Tensor | None:
    """The output layer's weight in the dtype of products, or None where logits are more than one product."""
    head = roles.model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        return None
    if getattr(roles.model.config, "final_logit_softcapping", None):
        return None
    with roles.autocast():
        cast = torch.is_autocast_enabled(roles.device.type)
        dtype = torch.get_autocast_dtype(roles.device.type) if cast else head.weight.dtype
    return head.weight.detach().to(dtype)


def _chunks(weight: Tensor, *columns: Tensor) -> Any:
    return zip(*(column.split(max(1, CHUNK // len(weight))) for column in columns), strict=True)


def _logits(states: Tensor, weight: Tensor, temperature: float) -> Tensor:
    logits = F.linear(states, weight).float()
    return logits if temperature == 1 else logits.div_(temperature)


def _picked(logits: Tensor, total: Tensor, ids: Tensor) -> Tensor:
    return logits.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - total
