"""One role's weights made ready for the fast decode loop: folded and fused, or borrowed as they stand.

    N rows, h hidden, f intermediate, V vocabulary, H query heads in K groups, D head size

Everything that decoding does not need is folded away beforehand: the adapter into its layer, each norm's weight and
1/sqrt(D) into what follows, q, k and v into one matrix, gate and up into another. Rows of q and k are put in
an order in which the two halves of a rotation lie side by side, so that it is one complex product. In float64 the
result is the model's own to 1e-9, in float32 it is as near to that as the model's own float32. States, rotations and
norms are in float32 where products are in bfloat16. The copies live as long as the call: weights that change meanwhile
do not mix in. Of a model that is too large for a copy, or in 4 bits, the weights are borrowed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lab import float16, trunk
from lab.float16 import Float16
from lab.quantised import Side, in_4_bits

SHAPES = ("llama", "mistral", "qwen2", "qwen3")
ROPES = ("default", "linear", "llama3")
LARGEST = 50_000_000  # parameters, of which a sampling call makes a float32 copy
ANY_SIZE = 10**12  # parameters: more than any base has
PACKED = 500_000_000  # parameters, of which it makes a copy in the processor library's own order
FEW = 24  # answers at once, up to which reading the weights is what takes the time
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
    scales: Tensor | None  # [H+K, D], where each head of queries and keys has a norm
    out: Tensor
    gate_up: Tensor
    down: Tensor

    def heads(self, states: Tensor, folded: Folded, rotations: Tensor) -> Tensor:
        """Queries, keys and values [N, H+2K, D], rotated."""
        given = normed(states, folded, self.qkv.dtype)
        qkv = given @ self.qkv if self.bias is None else torch.addmm(self.bias, given, self.qkv)
        qkv = _by_head(qkv.to(folded.wide).unflatten(1, (-1, folded.size)), folded, self.scales)
        torch.view_as_complex(qkv[:, : folded.heads + folded.groups].unflatten(-1, (-1, 2))).mul_(rotations)
        return qkv

    def project(self, read: Tensor) -> Tensor:
        return read @ self.out

    def feed(self, states: Tensor, folded: Folded) -> Tensor:
        gate, up = (normed(states, folded, self.gate_up.dtype) @ self.gate_up).chunk(2, -1)
        return F.silu(gate).mul_(up) @ self.down


@dataclass(frozen=True, slots=True)
class Product:
    """A frozen matrix, as it stands in the model, packed, in float16 or in 4 bits, and its adapter side by side."""

    weight: Tensor | Float16 | Side
    bias: Tensor | None
    a: Tensor | None
    b: Tensor | None
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        out = product(x, self.weight, self.bias)
        return out if self.a is None else out.addmm_(x @ self.a.t(), self.b.t(), alpha=self.scale)


@dataclass(frozen=True, slots=True)
class Borrowed:
    """A layer of a model too large to copy, or in 4 bits."""

    before: Tensor  # norm [h]
    between: Tensor  # norm [h]
    scales: Tensor | None  # [H+K, D], as in Layer
    qkv: Product
    out: Product
    gate_up: Product
    down: Product

    def heads(self, states: Tensor, folded: Folded, rotations: Tensor) -> Tensor:
        """Queries, keys and values [N, H+2K, D], rotated; the halves of a head lie apart."""
        qkv = self.qkv(normed(states, folded, self.qkv.weight.dtype, self.before))
        qkv = _by_head(qkv.to(folded.wide).unflatten(1, (-1, folded.size)), folded, self.scales)
        low, high = qkv[:, : folded.heads + folded.groups].chunk(2, -1)
        turned = torch.complex(low, high).mul_(rotations)
        low.copy_(turned.real)
        high.copy_(turned.imag)
        return qkv

    def project(self, read: Tensor) -> Tensor:
        return self.out(read)

    def feed(self, states: Tensor, folded: Folded) -> Tensor:
        gate, up = self.gate_up(normed(states, folded, self.down.weight.dtype, self.between)).chunk(2, -1)
        return self.down(F.silu(gate).mul_(up))


@dataclass(frozen=True, slots=True)
class Folded:
    """One role of a model, ready to decode. `turns` [D/2] are the rotation's angles for one position."""

    layers: tuple[Layer | Borrowed, ...]
    embed: Tensor  # [V, h]
    head: Tensor | Float16  # [V, h]
    norm: Tensor | None  # [h], where it is not folded into the head
    turns: Tensor
    eps: float
    heads: int
    groups: int
    size: int
    scale: float  # of attention's scores, where it is not folded into the queries

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


def suits(model: Any, role: str, largest: int = LARGEST, quantised: bool = False) -> bool:
    """Whether this loop computes what the model does: its shape, plain LoRA, not too large, and no quantised layer
    unless those in 4 bits are borrowed as they are."""
    causal = model.base_model.model
    if not shaped(causal):
        return False
    linears = [layer.get_submodule(name) for layer in causal.model.layers for name in LINEARS]
    if not all(_plain(linear, role, quantised) for linear in linears) or not _plain(causal.lm_head, role):
        return False
    return sum(_base(linear).weight.numel() for linear in linears) <= largest


def _plain(linear: nn.Module, role: str, quantised: bool = False) -> bool:
    """A linear layer of floats or in 4 bits, alone or under a LoRA adapter without variants (as DoRA) or bias."""
    base = _base(linear)
    if type(base) is not nn.Linear and not (quantised and in_4_bits(base)):
        return False
    if role not in getattr(linear, "lora_A", {}):
        return True
    return not linear.lora_variant.get(role) and linear.lora_B[role].bias is None and not linear.merged


def _base(linear: nn.Module) -> nn.Module:
    """The layer that an adapter may lie over."""
    return getattr(linear, "base_layer", linear)


def _bias(linear: nn.Module) -> Tensor | None:
    return _base(linear).bias


def _wide(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


def _weight(linear: nn.Module, role: str, dtype: torch.dtype) -> Tensor:
    """[out, in] in at least float32, the role's adapter added."""
    weight = _base(linear).weight.to(_wide(dtype))
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
    return Folded(layers, embed, head.to(dtype), None, turns, config.rms_norm_eps, heads, groups, size, 1.0)


@torch.no_grad()
def borrow(model: Any, role: str, dtype: torch.dtype, pack: bool | None = None) -> Folded:
    """The same for a model of any size, with its own weights: products in dtype, no copy where that is theirs.

    pack: whether to copy them as a processor reads them fastest for few rows: in float16 where that holds what the
    files have, else in the library's own order; None does so up to PACKED parameters, where it can be done.
    """
    config, causal = model.config, model.base_model.model
    heads, groups = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    pack = packs(dtype, model.num_parameters()) if pack is None else pack
    layers = tuple(_borrow_layer(layer, role, dtype, pack) for layer in causal.model.layers)
    head, norm = causal.lm_head.weight.to(dtype), causal.model.norm.weight.to(_wide(dtype))
    head = _packed(causal.lm_head, head) if pack else head
    turns = causal.model.rotary_emb.inv_freq.to(_wide(dtype))
    embed = causal.model.embed_tokens.weight
    return Folded(layers, embed, head, norm, turns, config.rms_norm_eps, heads, groups, size, size**-0.5)


def halves(model: Any) -> bool:
    """Whether float16 holds what a base that is kept in float32 says tokens with; the copies are made here, once."""
    causal = model.base_model.model
    products = [*(linears for layer in causal.model.layers for linears in _products(layer)), (causal.lm_head,)]
    return all(_halved(_base(linears[0]), trunk.frozen_of(linears)[0]) is not None for linears in products)


def packs(dtype: torch.dtype, parameters: int) -> bool:
    """Whether this processor's library packs matrices of the dtype, and there are not too many of them to copy."""
    if parameters > PACKED or not torch.backends.mkldnn.is_available():
        return False
    return dtype == torch.float32 or dtype == torch.bfloat16 and torch.ops.mkldnn._is_mkldnn_bf16_supported()


def _packed(layer: nn.Module, weight: Tensor) -> Tensor | Float16:
    """A copy of the weight [out, in] that begins with the layer's."""
    return _halved(layer, weight) or torch.ops.mkldnn._reorder_linear_weight(weight.detach().contiguous(), 8)


def _halved(layer: nn.Module, weight: Tensor) -> Float16 | None:
    """The same in float16, where this processor multiplies by it and it holds the weight."""
    in_float32 = weight.dtype == torch.float32 and weight.device.type == "cpu"
    return float16.of(layer, weight) if in_float32 and float16.available() else None


def product(x: Tensor, weight: Tensor | Float16 | Side, bias: Tensor | None = None) -> Tensor:
    """x [N, in] times a weight [out, in], packed or not, in float16, or through layers in 4 bits."""
    if isinstance(weight, Side):
        return weight(x)
    if isinstance(weight, Float16):
        return weight(x, bias)
    if weight.is_mkldnn:
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


def _products(layer: nn.Module) -> tuple[tuple[nn.Module, ...], ...]:
    """A layer's linear layers by what they read: those that read the same are one product."""
    attention, mlp = layer.self_attn, layer.mlp
    return (
        (attention.q_proj, attention.k_proj, attention.v_proj),
        (attention.o_proj,),
        (mlp.gate_proj, mlp.up_proj),
        (mlp.down_proj,),
    )


def _borrow_layer(layer: nn.Module, role: str, dtype: torch.dtype, pack: bool) -> Borrowed:
    attention, products = layer.self_attn, [_borrow(linears, role, dtype, pack) for linears in _products(layer)]
    norms = (norm.weight.to(_wide(dtype)) for norm in (layer.input_layernorm, layer.post_attention_layernorm))
    return Borrowed(*norms, _scales(attention, _wide(dtype)), *products)


def _borrow(linears: Sequence[nn.Module], role: str, dtype: torch.dtype, pack: bool) -> Product:
    bases = tuple(map(_base, linears))
    if any(map(in_4_bits, bases)):
        return Product(Side(bases, dtype), None, *trunk.adapter_of(linears, role, dtype))
    weight, bias = trunk.frozen_of(linears)
    weight, bias = weight.to(dtype), bias if bias is None else bias.to(dtype)
    return Product(_packed(bases[0], weight) if pack else weight, bias, *trunk.adapter_of(linears, role, dtype))


def _fold_layer(layer: nn.Module, role: str, size: int, dtype: torch.dtype) -> Layer:
    attention, mlp, wide = layer.self_attn, layer.mlp, _wide(dtype)
    scale, scales = size**-0.5, _scales(attention, wide)
    if scales is not None:  # whose norms would take the scale out again
        scales[: attention.q_proj.out_features // size] *= scale
        scale = 1.0
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
    scales = scales if scales is None else _paired(scales.flatten(), size).view_as(scales)
    return Layer(qkv.to(dtype).t(), bias, scales, out.to(dtype).t(), gate_up, down.to(dtype).t())


def _scales(attention: nn.Module, dtype: torch.dtype) -> Tensor | None:
    """What each head of queries and keys is multiplied by after its norm [H+K, D]; None where there are none."""
    if not hasattr(attention, "q_norm"):
        return None
    return trunk.head_norms(attention, attention.q_proj, attention.k_proj).to(dtype)


def _by_head(qkv: Tensor, folded: Folded, scales: Tensor | None) -> Tensor:
    """Heads [N, H+2K, D] of which queries and keys have been through their norm, where the shape has some."""
    if scales is not None:
        turned = qkv[:, : len(scales)]
        turned.copy_(F.rms_norm(turned, turned.shape[-1:], None, folded.eps).mul_(scales))
    return qkv


def _paired(weight: Tensor, size: int) -> Tensor:
    """Rows of each head in the order 0, D/2, 1, D/2 + 1, ...: what a rotation mixes stands side by side."""
    halves = weight.unflatten(0, (-1, 2, size // 2))
    return halves.transpose(1, 2).flatten(0, 2)


def normed(states: Tensor, folded: Folded, dtype: torch.dtype, weight: Tensor | None = None) -> Tensor:
    return F.rms_norm(states, states.shape[-1:], weight, folded.eps).to(dtype)
