"""What a policy's name means while runs go back, learn and are deleted: nobody speaks under another's name."""

from __future__ import annotations

import pytest
import torch
from folders import make

from lab import checkpoint
from lab.__main__ import main
from lab.errors import BadName, NotFound
from lab.events import Finished, Step
from lab.loading import load
from lab.reward import raw_scores
from lab.runner import drive
from lab.store import Candidate
from lab.studio import Studio
from lab.workspace import Workspace

SFT = {"steps": 12, "batch": 2, "microbatch": 2}
REWARD = {"epochs": 1, "normalise_over": 16, "tokens": 8, "learning_rate": 3e-3}
PAIRS = {"pairs": [["Hi", "Hello."], ["Why?", "So."]]}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("policies"), "llama")


@pytest.fixture
def studio(folder, tmp_path):
    return Studio(Workspace(tmp_path / "w"), load(str(folder), device="cpu"))


@pytest.fixture
def run(studio):
    """A run that is done, with a checkpoint of step 10."""
    job = studio.start("sft", SFT, PAIRS)
    list(drive(job))
    return job.run


def rank(workspace):
    """Rankings of four short answers, longest first."""
    with workspace.store() as store:
        for number in range(20):
            [prompt] = store.add_prompts([f"Question {number}?"], "own")
            found = [Candidate("a" * (1 + (i * 3 + number) % 7), "sft") for i in range(4)]
            order = sorted(range(4), key=lambda i: -len(found[i].text))
            store.rank(f"ana {number}", store.add_comparison(prompt, found), [[i] for i in order], rater="ana")


def weights(studio, name):
    return {key: weight.clone() for key, weight in studio.roles.weights(studio.policies.role(name)).items()}


def same(a, b):
    return all(torch.equal(weight, b[key]) for key, weight in a.items())


def one_step(job):
    """A run that is stopped at its first step, where it keeps a checkpoint."""
    for event in drive(job):
        if isinstance(event, Step):
            job.run.set_control(order="stop")


def test_a_step_that_a_run_takes_again_after_it_went_back_speaks_with_its_new_weights(studio, run):
    one_step(studio.resume(run.name, step=10))
    before, name = weights(studio, f"{run.name}@11"), f"{run.name}@11"
    run.set_control(live={"learning_rate": 1e-8})
    one_step(studio.resume(run.name, step=10))
    after = weights(studio, name)
    assert not same(before, after) and same(after, weights(studio, run.name))


def test_a_step_that_a_run_went_back_behind_is_none_until_it_is_taken_again(studio, run):
    one_step(studio.resume(run.name, step=10))
    studio.policies.role(f"{run.name}@11")
    running = drive(studio.resume(run.name, step=10))
    next(running)
    with pytest.raises(NotFound, match="no checkpoint of step 11. Checkpoints: 2, 4, 6, 8, 10."):
        studio.policies.role(f"{run.name}@11")
    assert studio.policies.role(f"{run.name}@10")
    running.close()


def test_a_run_that_was_deleted_speaks_no_more_until_it_is_back(studio, run):
    names = [run.name, f"{run.name}@10"]
    before = weights(studio, run.name)
    assert studio.policies.roles_of(names) == names
    run.delete()
    for name in names:
        with pytest.raises(NotFound, match="was deleted. Bring it back"):
            studio.policies.role(name)
    assert not {*names} & {*studio.roles.known()}
    [deleted] = studio.workspace.deleted()
    deleted.restore()
    assert same(before, weights(studio, run.name))


def test_a_run_that_was_deleted_is_not_taken_from_under_the_run_that_stands_on_it(studio, run):
    job = studio.start("compare", {"count": 2, "tokens": 2}, {"a": run.name, "b": "base"})
    studio.policies.training = job.run.name
    running = drive(job)
    next(running)
    run.delete()
    with pytest.raises(NotFound, match="was deleted"):
        studio.policies.role(run.name)
    assert isinstance([*running][-1], Finished)
    studio.policies.training = ""
    with pytest.raises(NotFound, match="was deleted"):
        studio.policies.role(run.name)
    assert run.name not in studio.roles.known()


def test_a_comparison_is_said_to_have_made_no_adapter_and_is_not_to_be_resumed(studio):
    job = studio.start("compare", {"count": 2, "tokens": 2}, {"a": "sft", "b": "base"})
    with pytest.raises(NotFound, match="made no adapter: it is interrupted. Choose"):
        studio.policies.role(job.run.name)
    list(drive(job))
    with pytest.raises(NotFound, match="made no adapter: it is done. Choose"):
        studio.policies.role(job.run.name)


@pytest.mark.parametrize("step", ["", "x", "-1", "\xb2", "9" * 5000])
def test_what_can_be_no_step_is_no_policys_name(studio, run, step):
    with pytest.raises(BadName, match="or a run at a step"):
        studio.policies.role(f"{run.name}@{step}")


def test_the_policy_in_training_is_none_while_a_comparison_is_made_or_a_reward_model_trained(studio, run):
    rank(studio.workspace)
    for stage, knobs, inputs in (("compare", {"count": 2, "tokens": 2}, {}), ("reward", REWARD, {})):
        job = studio.start(stage, knobs, inputs)
        studio.policies.training, running = job.run.name, drive(job)
        next(running)
        with pytest.raises(NotFound, match="No policy is in training now"):
            studio.policies.role("policy")
        running.close()
    for stage in ("sft", "dpo"):
        job = studio.start(stage, {"batch": 2, "microbatch": 2}, PAIRS if stage == "sft" else {})
        studio.policies.training, running = job.run.name, drive(job)
        next(running)
        assert studio.policies.role("policy") == job.run.name
        running.close()


def test_a_step_of_a_reward_model_is_a_reward_model_with_its_head_and_merged_as_one(studio, folder, tmp_path, capsys):
    rank(studio.workspace)
    job, raw = studio.start("reward", REWARD, {}), {}
    text = studio.roles.text
    prompts, answers = [text.prompt_ids("Why?")] * 2, [text.response_ids(said) for said in ("So.", "Because.")]
    for event in drive(job):
        if isinstance(event, Step) and event.step in (1, 2):
            checkpoint.save(job.run.folder / "checkpoint", job.state)
            raw[event.step] = raw_scores(studio.roles, job.run.name, prompts, answers)
    assert not torch.equal(raw[1], raw[2])
    for step, scores in raw.items():
        role = studio.policies.role(f"{job.run.name}@{step}")
        assert torch.equal(raw_scores(studio.roles, role, prompts, answers), scores)
    with pytest.raises(NotFound, match="@2 is no finished reward model"):
        studio.policies.cast(f"{job.run.name}@2")
    out = tmp_path / "out"
    merge = ["merge", "-w", studio.workspace.root, "--base", folder, f"{job.run.name}@2", "--out", out]
    assert main([*map(str, merge)]) == 0 and capsys.readouterr().out == f"reward model written to {out}\n"


@pytest.mark.parametrize("name", ["0002-reward", "0002-reward@8"])
def test_a_reward_model_is_asked_for_no_answer(studio, name):
    for asked in (lambda: studio.policies.roles_of(["sft", name]), lambda: studio.start("compare", {}, {"b": name})):
        with pytest.raises(BadName, match="is a reward model: it scores answers and gives none"):
            asked()
