"""The reward stage: learns a score from ranked responses, tests it on unseen prompts, and fixes the score's scale."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic
from typing import Any

import torch

from lab.cast import Scale
from lab.config import PAIRS_TO_LEARN, PAIRS_TO_TEST, Reward
from lab.errors import FlatReward, TooFewRankings
from lab.evaluate import Scored, accuracy_of, evaluate
from lab.events import Event, Finished, Progress, Started, Step, Warned
from lab.generate import sample
from lab.losses import Groups, bt_accuracy, pairs_of, plackett_luce_loss, ranking_loss
from lab.memory import SCALED
from lab.models import Roles
from lab.probe import first_head, learning_curve
from lab.state import State, new_state
from lab.steps import as_dict, changes, finite, last_read, live_knobs, part_by_part, result_of, step_seed
from lab.text import Asked, batch_of

# Steps in which AdamW learns more slowly, since its second moments rest on few gradients at first; and the share of the
# rate that the last step still has: at 0 its rankings would teach nothing.
WARM_UP, LAST_SHARE = 5, 0.1
LEAST_SPREAD = 1e-3  # of scores: those that deviate by less differ by rounding, which the gain would blow up
Live = Callable[[], Reward]


@dataclass(frozen=True, slots=True)
class Ranked:
    """Responses to one prompt as token ids, and indices into them in groups, best first; ties share a group.

    `seq` is the ranking's number in the workspace, 0 outside one; `about` the first question of its conversation in
    plain words, '' where nobody knows it.
    """

    prompt: tuple[int, ...]
    responses: tuple[tuple[int, ...], ...]
    groups: Groups
    rater: str = ""
    seq: int = 0
    about: str = ""

    @property
    def question(self) -> str | tuple[int, ...]:
        """What rankings of one question have in common, however it is spelled and wherever the conversation goes."""
        return self.about or self.prompt

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return pairs_of(self.groups)


def begin(roles: Roles, config: Reward, role: str = "reward", reference: str = "sft") -> State:
    """A copy of the reference's adapter with a fresh head."""
    roles.add(role, like=reference)
    roles.head(role, seed=config.seed)
    return new_state(roles, [(role, role)], config, weight_decay=config.weight_decay)


def reward(
    state: State, rankings: Sequence[Ranked], prompts: Sequence[Asked], live: Live, reference: str = "sft"
) -> Iterator[Event]:
    """Train the reward adapter and head; the Finished event carries accuracy on held-out prompts, gain and bias.

    `prompts` are asked of the reference to fix the scale. Raises TooFewRankings and FlatReward.
    """
    config, role = last_read(live(), state.knobs), state.adapters[0]
    train, test = split(rankings, config)
    per_epoch = -(-len(train) // config.batch)
    epochs = config.epochs or epochs_for(len(train))
    total = epochs * per_epoch
    yield Started("reward", total, as_dict(config), state.step)
    if state.step == 0 and config.head == "fitted":
        weights = yield from first_head(state.roles, role, train, config.seed)
        with torch.no_grad():
            state.roles.heads[role].weight.copy_(weights[None])
    while state.step < total:
        before, config = config, live()
        yield from changes(state.step, before, config)
        state.knobs = live_knobs(config)
        metrics = _learn(state, train, config, total)
        yield from state.warnings()
        state.step += 1
        if test and (state.step % per_epoch == 0):
            metrics["pairs/accuracy"] = accuracy_of((yield from score_all(state.roles, test, role)))
        yield Step(state.step, metrics)
    state.roles.freeze()
    scale, quantiles = yield from measure_scale(state.roles, prompts, config, role, reference)
    result = evaluate((yield from score_all(state.roles, test, role)), scale) if test else {}
    result["learning_curve"] = yield from learning_curve(state.roles, reference, train, test, config.seed)
    if test and result["pairs/accuracy_low"] <= 0.5:
        yield _no_better_than_chance(total, result)
    yield Finished(
        total, "done", result | {"rankings": len(train), "gain": scale.gain, "bias": scale.bias, "quantiles": quantiles}
    )


def epochs_for(count: int) -> int:
    """Passes when nobody chose: about 480 rankings are read, at most 3 times; InstructGPT's one pass over many."""
    return max(1, min(3, round(480 / count)))


def split(rankings: Sequence[Ranked], config: Reward) -> tuple[list[Ranked], list[Ranked]]:
    """Rankings for training and for testing, parted by question; TooFewRankings when either is too small.

    Where the share kept for testing leaves too few pairs to one of them, it is moved as far as it must.
    """
    useful = [ranked for ranked in rankings if ranked.pairs]
    first: dict[Any, tuple[int, ...]] = {}
    for ranked in useful:
        first[ranked.question] = min(first.get(ranked.question, ranked.prompt), ranked.prompt)
    questions = sorted(first, key=first.__getitem__)
    Random(f"split {config.seed}").shuffle(questions)
    pairs: Counter[Any] = Counter()
    for ranked in useful:
        pairs[ranked.question] += len(ranked.pairs)
    kept = frozenset(questions[: _tested([pairs[each] for each in questions], config.held_out)])
    train = [ranked for ranked in useful if ranked.question not in kept]
    test = [ranked for ranked in useful if ranked.question in kept]
    found = sum(len(ranked.pairs) for ranked in train), sum(len(ranked.pairs) for ranked in test)
    if found[0] < PAIRS_TO_LEARN or (config.held_out and found[1] < PAIRS_TO_TEST):
        whole = config.half == "all"
        whose = f"your {len(rankings)} rankings" if whole else f"the {len(rankings)} rankings of the {config.half} half"
        raise TooFewRankings(
            f"The reward model needs {PAIRS_TO_LEARN} pairs to learn from and {PAIRS_TO_TEST} to be tested on; "
            f"{whose} give {found[0]} and {found[1]} (ties and skips give none). Rank more prompts on the Rank page, "
            "or add a file of them under Rankings to learn from; in a shell: python -m lab import FILE"
            f"{'' if whole else '. Or learn from all of them'}"
        )
    return train, test


def _tested(pairs: Sequence[int], share: float) -> int:
    """How many of the first questions, with so many pairs each, are for testing."""
    count = round(len(pairs) * share)
    while share and count < len(pairs) and sum(pairs[:count]) < PAIRS_TO_TEST:
        count += 1
    while share and sum(pairs[count:]) < PAIRS_TO_LEARN and sum(pairs[: count - 1]) >= PAIRS_TO_TEST:
        count -= 1
    return count


def _learn(state: State, train: Sequence[Ranked], config: Reward, total: int) -> dict[str, float | None]:
    """One optimizer step on a batch of rankings, each epoch in a new order."""
    began = monotonic()
    per_epoch = -(-len(train) // config.batch)
    epoch, index = divmod(state.step, per_epoch)
    order = Random(f"{config.seed} {epoch}").sample(range(len(train)), len(train))
    chosen = [train[i] for i in order[index * config.batch : (index + 1) * config.batch]]
    rate = config.learning_rate * share_of_rate(state.step + 1, total)
    found, norm = state.learn(lambda size: _summed(state, chosen, config, size), len(chosen), config.grad_clip, rate)
    loss, accuracy = found or (None, None)
    metrics = {"loss/train": loss, "gradient/norm": norm, "update/skipped": float(found is None)}
    return metrics | {"pairs/train_accuracy": accuracy, "pairs/accuracy": None, "time/step": monotonic() - began}


def share_of_rate(step: int, total: int) -> float:
    """How much of the learning rate a step from 1 to the total has: it rises in the warm-up, then falls evenly."""
    return min(1.0, step / WARM_UP, 1 + LAST_SHARE - step / total)


def _summed(state: State, chosen: Sequence[Ranked], config: Reward, size: int) -> tuple[float, float]:
    """Gradients and value of the mean loss over a batch of rankings, `size` at a time, and the share of right pairs."""
    loss = right = 0.0
    for start in range(0, len(chosen), size):
        some = chosen[start : start + size]
        part, good = _backward(state, some, config, len(some) / len(chosen))
        loss, right = loss + part, right + good
    return loss, right / sum(len(ranked.pairs) for ranked in chosen)


def _backward(state: State, chosen: Sequence[Ranked], config: Reward, share: float) -> tuple[float, float]:
    """Gradients of a share of the mean loss, and the pairs in order; each response is read once for all its pairs."""
    scores = score_rankings(state.roles, chosen, state.adapters[0])
    found, right = [], 0.0
    for ranked, each in zip(chosen, scores, strict=True):
        found.append(loss_of(each, ranked.groups, config.loss))
        better, worse = zip(*ranked.pairs, strict=True)
        delta = (each[list(better)] - each[list(worse)]).detach()
        right += float(bt_accuracy(delta)) * len(delta)
    loss = torch.stack(found).mean() * share
    loss.backward()
    return finite(loss, "reward loss"), right


def loss_of(scores: torch.Tensor, groups: Groups, way: str) -> torch.Tensor:
    """The loss of one ranking by its scores [K], where way is Reward.loss; by pairs in any case where some are tied.

    Plackett-Luce is the mean over its K - 1 choices, so that long rankings weigh no more than short and tied ones.
    """
    flat = [i for group in groups for i in group]
    if way == "plackett_luce" and len(flat) == len(groups):
        return plackett_luce_loss(scores, flat) / max(1, len(flat) - 1)
    return ranking_loss(scores, groups)


def score_rankings(roles: Roles, chosen: Sequence[Ranked], role: str = "reward") -> list[torch.Tensor]:
    """Raw scores, one tensor [K] a ranking, from one forward pass over all responses."""
    prompts = [ranked.prompt for ranked in chosen for _ in ranked.responses]
    responses = [response for ranked in chosen for response in ranked.responses]
    raw = roles.raw_scores(batch_of(prompts, responses, roles.text.pad_id).to(roles.device), role)
    return list(raw.split([len(ranked.responses) for ranked in chosen]))


def score_all(roles: Roles, rankings: Sequence[Ranked], role: str = "reward") -> Generator[Event, None, list[Scored]]:
    """Every ranking with its raw scores and lengths."""
    return (yield from part_by_part("held-out accuracy", lambda some: _scored(roles, some, role), rankings, 8))


@torch.no_grad()
def _scored(roles: Roles, rankings: Sequence[Ranked], role: str) -> list[Scored]:
    raw = score_rankings(roles, rankings, role)
    found = []
    for ranked, scores in zip(rankings, raw, strict=True):
        lengths = tuple(map(len, ranked.responses))
        found.append(Scored(scores.cpu(), ranked.groups, lengths, ranked.rater, ranked.seq, ranked.question))
    return found


def raw_scores(roles: Roles, role: str, prompts: Sequence, responses: Sequence) -> torch.Tensor:
    """Raw scores [N] of responses as ids, in batches of alike lengths."""
    return result_of(_raw_scores(roles, role, prompts, responses))


def _raw_scores(
    roles: Roles, role: str, prompts: Sequence, responses: Sequence
) -> Generator[Event, None, torch.Tensor]:
    order = sorted(range(len(responses)), key=lambda i: len(prompts[i]) + len(responses[i]))
    rows = [(prompts[i], responses[i]) for i in order]
    found = yield from part_by_part("scores", lambda some: _raw(roles, some, role), rows, 32)
    raw = torch.zeros(len(responses))
    raw[order] = torch.tensor(found)
    return raw


@torch.no_grad()
def _raw(roles: Roles, rows: Sequence[tuple[Sequence[int], Sequence[int]]], role: str) -> list[float]:
    batch = batch_of(*zip(*rows, strict=True), roles.text.pad_id)
    return roles.raw_scores(batch.to(roles.device), role).tolist()


def measure_scale(
    roles: Roles, prompts: Sequence[Asked], config: Reward, role: str = "reward", reference: str = "sft"
) -> Generator[Event, None, tuple[Scale, list[float]]]:
    """The gain and bias that give the reference's responses mean 0 and deviation 1, and 21 quantiles of their scores.

    Raises FlatReward when all score alike.
    """
    asked = [prompts[i % len(prompts)].ids for i in range(config.normalise_over)]
    responses = []
    for start in range(0, len(asked), SCALED):
        yield Progress("scale", start, len(asked))
        some, seed = asked[start : start + SCALED], step_seed(config.seed, start)
        responses += sample(roles, reference, some, tokens=config.tokens, temperature=config.temperature, seed=seed)
    raw = yield from _raw_scores(roles, role, asked, responses)
    deviation = raw.std(correction=0).item()
    if deviation < LEAST_SPREAD:
        raise FlatReward(
            f"The reward model gives {len(raw)} different responses nearly the same score (deviation {deviation:.2g}), "
            "so PPO would have nothing to follow. Rank more prompts whose answers clearly differ."
        )
    scale = Scale(1 / deviation, -raw.mean().item() / deviation)
    return scale, scale.of(raw).quantile(torch.linspace(0, 1, 21)).tolist()


def _no_better_than_chance(step: int, result: dict[str, float]) -> Warned:
    shown = "not shown to be better" if result["pairs/accuracy"] > 0.5 else "no better"
    return Warned(
        step,
        "W_CHANCE",
        f"On {result['pairs']} held-out pairs the reward model is right in {result['pairs/accuracy']:.0%} "
        f"(95 % between {result['pairs/accuracy_low']:.0%} and {result['pairs/accuracy_high']:.0%}): "
        f"{shown} than chance, so PPO may chase noise.",
        "Rank more prompts, or check that your rankings agree with one another.",
    )
