"""On a CUDA machine: passes are recorded and say what unrecorded ones do, and a run learns, stops and goes on there."""

from __future__ import annotations

import gc
import math
from dataclasses import replace
from functools import partial

import pytest
import torch
from folders import put
from test_speakers import PROMPTS, config_of

from lab import checkpoint, dpo, folding, ppo, reward, rloo_grpo, sft
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.events import Finished, Step
from lab.generate import _speaker, sample
from lab.loading import load
from lab.reward import Ranked
from lab.speakers import SHAPES, Plain, Recorded, RecordedDecoder, recordable
from lab.text import Asked, batch_of

pytestmark = pytest.mark.gpu
NEAR = 0.05  # of the largest logit: bfloat16, in which attention over padding is summed in another order


@pytest.fixture(autouse=True, scope="module")
def cuda():
    if not torch.cuda.is_available():
        pytest.skip("PyTorch sees no CUDA device here")


@pytest.fixture
def no_fast_loop(monkeypatch):
    monkeypatch.setattr("lab.generate._folded", lambda *_: None)


def roles_of(folder, name, precision="bfloat16"):
    roles = load(str(put(folder / name, config_of(name))), device="cuda", precision=precision)
    generator = torch.Generator("cuda").manual_seed(3)
    with torch.no_grad():
        for parameter in roles.weights("sft").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator, device="cuda"))
    return roles


def farthest(ours, theirs):
    """How far apart two speakers' logits are at most, of the largest, in five tokens of rows that leave and move."""
    found, expected = ours.start(), theirs.start()
    gaps = [(found - expected).abs().max() / expected.abs().max()]
    for kept in ([0, 1, 2, 3], [0, 3, 2], [0, 1, 2], [2, 0]):
        ids = expected.argmax(-1)[kept]
        for speaker in (ours, theirs):
            speaker.keep(kept)
        found, expected = ours.say(ids), theirs.say(ids)
        gaps.append((found - expected).abs().max() / expected.abs().max())
    return max(gaps).item()


@torch.no_grad()
@pytest.mark.parametrize("precision", ["bfloat16", "4-bit", "float32"])
@pytest.mark.parametrize("name", SHAPES)
def test_a_recorded_pass_says_what_the_models_own_says(tmp_path, name, precision):
    roles = roles_of(tmp_path, name, precision)
    assert recordable(roles, 25)
    ours, theirs = Recorded(roles, "sft", PROMPTS, 6), Plain(roles, "sft", PROMPTS)
    assert farthest(ours, theirs) <= (1e-3 if precision == "float32" else NEAR)
    assert ours.token.graph is not None and roles.recorded


@torch.no_grad()
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
@pytest.mark.parametrize(("copied", "precision"), [(True, "bfloat16"), (False, "bfloat16"), (False, "4-bit")])
def test_a_recorded_token_of_the_fast_loop_says_what_the_model_says(tmp_path, monkeypatch, name, copied, precision):
    roles = roles_of(tmp_path, name, precision)
    if not copied:
        monkeypatch.setattr(folding.suits, "__defaults__", (10, False))
    ours, theirs = _speaker(roles, "sft", PROMPTS, 6), Plain(roles, "sft", PROMPTS)
    assert isinstance(ours, RecordedDecoder)
    assert isinstance(ours.folded.layers[0], folding.Layer if copied else folding.Borrowed)
    assert farthest(ours, theirs) <= NEAR
    assert ours.token.graph is not None and roles.recorded


@pytest.mark.parametrize("fast", [True, False])
def test_weights_that_learn_between_two_calls_are_what_the_next_call_speaks_with(tmp_path, monkeypatch, fast):
    if not fast:
        monkeypatch.setattr("lab.generate._folded", lambda *_: None)
    roles = roles_of(tmp_path, "qwen2", "float32")
    before = sample(roles, "sft", PROMPTS, tokens=12, temperature=0)
    assert sample(roles, "sft", PROMPTS, tokens=12, temperature=0) == before
    with torch.no_grad():
        for parameter in roles.weights("sft").values():
            parameter.normal_(std=0.2)
    after = sample(roles, "sft", PROMPTS, tokens=12, temperature=0)
    roles.recorded = False
    assert sample(roles, "sft", PROMPTS, tokens=12, temperature=0) == after != before


def test_where_a_pass_waits_for_its_own_numbers_the_loop_goes_on_unrecorded(tmp_path, no_fast_loop):
    roles = roles_of(tmp_path, "qwen2", "float32")
    plain = roles_of(tmp_path / "again", "qwen2", "float32")
    plain.recorded = False
    expected = sample(plain, "sft", PROMPTS, tokens=12, temperature=0)
    layer = roles.model.base_model.model.model.layers[0]
    handle = layer.register_forward_hook(lambda *_: torch.cuda.current_stream().synchronize())
    assert sample(roles, "sft", PROMPTS, tokens=12, temperature=0) == expected and not roles.recorded
    assert torch.cuda.current_stream() == torch.cuda.default_stream()
    handle.remove()
    torch.manual_seed(1)
    assert torch.rand(3, device="cuda").isfinite().all()
    roles.recorded = True
    assert sample(roles, "sft", PROMPTS, tokens=12, temperature=0) == expected and roles.recorded


def test_the_attention_whose_gradients_are_no_numbers_on_some_cards_is_out_of_use(tmp_path):
    torch.backends.cuda.enable_cudnn_sdp(True)
    roles_of(tmp_path, "llama")
    assert not torch.backends.cuda.cudnn_sdp_enabled()


def test_what_a_recording_took_is_given_back(tmp_path, no_fast_loop):
    roles = roles_of(tmp_path, "llama")
    sample(roles, "sft", PROMPTS, tokens=12)
    gc.collect()
    torch.cuda.empty_cache()
    before = torch.cuda.memory_reserved()
    for seed in range(5):
        sample(roles, "sft", PROMPTS * 4, tokens=64, seed=seed)
    gc.collect()
    torch.cuda.empty_cache()
    assert torch.cuda.memory_reserved() <= before


@pytest.mark.parametrize("precision", ["bfloat16", "4-bit", "float32"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3"])
def test_the_lean_pass_says_and_learns_what_the_librarys_does(tmp_path, name, precision):
    roles = roles_of(tmp_path, name, precision)
    roles.trainable("sft")
    batch = batch_of(PROMPTS, [[5, 6, 2], [7, 2], [8, 9, 10, 2], [11, 12]], roles.text.pad_id).to(roles.device)
    kept = torch.ones_like(batch.mask).cumsum(1) <= batch.mask.sum(1, keepdim=True)

    def outcome():
        for parameter in roles.weights("sft").values():
            parameter.grad = None
        states = roles.hidden("sft", batch)[:, :-1]
        (states[kept].float() ** 3).sum().backward()
        return states[kept].float().detach(), torch.cat([each.grad.flatten() for each in roles.weights("sft").values()])

    assert roles.lean("sft")
    ours = outcome()
    roles.checkpointing = True
    again = outcome()
    roles._lean["sft"] = False
    theirs = outcome()
    # The library rounds to bfloat16 between layers too, and a gradient through them all is further off for it.
    for mine, twice, other, near in zip(ours, again, theirs, (NEAR, 4 * NEAR), strict=True):
        near = 1e-4 if precision == "float32" else near
        assert other.norm() > 0 and (mine - other).norm() <= near * other.norm()
        assert (twice - mine).norm() <= 1e-3 * mine.norm()  # PyTorch's attention adds up in no fixed order


def stages_of(roles, optimizer):
    """Of each stage its name, its state before the first step, made when it is its turn, and its events."""
    prompts = [[72, 105, place] for place in range(70, 90)]
    cast, by = Cast(), {"learning_rate": 1e-3, "optimizer": optimizer}
    asked, pairs = [Asked("", tuple(ids)) for ids in PROMPTS * 4], [("Hi", "Yes."), ("No?", "Oh no!")] * 2
    ranked = [Ranked(tuple(ids), ((5, 6, 2), (7, 2), (8, 9, 10, 2)), ((0,), (2,), (1,))) for ids in prompts]
    short = {"tokens": 12, "missing_eos": "off"} | by
    group = {"prompts": 4, "group": 4, "microbatch": 8, "checkpointing": "on"} | short

    yield "sft", sft.begin(roles, config := Sft(steps=3, batch=4, microbatch=4, **by)), sft.sft, (pairs, lambda: config)
    config = Reward(epochs=1, batch=4, normalise_over=8, tokens=12, **by)
    yield "reward", reward.begin(roles, config), reward.reward, (ranked, asked, lambda: config)
    config = Ppo(steps=2, batch=8, minibatch=4, microbatch=4, update_kl=1e9, **short)
    yield "ppo", ppo.begin(roles, cast, config), ppo.ppo, (cast, asked, ppo.still(config))
    for config in (Group(method="rloo", steps=2, **group), Group(method="grpo", steps=2, **group)):
        live = partial(replace, config)
        yield config.method, rloo_grpo.begin(roles, cast, config), rloo_grpo.rloo_grpo, (cast, asked, live)
    config = Dpo(batch=16, microbatch=4, **by)
    yield "dpo", dpo.begin(roles, cast, config), dpo.dpo, (cast, ranked, lambda: config)


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
@pytest.mark.parametrize("precision", ["bfloat16", "4-bit", "8-bit"])
def test_every_stage_learns(tmp_path, precision, optimizer):
    roles = roles_of(tmp_path, "qwen3", precision)
    for name, state, stage, given in stages_of(roles, optimizer):
        before = {key: weight.detach().clone() for key, weight in roles.weights(state.adapters[0]).items()}
        events = list(stage(state, *given))
        steps = [event.metrics for event in events if isinstance(event, Step)]
        assert len(steps) >= 2 and isinstance(events[-1], Finished), name
        assert all(math.isfinite(value) for metrics in steps for value in metrics.values() if value is not None), name
        assert any(roles.weights(state.adapters[0])[key].ne(weight).any() for key, weight in before.items()), name
        if name in ("ppo", "rloo", "grpo"):
            assert steps[0]["kl/reference"] == 0 < steps[1]["kl/reference"], name


@pytest.mark.parametrize("precision", ["bfloat16", "4-bit"])
def test_a_run_that_was_saved_goes_on_as_if_it_had_not_stopped(tmp_path, precision):
    roles = roles_of(tmp_path, "qwen2", precision)
    roles.add("reward", like="sft")
    roles.head("reward")
    config = Ppo(steps=4, batch=8, minibatch=4, microbatch=4, tokens=12, learning_rate=1e-3, update_kl=1e9)
    asked = [Asked("", tuple(ids)) for ids in PROMPTS * 2]
    state = ppo.begin(roles, Cast(), config)

    def learned(steps):
        found = []
        for event in ppo.ppo(state, Cast(), asked, ppo.still(config)):
            found += [event.metrics] if isinstance(event, Step) else []
            if len(found) == steps:
                break
        return found

    first = learned(2)
    assert all(metrics["policy/ratio_first"] < 1e-3 for metrics in first)
    checkpoint.save(tmp_path / "run", state)
    whole = learned(2)
    state = ppo.begin(roles, Cast(), config)
    checkpoint.restore(tmp_path / "run", state)
    again = learned(2)
    for ours, theirs in zip(again, whole, strict=True):
        assert ours["reward/score"] == pytest.approx(theirs["reward/score"], rel=1e-3, abs=1e-3)
