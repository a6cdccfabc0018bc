"""A fast decode loop for small Llama-shaped models: one role's weights, folded and fused for a single sampling call.

    B rows, T new columns (the prompt at first, then 1), S columns of cache, h hidden, f intermediate, V vocabulary,
    H query heads in K groups of G = H / K, D head size

Everything that decoding does not need is folded away beforehand: the adapter into its layer, each norm's weight and
1/sqrt(D) into the matrix that follows, q, k and v into one matrix, gate and up into another. Rows of q and k are put in
an order in which the two halves of a rotation lie side by side, so that it is one complex product. In float64 the
result is the model's own to 1e-9, in float32 it is as near to that as the model's own float32. States, rotations and
norms are in float32 where products are in bfloat16. The copies live as long as the call: weights that change meanwhile
do not mix in.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab import trunk

SHAPES = ("llama", "mistral", "qwen2")
ROPES = ("default", "linear", "llama3")
LARGEST = 50_000_000  # parameters, of which a sampling call makes a float32 copy
ANY_SIZE = 10**12  # parameters: more than any base has
PACKED = 500_000_000  # parameters, of which it makes a copy in the processor library's own order
READ_AT_ONCE = 2**22  # entries of an attention mask
LINEARS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj")
LINEARS += ("mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")


@dataclass(frozen=True, slots=True)
class Layer:
    """A folded layer: matrices that stand on the right of a product: [h, (H+2K)D], [HD, h], [h, 2f], [f, h].

    They lie in memory as [out, in], since for one to three rows a product over [in, out] has twice the rounding error;
    gate_up alone lies as [in, out], which is faster and, being summed over h only, does no harm.
    """

    qkv: Tensor
    bias: Tensor | None
    out: Tensor
    gate_up: Tensor
    down: Tensor

    def heads(self, states: Tensor, folded: Folded, rotations: Tensor) -> Tensor:
        """Queries, keys and values [N, H+2K, D], rotated."""
        normed = _norm(states, folded, self.qkv.dtype)
        qkv = normed @ self.qkv if self.bias is None else torch.addmm(self.bias, normed, self.qkv)
        qkv = qkv.to(folded.wide).unflatten(1, (-1, folded.size))
        torch.view_as_complex(qkv[:, : folded.heads + folded.groups].unflatten(-1, (-1, 2))).mul_(rotations)
        return qkv

    def project(self, read: Tensor) -> Tensor:
        return read @ self.out

    def feed(self, states: Tensor, folded: Folded) -> Tensor:
        gate, up = (_norm(states, folded, self.gate_up.dtype) @ self.gate_up).chunk(2, -1)
        return F.silu(gate).mul_(up) @ self.down


@dataclass(frozen=True, slots=True)
class Product:
    """A frozen matrix, as it stands in the model or packed, and its adapter side by side."""

    weight: Tensor
    bias: Tensor | None
    a: Tensor | None
    b: Tensor | None
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        out = _product(x, self.weight, self.bias)
        return out if self.a is None else out.addmm_(x @ self.a.t(), self.b.t(), alpha=self.scale)


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A layer of a model too large to copy."""

    before: Tensor  # norm [h]
    between: Tensor  # norm [h]
    qkv: Product
    out: Product
    gate_up: Product
    down: Product

    def heads(self, states: Tensor, folded: Folded, rotations: Tensor) -> Tensor:
        """Queries, keys and values [N, H+2K, D], rotated; the halves of a head lie apart."""
        qkv = self.qkv(_norm(states, folded, self.qkv.weight.dtype, self.before))
        qkv = qkv.to(folded.wide).unflatten(1, (-1, folded.size))
        low, high = qkv[:, : folded.heads + folded.groups].chunk(2, -1)
        turned = torch.complex(low, high).mul_(rotations)
        low.copy_(turned.real)
        high.copy_(turned.imag)
        qkv[:, : folded.heads].mul_(folded.size**-0.5)
        return qkv

    def project(self, read: Tensor) -> Tensor:
        return self.out(read)

    def feed(self, states: Tensor, folded: Folded) -> Tensor:
        gate, up = self.gate_up(_norm(states, folded, self.down.weight.dtype, self.between)).chunk(2, -1)
        return self.down(F.silu(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class Folded:
    """One role of a model, ready to decode. `turns` [D/2] are the rotation's angles for one position."""

    layers: tuple[Layer | Borrowed, ...]
    embed: Tensor  # [V, h]
    head: Tensor  # [V, h]
    norm: Tensor | None  # [h], where it is not folded into the head
    turns: Tensor
    eps: float
    heads: int
    groups: int
    size: int

    @property
    def wide(self) -> torch.dtype:
        """Of all that is no product."""
        return _wide(self.head.dtype)


def shaped(causal: Any) -> bool:
    """Whether this loop computes what layers of a causal LM's shape do, whatever these are kept in."""
    config = causal.config
    if config.model_type not in SHAPES or config.hidden_act != "silu" or getattr(config, "sliding_window", None):
        return False
    if config.rope_parameters["rope_type"] not in ROPES or type(causal.model.embed_tokens) is not nn.Embedding:
        return False
    unbiased = (layer.get_submodule(name) for layer in causal.model.layers for name in LINEARS[3:])
    return all(_bias(linear) is None for linear in unbiased)


def suits(model: Any, role: str, largest: int = LARGEST) -> bool:
    """Whether this loop computes what the model does: its shape, plain LoRA, no quantised layer, not too large."""
    causal = model.base_model.model
    if not shaped(causal):
        return False
    linears = [layer.get_submodule(name) for layer in causal.model.layers for name in LINEARS]
    if not all(_plain(linear, role) for linear in [*linears, causal.lm_head]):
        return False
    return sum(getattr(linear, "base_layer", linear).weight.numel() for linear in linears) <= largest


def _plain(linear: nn.Module, role: str) -> bool:
    """A float linear layer, alone or under a LoRA adapter without variants (DoRA and such) or bias."""
    if type(getattr(linear, "base_layer", linear)) is not nn.Linear:
        return False
    if role not in getattr(linear, "lora_A", {}):
        return True
    return not linear.lora_variant.get(role) and linear.lora_B[role].bias is None and not linear.merged


def _bias(linear: nn.Module) -> Tensor | None:
    return getattr(linear, "base_layer", linear).bias


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _weight(linear: nn.Module, role: str, dtype: torch.dtype) -> Tensor:
    """[out, in] in at least float32, the role's adapter added."""
    weight = getattr(linear, "base_layer", linear).weight.to(_wide(dtype))
    if role in getattr(linear, "lora_A", {}):
        weight = weight + linear.get_delta_weight(role).to(_wide(dtype))
    return weight


@torch.no_grad()
def fold(model: Any, role: str, dtype: torch.dtype = torch.float32) -> Folded:
    """A role's weights for this loop; those of the base model for a role without an adapter."""
    config, causal = model.config, model.base_model.model
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    layers = tuple(_fold_layer(layer, role, size, dtype) for layer in causal.model.layers)
    head = _weight(causal.lm_head, role, dtype) * causal.model.norm.weight.to(_wide(dtype))
    embed = causal.model.embed_tokens.weight
    turns = causal.model.rotary_emb.inv_freq.to(_wide(dtype))
    return Folded(layers, embed, head.to(dtype), None, turns, config.rms_norm_eps, heads, groups, size)


@torch.no_grad()
def borrow(model: Any, role: str, dtype: torch.dtype, pack: bool | None = None) -> Folded:
    """The same for a model of any size, with its own weights: products in dtype, no copy where that is theirs.

    pack: whether to copy them in the order in which a processor reads them fastest for few rows; None does so up to
    PACKED parameters, where it can be done.
    """
    config, causal = model.config, model.base_model.model
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    pack = packs(dtype, model.num_parameters()) if pack is None else pack
    layers = tuple(_borrow_layer(layer, role, dtype, pack) for layer in causal.model.layers)
    head, norm = causal.lm_head.weight.to(dtype), causal.model.norm.weight.to(_wide(dtype))
    head = _packed(head) if pack else head
    turns = causal.model.rotary_emb.inv_freq.to(_wide(dtype))
    embed = causal.model.embed_tokens.weight
    return Folded(layers, embed, head, norm, turns, config.rms_norm_eps, heads, groups, size)


def packs(dtype: torch.dtype, parameters: int) -> bool:
    """Whether this processor's library packs matrices of the dtype, and there are not too many of them to copy."""
    if parameters > PACKED or not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _packed(weight: Tensor) -> Tensor:
    return torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 8)


def _product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """x [N, in] times a weight [out, in], packed or not."""
    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def _borrow_layer(layer: nn.Module, role: str, dtype: torch.dtype, pack: bool) -> Borrowed:
    attention, mlp = layer.self_attn, layer.mlp
    groups = (
        (attention.q_proj, attention.k_proj, attention.v_proj),
        (attention.o_proj,),
        (mlp.gate_proj, mlp.up_proj),
        (mlp.down_proj,),
    )
    parts = [trunk.parts_of(linears, role, dtype) for linears in groups]
    products = [Product(_packed(weight) if pack else weight, *others) for weight, *others in parts]
    norms = (norm.weight.to(_wide(dtype)) for norm in (layer.input_layernorm, layer.post_attention_layernorm))
    return Borrowed(*norms, *products)


def _fold_layer(layer: nn.Module, role: str, size: int, dtype: torch.dtype) -> Layer:
    attention, mlp, wide = layer.self_attn, layer.mlp, _wide(dtype)
    scale = size**-0.5
    parts = (attention.q_proj, attention.k_proj, attention.v_proj)
    query, key, value = (_weight(each, role, dtype) for each in parts)
    qkv = torch.cat([_paired(query, size) * scale, _paired(key, size), value]) * layer.input_layernorm.weight.to(wide)
    bias = None
    if _bias(attention.q_proj) is not None:
        query, key, value = (_bias(each).to(wide) for each in parts)
        bias = torch.cat([_paired(query, size) * scale, _paired(key, size), value]).to(dtype)
    gate_up = torch.cat([_weight(mlp.gate_proj, role, dtype), _weight(mlp.up_proj, role, dtype)])
    gate_up = gate_up * layer.post_attention_layernorm.weight.to(wide)
    out, down = _weight(attention.o_proj, role, dtype), _weight(mlp.down_proj, role, dtype)
    gate_up = gate_up.t().to(dtype).contiguous()
    return Layer(qkv.to(dtype).t(), bias, out.to(dtype).t(), gate_up, down.to(dtype).t())


def _paired(weight: Tensor, size: int) -> Tensor:
    """Rows of each head in the order 0, D/2, 1, D/2 + 1, ...: what a rotation mixes stands side by side."""
    halves = weight.unflatten(0, (-1, 2, size // 2))
    return halves.transpose(1, 2).flatten(0, 2)


class Decoder:
    """The state of one batch: a cache for all columns that it may come to, which rows keep and leave."""

    def __init__(self, folded: Folded, prompts: Sequence[Sequence[int]], tokens: int):
        self.folded, self.device = folded, folded.embed.device
        self.width = max(map(len, prompts))
        self.distinct = sorted({tuple(prompt) for prompt in prompts}, key=lambda prompt: (len(prompt), prompt))
        number = {prompt: i for i, prompt in enumerate(self.distinct)}
        self.which = torch.tensor([number[tuple(prompt)] for prompt in prompts], device=self.device)
        self.column, columns = self.width, self.width + tokens
        shape = (len(prompts), 2, folded.groups, columns, folded.size)
        self.cache = [torch.empty(shape, device=self.device, dtype=folded.head.dtype) for _ in folded.layers]
        self.position = torch.tensor([len(prompt) for prompt in prompts], device=self.device)
        angles = torch.arange(columns, device=self.device).to(folded.wide)[:, None] * folded.turns
        self.rotations = torch.polar(torch.ones_like(angles), angles)  # [S, D/2]
        masked = torch.arange(columns, device=self.device) < self.width - self.position[:, None]
        self.mask = _blocked(masked, self.cache[0].dtype)[:, None, None]  # [B, 1, 1, S]

    def start(self) -> Tensor:
        """Logits [B, V] after the prompts; each distinct prompt is read once, with others about as long."""
        last = [self._read(*ends) for ends in alike([len(prompt) for prompt in self.distinct])]
        return _logits(self.folded, torch.cat(last)[self.which])

    def _read(self, first: int, end: int) -> Tensor:
        """States [b, h] at the end of some distinct prompts, whose keys and values go to the rows that begin so."""
        folded, prompts = self.folded, self.distinct[first:end]
        width = max(map(len, prompts))
        ids = torch.tensor([[0] * (width - len(p)) + list(p) for p in prompts], device=self.device)
        padding = width - torch.tensor([len(p) for p in prompts], device=self.device)
        columns = torch.arange(width, device=self.device)
        masked = (columns < padding[:, None])[:, None] | (columns > columns[:, None])  # [b, T, T]
        mask = _blocked(masked, self.cache[0].dtype).repeat_interleave(folded.heads // folded.groups, 1)[:, None]
        rotations = self.rotations[(columns - padding[:, None]).clamp(min=0)].flatten(0, 1)[:, None]
        rows = ((self.which >= first) & (self.which < end)).nonzero().flatten()
        states = folded.embed[ids].flatten(0, 1).to(folded.wide)
        for layer, cache in zip(folded.layers, self.cache, strict=True):
            new = cache.new_empty(len(prompts), 2, folded.groups, width, folded.size)
            states = _layer(folded, layer, states, rotations, new, 0, mask)
            cache[rows, :, :, : self.width - width] = 0  # never looked at, but no number may stand there that is none
            cache[rows, :, :, self.width - width : self.width] = new[self.which[rows] - first]
        return states.unflatten(0, (len(prompts), width))[:, -1]

    def say(self, ids: Tensor) -> Tensor:
        """Logits [B, V] after one more token a row, ids [B]."""
        logits = self._token(ids, self.column, self.mask[..., : self.column + 1])
        self.column += 1
        self.position = self.position + 1
        return logits

    def _token(self, ids: Tensor, column: int | Tensor, mask: Tensor) -> Tensor:
        """Logits [B, V] of ids [B] that stand in a column; columns that the mask [B, 1, 1, *] has are read."""
        states = self.folded.embed[ids].to(self.folded.wide)
        rotations = self.rotations[self.position][:, None]
        for layer, cache in zip(self.folded.layers, self.cache, strict=True):
            states = _layer(self.folded, layer, states, rotations, cache, column, mask)
        return _logits(self.folded, states)

    def keep(self, kept: Sequence[int]) -> None:
        """Go on with some rows, in this order; only rows that change their place are copied."""
        to = [place for place, row in enumerate(kept) if place != row]
        moved = torch.tensor([kept[place] for place in to], device=self.device, dtype=torch.long)
        place = torch.tensor(to, device=self.device, dtype=torch.long)
        for rows in [*self.cache, self.mask, self.position]:
            rows[place] = rows[moved]
        self.cache = [cache[: len(kept)] for cache in self.cache]
        self.mask, self.position = self.mask[: len(kept)], self.position[: len(kept)]


def alike(lengths: Sequence[int]) -> list[tuple[int, int]]:
    """Rising lengths cut into runs (first, end) of at most 1.5 times their shortest, and not too many to read at once.

    So a long prompt among short ones costs the short ones no padding.
    """
    found, first = [], 0
    for place, length in enumerate(lengths):
        if length > 1.5 * lengths[first] or (place - first + 1) * length**2 > max(READ_AT_ONCE, length**2):
            found.append((first, place))
            first = place
    return [*found, (first, len(lengths))]


def _blocked(masked: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention's scores: the least finite number, since a row of -inf alone gives NaN."""
    return torch.zeros(masked.shape, dtype=dtype, device=masked.device).masked_fill_(masked, torch.finfo(dtype).min)


def _norm(states: Tensor, folded: Folded, dtype: torch.dtype, weight: Tensor | None = None) -> Tensor:
    return F.rms_norm(states, states.shape[-1:], weight, folded.eps).to(dtype)


def _logits(folded: Folded, states: Tensor) -> Tensor:
    return _product(_norm(states, folded, folded.head.dtype, folded.norm), folded.head).to(folded.wide)


def _layer(
    folded: Folded,
    layer: Layer | Borrowed,
    states: Tensor,
    rotations: Tensor,
    cache: Tensor,
    start: int | Tensor,
    mask: Tensor,
) -> Tensor:
    """States [B*T, h] after one layer; keys and values of the new columns are put into the cache [B, 2, K, S, D].

    start: the first of these columns; as a tensor [1] it is the only one, and the mask is as wide as the cache.
    """
    rows, heads, groups, size = len(cache), folded.heads, folded.groups, folded.size
    columns = len(states) // rows
    qkv = layer.heads(states, folded, rotations)
    new = qkv[:, heads:].view(rows, columns, 2, groups, size).permute(0, 2, 3, 1, 4)
    if isinstance(start, Tensor):
        cache.index_copy_(3, start, new.to(cache.dtype))
        seen = cache
    else:
        cache[:, :, :, start : start + columns] = new
        seen = cache[:, :, :, : start + columns]
    query = qkv[:, :heads].view(rows, columns, groups, -1, size).transpose(1, 2).flatten(2, 3)  # [B, K, T*G, D]
    read = F.scaled_dot_product_attention(query.to(cache.dtype), seen[:, 0], seen[:, 1], mask, scale=1.0)
    read = read.view(rows, groups, columns, -1, size).transpose(1, 2).reshape(len(states), -1)
    states = states + layer.project(read)
    return states + layer.feed(states, folded)
