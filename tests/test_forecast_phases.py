"""Each phase of a run is foretold as its tensors take, for shapes of other proportions, prompts and answers."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from costless import NoProducts
from test_memory import allocated
from transformers import Gemma2Config, GemmaConfig, GPT2Config, Phi3Config, Qwen3Config

from lab.bench.shapes import llama, save
from lab.facts import facts_from
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.peak import foretold, phases

COMMON = {"vocab_size": 4096, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
SIZES = COMMON | {"hidden_size": 192, "intermediate_size": 576, "num_hidden_layers": 4, "num_attention_heads": 4}
SHAPES = {
    "llama": llama(4096, 192, 512, 4, 4, 2),
    "few keys": llama(4096, 192, 256, 4, 12, 1, head_dim=32),
    "qwen3": Qwen3Config(**SIZES | {"num_attention_heads": 6}, num_key_value_heads=3, head_dim=64),
    "gemma": GemmaConfig(**SIZES, num_key_value_heads=1, head_dim=48),
    "gemma2": Gemma2Config(**SIZES, num_key_value_heads=2, head_dim=48),
    "gpt2": GPT2Config(**COMMON, n_embd=192, n_layer=4, n_head=4, n_positions=512),
    "phi3": Phi3Config(**SIZES, num_key_value_heads=4),
}
SHORT = {"prompt": 100, "tokens": 4, "microbatch": 8, "batch": 8}
LONG = {"prompt": 300, "tokens": 40, "microbatch": 2, "batch": 4}
TALKATIVE = {"prompt": 20, "tokens": 200, "microbatch": 2, "batch": 16}
OURS = ("llama", "few keys", "qwen3")


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    return {name: save(config, tmp_path_factory.mktemp("base"), dtype="bfloat16") for name, config in SHAPES.items()}


@pytest.mark.parametrize(
    ("name", "products"),
    [  # at each change all shapes in float32, and one of ours and one of theirs in bfloat16
        *((name, torch.float32) for name in SHAPES),
        *(
            pytest.param(name, torch.bfloat16, marks=() if name in ("llama", "gpt2") else pytest.mark.slow)
            for name in SHAPES
        ),
    ],
)
def test_what_a_shape_takes_is_foretold_in_each_phase(name, products, bases, monkeypatch):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: products)
    roles = load(str(bases[name]), device="cpu")
    # The loop's cache is all there from the start, but takes no memory before it is written.
    names = ("score", "update") if name in OURS else ("rollout", "score", "update")
    found = {
        (number, phase): each
        for number, knobs in enumerate((SHORT, LONG, LONG | {"unfrozen": 1.0}, TALKATIVE))
        for phase, each in compared(roles, Knobs(minibatch=8, **knobs), names).items()
    }
    assert found == {key: pytest.approx(1, abs=0.15) for key in found}


@pytest.mark.parametrize("products", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "name, precision",
    [("llama", "4-bit"), ("gpt2", "auto"), ("llama", "auto"), ("few keys", "auto"), ("qwen3", "auto")],
)
def test_layers_computed_twice_and_layers_in_4_bits_are_foretold(name, precision, products, bases, monkeypatch):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: products)
    roles = load(str(bases[name]), device="cpu", precision=precision)
    roles.checkpointing = True
    knobs = Knobs(minibatch=8, precision=precision, checkpointing="on", **LONG)
    assert compared(roles, knobs, ("update",)) == {"update": pytest.approx(1, abs=0.15)}


def compared(roles, knobs, names):
    """Foretold bytes over measured ones."""
    reckoned = foretold(foretell(facts_from(roles.model.config), "ppo", knobs), knobs)
    work = phases(roles, "sft", knobs)
    with NoProducts() if roles.products == torch.bfloat16 and roles.precision != "4-bit" else nullcontext():
        return {name: reckoned[name] / allocated(work[name]) for name in names}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_products_that_are_left_out_take_the_same_memory(name, bases, monkeypatch):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
    work = phases(load(str(bases[name]), device="cpu"), "sft", Knobs(minibatch=8, **SHORT))
    for each in ("score", "update"):
        with NoProducts():
            without = allocated(work[each])
        assert without == pytest.approx(allocated(work[each]), rel=1e-4)
