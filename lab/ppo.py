"""The ppo stage: maximises the score minus beta times the KL to the reference, with a value model as the baseline."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from lab import logprobs, losses, on_policy
from lab.cast import Cast
from lab.config import Ppo
from lab.events import Event, Step
from lab.models import Roles
from lab.on_policy import Live, Method
from lab.rollout import Part, Rollout, values_of
from lab.state import State
from lab.steps import finite
from lab.text import Asked


def begin(roles: Roles, cast: Cast, config: Ppo) -> State:
    """The state before step 1: the policy is an exact copy of the reference. NotFound without a reward model.

    The value head on the policy's states says 0 everywhere; a value adapter starts as the reward model, its head at the
    score.
    """
    on_policy.add_policy(roles, cast)
    groups, head = [(cast.policy, "value")], roles.head("value")
    with torch.no_grad():
        head.weight.zero_()
        if config.value_model == "adapter":
            roles.add("value", like=cast.reward)
            head = roles.head("value")
            head.weight.copy_(roles.heads[cast.reward].weight * cast.scale.gain)
            head.bias.copy_(cast.scale.of(roles.heads[cast.reward].bias))
            groups = [(cast.policy, ""), ("value", "value")]
    return on_policy.state_of(roles, groups, config)


def ppo(
    state: State,
    cast: Cast,
    prompts: Sequence[Asked],
    live: Live,
    pinned: Sequence[Asked] = (),
    past: Sequence[Step] = (),
    beta_moved: on_policy.Moved = on_policy.never,
    recast: on_policy.Recast | None = None,
) -> Iterator[Event]:
    """Steps of PPO from where the state stands; arguments and errors are those of on_policy.follow."""
    return on_policy.follow(Method(weigh, _backward), state, cast, prompts, live, pinned, past, beta_moved, recast)


def weigh(rollout: Rollout, config: Ppo) -> Rollout:
    """The rollout with rewards by token, returns, and advantages that are whitened over all of it."""
    mask, k1 = rollout.batch.mask, losses.k1(rollout.logp, rollout.reference_logp)
    rewards = losses.token_rewards(rollout.score, k1, mask, rollout.beta)
    advantages, returns = losses.gae(rewards, rollout.values, mask, gamma=config.gamma, lam=config.lam)
    return replace(rollout, rewards=rewards, advantages=losses.whiten(advantages, mask), returns=returns)


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
    return on_policy.measured(policy, said) | {
        "loss/value": finite(value, "value loss"),
        "value/clip_fraction": float(fit["clip_fraction"]),
    }


def still(config: Ppo) -> Live:
    """A `live` in which nothing moves."""
    return lambda: config
