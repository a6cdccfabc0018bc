"""What saves memory changes no result beyond its own rounding: 8-bit bases and moments, layers computed twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from folders import make

from lab import dpo, ppo, rloo_grpo, sft
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Sft
from lab.errors import Unsupported
from lab.loading import load
from lab.quantised import needs_bitsandbytes
from lab.state import new_state
from lab.text import batch_of

ROOT = Path(__file__).parent.parent
NAMES = ["gemma", "gemma2", "gpt2"]  # shapes for the library's pass
BATCH = batch_of([[5, 6, 7], [9] * 6], [[10, 11, 12, 2], [13, 14]], 0)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("models")
    return {name: str(make(top, name)) for name in [*NAMES, "llama"]}


def stirred(roles, role="sft"):
    """An adapter whose second half is not zero, so that gradients reach both halves."""
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in roles.weights(role).values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    return roles


def gradient(roles, role="sft"):
    for parameter in roles.trainable(role):
        parameter.grad = None
    sft.response_loss(roles, BATCH, role).backward()
    return torch.cat([parameter.grad.flatten() for parameter in roles.weights(role).values()])


class Saved:
    """Counts the bytes that a forward pass keeps for the backward pass."""

    def __init__(self):
        self.bytes = 0

    def __enter__(self):
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def pack(self, tensor):
        self.bytes += tensor.numel() * tensor.element_size()
        return tensor

    def __exit__(self, *problem):
        self.hooks.__exit__(*problem)


@pytest.mark.parametrize("precision", ["auto", "4-bit", "8-bit"])
@pytest.mark.parametrize("name", NAMES)
def test_layers_computed_twice_keep_less_and_give_the_same_gradient_bit_for_bit(folders, name, precision):
    """In a role other than the adapter that is active when the backward pass begins."""
    roles = load(folders[name], device="cpu", precision=precision)
    roles.add("policy", like="sft")
    stirred(roles, "policy")
    plain, flags = gradient(roles, "policy"), [module.training for module in roles.model.modules()]
    with Saved() as all_kept:
        roles.hidden("policy", BATCH)
    roles.checkpointing = True
    with Saved() as kept:
        roles.hidden("policy", BATCH)
    assert kept.bytes < 0.5 * all_kept.bytes
    assert plain.norm() > 0 and torch.equal(gradient(roles, "policy"), plain)
    assert [module.training for module in roles.model.modules()] == flags


@pytest.mark.parametrize("stage, config", [(sft, Sft), (ppo, Ppo), (rloo_grpo, Group), (dpo, Dpo)])
def test_the_knob_reaches_every_stage_and_is_off_unless_asked_for(folders, stage, config):
    roles = load(folders["gemma"], device="cpu")
    roles.head("reward")
    for choice in ("on", "off"):
        knobs = config(checkpointing=choice, optimizer="adamw_8bit")
        state = stage.begin(roles, knobs) if config is Sft else stage.begin(roles, Cast(), knobs)
        assert roles.checkpointing == (choice == "on")
        assert type(state.optimizer).__name__ == "AdamW8bit"


def test_an_eight_bit_base_differs_from_float32_by_its_rounding_and_learns_in_the_same_direction(folders):
    exact = stirred(load(folders["llama"], device="cpu", precision="float32"))
    rounded = stirred(load(folders["llama"], device="cpu", precision="8-bit"))
    with torch.no_grad():
        ours, theirs = (each.logits(each.hidden("sft", BATCH)) for each in (rounded, exact))
    gap = (ours - theirs).abs().max() / theirs.abs().max()
    assert 1e-4 < gap < 0.1
    assert torch.cosine_similarity(gradient(rounded), gradient(exact), dim=0) > 0.98


def moved(roles, optimizer, steps, state=None):
    """The adapter after some steps of SFT's optimizer on one batch."""
    state = state or new_state(roles, [("sft", "")], Sft(optimizer=optimizer))
    for _ in range(steps):
        sft.response_loss(roles, BATCH).backward()
        state.apply(1e-3)
        state.step += 1
    return state, torch.cat([parameter.detach().flatten().clone() for parameter in roles.weights("sft").values()])


def wide(folder):
    """A base with an adapter wide enough for moments in 8 bits: bitsandbytes leaves small ones as they are."""
    roles = load(folder, device="cpu")
    torch.manual_seed(0)
    roles.add("sft", rank=64)
    return roles


def test_moments_in_eight_bits_take_a_quarter_and_lead_to_nearly_the_same_place(folders):
    start = torch.cat([parameter.detach().flatten() for parameter in wide(folders["llama"]).weights("sft").values()])
    _, exact = moved(wide(folders["llama"]), "adamw", 6)
    state, near = moved(wide(folders["llama"]), "adamw_8bit", 6)
    kept = {parameter.numel() >= 4096: moments["state1"].dtype for parameter, moments in state.optimizer.state.items()}
    assert kept == {True: torch.uint8, False: torch.float32}
    assert torch.cosine_similarity(near - start, exact - start, dim=0) > 0.95


@pytest.mark.parametrize("optimizer", ["adamw", "adamw_8bit"])
def test_what_is_resumed_equals_what_was_not_interrupted_whatever_the_moments_are_in(folders, optimizer):
    _, whole = moved(wide(folders["llama"]), optimizer, 4)
    half, _ = moved(wide(folders["llama"]), optimizer, 2)
    kept = half.pack()
    roles = wide(folders["llama"])
    state = new_state(roles, [("sft", "")], Sft(optimizer=optimizer))
    state.unpack(*kept)
    _, resumed = moved(roles, optimizer, 2, state)
    assert torch.equal(resumed, whole)


def test_a_device_without_bitsandbytes_is_told_what_to_choose_instead():
    with pytest.raises(Unsupported, match="this is mps. Choose"):
        needs_bitsandbytes("A base in 8-bit", torch.device("mps"))


def test_an_installation_without_bitsandbytes_is_told_how_to_get_it(monkeypatch):
    monkeypatch.setattr("lab.quantised.find_spec", lambda name: None)
    with pytest.raises(Unsupported, match="pip install bitsandbytes"):
        load("tiny", device="cpu", precision="4-bit")


def test_bitsandbytes_comes_with_the_first_quantised_base_and_not_before():
    code = """if True:
        import sys
        from lab.loading import load
        from lab.sft import response_loss
        from lab.text import batch_of

        def learns(roles, kind):
            batch = batch_of([[5, 6, 7]], [[10, 11, 12]], 0)
            roles.trainable("sft")
            response_loss(roles, batch, "sft").backward()
            layer = roles.model.base_model.model.model.layers[0].self_attn.q_proj
            assert type(layer.base_layer).__name__ == kind, type(layer.base_layer)
            return layer.lora_B["sft"].weight.grad.abs().sum() > 0

        plain = load("tiny")
        plain.add("policy", like="sft")
        assert learns(plain, "Linear") and "bitsandbytes" not in sys.modules
        assert learns(load("tiny", precision="4-bit"), "Linear4bit")
        assert learns(load("tiny", precision="8-bit"), "Linear8bitLt") and learns(load("tiny"), "Linear")
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
