"""The sft stage: teaches the base to answer, by the loss of responses only, in an adapter of its own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from random import Random
from time import monotonic

import torch

from lab import logprobs, losses
from lab.config import Sft
from lab.errors import NoRows
from lab.events import Event, Finished, Started, Step
from lab.models import Roles
from lab.samples import in_words
from lab.state import State, new_state
from lab.steps import as_dict, changes, finite, last_read, live_knobs, part_by_part
from lab.text import Batch, Prompt, batch_of

Pairs = Sequence[tuple[Prompt, str]]
Encoded = tuple[list[int], list[int]]
Live = Callable[[], Sft]
_WINDOW = 8
WARM_UP = 10  # steps in which AdamW learns more slowly, since its second moments rest on few gradients at first


def begin(roles: Roles, config: Sft, role: str = "sft") -> State:
    """A fresh adapter under its optimizer: its first half random by the seed alone, its second half zero."""
    roles.add(role, rank=config.rank)
    generator = torch.Generator().manual_seed(config.seed)
    for name, parameter in roles.weights(role).items():
        with torch.no_grad():
            if "lora_A" in name:
                bound = parameter.shape[1] ** -0.5
                drawn = (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
                parameter.copy_(drawn.to(parameter))
            else:
                parameter.zero_()
    return new_state(roles, [(role, "")], config)


def sft(state: State, pairs: Pairs, live: Live, *, held_out: Pairs = (), pinned: Sequence[str] = ()) -> Iterator[Event]:
    """Train the adapter on (prompt, response) pairs; every Step carries the loss in nats a response token.

    The answers to the pinned prompts are sampled before the first step and after the last.
    """
    config, metrics = last_read(live(), state.knobs), {}
    if not pairs:
        raise NoRows("There is no instruction pair to learn from. Give some with --data, or use the built-in ones.")
    encoded = [encode(state.roles, pair) for pair in pairs]
    yield Started("sft", config.steps, as_dict(config), state.step)
    if state.step == 0:
        yield from in_words(state, pinned)
    while state.step < config.steps:
        before, config = config, live()
        yield from changes(state.step, before, config)
        state.knobs = live_knobs(config)
        metrics = _learn(state, encoded, config)
        yield from state.warnings()
        state.step += 1
        if held_out and (state.step % max(1, config.steps // 6) == 0 or state.step == config.steps):
            metrics["loss/held_out"] = yield from held_out_loss(state.roles, held_out, state.adapters[0])
        yield Step(state.step, metrics)
    state.roles.freeze()
    yield from in_words(state, pinned)
    yield Finished(state.step, "done", {key: value for key, value in metrics.items() if key.startswith("loss/")})


def _learn(state: State, encoded: Sequence[Encoded], config: Sft) -> dict[str, float | None]:
    """One optimizer step; the loss is the mean over all response tokens of the optimizer's batch."""
    began, role = monotonic(), state.adapters[0]
    chosen = _chosen(encoded, config, state.step)
    count = sum(len(response) for _, response in chosen)

    def summed(size: int) -> float:
        total = 0.0
        for start in range(0, len(chosen), size):
            batch = _batch(state.roles, chosen[start : start + size])
            loss = response_loss(state.roles, batch, role, count)
            loss.backward()
            total += finite(loss, "sft loss")
        return total

    rate = config.learning_rate * share_of_rate(state.step + 1, config.steps)
    total, norm = state.learn(summed, config.microbatch, config.grad_clip, rate)
    seconds = monotonic() - began
    speed = sum(len(prompt) + len(response) for prompt, response in chosen) / seconds
    return {
        "loss/train": total,
        "loss/held_out": None,
        "gradient/norm": norm,
        "update/skipped": float(norm is None),
    } | {
        "speed/tokens_per_second": speed,
        "time/step": seconds,
    }


def share_of_rate(step: int, total: int) -> float:
    """How much of the learning rate a step from 1 to the total has: it rises in the warm-up, falls from half-way on."""
    return min(1.0, step / WARM_UP, 2 * (1 - (step - 1) / total))


def _chosen(encoded: Sequence[Encoded], config: Sft, step: int) -> list[Encoded]:
    """The step's pairs: every epoch in a new order, alike lengths together, so that little is padded."""
    size = min(config.batch, len(encoded))
    per_epoch = len(encoded) // size
    epoch, index = divmod(step, per_epoch)
    rng = Random(f"sft {config.seed} {epoch}")
    order = rng.sample(range(len(encoded)), per_epoch * size)
    windows = [order[start : start + _WINDOW * size] for start in range(0, len(order), _WINDOW * size)]
    by_length = [i for window in windows for i in sorted(window, key=lambda i: len(encoded[i][0]) + len(encoded[i][1]))]
    batches = [by_length[start : start + size] for start in range(0, len(by_length), size)]
    rng.shuffle(batches)
    return [encoded[i] for i in batches[index]]


def encode(roles: Roles, pair: tuple[Prompt, str]) -> Encoded:
    """Prompt and response ids of a pair; the response ends with the end token."""
    response = roles.text.response_ids(pair[1])
    return roles.text.prompt_ids(pair[0], room=len(response)), response


def response_loss(roles: Roles, batch: Batch, role: str = "sft", count: int | None = None) -> torch.Tensor:
    """Nats a response token: the mean, or the sum over `count`."""
    logp = logprobs.of(roles, roles.hidden(role, batch)[:, :-1], batch.responses, batch.mask)
    return losses.sft_loss(logp, batch.mask, count)


def held_out_loss(roles: Roles, pairs: Pairs, role: str = "sft") -> Generator[Event, None, float]:
    """Mean nats a response token over pairs that were not trained on."""
    encoded = sorted((encode(roles, pair) for pair in pairs), key=lambda pair: len(pair[0]) + len(pair[1]))
    parts = yield from part_by_part("held-out loss", lambda some: [_summed_loss(roles, some, role)], encoded, 16)
    return sum(loss for loss, _ in parts) / sum(tokens for _, tokens in parts)


@torch.no_grad()
def _summed_loss(roles: Roles, encoded: Sequence[Encoded], role: str) -> tuple[float, float]:
    """Nats of all response tokens, and how many these are."""
    batch = _batch(roles, encoded)
    tokens = batch.mask.sum().item()
    return response_loss(roles, batch, role).item() * tokens, tokens


def _batch(roles: Roles, encoded: Sequence[Encoded]) -> Batch:
    prompts, responses = zip(*encoded, strict=True)
    return batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
