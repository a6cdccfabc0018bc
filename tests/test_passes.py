"""Passes through the model: what padding, neighbours, dropout, precision and other roles in between must not change."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from folders import make

from lab import logprobs, losses, ppo, reward, sft
from lab.cast import Cast
from lab.config import Ppo, Reward, Sft
from lab.loading import load
from lab.models import BASE, copy_weights
from lab.reward import raw_scores
from lab.rollout import values_of
from lab.text import Batch, batch_of

PROMPTS = ([65, 66, 67], [70], [80, 81, 82, 83, 84])
RESPONSES = ([90, 91, 2], [92, 93, 94, 95, 2], [96, 2])
NAMES = ("llama", "gpt2")  # our own lean pass, and the library's


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("passes")
    return {name: make(top, name) for name in NAMES}


def stirred(folder, precision="float32"):
    """Roles with every part in them, each with random weights of its own."""
    roles = load(str(folder), device="cpu", precision=precision)
    generator = torch.Generator().manual_seed(5)
    for role in ("policy", "reward", "value"):
        roles.add(role)
        roles.head(role, seed=len(role))
    for role in ("sft", "policy", "reward", "value"):
        for parameter in roles.weights(role).values():
            with torch.no_grad():
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    return roles


def wider(batch: Batch, left: int, right: int) -> Batch:
    """The same batch with more padding on both sides; its ids are what a pad must never let through."""
    pad = torch.nn.functional.pad
    return Batch(
        pad(batch.ids, (left, right), value=77),
        pad(batch.attention, (left, right)),
        pad(batch.mask, (0, right), value=False),
        batch.width + left,
    )


@torch.no_grad()
def read(roles, batch, value_model="head"):
    """Log-probs and values of the mask's tokens row by row, and raw scores."""
    states = roles.hidden("policy", batch)[:, :-1]
    logp = losses.log_softmax_gather(roles.logits(states), batch.responses)
    values = values_of(roles, batch, states, Ppo(value_model=value_model))
    return torch.cat([logp[batch.mask], values[batch.mask], roles.raw_scores(batch)])


@pytest.mark.parametrize("value_model", ["head", "adapter"])
@pytest.mark.parametrize("name", NAMES)
def test_padding_left_and_right_changes_no_log_prob_value_or_score(folders, in_float32, name, value_model):
    roles = stirred(folders[name])
    batch = batch_of(PROMPTS, RESPONSES, 0)
    plain = read(roles, batch, value_model)
    for left in range(8):
        assert (read(roles, wider(batch, left, left % 3), value_model) - plain).abs().max() < 1e-5


@pytest.mark.parametrize("name", NAMES)
def test_a_row_alone_reads_as_it_does_among_others(folders, in_float32, name):
    roles = stirred(folders[name])
    together = read(roles, batch_of(PROMPTS, RESPONSES, 0))
    rows = zip(PROMPTS, RESPONSES, strict=True)
    alone = [read(roles, batch_of([p], [r], 0)).split([len(r), len(r), 1]) for p, r in rows]
    assert (torch.cat([torch.cat(part) for part in zip(*alone, strict=True)]) - together).abs().max() < 1e-5


def test_in_bfloat16_padding_moves_log_probs_by_little(folders):
    roles = stirred(folders["llama"], "auto")
    batch = batch_of(PROMPTS, RESPONSES, 0)
    assert (read(roles, wider(batch, 5, 2)) - read(roles, batch)).abs().max() < 0.02


@pytest.mark.parametrize("name", NAMES)
def test_a_score_is_the_same_where_the_tokenizers_pad_is_its_end(folders, name):
    scores = []
    for pad in (0, 2, 77):
        roles = stirred(folders[name])
        roles.text = replace(roles.text, pad_id=pad)
        scores.append(raw_scores(roles, "reward", PROMPTS, RESPONSES))
    assert torch.equal(scores[0], scores[1]) and torch.equal(scores[0], scores[2])


@pytest.mark.parametrize("name", NAMES)
def test_log_probs_are_bitwise_equal_with_and_without_gradients_in_training_and_at_rest(folders, name):
    roles = stirred(folders[name])
    batch, found = batch_of(PROMPTS, RESPONSES, 0), []
    roles.trainable("policy")
    for training in (False, True):
        roles.model.train(training)
        for graph in (False, True):
            with torch.set_grad_enabled(graph):
                found.append(roles.hidden("policy", batch).detach()[batch.attention[:, batch.width - 1 :].bool()])
    assert all(torch.equal(each, found[0]) for each in found)
    assert all(module.p == 0 for module in roles.model.modules() if isinstance(module, torch.nn.Dropout))


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_weights_in_half_precision_go_with_products_in_float32(folders, in_float32, precision):
    roles = load(str(folders["llama"]), device="cpu", precision=precision)
    batch = batch_of([[5, 6]], [[7, 8, 9]], 0)
    states = roles.hidden("sft", batch)[:, :-1]
    whole = losses.log_softmax_gather(roles.logits(states), batch.responses)
    assert torch.allclose(whole, logprobs.of(roles, states, batch.responses, batch.mask), atol=1e-4)


@pytest.mark.parametrize("precision", ["bfloat16", "8-bit", "4-bit"])
@pytest.mark.parametrize("name", NAMES)
def test_adapters_and_heads_stay_in_float32_on_a_bfloat16_base(folders, name, precision):
    roles = load(str(folders[name]), device="cpu", precision=precision)
    reward.begin(roles, Reward())
    ppo.begin(roles, Cast(), Ppo(value_model="adapter"))
    kinds = {p.dtype for role in ("sft", "policy", "reward", "value") for p in roles.weights(role).values()}
    assert kinds | {p.dtype for p in roles.heads.parameters()} == {torch.float32}
    assert roles.model.get_input_embeddings().weight.dtype == torch.bfloat16


def alone(folder, roles, role, batch, weights):
    """The gradient by the library's own pass, of a model that has this adapter and no other."""
    single = load(str(folder), device="cpu", precision="float32")
    copy_weights(roles.weights(role), single.weights("sft"))
    learning = single.trainable("sft")
    with single.using("sft") as model:
        states = model.base_model(
            batch.ids, attention_mask=batch.attention, position_ids=losses.positions(batch.attention), use_cache=False
        ).last_hidden_state[:, batch.width - 1 :]
    (states * weights).sum().backward()
    return [parameter.grad for parameter in learning]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_of_two_roles_are_those_of_single_models_whatever_is_read_between_and_however_late(
    folders, in_float32, name
):
    roles, batch = stirred(folders[name]), batch_of(PROMPTS, RESPONSES, 0)
    kept = batch.attention[:, batch.width - 1 :].unsqueeze(-1)
    weights = torch.randn(*kept.shape[:2], 64, generator=torch.Generator().manual_seed(0)) * kept
    learning = {role: roles.trainable(role) for role in ("policy", "value")}
    graphs = []
    for role in learning:
        graphs.append((roles.hidden(role, batch) * weights).sum())
        with torch.no_grad():
            for other in ("reward", "sft", BASE):
                roles.hidden(other, batch)
    sum(graphs).backward()
    for role, parameters in learning.items():
        expected = alone(folders[name], roles, role, batch, weights)
        for parameter, gradient in zip(parameters, expected, strict=True):
            assert torch.allclose(parameter.grad, gradient, atol=1e-5 * float(gradient.abs().max() + 1))
            assert gradient.any()


def test_what_sft_reward_and_ppo_read_of_one_text_are_the_same_ids(folders):
    roles = load("tiny", device="cpu")
    prompt, answer = "What does a fox eat?", "A fox eats mice and berries."
    pair = sft.encode(roles, (prompt, answer))
    whole = roles.text.tokenizer.apply_chat_template(
        [{"role": "user", "content": prompt}, {"role": "assistant", "content": answer}], tokenize=False
    )
    ids = roles.text.tokenizer(whole, add_special_tokens=False)["input_ids"]
    assert pair[0] + pair[1] == ids == [*roles.text.asked([prompt])[0].ids, *roles.text.response_ids(answer)]
    assert pair[1][-1] in roles.text.eos_ids and pair[1].count(pair[1][-1]) == 1
    sft.begin(roles, Sft())
    mask = sft._batch(roles, [pair]).mask
    assert mask.sum() == len(pair[1])
