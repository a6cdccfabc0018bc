"""The lean forward pass and the log-probs from states are the library's, in values and gradients."""

from __future__ import annotations

import copy

import pytest
import torch

from lab import logprobs, losses, trunk
from lab.activations import LeanOnGpu
from lab.bench.shapes import llama, save
from lab.facts import facts_from
from lab.loading import load
from lab.quantised import Side
from lab.text import batch_of
from tests.test_decode import SHAPES

PROMPTS = [[5, 6, 7], [9] * 11, [300, 40, 5, 6], [1]]
RESPONSES = [[10, 11, 12, 2], [13, 2], [14, 15, 16, 17, 18], [19, 20, 2]]


@pytest.fixture(
    params=["grouped heads, tied", "plain heads, wide head", "qwen2 with bias", "qwen3 with norms by head"],
    scope="module",
)
def loaded(request, tmp_path_factory):
    folder = save(SHAPES[request.param], tmp_path_factory.mktemp("shape"))
    found = load(str(folder), device="cpu", precision="float32")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, parameter in found.model.named_parameters():
            if "norm" in name or name.endswith("bias") or "lora" in name:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    found.trainable("sft")
    return found


@pytest.fixture
def roles(loaded):
    """A test's own copy, which is quicker than to read the files again."""
    return copy.deepcopy(loaded)


def by_the_library(roles, batch):
    with roles.using("sft") as model:
        return model.base_model(
            batch.ids, attention_mask=batch.attention, position_ids=losses.positions(batch.attention), use_cache=False
        ).last_hidden_state


def leanly(roles, batch, wanted=0, twice=False):
    where = losses.positions(batch.attention)
    return trunk.states(roles.model, "sft", batch.ids, batch.attention, where, wanted, twice=twice)


def outcome(roles, found):
    """States [n, h] of a pass, and the gradients of a sum that weighs them at random."""
    parameters = list(roles.weights("sft").values())
    (found * torch.randn(found.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    gradients = [parameter.grad.clone() for parameter in parameters]
    for parameter in parameters:
        parameter.grad = None
    return found.detach(), gradients


def check_alike(ours, theirs):
    assert torch.allclose(ours[0], theirs[0], atol=2e-5)
    for mine, other in zip(ours[1], theirs[1], strict=True):
        assert torch.allclose(mine, other, atol=1e-5 * float(other.abs().max() + 1))


def test_states_and_gradients_are_the_librarys(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    seen = batch.attention.bool()
    whole = outcome(roles, by_the_library(roles, batch)[seen])
    for _ in range(2):
        check_alike(outcome(roles, leanly(roles, batch)[seen]), whole)
        trunk.fuse(roles.model)


def test_where_only_the_answer_is_wanted_its_states_and_gradients_are_those_of_the_whole_pass(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    first = batch.width - 1
    seen = batch.attention[:, first:].bool()
    whole = outcome(roles, by_the_library(roles, batch)[:, first:][seen])
    for _ in range(2):
        check_alike(outcome(roles, leanly(roles, batch, first)[seen]), whole)
        trunk.fuse(roles.model)


def test_where_only_the_end_is_wanted_its_state_and_gradients_are_those_of_the_whole_pass(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    rows, last = torch.arange(len(PROMPTS)), batch.width - 1 + batch.mask.sum(1)
    whole = outcome(roles, by_the_library(roles, batch)[rows, last])
    for _ in range(2):
        found = leanly(roles, batch, last)
        assert found.shape == (len(PROMPTS), 1, roles.model.config.hidden_size)
        check_alike(outcome(roles, found[:, 0]), whole)
        trunk.fuse(roles.model)
    assert torch.allclose(roles.at_end("sft", batch), whole[0], atol=2e-5)


@pytest.mark.parametrize("cut", [0, 10, torch.tensor([14, 12, 15, 13])])
def test_layers_computed_twice_give_the_same_states_and_gradients_to_the_bit(roles, cut):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    once = outcome(roles, leanly(roles, batch, cut))
    roles.checkpointing = True
    assert torch.equal(roles.hidden("sft", batch), leanly(roles, batch, batch.width - 1))
    again = outcome(roles, leanly(roles, batch, cut, twice=True))
    assert torch.equal(again[0], once[0])
    assert all(torch.equal(mine, other) for mine, other in zip(again[1], once[1], strict=True))


@pytest.mark.parametrize("cut", [0, 10, torch.tensor([14, 12, 15, 13])])
def test_the_way_in_which_a_gpu_reads_gives_the_same_states_and_gradients(roles, cut, monkeypatch):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    seen = batch.attention[:, cut:].bool() if isinstance(cut, int) else torch.ones(len(PROMPTS), 1, dtype=torch.bool)
    plainly = outcome(roles, leanly(roles, batch, cut)[seen])
    as_on_a_gpu(monkeypatch)
    check_alike(outcome(roles, leanly(roles, batch, cut)[seen]), plainly)


def as_on_a_gpu(monkeypatch):
    """Attention by PyTorch's fused operation, over a mask that is repeated for each head of a group."""
    monkeypatch.setattr(trunk, "_read", trunk._read_at_once)
    monkeypatch.setattr(trunk, "_fused", lambda config, _: config.num_attention_heads // config.num_key_value_heads)


@pytest.mark.parametrize("shape", ["grouped heads, tied", "qwen2 with bias", "qwen3 with norms by head"])
def test_layers_in_4_bits_say_and_learn_what_the_librarys_pass_over_them_does(shape, tmp_path):
    roles = load(str(save(SHAPES[shape], tmp_path)), device="cpu", precision="4-bit")
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in roles.weights("sft").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    roles.trainable("sft")
    batch = batch_of(PROMPTS, RESPONSES, 0)
    with roles.autocast():
        ours, theirs = (outcome(roles, way(roles, batch)[batch.attention.bool()]) for way in (leanly, by_the_library))
    assert (ours[0] - theirs[0]).norm() < 0.02 * theirs[0].norm()
    ours, theirs = (torch.cat([each.flatten() for each in found[1]]) for found in (ours, theirs))
    assert theirs.norm() > 0 and (ours - theirs).norm() < 0.05 * theirs.norm()


def test_layers_in_4_bits_turn_back_what_the_library_turns_back(tmp_path):
    roles = load(str(save(SHAPES["qwen2 with bias"], tmp_path)), device="cpu", precision="4-bit")
    layer = roles.model.base_model.model.model.layers[0]
    layers = tuple(getattr(layer.self_attn, name).base_layer for name in ("q_proj", "k_proj", "v_proj"))
    x = torch.randn(5, roles.model.config.hidden_size, generator=torch.Generator().manual_seed(0)).bfloat16()
    x.requires_grad_(True)
    side = Side(layers, torch.bfloat16)
    said = side(x)
    gradient = torch.randn(said.shape, generator=torch.Generator().manual_seed(1)).bfloat16()
    (expected,) = torch.autograd.grad(said, x, gradient)
    assert (side.back(gradient) - expected).abs().max() <= 0.02 * expected.abs().max()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_what_it_keeps_on_a_gpu_is_foretold(roles, dtype, monkeypatch):
    """By the tensors that are kept when attention reads as it does there."""
    as_on_a_gpu(monkeypatch)
    found = []
    for columns in (32, 96):  # the difference is free of what is kept once
        batch = batch_of([[5] * (columns // 2)] * 4, [[6] * (columns // 2)] * 4, 0)
        with Saved() as saved, torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.bfloat16):
            leanly(roles, batch)
        facts = facts_from(roles.model.config)
        layer = LeanOnGpu(facts, columns, dtype.itemsize, 4)
        inside = dtype.itemsize * 8 * facts.adapted / facts.layers
        found.append((saved.bytes, 4 * columns * (facts.layers * (layer.kept + inside) + layer.once)))
    (short, short_foretold), (long, long_foretold) = found
    assert long - short == pytest.approx(long_foretold - short_foretold, rel=0.1)


class Saved:
    """Counts the bytes of all tensors that are kept for the backward pass, each once."""

    def __enter__(self):
        self.bytes, self.known = 0, {}
        self.hooks = torch.autograd.graph.saved_tensors_hooks(self.pack, lambda tensor: tensor)
        self.hooks.__enter__()
        return self

    def pack(self, tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in self.known:
            self.known[storage.data_ptr()] = tensor  # which stays, so that no other comes to its place
            self.bytes += storage.nbytes()
        return tensor

    def __exit__(self, *problem):
        self.hooks.__exit__(*problem)


def test_weights_side_by_side_are_views_and_stay_what_they_were(roles):
    layer = roles.model.base_model.model.model.layers[0]
    before = layer.self_attn.k_proj.base_layer.weight.clone()
    trunk.fuse(roles.model)
    query, key = layer.self_attn.q_proj.base_layer.weight, layer.self_attn.k_proj.base_layer.weight
    assert torch.equal(key, before)
    assert query.untyped_storage().data_ptr() == key.untyped_storage().data_ptr()


def test_bfloat16_states_are_near_those_of_float32(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    with torch.no_grad():
        exact = leanly(roles, batch)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert (leanly(roles, batch) - exact)[batch.attention.bool()].abs().max() < 0.1


@pytest.mark.parametrize("cut", [0, 10, torch.tensor([14, 12, 15, 13])])
def test_gradients_in_bfloat16_are_near_those_of_float32(roles, cut):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    seen = batch.attention[:, cut:].bool() if isinstance(cut, int) else torch.ones(len(PROMPTS), 1, dtype=torch.bool)
    _, exact = outcome(roles, leanly(roles, batch, cut)[seen])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = leanly(roles, batch, cut)[seen]
    _, rounded = outcome(roles, found)
    exact, rounded = (torch.cat([each.flatten() for each in some]) for some in (exact, rounded))
    assert (rounded - exact).norm() < 0.1 * exact.norm()


@pytest.mark.parametrize("temperature", [1.0, 0.7])
@pytest.mark.parametrize("spread", [1, 100])  # at 100 one logit outweighs all others
@pytest.mark.parametrize(("tokens", "ids"), [(8192, 1024), (2, 1000), (3, 4096), (8192, 2**20)])
def test_log_probs_and_their_gradients_are_those_of_whole_logits(
    in_float32, roles, monkeypatch, tokens, ids, spread, temperature
):
    monkeypatch.setattr(logprobs, "ROWS", tokens)
    monkeypatch.setattr(logprobs, "NARROW", ids)
    batch = batch_of(PROMPTS, RESPONSES, 0)
    states = (spread * torch.randn(4, 5, 64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    weights = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
    whole = losses.log_softmax_gather(roles.logits(states), batch.responses, temperature)
    (expected,) = torch.autograd.grad((torch.where(batch.mask, whole, 0) * weights).sum(), states)
    ours = logprobs.of(roles, states, batch.responses, batch.mask, temperature)
    (found,) = torch.autograd.grad((ours * weights).sum(), states)
    assert torch.allclose(ours, torch.where(batch.mask, whole, 0), atol=1e-5)
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_graphics_card_takes_more_of_the_vocabulary_at_a_time():
    assert logprobs.at_once(100, 50_000, "cpu") == 100 * logprobs.NARROW
    assert logprobs.at_once(100, 50_000, "cuda") == 100 * 50_000
    assert logprobs.at_once(1000, 50_000, "cuda") <= logprobs.CHUNK
    assert logprobs.at_once(10**6, 50_000, "cpu") == logprobs.at_once(10**6, 50_000, "cuda") == logprobs.CHUNK
    assert logprobs.at_once(7, 300, "cpu") == 2100


def test_what_is_read_is_what_the_formulas_say_and_log_probs_are_the_same_to_the_bit(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    generator = torch.Generator().manual_seed(0)
    states, reference = torch.randn(2, 4, 5, 64, generator=generator)
    logp, ref, kl, entropy = logprobs.read(roles, states, reference, batch.responses, batch.mask)
    assert torch.equal(logp, logprobs.of(roles, states.requires_grad_(), batch.responses, batch.mask))
    logits, other = roles.logits(states), roles.logits(reference)
    for column, expected in (
        (ref, losses.log_softmax_gather(other, batch.responses)),
        (kl, losses.exact_kl(logits, other)),
        (entropy, losses.entropy(logits)),
    ):
        assert torch.allclose(column, torch.where(batch.mask, expected, 0), atol=2e-5)


def test_a_policy_that_is_its_reference_has_a_kl_of_exactly_zero(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    states = torch.randn(4, 5, 64, generator=torch.Generator().manual_seed(0))
    logp, ref, kl, _ = logprobs.read(roles, states, states.clone(), batch.responses, batch.mask)
    assert torch.equal(logp, ref) and not kl.any()


def test_an_output_layer_with_a_cap_goes_the_long_way(roles):
    batch = batch_of(PROMPTS, RESPONSES, 0)
    states = torch.randn(4, 5, 64, generator=torch.Generator().manual_seed(0))
    roles.model.config.final_logit_softcapping = 2.0
    ours = logprobs.of(roles, states, batch.responses, batch.mask)
    expected = losses.log_softmax_gather(roles.logits(states), batch.responses)
    assert torch.allclose(ours, torch.where(batch.mask, expected, 0))


def test_an_untied_output_layer_is_read_as_well(tmp_path, in_float32):
    roles = load(
        str(save(llama(4096, 48, 80, 2, 3, 1, tie_word_embeddings=False), tmp_path)), device="cpu", precision="float32"
    )
    batch = batch_of(PROMPTS, RESPONSES, 0)
    states = torch.randn(4, 5, 48, generator=torch.Generator().manual_seed(0))
    expected = losses.log_softmax_gather(roles.logits(states), batch.responses)
    ours = logprobs.of(roles, states, batch.responses, batch.mask)
    assert torch.allclose(ours, torch.where(batch.mask, expected, 0), atol=1e-5)
