"""Log-probs of chosen ids straight from hidden states: the output layer in blocks, never all logits of a batch at once.

    N tokens of a mask, n of them at a time, h hidden, V vocabulary, w of its ids at a time; only tokens of the mask are
    computed, the others stand as 0

What is summed over the vocabulary is summed block by block: each sum stands beside the largest logit so far and shrinks
when a larger one comes (Milakov and Gimelshein 2018). The gradient of a token's log-prob with respect to its state is
the chosen id's row of the output layer minus the mean row under softmax. It needs no number of the backward pass, so it
is worked out while the logits are at hand: what is kept is [N, h], nothing over [N, V].
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab import losses
from lab.models import Roles

CHUNK = 2**23  # numbers of logits at a time: 32 MB in float32
NARROW = 2**10  # ids at a time on a processor, whose cache then holds their logits for a few hundred tokens
ROWS = CHUNK // NARROW  # tokens at a time


class _LogProbs(torch.autograd.Function):
    """[N] log-probs of ids [N] under states [N, h] times a frozen weight [V, h]."""

    @staticmethod
    def forward(ctx: Any, states: Tensor, weight: Tensor, ids: Tensor, temperature: float) -> Tensor:
        found, slopes = [], []
        for part, chosen in _chunks(states, ids):
            seen, mean = _Seen(chosen), torch.zeros(part.shape, device=part.device)
            for first, block in _blocks(weight, part):
                logits = _logits(part, block, temperature)
                chances, shrink = seen.take(logits, first)
                if ctx.needs_input_grad[0]:
                    mean.mul_(shrink).add_(chances.to(block.dtype) @ block)
                del logits, chances  # before the next ones are made
            found.append(seen.logp)
            if ctx.needs_input_grad[0]:
                slopes.append(mean.div_(-seen.total).add_(weight[chosen]).div_(temperature))
        ctx.save_for_backward(*([torch.cat(slopes)] if slopes else []))
        ctx.dtype = states.dtype
        return torch.cat(found)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (slopes,) = ctx.saved_tensors
        return (slopes * gradient.unsqueeze(1)).to(ctx.dtype), None, None, None


class _Seen:
    """What has been seen of tokens' logits [n, V], block by block.

    `top` [n, 1] is the largest, `total` [n, 1] the sum of exp(logit - top), `picked` [n] the logits of the chosen ids.
    """

    def __init__(self, ids: Tensor):
        self.ids = ids
        self.top = torch.full((len(ids), 1), -torch.inf, device=ids.device)
        self.total = torch.zeros(len(ids), 1, device=ids.device)
        self.picked = torch.zeros(len(ids), device=ids.device)

    def take(self, logits: Tensor, first: int) -> tuple[Tensor, Tensor]:
        """exp(logits - top) [n, w] of the ids from `first` on, and by how much sums of before shrink [n, 1]."""
        top = torch.maximum(self.top, logits.amax(-1, keepdim=True))
        chances, shrink = (logits - top).exp_(), (self.top - top).exp_()
        self.top, self.total = top, self.total.mul_(shrink).add_(chances.sum(-1, keepdim=True))
        place = self.ids - first
        here = (place >= 0) & (place < logits.shape[1])
        found = logits.gather(1, place.clamp(0, logits.shape[1] - 1)[:, None]).squeeze(1)
        self.picked = torch.where(here, found, self.picked)
        return chances, shrink

    @property
    def logp(self) -> Tensor:
        """[n] log-probs of the chosen ids, once all blocks are taken."""
        return self.picked - self.top.squeeze(1) - self.total.squeeze(1).log()


def of(roles: Roles, states: Tensor, ids: Tensor, mask: Tensor, temperature: float = 1.0) -> Tensor:
    """Log-probs [B, T] of ids [B, T], from states [B, T, h] that stand one position before; 0 outside the mask."""
    weight = _frozen_head(roles)
    if weight is None:
        return torch.where(mask, losses.log_softmax_gather(roles.logits(states), ids, temperature), 0.0)
    found = _LogProbs.apply(states[mask].to(roles.product_of(weight)), weight, ids[mask], temperature)
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
    states, reference = (each[mask].to(roles.product_of(weight)) for each in (states, reference))
    parts = [_measured(*each, weight, temperature) for each in _chunks(states, reference, ids[mask])]
    empty = torch.zeros(mask.shape, device=mask.device)
    return tuple(empty.masked_scatter(mask, torch.cat(column)) for column in zip(*parts, strict=True))


def _measured(
    states: Tensor, reference: Tensor, ids: Tensor, weight: Tensor, temperature: float
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The four columns [n] of some tokens."""
    ours, theirs = _Seen(ids), _Seen(ids)
    mean, ahead = (torch.zeros(len(ids), 1, device=ids.device) for _ in range(2))  # of our logits; of theirs over them
    for first, block in _blocks(weight, states):
        logits, other = _logits(states, block, temperature), _logits(reference, block, temperature)
        theirs.take(other, first)
        chances, shrink = ours.take(logits, first)
        ahead.mul_(shrink).add_(other.sub_(logits).mul_(chances).sum(-1, keepdim=True))
        mean.mul_(shrink).add_(logits.mul_(chances).sum(-1, keepdim=True))
        del logits, other, chances
    entropy = ours.top + ours.total.log() - mean / ours.total
    kl = (theirs.top - ours.top) + (theirs.total.log() - ours.total.log()) - ahead / ours.total
    return ours.logp, theirs.logp, kl.squeeze(1), entropy.squeeze(1)


def _frozen_head(roles: Roles) -> Tensor | None:
    """The output layer's weight as it is kept, or None where logits are more than one product."""
    head = roles.model.get_output_embeddings()
    if type(head) is not nn.Linear or head.bias is not None:
        return None
    if getattr(roles.model.config, "final_logit_softcapping", None):
        return None
    return head.weight.detach()


def _chunks(*columns: Tensor) -> Iterator[tuple[Tensor, ...]]:
    return zip(*(column.split(ROWS) for column in columns), strict=True)


def at_once(tokens: int, vocabulary: int, device: str) -> int:
    """How many logits of so many tokens stand in memory together."""
    tokens = min(tokens, ROWS)
    return tokens * min(vocabulary, _width(tokens, device))


def _width(tokens: int, device: str) -> int:
    return NARROW if device == "cpu" else max(NARROW, CHUNK // max(1, tokens))


def _blocks(weight: Tensor, states: Tensor) -> Iterator[tuple[int, Tensor]]:
    """Parts of the output layer [w, h] in the dtype of the states [n, h], each with its first id."""
    size = _width(len(states), states.device.type)
    for first in range(0, len(weight), size):
        yield first, weight[first : first + size].to(states.dtype)


def _logits(states: Tensor, block: Tensor, temperature: float) -> Tensor:
    """Logits [n, w] in float32."""
    logits = F.linear(states, block).float()
    return logits if temperature == 1 else logits.div_(temperature)
