"""A lean forward pass for Llama-shaped models with LoRA: what the library computes, in fewer and larger operations.

    B rows, S columns, T of them wanted, N = B * S or B * T, h hidden, f intermediate, H query heads in K groups of G,
    D head size, r LoRA rank

Layers that read the same input are one product (q, k, v; gate, up), an adapter's layer is one autograd step that keeps
one copy of its input, a norm is another. The states that run through the layers are float32; products are in bfloat16
under autocast, in float32 without. The base's weights are frozen: no gradient is made for them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab.stem import Stem


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


class _Heads(torch.autograd.Function):
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


class _Norm(torch.autograd.Function):
    """Root mean square norm of x [N, h] in float32 with a frozen weight, given back in another dtype."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
        inverse = _inverse(x, eps)
        ctx.save_for_backward(x, inverse, weight)
        return (x * inverse).mul_(weight).to(dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _through_norm(gradient, *ctx.saved_tensors), None, None, None


class _HeadNorms(torch.autograd.Function):
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


def states(
    model: Any,
    role: str,
    ids: Tensor,
    attention: Tensor,
    positions: Tensor,
    wanted: int | Tensor = 0,
    stem: Stem | None = None,
) -> Tensor:
    """Last hidden states [B, T, h] after the final norm, in a role: of the columns from `wanted` on, or of one a row.

    wanted: the first column, or [B] the one of each row. In the last layer the other columns are read from, but what
    they say themselves is not worked out. stem: what the first layers say in this role, kept here if nobody has yet.
    What folding.suits refuses is not for this.
    """
    causal, config = model.base_model.model.model, model.config
    cast = torch.is_autocast_enabled(ids.device.type)
    dtype = torch.get_autocast_dtype(ids.device.type) if cast else torch.float32
    rows, columns = ids.shape
    with torch.autocast(ids.device.type, enabled=False):
        known = stem is not None and stem.states is not None
        flow = (stem.states if known else causal.embed_tokens.weight[ids].float()).flatten(0, 1)
        cos, sin = causal.rotary_emb(flow, positions)
        turn = cos.to(dtype)[:, None], sin.to(dtype)[:, None]  # [B, 1, S, D]
        later = torch.ones(columns, columns, dtype=torch.bool, device=ids.device).triu(1)
        blocked = (later | (attention == 0)[:, None]).unsqueeze(1)  # [B, 1, S, S]
        mask = torch.zeros(blocked.shape, dtype=dtype, device=ids.device)
        mask.masked_fill_(blocked, torch.finfo(dtype).min)
        for place, layer in enumerate(causal.layers):
            if known and place < stem.depth:
                continue
            if stem is not None and place == stem.depth:
                stem.keep(flow.view(rows, columns, -1))
            asked = wanted if layer is causal.layers[-1] else 0
            flow = _flat(flow, rows, asked) + _attention(layer, role, flow, turn, mask, config.rms_norm_eps, asked)
            flow = flow + _feed_forward(layer, role, flow, dtype, config.rms_norm_eps)
        flow = _Norm.apply(flow, causal.norm.weight.float(), config.rms_norm_eps, torch.float32)
    return flow.view(rows, -1, flow.shape[-1])


def _of(x: Tensor, wanted: int | Tensor) -> Tensor:
    """Of [B, ., S, n] the columns from `wanted` on, or one a row: [B, ., T, n]."""
    if isinstance(wanted, int):
        return x[:, :, wanted:]
    return x[torch.arange(len(x), device=x.device), :, wanted].unsqueeze(2)


def _flat(flow: Tensor, rows: int, wanted: int | Tensor) -> Tensor:
    """The same of [B*S, n]: [B*T, n]."""
    return flow if _all(wanted) else _of(flow.view(rows, 1, -1, flow.shape[-1]), wanted).flatten(0, 2)


def _all(wanted: int | Tensor) -> bool:
    return isinstance(wanted, int) and wanted == 0


def _attention(
    layer: nn.Module,
    role: str,
    flow: Tensor,
    turn: tuple[Tensor, Tensor],
    mask: Tensor,
    eps: float,
    wanted: int | Tensor,
) -> Tensor:
    """What the wanted columns, T of them, read from all: [B*T, h]."""
    attention, rows = layer.self_attn, len(mask)
    normed = _Norm.apply(flow, layer.input_layernorm.weight.float(), eps, mask.dtype)
    query, others = (attention.q_proj,), (attention.k_proj, attention.v_proj)
    cut = partial(_heads, attention, rows=rows, eps=eps)
    scaled = tuple(_of(each, wanted) * attention.scaling for each in turn)
    if _all(wanted):
        parts = cut(adapted((*query, *others), role, normed), (scaled, turn, ()), (*query, *others))
    else:
        own = adapted(query, role, _flat(normed, rows, wanted))
        parts = *cut(own, (scaled,), query), *cut(adapted(others, role, normed), (turn, ()), others)
    read = _read(*parts, _of(mask, wanted))
    return adapted((attention.o_proj,), role, read.transpose(1, 2).flatten(0, 1).flatten(1))


def _heads(
    attention: nn.Module,
    joined: Tensor,
    turns: Sequence[tuple[Tensor, ...]],
    linears: Sequence[nn.Module],
    rows: int,
    eps: float,
) -> Any:
    """What layers say side by side, by heads: [B, heads, S, D] of each, normed where the shape does so, and turned."""
    size = attention.head_dim
    if hasattr(attention, "q_norm"):
        joined = _HeadNorms.apply(joined.unflatten(1, (-1, size)), head_norms(attention, *linears), eps).flatten(1)
    return _Heads.apply(joined, rows, size, turns, *(linear.out_features // size for linear in linears))


def head_norms(attention: nn.Module, *linears: nn.Module) -> Tensor:
    """Weights [heads, D] of the norms over each head of those linear layers, of queries and keys, that have one."""
    norms = {attention.q_proj: attention.q_norm, attention.k_proj: attention.k_norm}
    some = [(norms[linear].weight, linear.out_features) for linear in linears if linear in norms]
    return torch.cat([weight.float().expand(out // len(weight), -1) for weight, out in some])


def _read(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Values [B, H, T, D] weighed by softmax(query key' + mask): for short rows on a CPU the plain way is best."""
    rows, heads, asking, size = query.shape
    groups, columns = key.shape[1:3]
    query, key, value = query.view(rows * groups, -1, size), key.view(-1, columns, size), value.view(-1, columns, size)
    scores = torch.bmm(query, key.transpose(1, 2)).view(rows, heads, asking, columns).add_(mask)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(weights.view(rows * groups, -1, columns), value).view(rows, heads, asking, size)


def _feed_forward(layer: nn.Module, role: str, flow: Tensor, dtype: torch.dtype, eps: float) -> Tensor:
    normed = _Norm.apply(flow, layer.post_attention_layernorm.weight.float(), eps, dtype)
    both = adapted((layer.mlp.gate_proj, layer.mlp.up_proj), role, normed)
    return adapted((layer.mlp.down_proj,), role, _Gated.apply(both))


def adapted(linears: Sequence[nn.Module], role: str, x: Tensor) -> Tensor:
    """What layers of one input say in a role, side by side: [N, sum of out]."""
    weight, bias = frozen_of(linears)
    bias = bias if bias is None else bias.to(x.dtype)
    lora = lora_of(linears, role)
    scale = linears[0].scaling[role] if lora else 1.0
    return _Adapted.apply(x, weight, bias, scale, *lora) if lora else F.linear(x, weight.to(x.dtype), bias)


def adapter_of(
    linears: Sequence[nn.Module], role: str, dtype: torch.dtype
) -> tuple[Tensor | None, Tensor | None, float]:
    """A [R, in], B [out, R] and scale of a role's adapter over layers side by side; no A and B where it has none."""
    lora = lora_of(linears, role)
    return (*packed(lora, dtype), linears[0].scaling[role]) if lora else (None, None, 1.0)


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
