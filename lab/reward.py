"""The reward stage: learns a score from ranked responses, tests it on prompts it never saw, and fixes the score's scale."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

import torch
from torch import nn

from lab.config import Reward
from lab.errors import FlatReward, TooFewRankings
from lab.events import Event, Finished, Started, Step, Warned
from lab.generate import sample
from lab.losses import bt_accuracy, calibration, pairs_of, plackett_luce_loss, ranking_loss
from lab.models import Roles
from lab.steps import as_dict, finite, step_seed
from lab.text import batch_of

Groups = tuple[tuple[int, ...], ...]
FEWEST_PAIRS, FEWEST_TEST_PAIRS = 40, 10


@dataclass(frozen=True, slots=True)
class Ranked:
    """Responses to one prompt as token ids, and indices into them in groups, best first; ties share a group."""

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    groups: Groups

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return pairs_of(self.groups)


@dataclass(frozen=True, slots=True)
class Scale:
    """A score is gain * raw + bias: mean 0 and deviation 1 over the reference's own responses (Ziegler et al. 2019)."""

    gain: float
    bias: float


def reward(
    roles: Roles, rankings: Sequence[Ranked], prompts: Sequence[Sequence[int]], config: Reward
) -> Iterator[Event]:
    """Train the reward adapter and head; the Finished event carries accuracy on held-out prompts, gain and bias.

    `prompts` are asked of the reference to fix the scale. Raises TooFewRankings and FlatReward.
    """
    train, test = split(rankings, config)
    roles.add("reward", like="sft")
    torch.manual_seed(config.seed)
    head = roles.head("reward")
    parameters = [*roles.trainable("reward"), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.01)
    per_epoch = -(-len(train) // config.batch)
    total = config.epochs * per_epoch
    yield Started("reward", total, as_dict(config))
    for step in range(1, total + 1):
        began = monotonic()
        epoch, index = divmod(step - 1, per_epoch)
        order = Random(f"{config.seed} {epoch}").sample(range(len(train)), len(train))
        chosen = [train[i] for i in order[index * config.batch : (index + 1) * config.batch]]
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, step / 5, 1.1 - step / total)
        loss, accuracy = _learn(roles, chosen, config)
        norm = nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        metrics = {"loss/reward": finite(loss, "reward loss"), "pairs/train_accuracy": accuracy}
        yield Step(step, metrics | {"gradient/norm": norm.item(), "time/step": monotonic() - began})
    roles.freeze()
    result = evaluate(roles, test) if test else {}
    if test and result["pairs/accuracy_low"] <= 0.5:
        yield _no_better_than_chance(total, result)
    scale = measure_scale(roles, prompts, config)
    yield Finished(total, "done", result | {"gain": scale.gain, "bias": scale.bias})


def split(rankings: Sequence[Ranked], config: Reward) -> tuple[list[Ranked], list[Ranked]]:
    """Rankings for training and for testing, parted by prompt; TooFewRankings when either is too small."""
    useful = [ranked for ranked in rankings if ranked.pairs]
    prompts = sorted({ranked.prompt for ranked in useful})
    Random(f"split {config.seed}").shuffle(prompts)
    kept = frozenset(prompts[: round(len(prompts) * config.held_out)])
    train = [ranked for ranked in useful if ranked.prompt not in kept]
    test = [ranked for ranked in useful if ranked.prompt in kept]
    found = sum(len(ranked.pairs) for ranked in train), sum(len(ranked.pairs) for ranked in test)
    if found[0] < FEWEST_PAIRS or (config.held_out and found[1] < FEWEST_TEST_PAIRS):
        raise TooFewRankings(
            f"The reward model needs {FEWEST_PAIRS} pairs to learn from and {FEWEST_TEST_PAIRS} to be tested on; your "
            f"{len(rankings)} rankings give {found[0]} and {found[1]} (ties and skips give none). Rank more prompts, or "
            "lower the held-out share."
        )
    return train, test


def _learn(roles: Roles, chosen: Sequence[Ranked], config: Reward) -> tuple[float, float]:
    """Gradients of the mean loss over a batch of rankings; each response is read once, whatever number of pairs it is in."""
    scores = score_rankings(roles, chosen)
    losses, right, count = [], 0.0, 0
    for ranked, each in zip(chosen, scores, strict=True):
        flat = [i for group in ranked.groups for i in group]
        strict_order = len(flat) == len(ranked.groups)
        if config.loss == "plackett_luce" and strict_order:
            losses.append(plackett_luce_loss(each, flat))
        else:
            losses.append(ranking_loss(each, ranked.groups))
        better, worse = zip(*ranked.pairs, strict=True)
        delta = (each[list(better)] - each[list(worse)]).detach()
        right, count = right + float(bt_accuracy(delta)) * len(delta), count + len(delta)
    loss = torch.stack(losses).mean()
    loss.backward()
    return loss.item(), right / count


def score_rankings(roles: Roles, chosen: Sequence[Ranked]) -> list[torch.Tensor]:
    """Raw scores, one tensor [K] a ranking, from one forward pass over all responses."""
    prompts = [ranked.prompt for ranked in chosen for _ in ranked.responses]
    responses = [response for ranked in chosen for response in ranked.responses]
    raw = roles.raw_scores(batch_of(prompts, responses, roles.text.pad_id).to(roles.device))
    return list(raw.split([len(ranked.responses) for ranked in chosen]))


@torch.no_grad()
def evaluate(roles: Roles, test: Sequence[Ranked]) -> dict[str, float]:
    """Pair accuracy with a 95 % bootstrap interval over prompts, margin and calibration, on held-out rankings."""
    deltas = []
    for start in range(0, len(test), 8):
        group = test[start : start + 8]
        for ranked, each in zip(group, score_rankings(roles, group), strict=True):
            better, worse = zip(*ranked.pairs, strict=True)
            deltas.append((each[list(better)] - each[list(worse)]).cpu())
    low, high = _interval(deltas)
    every = torch.cat(deltas)
    fit = calibration(every)
    return {
        "pairs/accuracy": float(bt_accuracy(every)),
        "pairs/accuracy_low": low,
        "pairs/accuracy_high": high,
        "pairs/margin": every.mean().item(),
        "pairs/calibration_error": float(fit["ece"]),
        "pairs/nll": float(fit["nll"]),
        "pairs": len(every),
    }


def _interval(deltas: Sequence[torch.Tensor], draws: int = 1000) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the accuracy when prompts are drawn again with replacement."""
    generator = torch.Generator().manual_seed(0)
    right = torch.tensor([float(bt_accuracy(delta)) * len(delta) for delta in deltas])
    count = torch.tensor([float(len(delta)) for delta in deltas])
    index = torch.randint(len(deltas), (draws, len(deltas)), generator=generator)
    accuracy = right[index].sum(1) / count[index].sum(1)
    low, high = accuracy.quantile(torch.tensor([0.025, 0.975])).tolist()
    return low, high


def _no_better_than_chance(step: int, result: dict[str, float]) -> Warned:
    return Warned(
        step,
        "E_NO_BETTER_THAN_CHANCE",
        f"On {result['pairs']} held-out pairs the reward model is right in {result['pairs/accuracy']:.0%} "
        f"(95 % between {result['pairs/accuracy_low']:.0%} and {result['pairs/accuracy_high']:.0%}): "
        "no better than chance, so PPO would chase noise.",
        "Rank more prompts, or check that your rankings agree with one another.",
    )


@torch.no_grad()
def measure_scale(roles: Roles, prompts: Sequence[Sequence[int]], config: Reward) -> Scale:
    """The gain and bias that give the reference's responses mean 0 and deviation 1; FlatReward when all score alike."""
    asked = [prompts[i % len(prompts)] for i in range(config.normalise_over)]
    raw = []
    for start in range(0, len(asked), 64):
        group = asked[start : start + 64]
        responses = sample(roles, "sft", group, tokens=72, seed=step_seed(config.seed, start))
        raw.append(roles.raw_scores(batch_of(group, responses, roles.text.pad_id).to(roles.device)))
    every = torch.cat(raw)
    deviation = every.std(correction=0).item()
    if deviation < 1e-3:
        raise FlatReward(
            f"The reward model gives {len(every)} different responses nearly the same score (deviation {deviation:.2g}), so "
            "PPO would have nothing to follow. Rank more prompts whose answers clearly differ."
        )
    return Scale(1 / deviation, -every.mean().item() / deviation)
