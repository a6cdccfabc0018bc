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
from torch.utils.checkpoint import checkpoint

from lab.backward import Adapted, Gated, HeadNorms, Heads, Norm, packed, through
from lab.quantised import Side, in_4_bits
from lab.stem import Stem

ALIGNED = 16  # columns of a mask
# Precisions that are left to the library's pass, by device: on a GPU float16 would be turned anew in each pass. Apple's
# MPS computes as the weights are, and is left to it whole.
LEFT = {"cpu": ("8-bit", "4-bit"), "cuda": ("8-bit", "float16")}


def serves(device: str, precision: str) -> bool:
    """Whether this pass is for bases of that precision on a kind of device, where folding.suits accepts the shape."""
    return device in LEFT and precision not in LEFT[device]


def states(
    model: Any,
    role: str,
    ids: Tensor,
    attention: Tensor,
    positions: Tensor,
    wanted: int | Tensor = 0,
    stem: Stem | None = None,
    twice: bool = False,
) -> Tensor:
    """Last hidden states [B, T, h] after the final norm, in a role: of the columns from `wanted` on, or of one a row.

    wanted: the first column, or [B] the one of each row. In the last layer the other columns are read from, but what
    they say themselves is not worked out. stem: what the first layers say in this role, kept here if nobody has yet.
    twice: of each layer only its input is kept for the backward pass, and the layer is computed again there.
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
        times = _fused(config, ids.device)
        mask = _mask(attention, 0, dtype, times)
        last_mask = mask if _all(wanted) else _mask(attention, wanted, dtype, times)
        for place, layer in enumerate(causal.layers):
            if known and place < stem.depth:
                continue
            if stem is not None and place == stem.depth:
                stem.keep(flow.view(rows, columns, -1))
            asked, seen = (wanted, last_mask) if layer is causal.layers[-1] else (0, mask)
            step = partial(_layer, layer, role, turn, seen, config.rms_norm_eps, asked)
            again = twice and torch.is_grad_enabled()
            flow = checkpoint(step, flow, use_reentrant=False, preserve_rng_state=False) if again else step(flow)
        flow = _normed(flow, causal.norm, config.rms_norm_eps, torch.float32)
    return flow.view(rows, -1, flow.shape[-1])


def _mask(attention: Tensor, wanted: int | Tensor, dtype: torch.dtype, times: int) -> Tensor:
    """What is added to scores [B, 1, times * T, S]: of the wanted columns, so many times one after the other.

    Rows begin where a GPU's attention reads them without copying them.
    """
    rows, columns = attention.shape
    later = torch.ones(columns, columns, dtype=torch.bool, device=attention.device).triu(1)
    blocked = _of((later | (attention == 0)[:, None]).unsqueeze(1), wanted)  # [B, 1, T, S]
    shape = rows, times, blocked.shape[2], -(-columns // ALIGNED) * ALIGNED
    found = torch.zeros(shape, dtype=dtype, device=attention.device)[..., :columns]
    return found.masked_fill_(blocked, torch.finfo(dtype).min).flatten(1, 2).unsqueeze(1)


def _fused(config: Any, device: torch.device) -> int:
    """How often a mask is repeated: a GPU's attention takes the heads of a group as so many times the columns."""
    return config.num_attention_heads // config.num_key_value_heads if device.type == "cuda" else 1


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


def _layer(
    layer: nn.Module,
    role: str,
    turn: tuple[Tensor, Tensor],
    mask: Tensor,
    eps: float,
    wanted: int | Tensor,
    flow: Tensor,
) -> Tensor:
    """States [B*T, h] of the wanted columns after a layer, of those of all before it [B*S, h]."""
    flow = _flat(flow, len(mask), wanted) + _attention(layer, role, flow, turn, mask, eps, wanted)
    return flow + _feed_forward(layer, role, flow, mask.dtype, eps)


def _normed(flow: Tensor, norm: nn.Module, eps: float, dtype: torch.dtype) -> Tensor:
    """States [N, h] after a root mean square norm with a frozen weight; a GPU has one operation for it."""
    weight = norm.weight.float()
    if flow.is_cuda:
        return F.rms_norm(flow, flow.shape[-1:], weight, eps).to(dtype)
    return Norm.apply(flow, weight, eps, dtype)


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
    normed = _normed(flow, layer.input_layernorm, eps, mask.dtype)
    query, others = (attention.q_proj,), (attention.k_proj, attention.v_proj)
    cut = partial(_heads, attention, rows=rows, eps=eps)
    scaled = tuple(_of(each, wanted) * attention.scaling for each in turn)
    if _all(wanted):
        parts = cut(adapted((*query, *others), role, normed), (scaled, turn, ()), (*query, *others))
    else:
        own = adapted(query, role, _flat(normed, rows, wanted))
        parts = *cut(own, (scaled,), query), *cut(adapted(others, role, normed), (turn, ()), others)
    read = (_read_at_once if flow.is_cuda else _read)(*parts, mask)
    return adapted((attention.o_proj,), role, read)


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
        joined = HeadNorms.apply(joined.unflatten(1, (-1, size)), head_norms(attention, *linears), eps).flatten(1)
    return Heads.apply(joined, rows, size, turns, *(linear.out_features // size for linear in linears))


def head_norms(attention: nn.Module, *linears: nn.Module) -> Tensor:
    """Weights [heads, D] of the norms over each head of those linear layers, of queries and keys, that have one."""
    norms = {attention.q_proj: attention.q_norm, attention.k_proj: attention.k_norm}
    some = [(norms[linear].weight, linear.out_features) for linear in linears if linear in norms]
    return torch.cat([weight.float().expand(out // len(weight), -1) for weight, out in some])


def _read(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """Values [B*T, HD] weighed by softmax(query key' + mask): for short rows on a CPU the plain way is best."""
    rows, heads, asking, size = query.shape
    groups, columns = key.shape[1:3]
    query, key, value = query.view(rows * groups, -1, size), key.view(-1, columns, size), value.view(-1, columns, size)
    scores = torch.bmm(query, key.transpose(1, 2)).view(rows, heads, asking, columns).add_(mask)
    weights = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    read = torch.bmm(weights.view(rows * groups, -1, columns), value).view(rows, heads, asking, size)
    return read.transpose(1, 2).flatten(0, 1).flatten(1)


def _read_at_once(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """The same by a GPU's fused attention, which keeps no scores; no key is repeated for the heads that share it."""
    rows, heads, asking, size = query.shape
    query = query.view(rows, key.shape[1], -1, size)  # [B, K, G*T, D]
    read = F.scaled_dot_product_attention(query, key, value, mask, scale=1.0)
    return read.unflatten(2, (-1, asking)).permute(0, 3, 1, 2, 4).reshape(rows * asking, heads * size)


def _feed_forward(layer: nn.Module, role: str, flow: Tensor, dtype: torch.dtype, eps: float) -> Tensor:
    normed = _normed(flow, layer.post_attention_layernorm, eps, dtype)
    both = adapted((layer.mlp.gate_proj, layer.mlp.up_proj), role, normed)
    return adapted((layer.mlp.down_proj,), role, Gated.apply(both))


def adapted(linears: Sequence[nn.Module], role: str, x: Tensor) -> Tensor:
    """What layers of one input say in a role, side by side: [N, sum of out]."""
    bases = tuple(getattr(linear, "base_layer", linear) for linear in linears)
    weight, bias = (Side(bases, x.dtype), None) if any(map(in_4_bits, bases)) else frozen_of(linears)
    bias = bias if bias is None else bias.to(x.dtype)
    lora = lora_of(linears, role)
    return Adapted.apply(x, weight, bias, linears[0].scaling[role], *lora) if lora else through(x, weight, bias)


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
