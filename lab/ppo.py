"""The ppo stage: maximises the score minus beta times the KL to the reference, one rollout and its updates a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from random import Random
from time import monotonic

import torch

from lab import allocator, logprobs, losses
from lab.config import Ppo
from lab.diagnose import Diagnosis, Setup
from lab.errors import NoRows, NotFound
from lab.events import Event, Finished, Progress, Sample, Started, Step
from lab.generate import sample
from lab.models import Roles
from lab.rollout import Cast, Part, Rollout, check_same_as_reference, cut, measure, values_of
from lab.samples import of_rollout
from lab.state import State, new_state
from lab.steps import as_dict, changes, finite, peak_bytes, step_seed
from lab.text import Asked

Live = Callable[[], Ppo]
_MAXIMUM = "policy/ratio_first"
# A minibatch over this mean ratio says nothing about the policy that sampled it, and is not learned from (TRL 0.x).
WILD = 10.0


def begin(roles: Roles, cast: Cast, config: Ppo) -> State:
    """The state before step 1: the policy is an exact copy of the reference.

    The value head on the policy's states says 0 everywhere; a value adapter starts as the reward model, its head at the
    score.
    """
    if cast.reward not in roles.heads:
        raise NotFound("There is no reward model yet, so PPO has nothing to follow. Train one on rankings first.")
    roles.add(cast.policy, like=cast.reference)
    groups, head = [(cast.policy, "value")], roles.head("value")
    with torch.no_grad():
        head.weight.zero_()
        if config.value_model == "adapter":
            roles.add("value", like=cast.reward)
            head = roles.head("value")
            head.weight.copy_(roles.heads[cast.reward].weight * cast.scale.gain)
            head.bias.copy_(roles.heads[cast.reward].bias * cast.scale.gain + cast.scale.bias)
            groups = [(cast.policy, ""), ("value", "value")]
    state = new_state(roles, groups, config, eps=1e-5)
    state.beta = config.beta
    return state


def ppo(
    state: State,
    cast: Cast,
    prompts: Sequence[Asked],
    live: Live,
    pinned: Sequence[Asked] = (),
    past: Sequence[Step] = (),
) -> Iterator[Event]:
    """Steps of PPO from where the state stands; `live` is read once a step, so a moved knob takes effect there.

    `past`: the run's earlier steps, which a warning compares with. Raises SelfCheck when policy and reference differ
    before anything was learned, FlatReward when all responses have scored alike for three steps.
    """
    if not prompts:
        raise NoRows("There is no prompt to answer, so there is nothing to roll out. Give at least one.")
    config = live()
    if state.step and state.knob is not None:  # moved while the run stood still: told and obeyed at the next step
        config = replace(config, beta=state.knob)
    diagnosis = Diagnosis(_setup(cast, config))
    diagnosis.replay(step for step in past if step.step <= state.step)
    yield Started("ppo", config.steps, as_dict(config), state.step)
    if state.step == 0:
        yield from pinned_samples(state, cast, pinned, config)
    while state.step < config.steps:
        before, config = config, live()
        yield from changes(state.step, before, config)
        state.beta = config.beta if before.beta != config.beta else state.beta
        state.knob = config.beta
        diagnosis.setup, began = _setup(cast, config), monotonic()
        asked, responses = roll_out(state, cast, prompts, config)
        rolled = monotonic()
        yield Progress("rollout", 1, 2)
        rollout = read(state, cast, [each.ids for each in asked], responses, config)
        if state.step == 0:
            check_same_as_reference(rollout.kl_exact)
        shown, scored = of_rollout(state, asked[:4], rollout), monotonic()
        yield from state.told_of_memory()
        yield Progress("scored", 2, 2)
        learned = yield from _learn(state, cast, rollout, config)
        state.step += 1
        timing = {"time/rollout": rolled - began, "time/score": scored - rolled, "time/step": monotonic() - began}
        tokens = sum(map(len, responses))
        timing |= {"speed/tokens_per_second": tokens / (rolled - began), "memory/peak_bytes": peak_bytes()}
        metrics = rollout.metrics(state.beta) | learned | timing
        yield from shown
        if state.step % config.pinned_every == 0 or state.step == config.steps:
            yield from pinned_samples(state, cast, pinned, config)
        yield from diagnosis.warnings(state.step, metrics)
        if config.target_kl:
            state.beta = losses.adaptive_beta(
                state.beta, metrics["kl/k1"], config.target_kl, config.batch, 6 * config.batch
            )
        yield Step(state.step, metrics)
        diagnosis.check_not_flat(state.step)
    state.roles.freeze()
    yield Finished(state.step, "done", {})


def _setup(cast: Cast, config: Ppo) -> Setup:
    return Setup(config.batch, config.target_kl, config.score_clip, cast.scale.highest)


def roll_out(state: State, cast: Cast, prompts: Sequence[Asked], config: Ppo) -> tuple[list[Asked], list[list[int]]]:
    """The step's prompts, and one sampled response to each."""
    seed = step_seed(config.seed, state.step)
    asked = Random(seed).choices(prompts, k=config.batch)
    ids = [each.ids for each in asked]
    with allocator.passing():
        said = state.answers(cast.policy, ids, config, seed)
    return asked, said


def read(state: State, cast: Cast, prompts: Sequence, responses: Sequence, config: Ppo) -> Rollout:
    """The measured rollout, in microbatches that memory suffices for: the updates go through the same ones."""
    return state.fitting(
        lambda size: measure(state.roles, cast, state.beta, prompts, responses, replace(config, microbatch=size)),
        config.microbatch,
    )


def _learn(state: State, cast: Cast, rollout: Rollout, config: Ppo) -> Iterator[Event]:
    """All updates of one rollout, minibatches in a new order each epoch; returns the means of what they measured."""
    began, seen = monotonic(), []
    rng = Random(step_seed(config.seed, state.step))
    count = len(rollout.minibatches)
    order = [index for _ in range(config.epochs) for index in rng.sample(range(count), count)]
    for done, index in enumerate(order, 1):
        seen.append(_update(state, cast, rollout.minibatches[index], rollout, config))
        yield from state.told_of_memory()
        yield Progress("update", done, len(order))
        if seen[-1]["kl/update"] > 1.5 * config.update_kl:
            break
    mean = {key: sum(each[key] for each in seen) / len(seen) for key in seen[0] if key != _MAXIMUM}
    return mean | {_MAXIMUM: seen[0][_MAXIMUM], "policy/updates": len(seen), "time/update": monotonic() - began}


def _update(state: State, cast: Cast, minibatch: Sequence[Part], rollout: Rollout, config: Ppo) -> dict[str, float]:
    """One optimizer step; the losses of microbatches add up to the loss of the whole minibatch.

    When memory runs out, the same minibatch goes through in smaller parts, and so do all later ones. A wild one teaches
    nothing.
    """
    count = sum(int(part.batch.mask.sum()) for part in minibatch)

    def summed(size: int) -> dict[str, float]:
        totals: dict[str, float] = {}
        for part in cut(minibatch, size):
            for key, value in _backward(state.roles, cast, part, rollout, count, config).items():
                known = totals.get(key, 0.0)
                totals[key] = max(known, value) if key == _MAXIMUM else known + value
        return totals

    totals = state.fitting(summed, config.microbatch)
    totals["policy/grad_norm"] = finite(state.clip_gradients(config.grad_clip), "gradient norm")
    if totals["policy/ratio_mean"] > WILD:
        state.optimizer.zero_grad(set_to_none=True)
    else:
        state.apply(config.learning_rate)
    return totals


def _backward(roles: Roles, cast: Cast, part: Part, rollout: Rollout, count: int, config: Ppo) -> dict[str, float]:
    """Gradients of one microbatch. A value adapter has its own pass: none changes between forward and backward."""
    batch = part.batch
    states = roles.hidden(cast.policy, batch)[:, :-1]
    logp = logprobs.of(roles, states, batch.responses, batch.mask, config.temperature)
    policy, said = losses.policy_loss(
        logp, part.of(rollout.logp), part.of(rollout.advantages), batch.mask, clip=config.clip, count=count
    )
    weight = config.value_weight
    if config.value_model == "adapter":
        policy.backward()
        policy, weight = policy.detach(), 1.0
    value, fit = losses.value_loss(
        values_of(roles, batch, states, config),
        part.of(rollout.values),
        part.of(rollout.returns),
        batch.mask,
        clip=config.value_clip,
        count=count,
    )
    (policy + weight * value).backward()
    return {
        "loss/policy": finite(policy, "policy loss"),
        "loss/value": finite(value, "value loss"),
        "policy/clip_fraction": float(said["clip_fraction"]),
        "kl/update": float(said["update_kl"]),
        "policy/ratio_mean": float(said["ratio_mean"]),
        _MAXIMUM: float(said["ratio_max_log_abs"]),
        "value/clip_fraction": float(fit["clip_fraction"]),
    }


def pinned_samples(state: State, cast: Cast, pinned: Sequence[Asked], config: Ppo) -> list[Sample]:
    """What the policy says to the pinned prompts now, with the same luck each time: only learning changes it."""
    if not pinned:
        return []
    asked = [each.ids for each in pinned]
    said = sample(state.roles, cast.policy, asked, tokens=config.tokens, temperature=config.temperature, seed=1)
    rollout = read(state, cast, asked, said, config)
    return of_rollout(state, pinned, rollout, pinned=True)


def still(config: Ppo) -> Live:
    """A `live` in which nothing moves."""
    return lambda: config
