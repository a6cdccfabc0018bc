"""What weights say when a processor reads them in float16: the same, from half as many bytes."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

from lab import decode, float16, folding
from lab.bench.shapes import llama, save
from lab.facts import facts_from, facts_of
from lab.float16 import Float16
from lab.generate import _speaker
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.peak import foretold, rehearse

PROMPTS = [[5, 6, 7], [8, 9, 10, 11, 12], [5, 6]]
pytestmark = pytest.mark.skipif(not float16.available(), reason="this processor's library does not multiply by float16")


@pytest.fixture
def base(tmp_path, monkeypatch):
    """A base that is said to be too large for a copy of all of it."""
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
    monkeypatch.setattr("lab.memory.LARGEST", 10)
    monkeypatch.setattr(folding.suits, "__defaults__", (10, False))
    return str(save(llama(4096, 192, 512, 6, 4, 2), tmp_path / "base"))


def test_weights_say_the_same_in_float16(base):
    roles = load(base, device="cpu")
    roles.add("policy", like="sft")
    for parameter in roles.weights("policy").values():
        parameter.data = torch.randn(parameter.shape) / 50
    plain, narrow = (folding.borrow(roles.model, "policy", torch.float32, pack=pack) for pack in (False, True))
    assert {type(narrow.head), *(type(each.weight) for each in (narrow.layers[0].qkv, narrow.layers[5].down))} == {
        Float16
    }
    one, other = (decode.Decoder(folded, PROMPTS, 2) for folded in (plain, narrow))
    said = [(one.start(), other.start()), (one.say(torch.tensor([3, 4, 5])), other.say(torch.tensor([3, 4, 5])))]
    for ours, theirs in said:
        assert torch.allclose(ours.log_softmax(-1), theirs.log_softmax(-1), atol=1e-5)


def test_a_product_is_that_of_the_layer_for_few_rows_and_for_many():
    layer = nn.Linear(48, 80).requires_grad_(False)
    layer.weight.data = layer.weight.bfloat16().float()
    matrix = float16.of(layer, layer.weight)
    for rows in (1, float16.ROWS, float16.ROWS + 1):
        x = torch.randn(rows, 48)
        assert torch.allclose(matrix(x, layer.bias), layer(x), atol=1e-6)


def test_the_copies_are_made_once_and_go_with_the_base(base):
    roles = load(base, device="cpu")
    first, second = (folding.borrow(roles.model, role, torch.float32).head for role in ("sft", "base"))
    assert first is second
    gone = weakref.ref(first.weight)
    del roles, first, second
    gc.collect()
    assert gone() is None


def test_a_small_base_says_a_few_answers_in_float16_and_many_from_its_folded_copy(tmp_path):
    roles = load(str(save(llama(4096, 192, 512, 4, 4, 2), tmp_path / "base")), device="cpu")
    roles.add("policy", like="sft")
    for parameter in roles.weights("policy").values():
        parameter.data = torch.randn(parameter.shape) / 50
    few, many = (_speaker(roles, "policy", PROMPTS[:1] * count, 2) for count in (folding.FEW, folding.FEW + 1))
    assert (type(few.folded.head), type(many.folded.head)) == (Float16, torch.Tensor)
    for ours, theirs in ((few.start(), many.start()), (few.say(torch.full((24,), 3)), many.say(torch.full((25,), 3)))):
        assert torch.allclose(ours[0].log_softmax(-1), theirs[0].log_softmax(-1), atol=1e-5)


def test_a_base_that_float16_does_not_hold_says_a_few_from_its_folded_copy(tmp_path):
    roles = load(str(save(llama(4096, 64, 96, 2, 4, 2), tmp_path / "base")), device="cpu", precision="float32")
    assert type(_speaker(roles, "sft", PROMPTS, 2).folded.head) is torch.Tensor


@pytest.mark.parametrize("number", [1e-3 + 1e-7, 1e5, float("nan")])
def test_weights_that_float16_does_not_hold_are_packed_as_they_are(number):
    layer = nn.Linear(8, 16, bias=False).requires_grad_(False)
    layer.weight.data = torch.full((16, 8), 0.25)
    layer.weight.data[3, 4] = number
    assert not float16.holds(layer.weight) and type(folding._packed(layer, layer.weight)) is torch.Tensor
    layer.weight.data[3, 4] = 2.0**-20
    assert float16.holds(layer.weight)


def test_the_copy_is_foretold_as_what_stays(base):
    roles = load(base, device="cpu")
    for facts in (facts_of(base), facts_from(roles.model.config)):
        half, folded = (row for row in foretell(facts, "ppo", Knobs()) if row.role.endswith("copy"))
        assert (half.bytes, half.phase) == (2 * (facts.linear + facts.vocabulary * facts.hidden), "always")
        assert folded.bytes == 0
    knobs = Knobs(batch=4, minibatch=4, microbatch=4, prompt=16, tokens=8)
    assert foretold(foretell(facts, "ppo", knobs), knobs).keys() == rehearse(roles, "sft", knobs).keys()
