"""A rollout: prompts and responses with everything that the update needs, read once in every role without gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from lab import losses
from lab.config import Ppo
from lab.models import Roles
from lab.reward import Scale
from lab.steps import finite
from lab.text import Batch, batch_of


@dataclass(frozen=True)
class Rollout:
    """Tensors of one step; shapes and names as in ALGORITHMS: [B, T] unless said.

    `minibatches` are lists of microbatches, each a tensor of rows. They stay the same rows at the same width for all passes of the
    step, because another shape gives other last bits and a ratio that is not 1 at the first update.
    """

    batch: Batch
    minibatches: tuple[tuple[torch.Tensor, ...], ...]
    logp: torch.Tensor
    reference_logp: torch.Tensor
    kl_exact: torch.Tensor
    entropy: torch.Tensor
    values: torch.Tensor
    score: torch.Tensor  # [B]
    raw: torch.Tensor  # [B]
    ended: torch.Tensor  # [B]
    advantages: torch.Tensor
    returns: torch.Tensor

    def metrics(self, beta: float) -> dict[str, float]:
        """What the charts show of a rollout; every mean is over response tokens or responses."""
        mask, length = self.batch.mask, self.batch.mask.sum(1).float()
        kl = self.kl_exact.sum(1)
        k1 = losses.masked_sum(losses.k1(self.logp, self.reference_logp), mask, dim=1)
        k3 = losses.masked_sum(losses.k3(self.logp, self.reference_logp), mask, dim=1)
        texts = {tuple(row[kept].tolist()) for row, kept in zip(self.batch.responses, mask, strict=True)}
        return {
            "reward/score": finite(self.score.mean(), "score"),
            "reward/total": (self.score - beta * k1).mean().item(),
            "reward/raw": self.raw.mean().item(),
            "reward/std": self.score.std(correction=0).item(),
            "kl/reference": kl.mean().item(),
            "kl/k1": k1.mean().item(),
            "kl/k3": k3.mean().item(),
            "kl/beta": beta,
            "policy/entropy": float(losses.masked_mean(self.entropy, mask)),
            "value/explained_variance": float(losses.explained_variance(self.values, self.returns, mask)),
            "response/length": length.mean().item(),
            "response/ended": self.ended.float().mean().item(),
            "response/distinct": len(texts) / len(length),
        }


@torch.no_grad()
def measure(
    roles: Roles,
    scale: Scale,
    beta: float,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    config: Ppo,
) -> Rollout:
    """Read sampled responses as policy, reference and reward model, and work out advantages."""
    batch = batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
    minibatches = tuple(
        rows.split(config.microbatch)
        for rows in torch.arange(len(prompts), device=roles.device).split(config.minibatch)
    )
    parts = [_read(roles, batch.rows(rows), config) for minibatch in minibatches for rows in minibatch]
    logp, reference, kl, entropy, values, raw = (torch.cat(column) for column in zip(*parts, strict=True))
    ended = losses.ended(batch.responses, batch.mask, roles.text.eos_ids)
    score = losses.shape_score(
        raw, scale.gain, scale.bias, ended, config.missing_eos, missing_value=-1.0, clip=config.score_clip
    )
    rewards = losses.token_rewards(score, losses.k1(logp, reference), batch.mask, beta)
    advantages, returns = losses.gae(rewards, values, batch.mask, gamma=config.gamma, lam=config.lam)
    whitened = losses.whiten(advantages, batch.mask)
    return Rollout(batch, minibatches, logp, reference, kl, entropy, values, score, raw, ended, whitened, returns)


def _read(roles: Roles, batch: Batch, config: Ppo) -> tuple[torch.Tensor, ...]:
    """Log-probs, reference log-probs, exact KL, entropy and values [b, T], and raw scores [b], of one microbatch."""
    mask, temperature = batch.mask, config.temperature
    states = roles.hidden("policy", batch)[:, :-1]
    logits = roles.logits(states)
    reference = roles.logits(roles.hidden("sft", batch)[:, :-1])

    def kept(x: torch.Tensor) -> torch.Tensor:
        return torch.where(mask, x, torch.zeros_like(x))

    return (
        kept(losses.log_softmax_gather(logits, batch.responses, temperature)),
        kept(losses.log_softmax_gather(reference, batch.responses, temperature)),
        kept(losses.exact_kl(logits, reference, temperature)),
        kept(losses.entropy(logits, temperature)),
        kept(roles.heads["value"](states.float()).squeeze(-1)),
        roles.raw_scores(batch),
    )
