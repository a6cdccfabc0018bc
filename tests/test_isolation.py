"""What a stage may move and what it must leave alone, resuming in mid-epoch, and a run's checks of itself."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import pytest
import torch
from folders import make

from lab import dpo, losses, ppo, reward, rloo_grpo, sft
from lab.cast import Cast
from lab.config import Ppo, Reward, Sft
from lab.dpo import Dpo
from lab.errors import Damaged, SelfCheck
from lab.events import Step
from lab.loading import load
from lab.reward import Ranked
from lab.rloo_grpo import Group
from lab.state import State

CAST = Cast()
SFT = Sft(steps=4, batch=2, microbatch=1)
REWARD = Reward(epochs=2, batch=4, normalise_over=8, tokens=6, learning_rate=3e-3)
PPO = Ppo(steps=2, batch=8, minibatch=4, microbatch=2, tokens=8)
DPO = Dpo(epochs=2, batch=8, microbatch=4)
GROUP = Group(steps=2, prompts=2, group=4, microbatch=4, tokens=8)
PAIRS = [("a", "b c"), ("d", "e"), ("f g", "h"), ("i", "j k l"), ("m", "n")]
STAGES = ("sft", "reward", "ppo head", "ppo adapter", "rloo", "grpo", "dpo")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("isolation"), "llama")


@pytest.fixture
def roles(folder):
    """The embedded parts: an SFT adapter that says something, a reward adapter with a head, and a bystander."""
    found = load(str(folder), device="cpu")
    generator = torch.Generator().manual_seed(5)
    for parameter in found.weights("sft").values():
        with torch.no_grad():
            parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
    for role in ("reward", "bystander"):
        found.add(role, like="sft")
        found.head(role, seed=1)
    return found


def rankings():
    rng, found = Random(0), []
    for number in range(24):
        answers = tuple((*rng.choices(range(10, 40), k=4), 2) for _ in range(3))
        found.append(Ranked((5, 6, 7 + number), answers, ((0,), (1,), (2,))))
    return found


def stage(roles, name, change=None):
    """(state, events, what may change) of a short run."""
    asked = roles.text.asked(["Hi", "Why is it so?", "What?"], room=8)
    kind = name.partition(" ")[0]
    config = {"sft": SFT, "reward": REWARD, "ppo": PPO, "dpo": DPO}.get(kind) or replace(GROUP, method=kind)
    if kind == "ppo":
        config = replace(config, value_model=name.partition(" ")[2], target_kl=0.5)
    config = replace(config, **(change or {}))
    if kind == "sft":
        state = sft.begin(roles, config, "new")
        return state, sft.sft(state, PAIRS, lambda: config), {"new"}
    if kind == "reward":
        state = reward.begin(roles, config, "new")
        return state, reward.reward(state, rankings(), asked, lambda: config), {"new"}
    if kind == "ppo":
        state = ppo.begin(roles, CAST, config)
        return state, ppo.ppo(state, CAST, asked, lambda: config), {"policy", "value"}
    if kind == "dpo":
        state = dpo.begin(roles, CAST, config)
        return state, dpo.dpo(state, CAST, rankings(), lambda: config), {"policy"}
    state = rloo_grpo.begin(roles, CAST, config)
    return state, rloo_grpo.rloo_grpo(state, CAST, asked, lambda: config), {"policy"}


def everything(roles):
    named = [*roles.model.named_parameters(), *roles.heads.named_parameters(prefix="heads")]
    return {name: parameter.detach().clone() for name, parameter in named}


def moved(before, after):
    return {name for name, value in after.items() if not torch.equal(value, before[name])}


@pytest.mark.parametrize("name", STAGES)
def test_a_stage_moves_its_own_weights_and_every_other_parameter_stays_bitwise(roles, name):
    state, events, own = stage(roles, name)
    before = everything(roles)
    list(events)
    changed = moved(before, everything(roles))
    marks = [f".{role}." for role in own]
    assert changed and all(any(mark in f".{each}." for mark in marks) for each in changed)
    held = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    named = {**dict(roles.model.named_parameters()), **dict(roles.heads.named_parameters(prefix="heads"))}
    assert {each for each, parameter in named.items() if id(parameter) in held} >= changed
    assert all(any(mark in f".{each}." for mark in marks) for each, p in named.items() if id(p) in held)
    assert not any(parameter.requires_grad for parameter in roles.model.parameters())


@pytest.mark.parametrize("name", STAGES)
def test_at_a_rate_of_zero_nothing_moves_at_all(roles, name, monkeypatch):
    apply = State.apply
    monkeypatch.setattr(State, "apply", lambda self, rate: apply(self, 0.0))
    _, events, _ = stage(roles, name)
    before = everything(roles)
    list(events)
    # The reward model's head is fitted on frozen states before the first step, so it moves without any rate.
    fitted = {"heads.new.weight"} if name == "reward" else set()
    assert moved(before, everything(roles)) == fitted


@pytest.mark.parametrize("name", ["reward", "ppo adapter", "rloo", "grpo", "dpo"])
def test_a_stage_resumed_in_the_middle_of_an_epoch_equals_one_that_never_stopped_bitwise(roles, name):
    state, events, _ = stage(roles, name)
    packed = [state.pack() for event in events if isinstance(event, Step)]
    again, events, _ = stage(roles, name)
    again.unpack(*packed[0])
    list(events)
    tensors, numbers = again.pack()
    assert len(packed) > 1 and numbers == packed[-1][1] and again.step == len(packed)
    assert all(torch.equal(tensor, packed[-1][0][key]) for key, tensor in tensors.items())


@pytest.mark.parametrize("name", ["ppo head", "ppo adapter", "rloo", "grpo"])
def test_a_stage_whose_policy_is_not_its_reference_at_the_start_is_noticed(roles, name):
    state, events, _ = stage(roles, name)
    with torch.no_grad():
        next(iter(roles.weights("policy").values())).add_(0.3)
    with pytest.raises(SelfCheck, match="differ by"):
        list(events)
    assert state.step == 0


def metrics(events):
    return [event.metrics for event in events if isinstance(event, Step)]


def test_updates_of_a_step_end_when_one_moves_the_policy_too_far(roles):
    wild = {"learning_rate": 0.05, "update_kl": 1e-4, "epochs": 3}
    first = metrics(stage(roles, "ppo head", wild)[1])[0]
    calm = metrics(stage(roles, "ppo head", wild | {"update_kl": 1000.0})[1])[0]
    assert calm["policy/updates"] == 6 and first["policy/updates"] == 2


@pytest.mark.parametrize("target", [0.0, 1e-6, 1000.0])
def test_beta_follows_the_kl_of_each_step_with_a_horizon_of_six_batches(roles, target):
    steps = metrics(stage(roles, "ppo head", {"steps": 4, "target_kl": target, "learning_rate": 0.01, "beta": 0.1})[1])
    betas = [step["kl/beta"] for step in steps]
    if not target:
        assert betas == [0.1] * 4
        return
    for step, beta, following in zip(steps, betas, betas[1:], strict=False):
        assert following == losses.adaptive_beta(beta, step["kl/k1"], target, 8, 48)
    # The first KL is exactly 0, below any target, and one that cannot be reached stays above: 0.2 of a sixth a step.
    assert betas[1] == pytest.approx(0.1 * (1 - 0.2 / 6))
    assert target < 1 or betas[3] == pytest.approx(0.1 * (1 - 0.2 / 6) ** 3)
    assert target > 1 or betas[3] > betas[1]


@pytest.mark.parametrize("harm", ["a moment too many", "a moment's shape", "a weight's shape", "a weight is missing"])
def test_a_checkpoint_that_does_not_fit_is_damaged_and_never_stretched_to_fit(roles, harm):
    state, events, _ = stage(roles, "ppo head")
    next(event for event in events if isinstance(event, Step))
    tensors, numbers = state.pack()
    weight = next(name for name in tensors if name.startswith("adapter/") and tensors[name].shape[0] > 1)
    if harm == "a moment too many":
        tensors["optimizer/999/exp_avg"] = torch.zeros(3)
    elif harm == "a weight is missing":
        del tensors[weight]
    else:
        name = weight if harm == "a weight's shape" else "optimizer/0/exp_avg"
        tensors[name] = tensors[name][:1].clone()  # which copy_ would repeat for every row
    with pytest.raises(Damaged, match="earlier checkpoint"):
        state.unpack(tensors, numbers)
