"""Numbers that are none in the middle of a run: an update is left out, three make it go back once, and it is told."""

from __future__ import annotations

import pytest
import torch
from folders import make
from ranked import copy_of, with_reward

from lab import checkpoint, dpo, generate, ppo, reward, rloo_grpo, sft
from lab.adapters import save_adapter
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.errors import NotFinite
from lab.events import Changed, Failed, Finished, Started, Step, Warned
from lab.loading import load
from lab.reward import Ranked
from lab.runner import drive
from lab.state import IN_A_ROW, State
from lab.text import Asked

TEXTS = [f"{number} and what does a penguin eat?" for number in range(12)]
LITTLE = {"steps": 3, "tokens": 6, "microbatch": 8, "missing_eos": "off"}
RUN = {"steps": 9, "batch": 8, "minibatch": 8, "microbatch": 8, "tokens": 6, "epochs": 1, "learning_rate": 1e-3}


def asked(roles):
    return [Asked(text, tuple(roles.text.prompt_ids(text))) for text in TEXTS]


def rankings(roles):
    """The longest answer is the best one."""
    answers = [tuple(roles.text.response_ids(text)) for text in ("A penguin eats fish and squid.", "Fish.", "No, no.")]
    return [Ranked(each.ids, tuple(answers), ((0,), (2,), (1,))) for each in asked(roles)]


def of_sft(roles):
    config = Sft(steps=3, batch=4)
    state = sft.begin(roles, config)
    return state, sft.sft(state, [(text, "Fish and squid.") for text in TEXTS], lambda: config)


def of_reward(roles):
    config = Reward(batch=4, epochs=1, normalise_over=8, tokens=4, held_out=0.0)
    state = reward.begin(roles, config)
    return state, reward.reward(state, rankings(roles), asked(roles), lambda: config)


def of_dpo(roles):
    config = Dpo(batch=12, epochs=1)
    state = dpo.begin(roles, Cast(), config)
    return state, dpo.dpo(state, Cast(), rankings(roles), lambda: config)


def of_policy(stage, run, config):
    def made(roles):
        roles.add("reward", like="sft")
        roles.head("reward")
        state = stage.begin(roles, Cast(), config)
        return state, run(state, Cast(), asked(roles), lambda: config)

    return made


STAGES = {
    "sft": of_sft,
    "reward": of_reward,
    "dpo": of_dpo,
    "ppo": of_policy(ppo, ppo.ppo, Ppo(batch=8, minibatch=8, epochs=1, **LITTLE)),
} | {
    method: of_policy(rloo_grpo, rloo_grpo.rloo_grpo, Group(method=method, prompts=2, group=4, epochs=1, **LITTLE))
    for method in ("rloo", "grpo")
}


def learning(state):
    return [parameter for group in state.optimizer.param_groups for parameter in group["params"]]


def spoil(state, broken):
    """The gradient of one weight is no number at the steps that `broken` says so of."""
    learning(state)[0].register_hook(lambda gradient: gradient * torch.nan if broken(state.step) else gradient)


@pytest.mark.parametrize("stage", STAGES)
def test_an_update_whose_gradient_is_no_number_is_left_out_and_counted_and_the_next_one_learns(stage):
    state, events = STAGES[stage](load("tiny", device="cpu"))
    spoil(state, lambda step: step == 1)
    steps, kept, warned = [], [], []
    for event in events:
        if isinstance(event, Step):
            steps.append(event.metrics)
            kept.append([parameter.detach().clone() for parameter in learning(state)])
        elif isinstance(event, Warned) and event.code == "W_SKIPPED":
            warned.append(event)
    assert isinstance(event, Finished) and len(steps) >= 3
    assert [each["update/skipped"] for each in steps] == [0.0, 1.0] + [0.0] * (len(steps) - 2)
    assert [each.step for each in warned] == [1] and "gradient norm is nan" in warned[0].message
    assert all(map(torch.equal, kept[0], kept[1])) and not all(map(torch.equal, kept[1], kept[2]))
    assert all(each.isfinite().all() for each in kept[-1])


def test_a_rollout_that_is_no_number_is_a_step_left_out(monkeypatch):
    state, events = STAGES["ppo"](load("tiny", device="cpu"))
    real = generate.draw
    monkeypatch.setattr(
        generate, "draw", lambda logits, *more: real(logits * torch.nan if state.step == 0 else logits, *more)
    )
    found = list(events)
    steps = [each for each in found if isinstance(each, Step)]
    assert [each.step for each in steps] == [1, 2, 3] and "kl/k1" not in steps[0].metrics
    assert [each.metrics["update/skipped"] for each in steps] == [1.0, 0.0, 0.0]
    assert [each.code for each in found if isinstance(each, Warned)][0] == "W_SKIPPED"
    assert steps[2].metrics["kl/reference"] > 0


def test_three_updates_in_a_row_are_one_too_many():
    state, events = STAGES["sft"](load("tiny", device="cpu"))
    spoil(state, lambda step: True)
    before = [each.detach().clone() for each in learning(state)]
    with pytest.raises(NotFinite, match="gradient norm is nan"):
        list(events)
    assert state.step == IN_A_ROW - 1 and all(map(torch.equal, before, learning(state)))


def test_an_adapter_that_is_not_finite_is_not_saved(tmp_path):
    roles = load("tiny", device="cpu")
    with torch.no_grad():
        next(iter(roles.weights("sft").values()))[0, 0] = torch.inf
    with pytest.raises(NotFinite, match="is not finite at step 7"):
        save_adapter(roles, "sft", tmp_path / "adapter", step=7)
    assert not (tmp_path / "adapter").exists()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("not_finite"), "llama")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    knobs = {"epochs": 1, "normalise_over": 16, "tokens": 8, "learning_rate": 3e-3}
    return with_reward(tmp_path_factory.mktemp("rewarded") / "w", folder, 20, knobs)


@pytest.fixture
def studio(trained, folder, tmp_path):
    return copy_of(trained, folder, tmp_path / "w")


@pytest.fixture
def breaks(monkeypatch):
    """Updates are no numbers while the learning rate is above a limit and the step above another."""
    real, limits = State.clip_gradients, {"rate": 0.0, "step": 0}

    def spoilt(self, largest):
        norm = real(self, largest)
        if self.step >= limits["step"] and self.knobs["learning_rate"] > limits["rate"]:
            raise NotFinite("The gradient norm is nan. Stop.")
        return norm

    monkeypatch.setattr(State, "clip_gradients", spoilt)
    return limits


def test_a_run_goes_back_once_to_before_its_last_update_with_half_the_rate_and_comes_to_its_end(studio, breaks):
    breaks |= {"rate": 6e-4, "step": 5}
    job = studio.start("ppo", RUN, {"prompts": ["Hi", "Why?"], "anyway": True})
    events = list(drive(job))
    assert isinstance(events[-1], Finished) and events[-1].step == 9 and job.run.status() == "done"
    assert [event.step for event in events if isinstance(event, Started)] == [0, 4]
    (told,) = [event for event in events if isinstance(event, Warned) and event.code == "W_WENT_BACK"]
    assert told.step == 4 and "0.0005 instead of 0.001" in told.message
    (moved,) = [event for event in events if isinstance(event, Changed)]
    assert (moved.step, moved.key, moved.before, moved.after, moved.by) == (4, "learning_rate", 1e-3, 5e-4, "The lab")
    assert [event.step for event in events if isinstance(event, Step)] == [1, 2, 3, 4, 5, 6, 7, 5, 6, 7, 8, 9]
    assert all(torch.isfinite(each).all() for each in studio.roles.weights(job.run.name).values())


def test_a_run_whose_numbers_break_again_fails_in_words_and_its_checkpoints_are_finite(studio, breaks):
    breaks |= {"step": 3}
    job = studio.start("ppo", RUN, {"prompts": ["Hi", "Why?"], "anyway": True})
    events = list(drive(job))
    assert isinstance(events[-1], Failed) and events[-1].code == "E_NOT_FINITE" and job.run.status() == "failed"
    assert [event.code for event in events if isinstance(event, Warned)].count("W_WENT_BACK") == 1
    assert job.run.checkpoints() == [1, 2, 3], "none of a step in which nothing was learned"
    tensors, _ = checkpoint.read_folder(job.run.checkpoint(3))
    assert all(tensor.isfinite().all() for tensor in tensors.values())


def test_a_run_that_its_first_update_broke_begins_again(studio, breaks):
    breaks |= {"rate": 6e-4, "step": 1}
    job = studio.start("sft", {"steps": 4, "batch": 4, "learning_rate": 1e-3}, {"pairs": [("Hi", "Hello.")] * 20})
    events = list(drive(job))
    assert isinstance(events[-1], Finished) and [each.step for each in events if isinstance(each, Started)] == [0, 0]
    assert "its beginning" in next(event.message for event in events if getattr(event, "code", "") == "W_WENT_BACK")


def test_a_run_that_could_make_no_update_at_all_fails_at_once(studio, breaks):
    job = studio.start("sft", {"steps": 4, "batch": 4}, {"pairs": [("Hi", "Hello.")] * 20})
    events = list(drive(job))
    assert isinstance(events[-1], Failed) and [each.step for each in events if isinstance(each, Started)] == [0]
