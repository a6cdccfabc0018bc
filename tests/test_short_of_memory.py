"""Memory that runs out in the middle of any stage: smaller parts, the same optimizer's batch, and a word about it."""

from __future__ import annotations

import pytest
import torch

from lab import dpo, reward, rloo_grpo, sft
from lab.config import Dpo, Group, Reward, Sft
from lab.events import Finished, Step, Warned
from lab.loading import load
from lab.models import Roles
from lab.reward import Ranked
from lab.rollout import Cast
from lab.text import Asked

ROOM = 4  # rows that a pass with gradients may have
TEXTS = [f"{number} and what does a penguin eat?" for number in range(12)]


def asked(roles):
    return [Asked(text, tuple(roles.text.prompt_ids(text))) for text in TEXTS]


def rankings(roles):
    """The longest answer is the best one."""
    answers = [tuple(roles.text.response_ids(text)) for text in ("A penguin eats fish and squid.", "Fish.", "No, no.")]
    return [Ranked(each.ids, tuple(answers), ((0,), (2,), (1,))) for each in asked(roles)]


def of_sft(roles):
    config = Sft(steps=2, batch=8, microbatch=8)
    state = sft.begin(roles, config)
    return state, sft.sft(state, [(text, "Fish and squid.") for text in TEXTS], lambda: config)


def of_reward(roles):
    config = Reward(batch=8, epochs=1, normalise_over=8, tokens=4, held_out=0.0)
    state = reward.begin(roles, config)
    return state, reward.reward(state, rankings(roles), asked(roles), lambda: config)


def of_dpo(roles):
    config = Dpo(batch=8, microbatch=8, epochs=1)
    state = dpo.begin(roles, Cast(), config)
    return state, dpo.dpo(state, Cast(), rankings(roles), lambda: config)


def of_rloo(roles):
    roles.add("reward", like="sft")
    roles.head("reward")
    config = Group(steps=1, prompts=2, group=4, microbatch=8, tokens=6, missing_eos="off")
    state = rloo_grpo.begin(roles, Cast(), config)
    return state, rloo_grpo.rloo_grpo(state, Cast(), asked(roles), lambda: config)


@pytest.mark.parametrize("stage", [of_sft, of_reward, of_dpo, of_rloo])
def test_a_stage_goes_on_in_smaller_parts_and_learns_the_same(stage, monkeypatch):
    state, events = stage(load("tiny", device="cpu"))
    whole = list(events)
    expected = {name: weight.detach().clone() for name, weight in state.roles.weights(state.adapters[0]).items()}

    real = Roles.hidden

    def short(self, role, batch, only=None):
        if torch.is_grad_enabled() and len(batch.ids) > ROOM:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return real(self, role, batch, only)

    monkeypatch.setattr(Roles, "hidden", short)
    state, events = stage(load("tiny", device="cpu"))
    cut = list(events)
    assert isinstance(cut[-1], Finished) and not any(isinstance(each, Warned) for each in whole)
    (warned,) = (each for each in cut if isinstance(each, Warned))
    assert (
        warned.code == "W_MEMORY"
        and f" {state.microbatch} at a time" in warned.message
        and 0 < state.microbatch <= ROOM
    )
    losses = [[each.metrics.get("loss/train") for each in some if isinstance(each, Step)] for some in (whole, cut)]
    assert len(losses[0]) == len(losses[1])
    for before, after in zip(*losses, strict=True):
        assert before is None or after == pytest.approx(before, abs=1e-4)
    for name, weight in state.roles.weights(state.adapters[0]).items():
        assert torch.allclose(weight, expected[name], atol=2e-4), name
