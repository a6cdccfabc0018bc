"""A lean forward pass for Llama-shaped models with LoRA: what the library computes, in fewer and larger operations.

    B rows, S columns, T of them wanted, N = B * S or B * T, h hidden, f intermediate, H query heads in K groups of G,
    D head size, r LoRA rank

Layers that read the same input are one product (q, k, v; gate, up), an adapter's layer is one autograd step that keeps
one copy of its input, a norm is another. The states that run through the layers are float32; products are in bfloat16
under autocast, in float32 without. The base's weights are frozen: no gradient is made for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _Adapted(torch.autograd.Function):
    """x W' + scale (x A') B' for x [N, in] and the matrices A [r, in] and B [out, r] of layers side by side.

    Gradients for x, every A and every B, which are float32 and put together in x's dtype. W [out, in] is frozen and
    kept as it is stored: in another dtype than x's it is turned anew in each pass.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor | None, scale: float, *lora: Tensor) -> Tensor:
        a, b = packed(lora, x.dtype)
        inner = x @ a.t()  # [N, R]
        ctx.save_for_backward(x, inner, weight, a, b)
        ctx.scale, ctx.sizes = scale, [matrix.shape for matrix in lora[len(lora) // 2 :]]
        return F.linear(x, weight.to(x.dtype), bias).addmm_(inner, b.t(), alpha=scale)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inner, weight, a, b = ctx.saved_tensors
        back = gradient @ b  # [N, R]
        for_x = None
        if ctx.needs_input_grad[0]:
            for_x = (gradient @ weight.to(x.dtype)).addmm_(back, a, alpha=ctx.scale)
        if not ctx.needs_input_grad[4]:
            return for_x, None, None, None, *(None for _ in ctx.sizes * 2)
        ranks = [rank for _, rank in ctx.sizes]
        for_a = (back.t() @ x).float().mul_(ctx.scale).split(ranks)
        for_b = (gradient.t() @ inner).float().mul_(ctx.scale)
        blocks = [part.split(ranks, 1)[i] for i, part in enumerate(for_b.split([out for out, _ in ctx.sizes]))]
        return for_x, None, None, None, *for_a, *blocks


class _Turned(torch.autograd.Function):
    """Heads [B, H, S, D] turned by angles of cos and sin [B, 1, S, D], whose halves are alike; backward turns back."""

    @staticmethod
    def forward(ctx: Any, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        ctx.save_for_backward(cos, sin)
        return _turn(heads, cos, sin, 1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _turn(gradient, *ctx.saved_tensors, -1), None, None


def _turn(heads: Tensor, cos: Tensor, sin: Tensor, way: int) -> Tensor:
    found, half = heads * cos, heads.shape[-1] // 2
    found[..., :half].addcmul_(heads[..., half:], sin[..., half:], value=-way)
    found[..., half:].addcmul_(heads[..., :half], sin[..., :half], value=way)
    return found


class _Norm(torch.autograd.Function):
    """Root mean square norm of x [N, h] in float32 with a frozen weight, given back in another dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        inverse = torch.linalg.vector_norm(x, dim=-1, keepdim=True).square_().div_(x.shape[-1]).add_(eps).rsqrt_()
        ctx.save_for_backward(x, inverse, weight)
        return (x * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        x, inverse, weight = ctx.saved_tensors
        gradient = gradient.float() * weight
        shared = (gradient * x).sum(-1, keepdim=True).mul_(inverse**3).div_(-x.shape[-1])
        return gradient.mul_(inverse).addcmul_(x, shared), None, None, None


class _Gated(torch.autograd.Function):
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


def states(model: Any, role: str, ids: Tensor, attention: Tensor, positions: Tensor, first: int = 0) -> Tensor:
    """Last hidden states [B, S - first, h] of the columns from `first` on, after the final norm, in a role.

    In the last layer the columns before `first` are read from, but what they say themselves is not worked out. What
    decode.suits refuses is not for this.
    """
    causal, config = model.base_model.model.model, model.config
    cast = torch.is_autocast_enabled(ids.device.type)
    dtype = torch.get_autocast_dtype(ids.device.type) if cast else torch.float32
    rows, columns = ids.shape
    with torch.autocast(ids.device.type, enabled=False):
        flow = causal.embed_tokens.weight[ids].float().flatten(0, 1)
        cos, sin = causal.rotary_emb(flow, positions)
        turn = cos.to(dtype)[:, None], sin.to(dtype)[:, None]  # [B, 1, S, D]
        later = torch.ones(columns, columns, dtype=torch.bool, device=ids.device).triu(1)
        blocked = (later | (attention == 0)[:, None]).unsqueeze(1)  # [B, 1, S, S]
        mask = torch.zeros(blocked.shape, dtype=dtype, device=ids.device)
        mask.masked_fill_(blocked, torch.finfo(dtype).min)
        for layer in causal.layers:
            since = first if layer is causal.layers[-1] else 0
            told = _attention(layer, role, flow, turn, mask, config.rms_norm_eps, since)
            flow = _since(flow, rows, since) + told
            flow = flow + _feed_forward(layer, role, flow, dtype, config.rms_norm_eps)
        flow = _Norm.apply(flow, causal.norm.weight.float(), config.rms_norm_eps, torch.float32)
    return flow.view(rows, columns - first, -1)


def _since(flow: Tensor, rows: int, first: int) -> Tensor:
    """Of [B*S, n] the columns from `first` on: [B*(S - first), n]."""
    return flow if first == 0 else flow.view(rows, -1, flow.shape[-1])[:, first:].flatten(0, 1)


def _attention(
    layer: nn.Module, role: str, flow: Tensor, turn: tuple[Tensor, Tensor], mask: Tensor, eps: float, first: int
) -> Tensor:
    """What the columns from `first` on, T of them, read from all: [B*T, h]."""
    attention, rows = layer.self_attn, len(mask)
    normed = _Norm.apply(flow, layer.input_layernorm.weight.float(), eps, mask.dtype)
    if first == 0:
        parts = adapted((attention.q_proj, attention.k_proj, attention.v_proj), role, normed)
    else:
        own = adapted((attention.q_proj,), role, _since(normed, rows, first))
        parts = *own, *adapted((attention.k_proj, attention.v_proj), role, normed)
    size, (cos, sin) = attention.head_dim, turn
    query, key, value = (part.view(rows, -1, part.shape[-1] // size, size).transpose(1, 2) for part in parts)
    query = _Turned.apply(query, cos[:, :, first:], sin[:, :, first:])  # [B, H, T, D]; keys and values [B, K, S, D]
    read = _read(query, _Turned.apply(key, cos, sin), value, mask[:, :, first:], attention.scaling)
    (out,) = adapted((attention.o_proj,), role, read.transpose(1, 2).flatten(0, 1).flatten(1))
    return out


def _read(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, scale: float) -> Tensor:
    """Values [B, H, T, D] weighed by softmax(query key' + mask): for short rows on a CPU the plain way is best."""
    rows, heads, asking, size = query.shape
    groups, columns = key.shape[1:3]
    query = (query * scale).reshape(rows * groups, -1, size)  # [B*K, G*T, D]
    key, value = key.reshape(-1, columns, size), value.reshape(-1, columns, size)
    scores = torch.bmm(query, key.transpose(1, 2)).view(rows, heads, asking, columns) + mask
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(weights.view(rows * groups, -1, columns), value).view(rows, heads, asking, size)


def _feed_forward(layer: nn.Module, role: str, flow: Tensor, dtype: torch.dtype, eps: float) -> Tensor:
    normed = _Norm.apply(flow, layer.post_attention_layernorm.weight.float(), eps, dtype)
    both = adapted((layer.mlp.gate_proj, layer.mlp.up_proj), role, normed, together=True)
    (out,) = adapted((layer.mlp.down_proj,), role, _Gated.apply(both))
    return out


def adapted(linears: Sequence[nn.Module], role: str, x: Tensor, together: bool = False) -> Any:
    """What layers of one input say in a role, each [N, out], or side by side."""
    weight, bias = frozen_of(linears)
    bias = bias if bias is None else bias.to(x.dtype)
    lora = lora_of(linears, role)
    scale = linears[0].scaling[role] if lora else 1.0
    out = _Adapted.apply(x, weight, bias, scale, *lora) if lora else F.linear(x, weight.to(x.dtype), bias)
    return out if together else out.split([linear.out_features for linear in linears], -1)


def parts_of(
    linears: Sequence[nn.Module], role: str, dtype: torch.dtype
) -> tuple[Tensor, Tensor | None, Tensor | None, Tensor | None, float]:
    """Weight [out, in], bias, A [R, in], B [out, R] and scale of layers side by side; no A and B without an adapter."""
    weight, bias = frozen_of(linears)
    weight, bias = weight.to(dtype), bias if bias is None else bias.to(dtype)
    lora = lora_of(linears, role)
    return (weight, bias, *packed(lora, dtype), linears[0].scaling[role]) if lora else (weight, bias, None, None, 1.0)


def frozen_of(linears: Sequence[nn.Module]) -> tuple[Tensor, Tensor | None]:
    """Weight [out, in] and bias of layers side by side, as they are stored."""
    bases = [getattr(linear, "base_layer", linear) for linear in linears]
    bias = None if bases[0].bias is None else torch.cat([base.bias for base in bases])
    return _side_by_side([base.weight for base in bases]), bias


def lora_of(linears: Sequence[nn.Module], role: str) -> tuple[Tensor, ...]:
    """Every A [r, in], then every B [out, r]; empty where the role has no adapter."""
    if role not in getattr(linears[0], "lora_A", {}):
        return ()
    return *(linear.lora_A[role].weight for linear in linears), *(linear.lora_B[role].weight for linear in linears)


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


def _side_by_side(weights: Sequence[Tensor]) -> Tensor:
    """[sum of out, in]: one view where `fuse` has laid them side by side, else a copy."""
    first = weights[0]
    total = sum(weight.shape[0] for weight in weights)
    storage, reach = first.untyped_storage(), first.storage_offset() + total * first.shape[1]
    if all(weight.untyped_storage().data_ptr() == storage.data_ptr() for weight in weights):
        if reach * first.element_size() <= storage.nbytes():
            return first.as_strided((total, first.shape[1]), (first.shape[1], 1)).detach()
    return torch.cat([weight.detach() for weight in weights])


@torch.no_grad()
def fuse(model: Any) -> None:
    """Lays weights that are used together side by side in memory; the layers' own weights become views of that."""
    for layer in model.base_model.model.model.layers:
        attention, mlp = layer.self_attn, layer.mlp
        for linears in ((attention.q_proj, attention.k_proj, attention.v_proj), (mlp.gate_proj, mlp.up_proj)):
            bases = [getattr(linear, "base_layer", linear) for linear in linears]
            together = torch.cat([base.weight for base in bases])
            for base, part in zip(bases, together.split([base.weight.shape[0] for base in bases]), strict=True):
                base.weight.data = part
