"""The fast decode loop says what the model's own forward says, and steps aside where it does not fit."""

from __future__ import annotations

import pytest
import torch
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from lab import decode
from lab.bench.shapes import llama, save
from lab.generate import Plain, _speaker, sample
from lab.loading import load

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
    "qwen2 with bias": Qwen2Config(
        vocab_size=4096,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    ),
    "mistral": MistralConfig(
        vocab_size=4096,
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=None,
    ),
}
LIKELY = -10  # log-probs above it: one draw in 20,000
PROMPTS = [[5, 6, 7], [9] * 11, [300, 40, 5, 6], [5, 6, 7], [1]]


def roles_of(config, folder, role="policy"):
    """Random weights, norms and biases too, and an adapter that changes them."""
    roles = load(str(save(config, folder)), device="cpu", dtype="float32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in roles.model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
        roles.add(role)
        for parameter in roles.weights(role).values():
            parameter.copy_(0.1 * torch.randn(parameter.shape, generator=generator))
    return roles


@torch.no_grad()
def by_the_model(roles, role, row):
    """Log-probs [V] after a row of ids, in float32 without cache or padding."""
    with roles.using(role) as model:
        return model(torch.tensor([row]), use_cache=False).logits[0, -1].log_softmax(-1)


def borrowed(model, role):
    return decode.borrow(model, role, torch.float32)


@pytest.mark.parametrize("ready", [decode.fold, borrowed])
@pytest.mark.parametrize("shape", SHAPES)
@torch.no_grad()
def test_greedy_tokens_are_the_models_own_and_log_probs_agree_to_a_hundred_thousandth(shape, ready, tmp_path):
    roles = roles_of(SHAPES[shape], tmp_path)
    for role in ("policy", "base"):
        check_against_model(roles, role, PROMPTS, 12, ready)


def test_the_embedded_model_with_an_adapter_decodes_as_its_own_forward(tmp_path):
    roles = load("tiny", device="cpu", dtype="float32")
    prompts = [roles.text.prompt_ids(text) for text in ("What does a penguin eat?", "Say hello.", "Name a fruit.")]
    check_against_model(roles, "sft", prompts, 24)


@torch.no_grad()
def check_against_model(roles, role, prompts, tokens, ready=decode.fold):
    """Greedy ids and log-probs as in float32, to 1e-5 for whatever can be drawn."""
    assert decode.suits(roles.model, role)
    decoder = decode.Decoder(ready(roles.model, role), prompts, tokens)
    rows, logits = [list(prompt) for prompt in prompts], decoder.start()
    for _ in range(tokens - 1):
        said = logits.argmax(-1).tolist()
        expected = torch.stack([by_the_model(roles, role, row) for row in rows])
        assert said == expected.argmax(-1).tolist()
        gap = (logits.log_softmax(-1) - expected).abs()
        assert gap[expected > LIKELY].max() < 1e-5
        # Of what is never drawn, float32 keeps less: the model's own log-probs near -30 are off by 2e-5 from float64's.
        assert (gap < 1e-5 + 2e-6 * expected.abs()).all()
        rows = [[*row, token] for row, token in zip(rows, said, strict=True)]
        logits = decoder.say(torch.tensor(said))


@torch.no_grad()
def test_rows_that_leave_take_nothing_of_the_others_along(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = decode.fold(roles.model, "policy")
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
    folded = decode.fold(roles.model, "policy")
    whole = decode.Decoder(folded, PROMPTS, 2)
    parts = decode.Decoder(folded, PROMPTS, 2)
    monkeypatch.setattr(decode, "READ_AT_ONCE", 1)
    first = parts.start()
    monkeypatch.undo()
    assert torch.allclose(first, whole.start(), atol=1e-5)
    ids = torch.tensor([1, 2, 3, 4, 5])
    assert torch.allclose(parts.say(ids), whole.say(ids), atol=1e-5)


def test_a_model_too_large_to_copy_lends_its_weights_and_says_the_same_in_bfloat16(tmp_path, monkeypatch):
    roles = load(str(save(SHAPES["grouped heads, tied"], tmp_path)), device="cpu")
    attention = roles.model.base_model.model.model.layers[0].self_attn
    lent = decode.borrow(roles.model, "sft", torch.bfloat16).layers[0].qkv.weight
    assert lent.data_ptr() == attention.q_proj.base_layer.weight.data_ptr() and len(lent) == 128
    folded = sample(roles, "sft", PROMPTS, tokens=8, temperature=0)
    monkeypatch.setattr(decode.suits, "__defaults__", (10,))
    assert isinstance(_speaker(roles, "sft", PROMPTS, 4), decode.Decoder)
    borrowed = sample(roles, "sft", PROMPTS, tokens=8, temperature=0)
    assert sum(a == b for a, b in zip(folded, borrowed, strict=True)) >= 3, "bf16 may turn near ties"


def test_weights_that_change_while_a_call_goes_on_do_not_mix_in(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    folded = decode.fold(roles.model, "policy")
    before = folded.layers[0].qkv.clone()
    with torch.no_grad():
        for parameter in roles.weights("policy").values():
            parameter.add_(1.0)
    assert torch.equal(folded.layers[0].qkv, before)


def test_other_shapes_and_large_or_quantised_models_use_their_own_forward(tmp_path):
    roles = roles_of(SHAPES["grouped heads, tied"], tmp_path)
    assert not decode.suits(roles.model, "policy", largest=1000)
    roles._lean["policy"] = False
    for change in ({"model_type": "gemma"}, {"hidden_act": "gelu"}, {"sliding_window": 64}):
        before = {key: getattr(roles.model.config, key, None) for key in change}
        roles.model.config.update(change)
        assert isinstance(_speaker(roles, "policy", PROMPTS, 4), Plain)
        roles.model.config.update(before)
    layer = roles.model.base_model.model.model.layers[1].mlp.up_proj
    layer.base_layer.__class__ = type("Linear4bit", (torch.nn.Linear,), {})
    assert not decode.suits(roles.model, "policy")


def test_a_bias_that_is_not_folded_is_noticed(tmp_path):
    config = LlamaConfig(**SHAPES["grouped heads, tied"].to_dict() | {"mlp_bias": True})
    assert not decode.suits(roles_of(config, tmp_path).model, "policy")
