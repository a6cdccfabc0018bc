"""Log-probs of chosen ids straight from hidden states: the output layer in chunks, never all logits of a batch at once.

    N tokens of a mask, h hidden, V vocabulary; only tokens of the mask are computed, the others stand as 0

The gradient of a token's log-prob with respect to its state is the chosen id's row of the output layer minus the mean
row under softmax. It needs no number of the backward pass, so it is worked out while the chunk's logits are at hand:
what is kept is [N, h], nothing over [N, V].
"""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab import losses
from lab.models import Roles

CHUNK = 2**23  # numbers of logits at a time: 32 MB in float32


class _LogProbs(torch.autograd.Function):
    """[N] log-probs of ids [N] under states [N, h] times a frozen weight [V, h]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, ids: Tensor, temperature: float) -> Tensor:
        found, slopes = [], []
        for part, chosen in _chunks(weight, states, ids):
            logits = _logits(part, weight, temperature)
            picked = _picked(logits, chosen)
            chances = logits.exp_()
            total = chances.sum(-1)
            found.append(picked - total.log())
            if ctx.needs_input_grad[0]:
                mean = (chances.to(weight.dtype) @ weight).float().div_(total.unsqueeze(1))
                slopes.append((weight[chosen] - mean).div_(temperature))
        ctx.save_for_backward(*([torch.cat(slopes)] if slopes else []))
        ctx.dtype = states.dtype
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradient.unsqueeze(1)).to(ctx.dtype), None, None, None


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
    other_total = other.exp().sum(-1).log()
    chances = logits.exp()
    total = chances.sum(-1)
    chances.div_(total.unsqueeze(1))
    total = total.log()
    logp, ref = _picked(logits, ids) - total, _picked(other, ids) - other_total
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
    return head.weight.detach().to(head.weight.dtype if roles.device.type == "mps" else roles.products)


def _chunks(weight: Tensor, *columns: Tensor) -> Any:
    return zip(*(column.split(max(1, CHUNK // len(weight))) for column in columns), strict=True)


def _logits(states: Tensor, weight: Tensor, temperature: float) -> Tensor:
    """Logits [n, V] in float32, less each row's largest: only differences matter, and no exp can overflow."""
    logits = F.linear(states, weight).float()
    logits = logits if temperature == 1 else logits.div_(temperature)
    return logits.sub_(logits.amax(-1, keepdim=True))


def _picked(logits: Tensor, ids: Tensor) -> Tensor:
    return logits.gather(-1, ids.unsqueeze(-1)).squeeze(-1)
