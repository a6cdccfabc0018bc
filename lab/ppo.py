"""The ppo stage: maximises the score minus beta times the KL to the reference, one rollout and its updates a step."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields, replace
from random import Random
from time import monotonic

import torch
from torch import nn

from lab import losses
from lab.config import Ppo
from lab.errors import NoRows, NotFound, SelfCheck
from lab.events import Changed, Event, Finished, Sample, Started, Step
from lab.generate import sample
from lab.models import Roles
from lab.reward import Scale
from lab.rollout import Rollout, measure
from lab.steps import as_dict, finite, step_seed

Live = Callable[[], Ppo]


@dataclass
class State:
    """All that a run remembers from one step to the next; seeds and the order of prompts follow from `step`."""

    roles: Roles
    scale: Scale
    optimizer: torch.optim.Optimizer
    beta: float
    step: int = 0


def begin(roles: Roles, scale: Scale, config: Ppo) -> State:
    """The state before step 1: the policy is an exact copy of the reference, the value head says 0 everywhere."""
    if "reward" not in roles.heads:
        raise NotFound("There is no reward model yet, so PPO has nothing to follow. Train one on rankings first.")
    roles.add("policy", like="sft")
    nn.init.zeros_(roles.head("value").weight)
    parameters = [*roles.trainable("policy"), *roles.heads["value"].parameters()]
    return State(roles, scale, torch.optim.Adam(parameters, lr=config.learning_rate, eps=1e-5), config.beta)


def ppo(state: State, prompts: Sequence[Sequence[int]], live: Live) -> Iterator[Event]:
    """Steps of PPO from where the state stands; `live` is read once a step, so a moved knob takes effect there.

    Raises SelfCheck when policy and reference differ before anything was learned.
    """
    if not prompts:
        raise NoRows("There is no prompt to answer, so there is nothing to roll out. Give at least one.")
    config = live()
    yield Started("ppo", config.steps, as_dict(config))
    while state.step < config.steps:
        moved, config = config, live()
        yield from _changes(state, moved, config)
        began = monotonic()
        rollout, seconds = _roll_out(state, prompts, config)
        if state.step == 0:
            _check_same_as_reference(rollout)
        shown = _samples(state, rollout)
        metrics = learn(state, rollout, config)
        state.step += 1
        timing = {"time/rollout": seconds, "time/update": metrics.pop("time/update"), "time/step": monotonic() - began}
        yield from shown
        yield Step(state.step, rollout.metrics(state.beta) | metrics | timing)
        if config.target_kl:
            state.beta = losses.adaptive_beta(
                state.beta, rollout.kl_exact.sum(1).mean().item(), config.target_kl, config.batch, 6 * config.batch
            )
    state.roles.freeze()
    yield Finished(state.step, "done", {})


def _changes(state: State, before: Ppo, after: Ppo) -> list[Changed]:
    """What a person moved since the last step; only live knobs may move."""
    found = []
    for each in fields(after):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old != new and each.metadata["live"]:
            found.append(Changed(state.step, each.name, old, new, ""))
    if before.beta != after.beta:
        state.beta = after.beta
    return found


def _roll_out(state: State, prompts: Sequence[Sequence[int]], config: Ppo) -> tuple[Rollout, float]:
    """Sample one response to each of the step's prompts, then read them in every role."""
    began = monotonic()
    roles, rng = state.roles, Random(step_seed(config.seed, state.step))
    asked = [list(rng.choice(prompts)) for _ in range(config.batch)]
    responses = sample(
        roles,
        "policy",
        asked,
        tokens=config.tokens,
        temperature=config.temperature,
        seed=step_seed(config.seed, state.step),
    )
    return measure(roles, state.scale, state.beta, asked, responses, config), monotonic() - began


def _check_same_as_reference(rollout: Rollout) -> None:
    """Before the first update the KL is exactly 0, or something between the two passes is not the same."""
    largest = rollout.kl_exact.abs().max().item()
    if largest > 1e-6:
        raise SelfCheck(
            f"Before anything was learned, policy and reference differ by {largest:.2g} nats. They must be equal, so every KL "
            "would be wrong. Start again from the SFT adapter; if it happens again, this device computes unsteadily."
        )


def learn(state: State, rollout: Rollout, config: Ppo) -> dict[str, float]:
    """All updates of one rollout: minibatches of fixed rows, in an order of their own each epoch."""
    began, first, seen = monotonic(), None, []
    for group in state.optimizer.param_groups:
        group["lr"] = config.learning_rate
    rng = Random(step_seed(config.seed, state.step))
    stop = False
    for _ in range(config.epochs):
        for index in rng.sample(range(len(rollout.minibatches)), len(rollout.minibatches)):
            stats = _update(state, rollout, rollout.minibatches[index], config)
            first = first or stats
            seen.append(stats)
            stop = stats["kl/update"] > 1.5 * config.update_kl
            if stop:
                break
        if stop:
            break
    mean = {key: sum(each[key] for each in seen) / len(seen) for key in seen[0] if key != "policy/ratio_first"}
    return mean | {"policy/ratio_first": first["policy/ratio_first"], "time/update": monotonic() - began}


def _update(state: State, rollout: Rollout, minibatch: Sequence[torch.Tensor], config: Ppo) -> dict[str, float]:
    """One optimizer step; microbatch losses add up to the loss of the whole minibatch."""
    roles, totals = state.roles, {}
    count = sum(int(rollout.batch.mask[rows].sum()) for rows in minibatch)
    for rows in minibatch:
        loss, stats = _microbatch_loss(roles, rollout, rows, count, config)
        loss.backward()
        for key, value in stats.items():
            totals[key] = (
                max(totals.get(key, 0.0), value) if key == "policy/ratio_first" else totals.get(key, 0.0) + value
            )
    parameters = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    norm = nn.utils.clip_grad_norm_(parameters, config.grad_clip)
    totals["policy/grad_norm"] = finite(norm, "gradient norm")
    state.optimizer.step()
    state.optimizer.zero_grad(set_to_none=True)
    return totals


def _microbatch_loss(
    roles: Roles, rollout: Rollout, rows: torch.Tensor, count: int, config: Ppo
) -> tuple[torch.Tensor, dict[str, float]]:
    batch = rollout.batch.rows(rows)
    states = roles.hidden("policy", batch)[:, :-1]
    logp = losses.log_softmax_gather(roles.logits(states), batch.responses, config.temperature)
    values = roles.heads["value"](states.float()).squeeze(-1)
    policy, said = losses.policy_loss(
        logp, rollout.logp[rows], rollout.advantages[rows], batch.mask, clip=config.clip, count=count
    )
    value, fit = losses.value_loss(
        values, rollout.values[rows], rollout.returns[rows], batch.mask, clip=config.value_clip, count=count
    )
    stats = {
        "loss/policy": finite(policy.detach(), "policy loss"),
        "loss/value": finite(value.detach(), "value loss"),
        "policy/clip_fraction": float(said["clip_fraction"]),
        "kl/update": float(said["update_kl"]),
        "policy/ratio_mean": float(said["ratio_mean"]),
        "policy/ratio_first": float(said["ratio_max_log_abs"]),
        "value/clip_fraction": float(fit["clip_fraction"]),
    }
    return policy + config.value_weight * value, stats


def _samples(state: State, rollout: Rollout, count: int = 2) -> list[Sample]:
    """The rollout's first responses in words."""
    text, found = state.roles.text, []
    for row in range(count):
        ids = rollout.batch.responses[row][rollout.batch.mask[row]].tolist()
        prompt = rollout.batch.ids[row, : rollout.batch.width][
            rollout.batch.attention[row, : rollout.batch.width].bool()
        ]
        found.append(
            Sample(
                state.step,
                text.decode(prompt.tolist()),
                text.decode(ids),
                rollout.score[row].item(),
                rollout.kl_exact[row].sum().item(),
                len(ids),
                False,
                "policy",
            )
        )
    return found


def still(config: Ppo, **changes: float) -> Live:
    """A `live` in which nothing moves."""
    settled = replace(config, **changes)
    return lambda: settled
