"""A rollout: prompts and responses with everything that an update needs, read once in every role without gradients."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from lab import logprobs, losses
from lab.cast import Cast
from lab.config import Group, Ppo
from lab.errors import SelfCheck
from lab.evaluate import rank_correlation
from lab.models import Roles
from lab.stem import Stem
from lab.steps import finite
from lab.text import Batch, batch_of

PHRASE = 8  # tokens: so many in a row that different answers share are no chance
FEWEST = 10  # different prompts, of which a single one is no large share


@dataclass(frozen=True, slots=True)
class Part:
    """A microbatch: row numbers of the rollout, and those rows at their own width.

    A step's parts stay as they are for all its passes, because another shape gives other last bits and a ratio that is
    not 1 at the first update.
    """

    rows: torch.Tensor
    batch: Batch

    def of(self, tensor: torch.Tensor) -> torch.Tensor:
        """The part's rows of a [B, T] tensor, at the part's width."""
        return tensor[self.rows, : self.batch.mask.shape[1]]


@dataclass(frozen=True, slots=True)
class Rollout:
    """What one step's responses were read as, [B, T] unless said; names as in losses.py. `minibatches`: parts by rows.

    What a method has no use for is None, and so are advantages until it has weighed the responses.
    """

    batch: Batch
    minibatches: tuple[tuple[Part, ...], ...]
    beta: float  # in force
    logp: torch.Tensor
    reference_logp: torch.Tensor
    kl_exact: torch.Tensor
    entropy: torch.Tensor
    score: torch.Tensor  # [B]
    raw: torch.Tensor  # [B]
    ended: torch.Tensor  # [B]
    values: torch.Tensor | None = None
    rewards: torch.Tensor | None = None
    advantages: torch.Tensor | None = None
    returns: torch.Tensor | None = None

    @property
    def k1(self) -> torch.Tensor:
        """[B] the sampled KL of each response, in nats."""
        return losses.masked_sum(losses.k1(self.logp, self.reference_logp), self.batch.mask, dim=1)

    def _texts(self) -> tuple[list[tuple[int, ...]], list[tuple[int, ...]]]:
        """Prompts and responses as ids, without what pads them."""
        ids, there, width = self.batch.ids.cpu(), self.batch.attention.cpu().bool(), self.batch.width
        sides = (ids[:, :width], there[:, :width]), (ids[:, width:], self.batch.mask.cpu())
        asked, said = ([tuple(row[kept].tolist()) for row, kept in zip(*side, strict=True)] for side in sides)
        return asked, said

    def by_token(self) -> dict[str, torch.Tensor]:
        """What each token cost and earned: exact KL in nats, reward (the score at the last), value, advantage."""
        found = {"kl": self.kl_exact, "reward": self.rewards, "value": self.values, "advantage": self.advantages}
        return {name: column for name, column in found.items() if column is not None}

    def metrics(self) -> dict[str, float | None]:
        """What the charts show, None where that is undefined; every mean is over response tokens or responses."""
        mask, length, k1 = self.batch.mask, self.batch.mask.sum(1).float(), self.k1
        k3 = losses.masked_sum(losses.k3(self.logp, self.reference_logp), mask, dim=1)
        asked, said = self._texts()
        found = {
            "reward/score": finite(self.score.mean(), "score"),
            "reward/total": losses.response_rewards(self.score, k1, self.beta).mean().item(),
            "reward/raw": self.raw.mean().item(),
            "reward/std": self.score.std(correction=0).item(),
            "reward/length_correlation": rank_correlation(self.raw, length),
            "kl/reference": finite(self.kl_exact.sum(1).mean(), "KL"),
            "kl/k1": finite(k1.mean(), "KL of the sampled words"),
            "kl/k3": k3.mean().item(),
            "kl/beta": self.beta,
            "policy/entropy": float(losses.masked_mean(self.entropy, mask)),
            "response/length": length.mean().item(),
            "response/ended": self.ended.float().mean().item(),
            "response/distinct": len(set(said)) / len(length),
            "response/phrase": common_phrase(asked, said),
        }
        if self.returns is not None:
            fit = losses.explained_variance(self.values, self.returns, mask)
            found["value/explained_variance"] = float(fit)
        return found


def common_phrase(asked: Sequence[tuple[int, ...]], said: Sequence[tuple[int, ...]]) -> float | None:
    """The share of the prompts in whose answers the same PHRASE tokens stand in a row, of the most common such; None
    for fewer than FEWEST different prompts.

    Answers to one prompt count as one: they speak of the same thing in any case.
    """
    prompts = len(set(asked))
    if prompts < FEWEST:
        return None
    found = {
        (prompt, answer[start : start + PHRASE])
        for prompt, answer in zip(asked, said, strict=True)
        for start in range(len(answer) - PHRASE + 1)
    }
    return max(Counter(phrase for _, phrase in found).values(), default=0) / prompts


def stem_of(roles: Roles, cast: Cast, config: Ppo | Group) -> Stem | None:
    """An empty stem of the policy and of those that read its answers beside it."""
    others = [cast.reference, cast.reward, *(["value"] if config.value_model == "adapter" else [])]
    return roles.stem(config.unfrozen, cast.policy, *others)


def parts_of(batch: Batch, config: Ppo | Group) -> tuple[tuple[Part, ...], ...]:
    """Minibatches of neighbouring rows, cut in microbatches of alike lengths so that little is padded.

    Each part has a stem of its own if the batch has one.
    """
    lengths = batch.attention.sum(1)
    found = []
    for rows in torch.arange(len(lengths), device=lengths.device).split(config.minibatch):
        ordered = rows[lengths[rows].argsort(stable=True)]
        found.append(tuple(Part(some, batch.rows(some)) for some in ordered.split(config.microbatch)))
    return tuple(found)


def cut(parts: Sequence[Part], microbatch: int) -> list[Part]:
    """The same rows in parts of at most that many, each at its own width: what a smaller micro-batch goes through.

    Memory that ran out changes shapes, and with them last bits: the next ratio is 1 but for those."""
    found = []
    for part in parts:
        if len(part.rows) <= microbatch:
            found.append(part)
            continue
        places = torch.arange(len(part.rows), device=part.rows.device)
        found += [Part(part.rows[some], part.batch.rows(some)) for some in places.split(microbatch)]
    return found


@torch.no_grad()
def measure(
    roles: Roles,
    cast: Cast,
    beta: float,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    config: Ppo | Group,
    stem: Stem | None = None,
) -> Rollout:
    """Read sampled responses as policy, reference and reward model, and as the value model where there is one.

    stem: as stem_of has it, with what the sampler has filled it with.
    """
    batch = batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
    stem = stem or stem_of(roles, cast, config)
    columns = slice(0, batch.ids.shape[1])
    minibatches = parts_of(replace(batch, stem=stem and stem.part(slice(None), columns)), config)
    read = [torch.zeros(batch.mask.shape, device=roles.device) for _ in range(5 if config.value_model else 4)]
    raw = torch.zeros(len(prompts), device=roles.device)
    for part in (part for minibatch in minibatches for part in minibatch):
        *columns, raw[part.rows] = _read(roles, cast, part.batch, config)
        for whole, column in zip(read, columns, strict=True):
            whole[part.rows, : column.shape[1]] = column
    logp, reference, kl, entropy, *values = read
    ended = losses.ended(batch.responses, batch.mask, roles.text.eos_ids)
    score = losses.shape_score(cast.scale.of(raw), ended, config.missing_eos, clip=config.score_clip)
    return Rollout(batch, minibatches, beta, logp, reference, kl, entropy, score, raw, ended, *values)


def check_same_as_reference(kl: torch.Tensor) -> None:
    """SelfCheck unless the exact KL is 0 everywhere, as it must be before the first update."""
    largest = kl.abs().max().item()
    if largest > 1e-6:
        raise SelfCheck(
            f"Before anything was learned, policy and reference differ by {largest:.2g} nats. They must be equal, so "
            "every KL would be wrong. Start again from the SFT adapter; if it happens again, this device computes "
            "unsteadily."
        )


def _read(roles: Roles, cast: Cast, batch: Batch, config: Ppo | Group) -> tuple[torch.Tensor, ...]:
    """Log-probs, reference log-probs, exact KL, entropy and any values [b, T], and raw scores [b], of a microbatch."""
    states = roles.hidden(cast.policy, batch)[:, :-1]
    reference = roles.hidden(cast.reference, batch)[:, :-1]
    columns = logprobs.read(roles, states, reference, batch.responses, batch.mask, config.temperature)
    if config.value_model:
        columns = *columns, torch.where(batch.mask, values_of(roles, batch, states, config), 0.0)
    return *columns, roles.raw_scores(batch, cast.reward)


def values_of(roles: Roles, batch: Batch, states: torch.Tensor, config: Ppo) -> torch.Tensor:
    """Values [B, T] of the states before each token: a head on the policy's states, or the value adapter's own."""
    if config.value_model == "adapter":
        states = roles.hidden("value", batch)[:, :-1]
    return roles.heads["value"](states.float()).squeeze(-1)
