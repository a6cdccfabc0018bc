"""What a config alone says of a shape, held against the model itself: scores, cached heads, and the lean pass."""

from __future__ import annotations

import logging

import pytest
import torch
from folders import GROUPED, SMALL, configs, put, tokenizer
from test_memory import kept
from transformers import BartConfig, FalconConfig, LlamaConfig, MistralConfig, MixtralConfig, OPTConfig, XLMConfig

from lab.facts import facts_from
from lab.fit import fit, table
from lab.generate import Plain
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.text import batch_of

ENDS = {"vocab_size": len(tokenizer()), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
FALCON = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4} | ENDS
LLAMA = GROUPED | ENDS


def row(facts, role, knobs, device):
    return next(each.bytes for each in foretell(facts, "sft", knobs, device) if each.role == role)


@pytest.mark.parametrize("columns", [64, 192])
def test_a_shape_without_sdpa_keeps_its_scores_on_a_gpu_too(columns, tmp_path):
    config = configs(len(tokenizer()))["gemma2"]
    roles = load(str(put(tmp_path / "gemma2", config)), device="cpu", precision="bfloat16")
    roles.add("policy")
    roles.trainable("policy")
    batch = batch_of([[5] * (columns // 2)] * 16, [[6] * (columns // 2)] * 16, 0)
    knobs = Knobs(prompt=columns // 2, read=columns // 2, unfrozen=1.0)
    foretold = row(facts_from(config), "activations", knobs, "cuda")
    assert foretold == pytest.approx(kept(roles.model, lambda: roles.hidden("policy", batch)), rel=0.15)


def test_a_shape_with_sdpa_keeps_none_there():
    facts = facts_from(configs(len(tokenizer()))["gemma"])
    short, long = (row(facts, "activations", Knobs(prompt=each, read=each), "cuda") for each in (50, 100))
    assert long == pytest.approx(2 * short)


@pytest.mark.parametrize(
    "shape",
    [
        {"multi_query": True, "new_decoder_architecture": False},
        {"multi_query": False, "new_decoder_architecture": False},
        {"num_kv_heads": 2, "new_decoder_architecture": True},
    ],
)
def test_as_many_heads_are_foretold_in_the_cache_as_the_model_keeps(shape, tmp_path):
    config = FalconConfig(**FALCON, **shape)
    roles = load(str(put(tmp_path / "falcon", config)), device="cpu")
    speaker = Plain(roles, "sft", [[5, 6, 7]])
    with torch.no_grad():
        speaker.start()
    assert facts_from(config).groups == speaker.cache.layers[0].keys.shape[1]


@pytest.mark.parametrize(
    "config, lean",
    [
        (LlamaConfig(**LLAMA), True),
        (MistralConfig(**LLAMA, sliding_window=None), True),
        (MistralConfig(**LLAMA, sliding_window=16), False),
        (LlamaConfig(**LLAMA, rope_parameters={"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}), False),
        (LlamaConfig(**LLAMA, attention_bias=True), False),
        (LlamaConfig(**SMALL | ENDS, hidden_act="gelu"), False),
    ],
)
def test_the_lean_pass_is_foretold_where_it_serves(config, lean, tmp_path):
    roles = load(str(put(tmp_path / "model", config)), device="cpu")
    assert facts_from(roles.model.config).lean is roles.lean("sft") is lean


BART = {"d_model": 64, "encoder_attention_heads": 4, "decoder_attention_heads": 4, "decoder_layers": 4} | ENDS


@pytest.mark.parametrize(
    "config, layered",
    [
        (XLMConfig(emb_dim=64, n_layers=4, n_heads=4, **ENDS), False),
        (BartConfig(**BART, encoder_layers=6), False),
        (BartConfig(**BART, encoder_layers=4), True),
        (OPTConfig(hidden_size=64, num_hidden_layers=4, num_attention_heads=4, ffn_dim=96, **ENDS), True),
        (LlamaConfig(**LLAMA), True),
    ],
)
def test_where_layers_cannot_be_told_apart_it_is_foretold_that_all_of_them_learn(config, layered, tmp_path):
    roles = load(str(put(tmp_path / "model", config)), device="cpu")
    facts = facts_from(roles.model.config)
    assert facts.layered is roles.layered is layered
    half, whole = (table(facts, Knobs(unfrozen=each))["peak"] for each in (0.5, 1.0))
    assert half < whole if layered else half == whole
    _, turns, _ = fit(facts, "ppo", Knobs(), "cuda", 0)
    assert ("unfrozen" in {turn.knob for turn in turns}) is layered


def test_a_mixture_of_experts_is_counted_without_a_trace_in_the_log():
    said, log = [], logging.getLogger("torch._subclasses.fake_tensor")
    handler = logging.Handler()
    handler.emit = said.append
    log.addHandler(handler)
    try:
        facts = facts_from(MixtralConfig(**LLAMA, num_local_experts=4))
    finally:
        log.removeHandler(handler)
    assert facts.parameters > 0 and facts.saved32.token > 0 and not said and not log.disabled
