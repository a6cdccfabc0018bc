"""The sft stage: teaches the base to answer, by the loss of responses only, in an adapter called sft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from time import monotonic

import torch
from torch import nn

from lab.config import Sft
from lab.errors import NoRows
from lab.events import Event, Finished, Started, Step
from lab.losses import sft_loss
from lab.models import Roles
from lab.steps import as_dict, finite
from lab.text import Batch, batch_of

Pairs = Sequence[tuple[str, str]]


def sft(roles: Roles, pairs: Pairs, config: Sft, *, held_out: Pairs = ()) -> Iterator[Event]:
    """Train the sft adapter on (prompt, response) pairs; every Step carries the loss in nats a response token."""
    if not pairs:
        raise NoRows("There is no instruction pair to learn from. Give some with --data, or use the built-in ones.")
    roles.add("sft", rank=config.rank)
    _start(roles, config.seed)
    parameters = roles.trainable("sft")
    optimizer = torch.optim.AdamW(parameters, lr=config.learning_rate, weight_decay=0.0)
    encoded = [encode(roles, pair) for pair in pairs]
    yield Started("sft", config.steps, as_dict(config))
    for step in range(1, config.steps + 1):
        began = monotonic()
        chosen = Random(f"{config.seed} {step}").choices(encoded, k=config.batch)
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * min(1.0, step / 10, 2 * (1 - (step - 1) / config.steps))
        loss = response_loss(roles, _batch(roles, chosen))
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, 1.0, error_if_nonfinite=True)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        metrics = {"loss/train": finite(loss, "sft loss"), "gradient/norm": norm.item()}
        yield Step(step, metrics | {"time/step": monotonic() - began})
    roles.freeze()
    result = {"loss/held_out": held_out_loss(roles, held_out)} if held_out else {}
    yield Finished(config.steps, "done", result)


def encode(roles: Roles, pair: tuple[str, str]) -> tuple[list[int], list[int]]:
    """Prompt and response ids of a pair; the response ends with the end token."""
    response = roles.text.response_ids(pair[1])
    return roles.text.prompt_ids(pair[0], room=len(response)), response


def response_loss(roles: Roles, batch: Batch) -> torch.Tensor:
    """Mean nats a response token."""
    logits = roles.logits(roles.hidden("sft", batch)[:, :-1])
    return sft_loss(logits, batch.responses, batch.mask)


@torch.no_grad()
def held_out_loss(roles: Roles, pairs: Pairs) -> float:
    """Mean nats a response token over pairs that were not trained on."""
    encoded = [encode(roles, pair) for pair in pairs]
    total = count = 0.0
    for start in range(0, len(encoded), 16):
        batch = _batch(roles, encoded[start : start + 16])
        tokens = batch.mask.sum().item()
        total += response_loss(roles, batch).item() * tokens
        count += tokens
    return total / count


def _batch(roles: Roles, encoded: Sequence[tuple[list[int], list[int]]]) -> Batch:
    prompts, responses = zip(*encoded, strict=True)
    return batch_of(prompts, responses, roles.text.pad_id).to(roles.device)


def _start(roles: Roles, seed: int) -> None:
    """The adapter's first half random by the seed alone, its second half zero: no change at the start."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in roles.weights("sft").items():
        with torch.no_grad():
            if "lora_A" in name:
                bound = parameter.shape[1] ** -0.5
                drawn = (torch.rand(parameter.shape, generator=generator) * 2 - 1) * bound
                parameter.copy_(drawn.to(parameter))
            else:
                parameter.zero_()
