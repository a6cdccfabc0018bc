"""Autograd steps of the lean pass, each of which keeps for the backward pass what that needs and nothing more.

    B rows, S columns, N = B * S, h hidden, f intermediate, D head size, r LoRA rank, R the sum of ranks side by side

The base's weights are frozen: no gradient is made for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lab.quantised import Side


class Adapted(torch.autograd.Function):
    """x W' + scale (x A') B' for x [N, in] and the matrices A [r, in] and B [out, r] of layers side by side.

    Gradients for x, every A and every B, which are float32 and put together in x's dtype. W [out, in] is frozen and
    kept as it is stored: in another dtype than x's, or in 4 bits, it is turned anew in each pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor | Side, bias: Tensor | None, scale: float, *lora: Tensor) -> Tensor:
        a, b = packed(lora, x.dtype)
        inner = x @ a.t()  # [N, R]
        ctx.save_for_backward(x, inner, a, b)
        ctx.weight, ctx.scale, ctx.sizes = weight, scale, [matrix.shape for matrix in lora[len(lora) // 2 :]]
        return through(x, weight, bias).addmm_(inner, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, a, b = ctx.saved_tensors
        back = gradient @ b  # [N, R]
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = _back(gradient, ctx.weight).addmm_(back, a, alpha=ctx.scale)
        if not ctx.needs_input_grad[4]:
            return for_x, None, None, None, *(None for _ in ctx.sizes * 2)
        ranks = [rank for _, rank in ctx.sizes]
        for_a = (back.t() @ x).float().mul_(ctx.scale).split(ranks)
        for_b = (gradient.t() @ inner).float().mul_(ctx.scale)
        blocks = [part.split(ranks, 1)[i] for i, part in enumerate(for_b.split([out for out, _ in ctx.sizes]))]
        return for_x, None, None, None, *for_a, *blocks


def through(x: Tensor, weight: Tensor | Side, bias: Tensor | None) -> Tensor:
    """x [N, in] times a frozen weight [out, in], or through layers side by side of which some are in 4 bits."""
    return weight(x) if isinstance(weight, Side) else F.linear(x, weight.to(x.dtype), bias)


def _back(gradient: Tensor, weight: Tensor | Side) -> Tensor:
    """The gradient [N, in] for what went through a frozen weight, of that for what came out [N, out]."""
    return weight.back(gradient) if isinstance(weight, Side) else gradient @ weight.to(gradient.dtype)


class Heads(torch.autograd.Function):
    """Heads of layers side by side, [N, sum of heads * D], each layer's apart: [B, its heads, S, D] in one piece.

    Each is turned by its angles' cos and sin [B, 1, S, D], whose halves are alike, where it has some; backward turns
    back and lays the gradients side by side.
    """

    @staticmethod
    def forward(
        ctx: Any, joined: Tensor, rows: int, size: int, turns: Sequence[tuple[Tensor, ...]], *counts: int
    ) -> Any:
        ctx.size, ctx.turns = size, turns
        heads = joined.view(rows, -1, sum(counts), size).transpose(1, 2)
        return tuple(_turned(part, turn, 1) for part, turn in zip(heads.split(counts, 1), turns, strict=True))

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        rows, _, columns, size = gradients[0].shape
        counts = [part.shape[1] for part in gradients]
        joined = gradients[0].new_empty(rows, columns, sum(counts), size)
        places = joined.transpose(1, 2).split(counts, 1)
        for gradient, turn, place in zip(gradients, ctx.turns, places, strict=True):
            _turned(gradient, turn, -1, place)
        return joined.view(rows * columns, -1), None, None, None, *(None for _ in counts)


def _turned(heads: Tensor, turn: tuple[Tensor, ...], way: int, found: Tensor | None = None) -> Tensor:
    found = torch.empty(heads.shape, dtype=heads.dtype, device=heads.device) if found is None else found
    if not turn:
        return found.copy_(heads)
    (cos, sin), half = turn, heads.shape[-1] // 2
    torch.mul(heads, cos, out=found)
    found[..., :half].addcmul_(heads[..., half:], sin[..., half:], value=-way)
    found[..., half:].addcmul_(heads[..., :half], sin[..., :half], value=way)
    return found


class Norm(torch.autograd.Function):
    """Root mean square norm of x [N, h] in float32 with a frozen weight, given back in another dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        inverse = _inverse(x, eps)
        ctx.save_for_backward(x, inverse, weight)
        return (x * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _through_norm(gradient, *ctx.saved_tensors), None, None, None


class HeadNorms(torch.autograd.Function):
    """The same norm for each of the first n heads in [N, heads, D], with frozen weights [n, D]; the others pass."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, weights: Tensor, eps: float) -> Tensor:
        some = heads[:, : len(weights)].float()
        inverse = _inverse(some, eps)
        ctx.save_for_backward(heads, inverse, weights)
        found = heads.clone()
        found[:, : len(weights)] = (some * inverse).mul_(weights)
        return found

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        heads, inverse, weights = ctx.saved_tensors
        some, found = slice(None, len(weights)), gradient.clone()
        found[:, some] = _through_norm(gradient[:, some], heads[:, some].float(), inverse, weights)
        return found, None, None


def _inverse(x: Tensor, eps: float) -> Tensor:
    """One over the root mean square of the last dimension of x, in float32."""
    return torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()


def _through_norm(gradient: Tensor, x: Tensor, inverse: Tensor, weight: Tensor) -> Tensor:
    """The gradient for x of x * inverse * weight."""
    gradient = gradient.float() * weight
    shared = (gradient * x).sum(-1, keepdim=True).mul_(inverse**3).div_(-x.shape[-1])
    return gradient.mul_(inverse).addcmul_(x, shared)


class Gated(torch.autograd.Function):
    """silu(gate) * up of [N, 2f]: keeps its input alone."""

    @staticmethod
    def forward(ctx: Any, both: Tensor) -> Tensor:
        ctx.save_for_backward(both)
        gate, up = both.chunk(2, -1)
        return F.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (both,) = ctx.saved_tensors
        gate, up = both.chunk(2, -1)
        found = torch.empty_like(both)
        for_gate, for_up = found.chunk(2, -1)
        torch.mul(gradient, F.silu(gate), out=for_up)
        torch.ops.aten.silu_backward.grad_input(gradient * up, gate, grad_input=for_gate)
        return found


def packed(lora: Sequence[Tensor], dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """A [R, in] one below the other, and B [out, R] with each layer's in a block of its own."""
    many = len(lora) // 2
    if many == 1:
        return lora[0].to(dtype), lora[1].to(dtype)
    a = torch.cat(lora[:many]).to(dtype)
    b = a.new_zeros(sum(each.shape[0] for each in lora[many:]), len(a))
    row = column = 0
    for each in lora[many:]:
        b[row : row + each.shape[0], column : column + each.shape[1]] = each
        row, column = row + each.shape[0], column + each.shape[1]
    return a, b
