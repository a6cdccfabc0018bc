"""RLOO and GRPO: several answers to each prompt judge one another, so that no value model is needed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from lab import logprobs, losses, on_policy
from lab.cast import Cast
from lab.config import Group
from lab.events import Event, Step
from lab.models import Roles
from lab.on_policy import Live, Method
from lab.rollout import Part, Rollout
from lab.state import State
from lab.text import Asked


def begin(roles: Roles, cast: Cast, config: Group) -> State:
    """The policy as an exact copy of the reference; nothing else learns. NotFound without a reward model."""
    on_policy.add_policy(roles, cast)
    return on_policy.state_of(roles, [(cast.policy, "")], config)


def rloo_grpo(
    state: State,
    cast: Cast,
    prompts: Sequence[Asked],
    live: Live,
    pinned: Sequence[Asked] = (),
    past: Sequence[Step] = (),
    recast: on_policy.Recast | None = None,
) -> Iterator[Event]:
    """Steps from where the state stands; arguments and errors are those of on_policy.follow."""
    return on_policy.follow(Method(weigh, _backward), state, cast, prompts, live, pinned, past, recast=recast)


def weigh(rollout: Rollout, config: Group) -> Rollout:
    """The rollout with an advantage at every token, which is that of the whole answer in its group."""
    advantages = advantages_of(rollout.score, rollout.k1, rollout.beta, config)
    return replace(rollout, advantages=torch.where(rollout.batch.mask, advantages.unsqueeze(1), 0.0))


def advantages_of(score: torch.Tensor, kl: torch.Tensor, beta: float, config: Group) -> torch.Tensor:
    """[B]; RLOO pays for the KL [B] of the whole answer in its reward, GRPO in its loss."""
    if config.method == "rloo":
        return losses.rloo_advantages(losses.response_rewards(score, kl, beta), config.group)
    return losses.grpo_advantages(score, config.group)


def _backward(roles: Roles, cast: Cast, part: Part, rollout: Rollout, count: int, config: Group) -> dict[str, float]:
    """Gradients of one microbatch."""
    mask, old = part.batch.mask, part.of(rollout.logp)
    states = roles.hidden(cast.policy, part.batch)[:, :-1]
    logp = logprobs.of(roles, states, part.batch.responses, mask, config.temperature)
    loss, said = losses.policy_loss(logp, old, part.of(rollout.advantages), mask, clip=config.clip, count=count)
    if config.method == "grpo":
        loss = loss + losses.grpo_kl(logp, part.of(rollout.reference_logp), mask, rollout.beta, count)
    loss.backward()
    return on_policy.measured(loss, said)
