"""DPO: the policy learns from ranked pairs directly, without a reward model and without sampling (Rafailov 2023)."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from time import monotonic

import torch

from lab import logprobs, losses
from lab.cast import Cast
from lab.config import Dpo
from lab.errors import TooFewRankings
from lab.events import Event, Finished, Started, Step
from lab.models import Roles
from lab.reward import Ranked
from lab.samples import in_words
from lab.shortage import in_parts
from lab.state import State, new_state
from lab.steps import as_dict, changes, finite, last_read, live_knobs, part_by_part
from lab.text import batch_of

TIE = 1e-4  # nats


@dataclass(frozen=True, slots=True)
class Pair:
    """A prompt, its chosen and rejected response, and what the reference gives them, in nats a response.

    All pairs of a ranking weigh as much as one pair that stands alone.
    """

    prompt: tuple[int, ...]
    chosen: tuple[int, ...]
    rejected: tuple[int, ...]
    ref_chosen: float
    ref_rejected: float
    weight: float


def begin(roles: Roles, cast: Cast, config: Dpo) -> State:
    """The policy as an exact copy of the reference; nothing else learns."""
    roles.add(cast.policy, like=cast.reference)
    state = new_state(roles, [(cast.policy, "")], config)
    state.beta = config.beta
    return state


def dpo(
    state: State, cast: Cast, rankings: Sequence[Ranked], live: Callable[[], Dpo], pinned: Sequence[str] = ()
) -> Iterator[Event]:
    """Steps over all pairs of the rankings. Raises TooFewRankings when there is none.

    The answers to the pinned prompts are sampled before the first step and after the last.
    """
    config = last_read(live(), state.knobs)
    if not any(ranked.pairs for ranked in rankings):
        raise TooFewRankings(
            f"DPO learns from pairs, and {len(rankings)} rankings give 0 (ties and skips give none). Rank some prompts."
        )
    count = sum(len(ranked.pairs) for ranked in rankings)
    total = config.epochs * -(-count // config.batch)
    yield Started("dpo", total, as_dict(config), state.step)
    pairs = yield from pairs_of(state.roles, cast, rankings)
    if state.step == 0:
        yield from in_words(state, pinned)
    while state.step < total:
        before, config = config, live()
        yield from changes(state.step, before, config)
        state.knobs = live_knobs(config)
        began = monotonic()
        metrics = _learn(state, cast, _chosen(pairs, config, state.step), config)
        yield from state.warnings()
        state.step += 1
        yield Step(state.step, metrics | {"time/step": monotonic() - began})
    yield from in_words(state, pinned)
    state.roles.freeze()
    yield Finished(total, "done", {})


def pairs_of(roles: Roles, cast: Cast, rankings: Sequence[Ranked]) -> Generator[Event, None, list[Pair]]:
    """Every pair of every ranking; the reference reads each response once."""
    return (yield from part_by_part("reference", lambda some: _pairs(roles, cast, some), rankings, 8))


@torch.no_grad()
def _pairs(roles: Roles, cast: Cast, rankings: Sequence[Ranked]) -> list[Pair]:
    prompts = [ranked.prompt for ranked in rankings for _ in ranked.responses]
    responses = [response for ranked in rankings for response in ranked.responses]
    rows = list(zip(prompts, responses, strict=True))
    parts, _ = in_parts(lambda some: summed(roles, cast.reference, *zip(*some, strict=True)).tolist(), rows, len(rows))
    told, found = (each for part in parts for each in part), []
    for ranked in rankings:
        sides = [(response, next(told)) for response in ranked.responses]
        for (better, high), (worse, low) in ((sides[i], sides[j]) for i, j in ranked.pairs):
            found.append(Pair(ranked.prompt, better, worse, high, low, 1 / len(ranked.pairs)))
    return found


def summed(roles: Roles, role: str, prompts: Sequence, responses: Sequence) -> torch.Tensor:
    """[N] log-prob of each whole response, its end token included."""
    batch = batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
    states = roles.hidden(role, batch)[:, :-1]
    return logprobs.of(roles, states, batch.responses, batch.mask).sum(1)


def _chosen(pairs: Sequence[Pair], config: Dpo, step: int) -> list[Pair]:
    """The step's pairs, each epoch in an order of its own."""
    epoch, index = divmod(step, -(-len(pairs) // config.batch))
    order = Random(f"{config.seed} {epoch}").sample(range(len(pairs)), len(pairs))
    return [pairs[i] for i in order[index * config.batch : (index + 1) * config.batch]]


def _learn(state: State, cast: Cast, pairs: Sequence[Pair], config: Dpo) -> dict[str, float | None]:
    """One optimizer step; losses of microbatches add up."""

    def summed(size: int) -> tuple[float, float]:
        return _backward(state, cast, pairs, config, size)

    found, norm = state.learn(summed, config.microbatch, config.grad_clip, config.learning_rate)
    total, right = found or (None, None)
    share = None if right is None else right / len(pairs)
    return {"loss/train": total, "pairs/train_accuracy": share, "gradient/norm": norm} | {
        "update/skipped": float(found is None)
    }


def _backward(state: State, cast: Cast, pairs: Sequence[Pair], config: Dpo, size: int) -> tuple[float, float]:
    """Gradients of the mean loss, and how many pairs are in order; chosen and rejected go through one pass."""
    total, right = 0.0, 0.0
    whole = sum(pair.weight for pair in pairs)
    for start in range(0, len(pairs), size):
        some = pairs[start : start + size]
        said = [pair.chosen for pair in some] + [pair.rejected for pair in some]
        chosen, rejected = summed(state.roles, cast.policy, [pair.prompt for pair in some] * 2, said).chunk(2)
        ref_chosen, ref_rejected, weights = (
            torch.tensor([getattr(pair, name) for pair in some], device=chosen.device)
            for name in ("ref_chosen", "ref_rejected", "weight")
        )
        loss = losses.dpo_loss(chosen, rejected, ref_chosen, ref_rejected, config.beta, weights)
        loss = loss * weights.sum() / whole
        loss.backward()
        margin = losses.k1(chosen, ref_chosen) - losses.k1(rejected, ref_rejected)
        # A pair whose margin is nothing but rounding, as all are before the first update, is half right.
        right += float((margin > TIE).sum() + 0.5 * (margin.abs() <= TIE).sum())
        total += finite(loss, "dpo loss")
    return total, right
