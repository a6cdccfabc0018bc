"""People and policy go on together: the reward model is trained anew between two steps, and the run follows it."""

from __future__ import annotations

import pytest
from folders import make
from ranked import copy_of, rank, with_reward

from lab.events import Changed, Finished, Step
from lab.refresh import Refresh
from lab.runner import drive

RUN = {
    "ppo": {"steps": 5, "batch": 8, "minibatch": 4, "microbatch": 4, "tokens": 8, "refresh": 3},
    "rloo": {"steps": 5, "prompts": 2, "group": 4, "tokens": 8, "refresh": 3, "missing_eos": "off"},
}
REWARD = {"epochs": 1, "normalise_over": 16, "tokens": 8, "learning_rate": 3e-3}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("refresh"), "llama")


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    """A workspace with a reward model that is right on nearly all pairs: who ranked likes long answers."""
    return with_reward(tmp_path_factory.mktemp("trained") / "w", folder, 30, REWARD)


@pytest.fixture
def studio(trained, folder, tmp_path):
    return copy_of(trained, folder, tmp_path / "w")


def go_on(studio, job, ranked=None, between=lambda: None):
    """The run to its end, as the worker drives it; `ranked(step)` is what happens at each of its steps."""
    refresh, found, trained = Refresh(studio, job), [], []
    studio.policies.training = job.run.name
    for event in drive(job):
        found.append(event)
        if isinstance(event, Step) and ranked:
            ranked(event.step)
        trained += [each for each in [refresh.after(event, between)] if each]
    studio.policies.training = ""
    return found, trained


def steps(events):
    return [event.metrics for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("stage", RUN)
def test_after_so_many_rankings_a_new_reward_model_is_trained_while_the_policy_waits_and_then_followed(studio, stage):
    job, answered = studio.start(stage, RUN[stage], {"prompts": ["Hi"], "anyway": True}), []
    events, [anew] = go_on(
        studio,
        job,
        lambda step: rank(studio.workspace, {1: 2, 2: 1}.get(step, 0), 40 + step * 10),
        lambda: answered.append(studio.policies.role("policy")),
    )
    assert anew.status() == "done" and anew.facts()["config"] == studio.workspace.run("0001-reward").facts()["config"]
    [changed] = [event for event in events if isinstance(event, Changed)]
    assert (changed.step, changed.key, changed.before, changed.after) == (2, "reward", "0001-reward", anew.name)
    assert isinstance(events[-1], Finished) and job.run.status() == "done"
    assert all(each["policy/grad_norm"] > 0 for each in steps(events)) and len(steps(events)) == 5
    assert answered and set(answered) == {job.run.name}, "the policy in training answers meanwhile"


def test_one_that_may_not_be_trusted_is_not_followed_and_the_run_goes_on_to_the_bit_as_without_it(studio, monkeypatch):
    knobs, asked = RUN["ppo"] | {"value_model": "adapter"}, {"prompts": ["Hi"]}
    alone = steps(go_on(studio, studio.start("ppo", knobs, asked))[0])
    job = studio.start("ppo", knobs, asked)
    monkeypatch.setattr("lab.trust.doubt", lambda run: "It guesses.")
    events, [anew] = go_on(studio, job, lambda step: rank(studio.workspace, 3 if step == 2 else 0, 50))
    assert anew.status() == "done" and not [event for event in events if isinstance(event, Changed)]
    for ours, theirs in zip(steps(events), alone, strict=True):
        told = [key for key in theirs if key.startswith(("reward/", "kl/", "policy/", "value/", "loss/"))]
        assert len(told) > 15 and all(ours[key] == theirs[key] for key in told)


def test_a_run_that_goes_on_later_follows_the_newest_one_and_says_nothing_of_it_again(studio):
    job = studio.start("ppo", RUN["ppo"], {"prompts": ["Hi"], "anyway": True})

    def ranked(step):
        rank(studio.workspace, 3 if step == 1 else 0, 60)
        if step == 3:
            job.run.set_control(order="stop")

    _, [anew] = go_on(studio, job, ranked)
    again = studio.resume(job.run.name)
    events, trained = go_on(studio, again)
    assert trained == [] and not [event for event in events if isinstance(event, Changed)]
    assert again.state.reward == anew.name and job.run.status() == "done"


def test_the_new_one_begins_at_the_same_sft_also_where_there_is_a_newer_one(studio):
    list(drive(studio.start("sft", {"steps": 1, "batch": 2}, {"pairs": [("Hi", "Yes.")]})))
    job = studio.start("ppo", RUN["ppo"], {"prompts": ["Hi"], "anyway": True})
    _, [anew] = go_on(studio, job, lambda step: rank(studio.workspace, 3 if step == 1 else 0, 65))
    assert anew.facts()["inputs"] == studio.workspace.run("0001-reward").facts()["inputs"] and anew.status() == "done"
    assert anew.facts()["inputs"]["reference"] == job.run.facts()["inputs"]["reference"] == "sft"


def test_one_that_failed_is_not_tried_again_before_as_much_was_ranked_once_more(studio, monkeypatch):
    monkeypatch.setattr("lab.reward.LEAST_SPREAD", 1e9)
    job = studio.start("ppo", RUN["ppo"] | {"steps": 6}, {"prompts": ["Hi"], "anyway": True})
    events, trained = go_on(studio, job, lambda step: rank(studio.workspace, {1: 3, 4: 3}.get(step, 0), 70 + 10 * step))
    assert [each.status() for each in trained] == ["failed", "failed"] and job.run.status() == "done"
    assert [event.step for event in events if isinstance(event, Step)] == list(range(1, 7))


def test_who_stops_the_run_does_not_wait_for_the_reward_model(studio):
    job = studio.start("ppo", RUN["ppo"], {"prompts": ["Hi"], "anyway": True})
    _, [anew] = go_on(
        studio,
        job,
        lambda step: rank(studio.workspace, 3 if step == 1 else 0, 80),
        lambda: job.run.set_control(order="stop"),
    )
    assert anew.status() == "stopped" and job.run.status() == "stopped" and job.run.control()["reward"] == ""


@pytest.mark.parametrize("rater", ["ben", "simulated:helpful"])
def test_whose_rankings_count_follows_from_the_reward_model_and_at_0_none_do(studio, rater):
    job = studio.start("ppo", RUN["ppo"], {"prompts": ["Hi"], "anyway": True})
    job.run.set_control(live={"refresh": 0} if rater == "ben" else {})
    _, trained = go_on(studio, job, lambda step: rank(studio.workspace, 4 if step == 1 else 0, 90, rater))
    assert trained == [] and job.run.status() == "done"
