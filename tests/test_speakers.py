"""A cache of fixed size says what one that grows says, for every shape whose passes a GPU records."""

from __future__ import annotations

import gc
import weakref
from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from folders import GROUPED, configs, put, tokenizer
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    Gemma3TextConfig,
    GraniteConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    SmolLM3Config,
)

from lab import decode, folding
from lab.generate import _folded, sample, stream
from lab.loading import load
from lab.quantised import Side
from lab.speakers import SHAPES, Plain, Recorded, RecordedDecoder, recordable

PROMPTS = [[72, 105, 63], [72], list(range(70, 89)), [72, 105, 63]]
CUDA = torch.device("cuda")


def config_of(name):
    ends = {"vocab_size": len(tokenizer()), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    sizes = {key: size for key, size in GROUPED.items() if key != "head_dim"}
    others = {
        "mistral": lambda: MistralConfig(**GROUPED, **ends, sliding_window=64),
        "smollm3": lambda: SmolLM3Config(**sizes, **ends),
        "gemma3_text": lambda: Gemma3TextConfig(
            **GROUPED, **ends, sliding_window=64, layer_types=["sliding_attention", "full_attention"]
        ),
        "phi3": lambda: Phi3Config(**sizes, **ends),
        "olmo2": lambda: Olmo2Config(**sizes, **ends),
        "granite": lambda: GraniteConfig(**sizes, **ends),
    }
    config = others[name]() if name in others else configs(len(tokenizer()))[name]
    config.initializer_range = 0.1 if name == "gemma3_text" else 0.3  # or it says its last token again and again
    return config


@pytest.fixture(scope="module", params=SHAPES)
def roles(request, tmp_path_factory):
    """Loaded as on a GPU: in the library's own choice of attention."""
    found = load(str(put(tmp_path_factory.mktemp(request.param), config_of(request.param))), device="cpu")
    found.model.base_model.model.set_attn_implementation("sdpa")
    found._lean["sft"], found.products, found.recorded = False, torch.float32, False
    with torch.no_grad():
        for parameter in found.weights("sft").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    return found


@torch.no_grad()
def test_the_cache_of_fixed_size_gives_the_logits_of_one_that_grows(roles):
    ours, theirs = Recorded(roles, "sft", PROMPTS, 6), Plain(roles, "sft", PROMPTS)
    said, rows = [ours.start()], [theirs.start()]
    for kept in ([0, 1, 2, 3], [0, 3, 2], [0, 1, 2], [2, 0]):
        ids = said[-1].argmax(-1)[kept]
        for speaker, found in ((ours, said), (theirs, rows)):
            speaker.keep(kept)
            found.append(speaker.say(ids).clone())
    for found, expected in zip(said, rows, strict=True):
        assert torch.allclose(found, expected, atol=1e-4 * expected.abs().max())
    assert len({tuple(row.tolist()) for row in said[-1].topk(5).indices}) > 1, "every row says the same"


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("ready", [folding.fold, lambda *given: folding.borrow(*given, torch.float32, pack=False)])
def test_the_fast_loop_says_the_same_with_a_fixed_number_of_columns(tmp_path, name, ready):
    roles = load(str(put(tmp_path, config_of(name))), device="cpu", precision="float32")
    roles.recorded = False
    folded = ready(roles.model, "sft")
    ours, theirs = RecordedDecoder(roles, folded, PROMPTS, 6), decode.Decoder(folded, PROMPTS, 6)
    found, expected = ours.start(), theirs.start()
    assert torch.equal(found, expected)
    for kept in ([0, 1, 2, 3], [0, 3, 2], [0, 1, 2], [2, 0]):
        ids = expected.argmax(-1)[kept]
        for speaker in (ours, theirs):
            speaker.keep(kept)
        found, expected = ours.say(ids), theirs.say(ids)
        assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max())


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize("kept", [(), ("k_proj", "o_proj")])
def test_the_fast_loop_over_4_bits_says_what_the_model_says(tmp_path, monkeypatch, name, kept):
    monkeypatch.setattr("lab.quantised.FEW", 3)  # both ways to put layers side by side
    folder, role = put(tmp_path, config_of(name)), "sft"
    roles = quantised_but_for(folder, kept) if kept else load(str(folder), device="cpu", precision="4-bit")
    roles.model.float()  # products of the 4 bits in float32, so that no rounding hides an error
    roles.products = torch.float32
    for module in roles.model.modules():
        module.compute_dtype = torch.float32
    for parameter in roles.weights(role).values():
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(3)))
    card = replace(roles, device=CUDA)
    folded = _folded(card, role, len(PROMPTS))
    assert isinstance(folded.layers[0].qkv.weight, Side) and isinstance(folded.layers[1].gate_up.weight, Side)
    assert isinstance(folded.layers[0].out.weight, torch.Tensor if kept else Side)
    assert _folded(roles, role, len(PROMPTS)) is None, "a processor speaks by the library"
    ours, theirs = decode.Decoder(folded, PROMPTS, 6), Plain(roles, role, PROMPTS)
    found, expected = ours.start(), theirs.start()
    for going in ([0, 1, 2, 3], [0, 3, 2], [0, 1, 2], [2, 0]):
        assert torch.allclose(found, expected, atol=1e-5 * expected.abs().max())
        ids = expected.argmax(-1)[going]
        for speaker in (ours, theirs):
            speaker.keep(going)
        found, expected = ours.say(ids), theirs.say(ids)


def quantised_but_for(folder, kept):
    """A base whose files hold some of its layers in bfloat16 and the others in 4 bits."""
    config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", llm_int8_skip_modules=["lm_head", *kept])
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=config, device_map={"": "cpu"}, dtype=torch.bfloat16
    )
    model.save_pretrained(folder / "kept")
    tokenizer().save_pretrained(folder / "kept")
    return load(str(folder / "kept"), device="cpu")


@torch.no_grad()
def test_a_recorded_speaker_goes_when_nobody_speaks_with_it_any_more(tmp_path):
    roles = load(str(put(tmp_path, config_of("llama"))), device="cpu", precision="float32")
    roles.model.base_model.model.set_attn_implementation("sdpa")
    roles.recorded = False
    gc.disable()
    try:
        folded = folding.fold(roles.model, "sft")
        for begin in (
            lambda: RecordedDecoder(roles, folded, PROMPTS, 6),
            lambda: Recorded(roles, "sft", PROMPTS, 6),
        ):
            speaker = begin()
            gone = weakref.ref(speaker)
            speaker.say(speaker.start().argmax(-1))
            del speaker
            assert gone() is None, "its cache would stay in the card's memory"
    finally:
        gc.enable()


def test_whole_answers_are_the_same(roles, monkeypatch):
    monkeypatch.setattr(roles, "text", replace(roles.text, eos_ids=tuple(range(2, 40))))
    found = []
    for speaker in (
        lambda roles, role, prompts, tokens: Recorded(roles, role, prompts, tokens),
        lambda roles, role, prompts, _: Plain(roles, role, prompts),
    ):
        monkeypatch.setattr("lab.generate._speaker", speaker)
        found.append(sample(roles, "sft", PROMPTS * 3, tokens=24, seed=5))
    assert sum(ours == theirs for ours, theirs in zip(*found, strict=True)) >= 11, "rounding may turn a near tie"
    assert len(set(map(len, found[0]))) > 1, "no row left before the others"


def on_a_card(config, **more):
    """As much of loaded roles as is looked at before a pass is recorded."""
    config._attn_implementation = more.pop("attention", "sdpa")
    usual = {"device": CUDA, "recorded": True, "precision": "4-bit", "model": SimpleNamespace(config=config)}
    return SimpleNamespace(**usual | more)


def test_a_pass_is_recorded_on_cuda_alone_and_where_its_shape_allows_it():
    for name in SHAPES:
        assert recordable(on_a_card(config_of(name)), 64)
    assert not recordable(on_a_card(config_of("mistral")), 65), "the window leaves columns out"
    llama = config_of("llama")
    for more in (
        {"device": torch.device("cpu")},
        {"precision": "8-bit"},
        {"recorded": False},
        {"attention": "eager"},
    ):
        assert not recordable(on_a_card(llama, **more), 64)
    assert not recordable(on_a_card(configs(260)["gemma2"], attention="eager"), 64)
    llama.rope_parameters = {"rope_type": "dynamic", "factor": 4.0, "rope_theta": 1e4}
    assert not recordable(on_a_card(llama), 64)


def test_a_card_speaks_by_the_recorded_loop_and_goes_on_where_recording_fails(roles, monkeypatch):
    asked = []

    class Asked(Recorded):
        def __init__(self, *given):
            asked.append(given[1])
            super().__init__(*given)

    def refuse(recording, work):
        recording.roles.recorded = False

    monkeypatch.setattr("lab.generate.folding.suits", lambda *_, **__: False)
    monkeypatch.setattr("lab.generate.Recorded", Asked)
    monkeypatch.setattr("lab.speakers.Recording._record", refuse)
    monkeypatch.setattr("lab.generate.recordable", lambda roles, columns: roles.recorded and columns == 19 + 6)
    expected = [drawn for _, drawn in stream(roles, "sft", PROMPTS, tokens=6, temperature=0)]
    assert not asked
    roles.recorded = True
    found = [drawn for _, drawn in stream(roles, "sft", PROMPTS, tokens=6, temperature=0)]
    assert asked == ["sft"] and not roles.recorded
    assert found == expected
