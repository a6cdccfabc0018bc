"""The fast decode loop says what the model's own forward says, and steps aside where it does not fit."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn
from transformers import LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

from lab import decode, folding
from lab.bench.shapes import llama, save
from lab.generate import Plain, _speaker, sample
from lab.loading import load

SIZES = {
    "vocab_size": 4096,
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}
SHAPES = {
    "grouped heads, tied": llama(4096, 64, 96, 2, 4, 2),
    "one group, untied": llama(4096, 48, 80, 3, 3, 1, tie_word_embeddings=False),
    "plain heads, wide head": llama(4096, 64, 64, 2, 2, 2, head_dim=48),
    "llama 3 rotations": llama(
        4096,
        64,
        96,
        2,
        4,
        2,
        rope_parameters={
            "rope_type": "llama3",
            "rope_theta": 10000.0,
            "factor": 8.0,
            "low_freq_factor": 1.0,
            "high_freq_factor": 4.0,
            "original_max_position_embeddings": 16,
        },
    ),
    "qwen2 with bias": Qwen2Config(**SIZES),
    "qwen3 with norms by head": Qwen3Config(**SIZES, head_dim=24),
    "mistral": MistralConfig(**SIZES, sliding_window=None),
}
LIKELY = -10  # log-probs above it: one draw in 20,000
SAME = 1e-5  # nats, between a float32 forward and the exact one, for what can be drawn, or what the model's own is off
EXACT = 1e-9  # nats, between two float64 forwards, for all ids
PROMPTS = [[5, 6, 7], [9] * 11, [300, 40, 5, 6], [5, 6, 7], [1]]


def roles_of(config, folder, role="policy"):
    """Random weights, norms and biases too, and an adapter that changes them."""
    roles = load(str(save(config, folder)), device="cpu", precision="float32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in roles.model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        roles.add(role)
        for parameter in roles.weights(role).values():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return roles


class Norm(nn.Module):
    """The library's norm, which is in float32 whatever the model is in, in float64."""

    def __init__(self, norm):
        super().__init__()
        self.weight, self.eps = norm.weight, norm.variance_epsilon

    def forward(self, states):
        return self.weight * states * torch.rsqrt(states.square().mean(-1, keepdim=True) + self.eps)


class Rotations(nn.Module):
    """The library's rotations in float64."""

    def __init__(self, rotary):
        super().__init__()
        self.turns, self.scale = rotary.inv_freq.double(), rotary.attention_scaling

    def forward(self, states, position_ids):
        angles = (position_ids.double()[..., None] * self.turns).repeat(1, 1, 2)
        return angles.cos() * self.scale, angles.sin() * self.scale


def in_float64(model):
    """A copy of the library's model that rounds nowhere to float32."""
    model = copy.deepcopy(model).double()
    causal = model.base_model.model
    causal.config._attn_implementation = "sdpa"  # eager attention takes its softmax in float32
    causal.model.rotary_emb, causal.model.norm = Rotations(causal.model.rotary_emb), Norm(causal.model.norm)
    for layer in causal.model.layers:
        for name in ("input_layernorm", "post_attention_layernorm"):
            setattr(layer, name, Norm(getattr(layer, name)))
        if hasattr(layer.self_attn, "q_norm"):
            layer.self_attn.q_norm, layer.self_attn.k_norm = map(Norm, (layer.self_attn.q_norm, layer.self_attn.k_norm))
    return model


@torch.no_grad()
def by_the_model(roles, role, row, model=None):
    """Log-probs [V] after a row of ids, without cache or padding."""
    with roles.using(role) as current:
        ids = torch.tensor([row])
        logits = (model.base_model.model if model else current)(ids, use_cache=False).logits
    return logits[0, -1].log_softmax(-1)


def borrowed(model, role, dtype=torch.float32):
    return folding.borrow(model, role, dtype, pack=False)


def packed(model, role, dtype=torch.float32):
    return folding.borrow(model, role, dtype)


# Packed products add up in another order: for few rows that rounds up to twice as coarsely as the model's own.
WAYS = [(folding.fold, 1.0), (borrowed, 1.0), (packed, 2.0)]


@pytest.mark.parametrize(
    ("shape", "ready", "slack"),
    [  # at each change all shapes in one way, and the first in all ways
        pytest.param(shape, *way, marks=() if way is WAYS[-1] or shape == "grouped heads, tied" else pytest.mark.slow)
        for shape in SHAPES
        for way in WAYS
    ],
)
def test_greedy_tokens_are_the_models_own_and_log_probs_agree_to_a_hundred_thousandth(shape, ready, slack, tmp_path):
    roles = roles_of(SHAPES[shape], tmp_path)
    for role in ("policy", "base"):
        check_against_model(roles, role, PROMPTS, 12, ready, slack)


@pytest.mark.parametrize(("ready", "slack"), WAYS)
def test_the_embedded_model_with_an_adapter_decodes_as_its_own_forward(ready, slack):
    roles = load("tiny", device="cpu", precision="float32")
    prompts = [roles.text.prompt_ids(text) for text in ("What does a penguin eat?", "Say hello.", "Name a fruit.")]
    check_against_model(roles, "sft", prompts, 24, ready, slack)


@torch.no_grad()
def check_against_model(roles, role, prompts, tokens, ready, slack):
    """Float64 shows that the loop is the model; float32 that it loses no more than the model's own float32 does."""
    assert folding.suits(roles.model, role)
    precise = in_float64(roles.model)
    for module in precise.modules():
        if hasattr(module, "_active_adapter"):
            module._active_adapter = [] if role == "base" else [role]
    decoder = decode.Decoder(ready(roles.model, role), prompts, tokens)
    other = decode.Decoder(ready(copy.deepcopy(roles.model).double(), role, torch.float64), prompts, tokens)
    rows, logits, exact, ours, theirs = [list(prompt) for prompt in prompts], decoder.start(), other.start(), [], []
    likely = []
    for _ in range(tokens - 1):
        said = logits.argmax(-1).tolist()
        truth = torch.stack([by_the_model(roles, role, row, precise) for row in rows])
        expected = torch.stack([by_the_model(roles, role, row) for row in rows])
        assert said == expected.argmax(-1).tolist()
        assert (exact.log_softmax(-1) - truth).abs().max() < EXACT
        ours.append(logits.log_softmax(-1) - truth)
        theirs.append(expected - truth)
        likely.append(truth > LIKELY)
        rows = [[*row, token] for row, token in zip(rows, said, strict=True)]
        logits, exact = decoder.say(torch.tensor(said)), other.say(torch.tensor(said))
    ours, theirs, likely = (torch.stack(each) for each in (ours, theirs, likely))
    assert ours.abs()[likely].max() < slack * max(SAME, float(theirs.abs()[likely].max()))
    ours, theirs = (each.square().mean().sqrt() for each in (ours, theirs))
    assert ours < slack * 1.15 * theirs, f"root mean square error {ours}, the model's own {theirs}"


@torch.no_grad()
def test_rows_that_leave_take_nothing_of_the_others_along(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = folding.fold(roles.model, "policy")
    decoder = decode.Decoder(folded, PROMPTS, 6)
    decoder.start()
    decoder.say(torch.tensor([10, 11, 12, 13, 14]))
    decoder.keep([4, 1, 3])
    logits = decoder.say(torch.tensor([20, 21, 22]))
    for place, row in enumerate(([1, 14, 20], [9] * 11 + [11, 21], [5, 6, 7, 13, 22])):
        assert torch.allclose(logits[place].log_softmax(-1), by_the_model(roles, "policy", row), atol=1e-5)


@torch.no_grad()
def test_long_prompts_are_read_in_parts_with_the_same_result(tmp_path, monkeypatch):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = folding.fold(roles.model, "policy")
    whole = decode.Decoder(folded, PROMPTS, 2)
    parts = decode.Decoder(folded, PROMPTS, 2)
    monkeypatch.setattr(decode, "READ_AT_ONCE", 1)
    first = parts.start()
    monkeypatch.undo()
    assert torch.allclose(first, whole.start(), atol=1e-5)
    ids = torch.tensor([1, 2, 3, 4, 5])
    assert torch.allclose(parts.say(ids), whole.say(ids), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_a_model_too_large_to_copy_lends_its_weights_and_says_the_same(tmp_path, monkeypatch, dtype):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: dtype)
    roles = load(str(save(SHAPES["grouped heads, tied"], tmp_path)), device="cpu")
    attention = roles.model.base_model.model.model.layers[0].self_attn
    lent = folding.borrow(roles.model, "sft", dtype, pack=False).layers[0].qkv.weight
    assert lent.data_ptr() == attention.q_proj.base_layer.weight.data_ptr() and len(lent) == 128
    folded = sample(roles, "sft", PROMPTS, tokens=8, temperature=0)
    monkeypatch.setattr(folding.suits, "__defaults__", (10, False))
    assert isinstance(_speaker(roles, "sft", PROMPTS, 4), decode.Decoder)
    borrowed = sample(roles, "sft", PROMPTS, tokens=8, temperature=0)
    assert sum(a == b for a, b in zip(folded, borrowed, strict=True)) >= (
        3 if dtype == torch.bfloat16 else len(PROMPTS)
    ), "bf16 may turn near ties"


@pytest.mark.parametrize(("dtype", "near"), [(torch.bfloat16, 0.02), (torch.float32, 1e-5)])
def test_packed_weights_say_what_the_models_own_say(tmp_path, monkeypatch, dtype, near):
    monkeypatch.setattr("lab.float16.available", lambda: False)
    if not folding.packs(dtype, 10):
        pytest.skip("this processor's library does not pack such matrices")
    roles = load(str(save(SHAPES["grouped heads, tied"], tmp_path)), device="cpu")
    plain, packed = (folding.borrow(roles.model, "sft", dtype, pack=pack) for pack in (False, True))
    assert packed.head.is_mkldnn and packed.layers[0].qkv.weight.is_mkldnn and not plain.head.is_mkldnn
    said = [decode.Decoder(folded, PROMPTS, 2).start() for folded in (plain, packed)]
    assert torch.allclose(*said, atol=near * said[0].abs().max())


def test_what_is_too_large_is_not_packed():
    assert not any(folding.packs(dtype, folding.PACKED + 1) for dtype in (torch.bfloat16, torch.float32))
    assert not folding.packs(torch.float16, 10)


def test_weights_that_change_while_a_call_goes_on_do_not_mix_in(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = folding.fold(roles.model, "policy")
    before = folded.layers[0].qkv.clone()
    with torch.no_grad():
        for parameter in roles.weights("policy").values():
            parameter.add_(1.0)
    assert torch.equal(folded.layers[0].qkv, before)


def test_other_shapes_and_large_or_quantised_models_use_their_own_forward(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    assert not folding.suits(roles.model, "policy", largest=1000)
    roles._lean["policy"] = False
    for change in ({"model_type": "gemma"}, {"hidden_act": "gelu"}, {"sliding_window": 64}):
        before = {key: getattr(roles.model.config, key, None) for key in change}
        roles.model.config.update(change)
        assert isinstance(_speaker(roles, "policy", PROMPTS, 4), Plain)
        roles.model.config.update(before)
    layer = roles.model.base_model.model.model.layers[1].mlp.up_proj
    layer.base_layer.__class__ = type("Linear4bit", (torch.nn.Linear,), {})
    assert not folding.suits(roles.model, "policy")


def test_a_bias_that_is_not_folded_is_noticed(tmp_path):
    config = LlamaConfig(**SHAPES["grouped heads, tied"].to_dict() | {"mlp_bias": True})
    assert not folding.suits(roles_of(config, tmp_path).model, "policy")


def test_prompts_are_read_with_others_about_as_long(monkeypatch):
    assert decode.alike([4, 5, 6, 7, 40, 41]) == [(0, 3), (3, 4), (4, 6)]
    assert decode.alike([3]) == [(0, 1)]
    monkeypatch.setattr(decode, "READ_AT_ONCE", 50)
    assert decode.alike([4, 4, 4, 4, 4, 9]) == [(0, 3), (3, 5), (5, 6)], "three of 4 are 48, one of 9 is over 50"


def test_a_long_prompt_among_short_ones_changes_nothing_for_them(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = folding.fold(roles.model, "policy")
    short, long = [[7, 8, 9], [9, 8], [5, 5, 5, 5]], [list(range(10, 70))]
    mixed, alone = decode.Decoder(folded, [*short, *long], 3), decode.Decoder(folded, short, 3)
    for cache in mixed.cache:
        cache.fill_(float("nan"))
    assert torch.allclose(mixed.start()[:3], alone.start(), atol=1e-5)
    ids = torch.tensor([1, 2, 3, 4])
    assert torch.allclose(mixed.say(ids)[:3], alone.say(ids[:3]), atol=1e-5)
