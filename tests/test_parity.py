"""A base is refused when the lab would compute other log-probs than the model, however little other."""

from __future__ import annotations

import pytest
import torch
from folders import GROUPED, make, put, tokenizer
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, CohereConfig, GraniteConfig, StableLmConfig

from lab import parity, trunk
from lab.bench.shapes import llama, save
from lab.errors import NotFinite, SelfCheck
from lab.loading import load

ENDS = {"vocab_size": 260, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}


@pytest.mark.parametrize("scale", [1.05, 8.0])
@pytest.mark.parametrize("kind, field", [(GraniteConfig, "logits_scaling"), (CohereConfig, "logit_scale")])
def test_a_model_that_scales_its_logits_is_refused_by_five_percent_already(kind, field, scale, tmp_path):
    torch.manual_seed(0)
    settings = {key: value for key, value in GROUPED.items() if key != "head_dim"}
    config = kind(**settings, **ENDS, **{field: scale}, initializer_range=0.1)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    with pytest.raises(SelfCheck, match="own logits differ"):
        load(str(tmp_path), device="cpu")


def test_a_cap_that_is_not_followed_is_noticed(tmp_path, monkeypatch):
    roles = load(str(make(tmp_path, "gemma2")), device="cpu")
    monkeypatch.setattr(roles, "logits", lambda states: roles.model.get_output_embeddings()(states).float())
    with pytest.raises(SelfCheck, match="own logits differ"):
        parity.check(roles)


def test_an_error_of_the_lean_pass_as_small_as_one_rounding_to_bfloat16_is_noticed(tmp_path, monkeypatch):
    roles = load(str(save(llama(4096, 64, 96, 30, 4, 2), tmp_path, dtype="bfloat16")), device="cpu")
    parity.check(roles)
    own = trunk.states
    monkeypatch.setattr(trunk, "states", lambda *args: own(*args).bfloat16().float())
    with pytest.raises(SelfCheck, match="lean pass differs"):
        parity.check(roles)


def test_states_that_are_cut_one_column_too_late_are_noticed(tmp_path, monkeypatch):
    roles = load(str(make(tmp_path, "gemma")), device="cpu")
    own = roles.hidden
    monkeypatch.setattr(roles, "hidden", lambda role, batch: own(role, batch).roll(1, 1))
    with pytest.raises(SelfCheck, match="last states"):
        parity.check(roles)


def test_weights_that_are_not_numbers_are_named_as_such(tmp_path):
    file = make(tmp_path, "llama") / "model.safetensors"
    weights = load_file(file)
    weights["model.layers.1.mlp.up_proj.weight"][0, 0] = float("nan")
    save_file(weights, file, {"format": "pt"})
    with pytest.raises(NotFinite, match="not a number"):
        load(str(file.parent), device="cpu")


def test_a_pass_that_breaks_off_is_told_in_words(tmp_path):
    config = StableLmConfig(**GROUPED | {"num_key_value_heads": 8}, **ENDS)
    with pytest.raises(SelfCheck, match="broke off"):
        load(str(put(tmp_path, config)), device="cpu")
