"""The lower layers are computed once for all roles that are alike there, and what they say does not change by it."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from folders import configs, deeper, put, tokenizer
from transformers import BloomConfig, FalconConfig, Gemma3nTextConfig, Gemma3TextConfig, GPTNeoXConfig, OPTConfig

from lab import dpo, logprobs, ppo, reward, rloo_grpo, sft, trunk
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.events import Step
from lab.facts import facts_from
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.models import BASE, copy_weights
from lab.rollout import Part, cut, measure
from lab.stem import Stem, layers_of, learning
from lab.text import batch_of

PROMPTS, ANSWERS = ([65, 66, 67], [70], [80, 81, 82, 83]), ([90, 91, 2], [92, 93, 94, 95, 2], [96, 2])
NAMES = ("llama", "gpt2", "gemma2", "qwen3", "gemma3", "falcon", "bloom", "gpt_neox", "opt")
FOUR = 4


def config_of(name):
    """An architecture's config with four layers."""
    ends = {"vocab_size": len(tokenizer()), "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
    usual = {"hidden_size": 64, "num_hidden_layers": FOUR, "num_attention_heads": 4}
    others = {
        "gemma3": lambda: Gemma3TextConfig(**usual, **ends, intermediate_size=96, num_key_value_heads=2, head_dim=16),
        "falcon": lambda: FalconConfig(**usual, **ends),
        "bloom": lambda: BloomConfig(hidden_size=64, n_layer=FOUR, n_head=4, **ends),
        "gpt_neox": lambda: GPTNeoXConfig(**usual, **ends, intermediate_size=96, max_position_embeddings=64),
        "opt": lambda: OPTConfig(**usual, **ends, ffn_dim=96, max_position_embeddings=64, word_embed_proj_dim=32),
    }
    if name in others:
        return others[name]()
    config = deeper(configs(len(tokenizer()))[name], FOUR)
    config.initializer_range = 0.1
    return config


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("stems")
    return {name: str(put(top / name, config_of(name))) for name in NAMES}


def stirred(folder, precision="auto"):
    """A policy, its reference and a reward model: alike in the lower half of the layers, each its own above."""
    roles = load(folder, device="cpu", precision=precision)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in roles.weights("sft").values():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
        for role in ("policy", "reward"):
            roles.add(role, like="sft")
            for parameter in roles.trainable(role, 0.5):
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))
    roles.freeze()
    roles.head("reward")
    return roles


def with_stem(roles, *names):
    batch = batch_of(PROMPTS, ANSWERS, 0)
    return batch, replace(batch, stem=roles.stem(0.5, *names))


@pytest.mark.parametrize("name", NAMES)
def test_every_role_says_what_it_says_without_a_stem_to_the_bit(folders, name):
    roles = stirred(folders[name])
    batch, stemmed = with_stem(roles, "policy", "sft", "reward")
    assert stemmed.stem.roles == {"policy", "sft", "reward"}
    with torch.no_grad():
        for role in ("policy", "sft", "policy", "reward"):
            assert torch.equal(roles.hidden(role, stemmed), roles.hidden(role, batch))
        assert torch.equal(roles.raw_scores(stemmed), roles.raw_scores(batch))
    assert not torch.equal(roles.hidden("policy", batch), roles.hidden("sft", batch))


@pytest.mark.parametrize("precision", ["auto", "4-bit"])
@pytest.mark.parametrize("twice", [False, True])
@pytest.mark.parametrize("name", ["llama", "gpt2", "falcon"])
def test_the_gradient_of_what_learns_is_the_same_to_the_bit(folders, name, twice, precision):
    roles = stirred(folders[name], precision)
    roles.checkpointing = twice
    batch, stemmed = with_stem(roles, "policy")
    with torch.no_grad():
        roles.hidden("policy", stemmed)
    found, learns = [], roles.trainable("policy", 0.5)
    for each in (batch, stemmed):
        states = roles.hidden("policy", each)[:, :-1]
        loss = logprobs.of(roles, states, each.responses, each.mask).sum()
        found.append(torch.autograd.grad(loss, learns))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*found, strict=True))
    assert sum(each.norm() for each in found[0]) > 0


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_lower_layers_are_computed_once_and_the_upper_ones_by_every_role(folders, name, monkeypatch):
    roles = stirred(folders[name])
    _, layers = roles._stack
    computed = []
    _, stemmed = with_stem(roles, "policy", "sft")
    if roles.lean(BASE):
        own = trunk._attention
        number = {id(layer): place for place, layer in enumerate(layers)}
        monkeypatch.setattr(
            trunk, "_attention", lambda layer, *more: computed.append(number[id(layer)]) or own(layer, *more)
        )
    else:
        for place, layer in enumerate(layers):
            inside = next(layer.children())
            inside.register_forward_hook(lambda *said, place=place: computed.append(place))
    for role in ("policy", "sft", "policy"):
        roles.hidden(role, stemmed)
    assert [computed.count(place) for place in range(FOUR)] == [1, 1, 3, 3]


def test_a_role_that_differs_below_is_none_of_the_stem_and_reads_for_itself(folders):
    roles = stirred(folders["llama"])
    with torch.no_grad():
        next(iter(roles.weights("reward").values())).add_(0.5)
    batch, stemmed = with_stem(roles, "policy", "sft", "reward")
    assert stemmed.stem.roles == {"policy", "sft"}
    with torch.no_grad():
        roles.hidden("policy", stemmed)
        assert torch.equal(roles.hidden("reward", stemmed), roles.hidden("reward", batch))
        assert torch.equal(roles.hidden(BASE, stemmed), roles.hidden(BASE, batch))


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_rows_that_are_taken_out_take_their_part_of_the_stem_along(folders, name):
    roles = stirred(folders[name])
    batch, stemmed = with_stem(roles, "policy")
    some = torch.tensor([2, 0])
    with torch.no_grad():
        roles.hidden("policy", stemmed)
        few = stemmed.rows(some)
        assert few.stem.states.shape[:2] == few.ids.shape and few.ids.shape[1] < batch.ids.shape[1]
        gap = roles.hidden("policy", few) - roles.hidden("policy", batch.rows(some))
    assert gap.abs().max() < 2e-2 * roles.hidden("policy", batch).abs().max()


def test_layers_that_were_given_a_pass_of_their_own_get_it_back(folders):
    """As accelerate gives them, where a base lies on several devices."""
    roles = stirred(folders["gpt2"])
    _, stemmed = with_stem(roles, "policy")
    layer, calls = roles._stack[1][0], []
    own = layer.forward

    def hooked(*given, **options):
        calls.append(1)
        return own(*given, **options)

    layer.forward = hooked
    with torch.no_grad():
        roles.hidden("policy", stemmed)
        roles.hidden("policy", stemmed)
    assert len(calls) == 1 and layer.forward is hooked
    assert "forward" not in vars(roles._stack[1][1])


def test_a_base_whose_upper_layers_read_more_than_states_does_without(folders):
    roles = stirred(folders["gpt2"])
    assert roles.stem(0.5, "policy") is not None
    roles._tried.clear()
    lower, upper = roles._stack[1][0].attn, roles._stack[1][3].attn
    shared = []
    lower.register_forward_hook(lambda module, given, said: shared.append(said[0]))
    upper.register_forward_pre_hook(lambda module, given: shared.pop() * 0)
    assert roles.stem(0.5, "policy") is None


def test_a_base_whose_states_have_another_shape_does_without(tmp_path):
    config = Gemma3nTextConfig(
        vocab_size=len(tokenizer()), hidden_size=64, intermediate_size=96, num_hidden_layers=8, num_attention_heads=4,
        num_key_value_heads=2, head_dim=16, num_kv_shared_layers=2, vocab_size_per_layer_input=len(tokenizer()),
        hidden_size_per_layer_input=8, laurel_rank=4, bos_token_id=1, eos_token_id=2,
        pad_token_id=0, layer_types=[*["sliding_attention"] * 3, "full_attention"] * 2,
    )  # fmt: skip
    roles = load(str(put(tmp_path, config)), device="cpu")
    assert roles.stem(0.5, "sft") is None and roles.stem(0.25, "sft") is None
    assert 0 < len(roles.trainable("sft", 0.5)) < len(roles.trainable("sft", 1.0))


@pytest.mark.parametrize("filled", [False, True])
def test_a_pass_that_breaks_off_leaves_no_layer_changed(folders, filled, monkeypatch):
    roles = stirred(folders["gpt2"])
    batch, stemmed = with_stem(roles, "policy")
    if filled:
        roles.hidden("policy", stemmed)
    _, layers = roles._stack
    whole = roles.hidden("policy", batch)
    with monkeypatch.context() as broken:
        broken.setattr(layers[3], "forward", lambda *given, **options: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            roles.hidden("policy", stemmed)
    assert not any("forward" in vars(layer) or layer._forward_hooks for layer in layers)
    assert torch.equal(roles.hidden("policy", batch), whole)


def test_layers_are_told_from_experts_and_from_a_tower_as_deep_and_left_whole_where_they_cannot_be(folders):
    model = load(folders["llama"], device="cpu").model
    name, layers = layers_of(model)
    layers[0].experts = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(FOUR))
    model.tower = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(FOUR))
    assert layers_of(model) == (name, layers)
    model.base_model.model.model.others = torch.nn.ModuleList(torch.nn.Linear(2, 2) for _ in range(FOUR))
    assert layers_of(model) == ("", ())


def test_an_update_of_uncut_parts_copies_no_stem(folders):
    roles = stirred(folders["llama"])
    _, stemmed = with_stem(roles, "policy")
    part = Part(torch.arange(3), stemmed)
    assert cut([part], 3)[0] is part and len(cut([part], 2)) == 2


def changed(roles, role, before):
    """Which layers of a role's adapter are not what they were."""
    name, layers = roles._stack
    moved = {key for key, weight in roles.weights(role).items() if not torch.equal(weight, before[key])}
    return [place for place in range(len(layers)) if any(key.startswith(f"{name}.{place}.") for key in moved)]


@pytest.mark.parametrize(
    "unfrozen, upper", [(0.5, [2, 3]), (0.25, [3]), (0.01, [3]), (0.6, [1, 2, 3]), (1.0, [0, 1, 2, 3])]
)
def test_what_learns_is_the_upper_share_of_the_layers_and_nothing_below(folders, unfrozen, upper):
    roles = load(folders["llama"], device="cpu")
    roles.add("reward", like="sft")
    roles.head("reward")
    config = Ppo(steps=2, batch=8, minibatch=8, microbatch=4, tokens=6, unfrozen=unfrozen, learning_rate=1e-2)
    state = ppo.begin(roles, Cast(), config)
    before = {name: weight.detach().clone() for name, weight in roles.weights("policy").items()}
    for _ in ppo.ppo(state, Cast(), roles.text.asked(["a question"]), ppo.still(config)):
        pass
    assert changed(roles, "policy", before) == upper


@pytest.mark.parametrize("config, share", [(Sft, 1.0), (Reward, 0.5), (Ppo, 0.5), (Group, 0.5), (Dpo, 0.5)])
def test_every_stage_has_the_share_and_hands_it_on(folders, config, share):
    roles = load(folders["gpt2"], device="cpu")
    roles.add("reward", like="sft")
    roles.head("reward")
    for chosen, count in ((share, None), (0.25, 1)):
        knobs = config() if chosen == share else config(unfrozen=chosen)
        begin = {Sft: sft.begin, Reward: reward.begin}.get(config)
        stage = {Ppo: ppo, Group: rloo_grpo, Dpo: dpo}.get(config)
        state = begin(roles, knobs) if begin else stage.begin(roles, Cast(), knobs)
        learns = {name for name, weight in roles.weights(state.adapters[0]).items() if weight.requires_grad}
        name = roles._stack[0]
        layers = [place for place in range(FOUR) if any(key.startswith(f"{name}.{place}.") for key in learns)]
        assert len(layers) == (count or FOUR * share) and layers[-1] == FOUR - 1


def steps_of(roles, stage, config, stems):
    roles._tried = {} if stems else dict.fromkeys(range(FOUR), False)
    roles.add("reward", like="sft")
    roles.head("reward")
    state = stage.begin(roles, Cast(), config)
    run = stage.ppo if stage is ppo else stage.rloo_grpo
    events = run(state, Cast(), roles.text.asked(["one", "another question"]), lambda: config)
    metrics = [event.metrics for event in events if isinstance(event, Step)]
    kept = [{k: v for k, v in each.items() if not k.startswith(("time/", "speed/", "memory/"))} for each in metrics]
    return kept, torch.cat([weight.detach().flatten() for weight in roles.weights("policy").values()])


@pytest.mark.parametrize("name", ["llama", "gemma2"])
@pytest.mark.parametrize(
    "stage, config",
    [
        (ppo, Ppo(steps=3, batch=8, minibatch=4, microbatch=2, tokens=6, learning_rate=1e-2)),
        (ppo, Ppo(steps=2, batch=8, minibatch=8, microbatch=4, tokens=6, learning_rate=1e-2, value_model="adapter")),
        (rloo_grpo, Group(steps=3, prompts=3, group=2, microbatch=3, tokens=6, learning_rate=1e-2, missing_eos="off")),
    ],
)
def test_a_run_learns_the_same_to_the_bit_as_one_that_computes_all_layers_each_time(
    folders, name, stage, config, monkeypatch
):
    monkeypatch.setattr("lab.on_policy.stem_of", lambda *_: None)  # the sampler's own states are near, not the same
    ours, adapter = steps_of(load(folders[name], device="cpu"), stage, config, stems=True)
    theirs, other = steps_of(load(folders[name], device="cpu"), stage, config, stems=False)
    assert ours == theirs and torch.equal(adapter, other)
    assert ours[-1]["kl/reference"] > 0


def test_a_rollout_keeps_one_stem_for_each_part_and_hands_it_to_smaller_ones(folders):
    roles = stirred(folders["llama"])
    roles.head("value")
    config = Ppo(batch=8, minibatch=4, microbatch=4)
    prompts, answers = [[65, 66, 67]] * 8, [[90, 91, 2]] * 8
    rollout = measure(roles, Cast(), 0.1, prompts, answers, config)
    stems = [part.batch.stem for minibatch in rollout.minibatches for part in minibatch]
    assert [tuple(stem.states.shape) for stem in stems] == [(4, 6, 64)] * 2
    assert {stem.roles for stem in stems} == {frozenset({"policy", "sft", "reward"})}
    rows = foretell(facts_from(roles.model.config), "ppo", Knobs(batch=8, prompt=3, tokens=3))
    held = sum(stem.states.nbytes for stem in stems)
    assert [(row.phase, row.bytes) for row in rows if row.role == "shared states"] == [
        ("score", held),
        ("update", held),
    ]
    assert [tuple(part.batch.stem.states.shape) for part in cut(rollout.minibatches[0], 3)] == [(3, 6, 64), (1, 6, 64)]


def test_a_value_adapter_that_began_as_the_reward_model_shares_the_stem(folders):
    roles = stirred(folders["llama"])
    roles.add("value", like="reward")
    roles.head("value")
    config = Ppo(batch=8, minibatch=8, microbatch=8, value_model="adapter")
    rollout = measure(roles, Cast(), 0.1, [[65, 66, 67]] * 8, [[90, 91, 2]] * 8, config)
    assert rollout.minibatches[0][0].batch.stem.roles == {"policy", "sft", "reward", "value"}


def test_a_stem_of_rows_is_of_its_columns_too_and_an_empty_one_stays_empty():
    states = torch.arange(24.0).view(2, 4, 3)
    stem = Stem(1, frozenset("a"), states)
    assert torch.equal(stem.part(torch.tensor([1]), slice(1, 3)).states, states[1:, 1:3])
    assert Stem(1, frozenset("a")).part(torch.tensor([0]), slice(0, 1)).states is None


@pytest.mark.parametrize(
    "layers, share, count", [(4, 0.5, 2), (5, 0.5, 3), (30, 0.5, 15), (10, 0.3, 3), (28, 0.01, 1), (1, 0.5, 1)]
)
def test_the_share_is_rounded_up_to_whole_layers(layers, share, count):
    assert learning(layers, share) == count


def test_a_reward_model_of_before_the_share_is_read_whole_and_the_others_share(folders):
    roles = stirred(folders["llama"])
    generator = torch.Generator().manual_seed(4)
    copy_weights(
        {n: w + 0.01 * torch.randn(w.shape, generator=generator) for n, w in roles.weights("sft").items()},
        roles.weights("reward"),
    )
    roles.head("value")
    config = Ppo(batch=8, minibatch=8, microbatch=8)
    with_stems = measure(roles, Cast(), 0.1, [[65, 66]] * 8, [[90, 91, 2]] * 8, config)
    roles._tried = dict.fromkeys(range(FOUR), False)
    without = measure(roles, Cast(), 0.1, [[65, 66]] * 8, [[90, 91, 2]] * 8, config)
    assert torch.equal(with_stems.raw, without.raw) and torch.equal(with_stems.logp, without.logp)
    assert with_stems.minibatches[0][0].batch.stem.roles == {"policy", "sft"}
