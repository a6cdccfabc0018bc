"""The one loop that owns a trainer: events on disk, controls obeyed, checkpoints whole, a killed run goes on."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from folders import make
from forked import fork
from ranked import copy_of, rank, with_reward
from safetensors.torch import load_file

import lab as package
from lab import checkpoint, material, ppo, rloo_grpo
from lab.adapters import made_at
from lab.diagnose import Diagnosis
from lab.errors import (
    BadInput,
    BadNumber,
    Busy,
    Damaged,
    NoRows,
    NotFinite,
    NotFound,
    PromptTooLong,
    Unsupported,
    UnsureReward,
    WrongBase,
)
from lab.events import Changed, Failed, Finished, Progress, Sample, Started, Step
from lab.folders import mend
from lab.journal import Journal
from lab.loading import load
from lab.policies import MOST_LOADED
from lab.reward import raw_scores
from lab.runner import drive, steps_of
from lab.serve import Server
from lab.sft import encode
from lab.store import Candidate, prepared
from lab.studio import Studio
from lab.workspace import Workspace, steps_in
from lab.world import corpus

PPO = {"steps": 6, "batch": 8, "minibatch": 4, "microbatch": 4, "tokens": 8}
REWARD = {"epochs": 1, "normalise_over": 16, "tokens": 8, "learning_rate": 3e-3}
ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("runner"), "llama")


@pytest.fixture
def studio(folder, tmp_path):
    workspace = Workspace(tmp_path / "w")
    rank(workspace, 20)
    return Studio(workspace, load(str(folder), device="cpu"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    return with_reward(tmp_path_factory.mktemp("rewarded") / "w", folder, 20, REWARD)


@pytest.fixture
def rewarded(trained, folder, tmp_path):
    return copy_of(trained, folder, tmp_path / "w")


def talk(said):
    """A conversation of three turns."""
    turns = zip(("user", "assistant", "user"), ("Is it far?", "No.", said), strict=True)
    return [{"role": role, "content": words} for role, words in turns]


def bring_talks(workspace, *talks):
    asked = [(said, ["Yes.", "No."], [[0], [1]], "") for said in talks]
    with workspace.store() as store:
        store.add_prepared(prepared(asked, "ana", "talks.jsonl"), "batch", "talks.jsonl")


@pytest.fixture
def practised(monkeypatch):
    """What each run of PPO or RLOO that is made is given to practise on."""
    found = []

    def watched(real):
        return lambda state, cast, prompts, *more: found.append(prompts) or real(state, cast, prompts, *more)

    monkeypatch.setattr("lab.ppo.ppo", watched(ppo.ppo))
    monkeypatch.setattr("lab.rloo_grpo.rloo_grpo", watched(rloo_grpo.rloo_grpo))
    return found


def final(run):
    return load_file(run.adapter / "adapter_model.safetensors")


def same(a, b):
    return all(torch.equal(tensor, b[name]) for name, tensor in a.items())


def test_a_run_is_its_config_its_events_and_an_adapter(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi", "Why?"], "pinned": ["Hi"]}, by="ana")
    events = list(drive(job))
    run = rewarded.workspace.runs()[-1]
    assert run.status() == "done" and run.facts()["by"] == "ana" and run.facts()["inputs"]["reward"] == "0001-reward"
    on_disk = [event for event, _ in run.events().events]
    steps = [event.step for event in on_disk if isinstance(event, Step)]
    assert steps == list(range(1, 7)) and isinstance(events[-1], Finished)
    assert {event.prompt for event, _ in run.samples().events if event.pinned} == {"Hi"}
    assert run.adapter.is_dir()


def test_a_run_killed_at_any_step_and_resumed_ends_bitwise_like_one_that_never_stopped(rewarded):
    whole = rewarded.start("ppo", PPO, {"prompts": ["Hi", "Why?"]})
    list(drive(whole))
    for stop_at in (1, 4):
        job = rewarded.start("ppo", PPO, {"prompts": ["Hi", "Why?"]})
        running = drive(job)
        for event in running:
            if isinstance(event, Step) and event.step == stop_at:
                job.run.set_control(order="stop")
        assert job.run.status() == "stopped"
        resumed = list(drive(rewarded.resume(job.run.name)))
        assert [event.step for event in resumed if isinstance(event, Step)][0] == stop_at + 1 or stop_at == 1
        assert same(final(whole.run), final(job.run))


def whole_and_stopped(studio, stage, knobs, inputs, *, step):
    """Two runs that begin alike: one to its end, and one that was told to stop at a step."""
    whole = studio.start(stage, knobs, inputs)
    list(drive(whole))
    job = studio.start(stage, knobs, inputs)
    for event in drive(job):
        if isinstance(event, Step) and event.step == step:
            job.run.set_control(order="stop")
    return whole.run, job.run


def train_sft(studio):
    pairs = [(f"Why {number}?", "So it is.") for number in range(8)]
    events = list(drive(studio.start("sft", {"steps": 3, "batch": 4, "learning_rate": 3e-3}, {"pairs": pairs})))
    assert isinstance(events[-1], Finished)
    return studio.workspace.runs()[-1].name


def test_a_run_starts_from_the_sft_that_its_reward_model_was_scaled_on_unless_another_is_named(rewarded):
    newer = train_sft(rewarded)
    for inputs, start in (({}, "sft"), ({"reference": "sft"}, newer), ({"reference": "shipped"}, "sft")):
        job = rewarded.start("ppo", PPO | {"steps": 1}, {"prompts": ["Hi"], **inputs})
        events = list(drive(job))
        warned = [event for event in events if getattr(event, "code", "") == "W_REFERENCE"]
        assert job.run.facts()["inputs"]["reference"] == start and len(warned) == (start == newer)
        first = next(event for event in events if isinstance(event, Step))
        assert first.metrics["kl/reference"] == 0.0
    list(drive(rewarded.start("reward", REWARD, {})))
    job = rewarded.start("ppo", PPO | {"steps": 1}, {"prompts": ["Hi"]})
    assert not [event for event in drive(job) if getattr(event, "code", "") == "W_REFERENCE"]
    assert job.run.facts()["inputs"]["reference"] == newer, "the second reward model was trained from it"
    shutil.rmtree(rewarded.workspace.run(newer).folder)
    fresh = Studio(rewarded.workspace, load(rewarded.roles.name, device="cpu"))
    assert fresh.policies.cast().reference == "sft", "an SFT that is deleted by now"


def test_a_run_is_not_started_from_what_has_no_adapter(rewarded):
    for named in ("base", "policy"):
        with pytest.raises(BadInput, match=f"No run starts from {named}"):
            rewarded.start("ppo", PPO, {"prompts": ["Hi"], "reference": named})
    assert [run.name for run in rewarded.workspace.runs()] == ["0001-reward"]


def test_runs_from_the_sft_of_the_base_go_on_from_it_when_there_is_a_newer_one(rewarded):
    stages = {"ppo": (PPO | {"steps": 4}, {"prompts": ["Hi"]}), "dpo": ({"epochs": 1, "batch": 4}, {})}
    for stage, (config, inputs) in stages.items():
        stages[stage] = whole_and_stopped(rewarded, stage, config, inputs, step=1)
    train_sft(rewarded)
    fresh = Studio(rewarded.workspace, load(rewarded.roles.name, device="cpu"))
    for whole, halted in stages.values():
        assert halted.status() == "stopped" and halted.facts()["inputs"]["reference"] == "sft"
        list(drive(fresh.resume(halted.name)))
        assert halted.status() == "done" and same(final(whole), final(halted))


def test_a_run_of_before_there_was_a_share_of_layers_goes_on_with_all_of_them(rewarded):
    whole, halted = whole_and_stopped(rewarded, "ppo", PPO | {"unfrozen": 1.0}, {"prompts": ["Hi", "Why?"]}, step=2)
    facts = halted.facts()
    del facts["config"]["unfrozen"]
    (halted.folder / "config.json").write_text(json.dumps(facts))
    list(drive(rewarded.resume(halted.name)))
    assert halted.status() == "done" and same(final(whole), final(halted))


@pytest.mark.parametrize(
    "stage, inputs", [("sft", {"pairs": [("Hi", "Yes"), ("Why?", "So")]}), ("ppo", {"prompts": ["Hi"]})]
)
def test_a_run_that_goes_on_is_warned_of_memory_and_tries_no_micro_batch_again(rewarded, stage, inputs, monkeypatch):
    knobs = PPO if stage == "ppo" else {"steps": 3}
    whole, halted = whole_and_stopped(rewarded, stage, knobs, inputs, step=2)
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 0)
    monkeypatch.setattr("lab.peak.rehearse", lambda roles, role, knobs: 1 / 0)
    warned, started, *_ = drive(rewarded.resume(halted.name))
    assert (warned.code, warned.step) == ("W_MEMORY_SHORT", 2) and "foretold to need" in warned.message
    assert isinstance(started, Started) and started.step == 2
    assert same(final(whole), final(halted))


def test_a_run_that_begins_again_without_a_checkpoint_is_tried_like_a_new_one(rewarded, monkeypatch):
    job, tried = rewarded.start("ppo", PPO, {"prompts": ["Hi"]}), []
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 0)
    monkeypatch.setattr("lab.peak.rehearse", lambda roles, role, knobs: tried.append(knobs) or {})
    for begun in (lambda: job, lambda: rewarded.resume(job.run.name)):
        events = drive(begun())
        first, second = next(events), next(events)
        events.close()
        assert {first.code, second.code} == {"W_MEMORY_SHORT"} and "in a trial" in second.message
    assert len(tried) == 2 and tried[0] == tried[1]


def test_a_comparison_stops_when_told_and_can_be_made_again(studio):
    job, seen = studio.start("compare", {"count": 100, "tokens": 4}, {"a": "sft", "b": "base"}), []
    for event in drive(job):
        seen.append(event)
        if isinstance(event, Progress):
            job.run.set_control(order="stop")
    assert sum(isinstance(event, Progress) for event in seen) == 1 and seen[-1].reason == "stopped"
    assert job.run.status() == "stopped" and "win_rate" not in seen[-1].result
    again = list(drive(studio.resume(job.run.name)))
    assert job.run.status() == "done" and 0 <= again[-1].result["win_rate"] <= 1


def test_a_comparison_without_a_reward_model_has_no_scores_and_no_best_of_several(studio):
    against = {"a": "sft", "b": "base"}
    job = studio.start("compare", {"count": 3, "tokens": 4}, against)
    list(drive(studio.start("reward", REWARD, {})))
    *events, end = drive(studio.resume(job.run.name))
    assert job.run.facts()["inputs"]["reward"] == "" and 0 <= end.result["win_rate"] <= 1
    assert end.result["score_a"] is end.result["score_b"] is None
    assert {event.score for event in events if isinstance(event, Sample)} == {None}
    bare = Studio(Workspace(studio.workspace.root.parent / "bare"), studio.roles)
    for more in ({"best_of": 2}, {"judge": "reward:"}):
        knobs = {"count": 3, "best_of": more.get("best_of", 1)}
        with pytest.raises(NotFound, match="no reward model yet"):
            bare.start("compare", knobs, against | more)
    assert bare.workspace.runs() == []


def test_a_comparison_is_scored_by_the_reward_model_of_its_start_also_when_others_are_asked_for_meanwhile(rewarded):
    job = rewarded.start("compare", {"count": 34, "tokens": 4}, {"a": "sft", "b": "base"})
    assert job.run.facts()["inputs"]["reward"] == "0001-reward"
    later = rewarded.workspace.new_run("reward", {})
    shutil.copytree(rewarded.workspace.run("0001-reward").adapter, later.adapter)
    with Journal(later.folder / "events.jsonl") as journal:
        journal.write(Finished(1, "done", {}))
    rewarded.policies.training = job.run.name
    events = []
    for event in drive(job):
        events.append(event)
        if later.name not in rewarded.policies.used:
            rewarded.policies.used |= dict.fromkeys(f"old {number}" for number in range(MOST_LOADED))
            rewarded.policies.cast()
    assert "0001-reward" in rewarded.roles.heads
    assert events[-1].result["score_a"] and events[-1].result["score_b"]


def test_going_back_to_a_checkpoint_starts_from_its_step(rewarded):
    job = rewarded.start("ppo", PPO | {"steps": 12}, {"prompts": ["Hi"]})
    list(drive(job))
    assert 10 in job.run.checkpoints()
    before = final(job.run)
    events = list(drive(rewarded.resume(job.run.name, step=10)))
    assert events[0].step == 10 and [event.step for event in events if isinstance(event, Step)] == [11, 12]
    assert same(before, final(job.run))
    again = rewarded.resume(job.run.name, step=10)
    for event in drive(again):
        if isinstance(event, Step):
            job.run.set_control(order="stop")
    assert job.run.checkpoints() == [2, 4, 6, 8, 10, 11], "what came after step 10 is forgotten"
    events = list(drive(rewarded.resume(job.run.name)))
    assert [event.step for event in events if isinstance(event, (Started, Step))] == [11, 12]
    with pytest.raises(NotFound, match="no checkpoint of step 99"):
        rewarded.resume(job.run.name, step=99)
    assert job.run.status() == "done"


def test_a_run_that_is_held_where_it_went_back_to_takes_its_next_step_with_the_knobs_moved_meanwhile(rewarded):
    job, waited = rewarded.start("ppo", PPO | {"steps": 12}, {"prompts": ["Hi"]}), []
    list(drive(job))

    def between():
        if job.run.status() == "paused":
            waited.append(steps_of(job.run)[-1].step)
            if len(waited) == 3:
                job.run.set_control(order="run", live={"beta": 0.5}, by="ana")

    events = list(drive(rewarded.resume(job.run.name, step=10, hold=True), between))
    assert set(waited) == {10} and len(waited) >= 3
    changed = [event for event in events if isinstance(event, Changed)]
    assert [(event.key, event.after, event.by) for event in changed] == [("beta", 0.5, "ana")]
    assert [event.step for event in events if isinstance(event, Step)] == [11, 12]
    for event in drive(rewarded.resume(job.run.name, step=10, hold=True)):
        assert not isinstance(event, Step)
        job.run.set_control(order="stop")
    assert job.run.status() == "stopped" and job.run.checkpoints()[-1] == 10


def test_a_run_that_went_back_and_broke_off_there_hands_out_nothing_of_what_it_went_back_from(rewarded):
    job = rewarded.start("ppo", PPO | {"steps": 12}, {"prompts": ["Hi"]})
    list(drive(job))
    assert made_at(job.run.adapter) == 12
    resumed = drive(rewarded.resume(job.run.name, step=10))
    next(event for event in resumed if isinstance(event, Step))
    resumed.close()
    assert job.run.status() == "interrupted"
    with pytest.raises(NotFound, match="has no adapter yet: it is interrupted. Resume it"):
        rewarded.policies.role(job.run.name)
    list(drive(rewarded.resume(job.run.name, step=10)))
    assert made_at(job.run.adapter) == 12 and rewarded.policies.role(job.run.name) == job.run.name


def test_the_steps_behind_a_run_are_those_that_stand_after_it_went_back(rewarded):
    job = rewarded.start("ppo", PPO | {"steps": 12}, {"prompts": ["Hi"]})
    list(drive(job))
    first = steps_of(job.run)
    assert [step.step for step in first] == list(range(1, 13))
    resumed = drive(rewarded.resume(job.run.name, step=10))
    next(resumed)
    assert steps_of(job.run) == first[:10]
    resumed.close()


def test_a_resumed_run_is_diagnosed_with_the_steps_that_it_has_behind_it(rewarded, monkeypatch):
    job, taken_in = rewarded.start("ppo", PPO, {"prompts": ["Hi"]}), []
    for event in drive(job):
        if isinstance(event, Step) and event.step == 4:
            job.run.set_control(order="stop")
    monkeypatch.setattr(Diagnosis, "replay", lambda self, steps: taken_in.extend(steps))
    list(drive(rewarded.resume(job.run.name)))
    assert taken_in == steps_of(job.run)[:4] and taken_in[0].metrics["response/length"] > 0


def test_pause_holds_a_run_at_a_step_and_one_step_lets_one_pass(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    waited, seen = [], []

    def between():
        if job.run.control()["order"] == "pause":
            waited.append(seen[-1] if seen else 0)
            if len(waited) == 12:
                job.run.set_control(order="pause", until=seen[-1] + 1)
            if len(waited) == 40:
                job.run.set_control(order="run", until=None)

    for event in drive(job, between):
        if isinstance(event, Step):
            seen.append(event.step)
            if event.step == 2:
                job.run.set_control(order="pause")
    assert set(waited) >= {2, 3} and seen == [1, 2, 3, 4, 5, 6]


def test_a_fault_of_what_is_served_between_two_events_is_not_the_runs(rewarded):
    job, seen = rewarded.start("ppo", PPO, {"prompts": ["Hi"]}), []

    def between():
        if any(isinstance(event, Step) for event in seen):
            raise NotFound("There is no run '0099-ppo'.")

    with pytest.raises(NotFound, match="0099"):
        for event in drive(job, between):
            seen.append(event)
    assert job.run.status() == "interrupted" and not isinstance(seen[-1], Failed)
    assert isinstance(list(drive(rewarded.resume(job.run.name)))[-1], Finished) and job.run.status() == "done"


def test_a_slider_moved_by_somebody_is_marked_with_their_name_and_a_wild_value_is_left_alone(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(live={"beta": 0.5, "learning_rate": -3, "batch": 1, "x": float("1e3")}, by="ben")
    changed = [event for event, _ in job.run.events().events if isinstance(event, Changed)]
    assert [(each.key, each.after, each.by) for each in changed] == [("beta", 0.5, "ben")]


def test_a_beta_moved_while_the_run_stood_still_is_told_and_obeyed_when_it_goes_on(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(order="stop")
    job.run.set_control(live={"beta": 0.5}, by="ben")
    events = list(drive(rewarded.resume(job.run.name)))
    moved = [(each.key, each.before, each.after) for each in events if isinstance(each, Changed)]
    assert moved == [("beta", 0.05, 0.5)]
    assert {each.metrics["kl/beta"] for each in events if isinstance(each, Step)} == {0.5}


def test_a_batch_that_is_smaller_than_usual_takes_the_minibatch_along_that_nobody_set(rewarded):
    def settings(**knobs):
        job = rewarded.start("ppo", knobs, {"prompts": ["Hi"]})
        job.events.close()
        return job.run.facts()["config"]

    assert settings(batch=16)["minibatch"] == 16 and settings(batch=48)["minibatch"] == 32
    assert settings(batch=16, minibatch=8)["minibatch"] == 8
    with pytest.raises(BadNumber, match="Lower minibatch"):
        rewarded.start("ppo", {"batch": 16, "minibatch": 32}, {"prompts": ["Hi"]})


@pytest.mark.parametrize(
    "stage, knobs, inputs", [("sft", {"steps": 6}, {"pairs": [("Hi", "Yes")]}), ("ppo", PPO, {"prompts": ["Hi"]})]
)
def test_any_knob_moved_while_the_run_stood_still_is_told_with_who_moved_it(rewarded, stage, knobs, inputs):
    job = rewarded.start(stage, knobs, inputs)
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(order="stop")
    job.run.set_control(live={"learning_rate": 2e-5}, by="ben")
    events = [*drive(rewarded.resume(job.run.name))]
    moved = [(each.key, each.after) for each in events if isinstance(each, Changed)]
    assert moved == [("learning_rate", 2e-5)]
    assert [each.by for each, _ in job.run.events().events if isinstance(each, Changed)] == ["ben"]


@pytest.mark.parametrize("standing", [False, True])
def test_a_beta_that_adapts_is_set_by_an_order_for_the_number_that_it_was_configured_to(rewarded, standing):
    job = rewarded.start("ppo", PPO | {"beta": 0.5, "target_kl": 1e-3, "learning_rate": 1e-2}, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 3:
            job.run.set_control(live={"beta": 0.5}, by="ana", order="stop" if standing else "run")
    if standing:
        list(drive(rewarded.resume(job.run.name)))
    betas = {each.step: each.metrics["kl/beta"] for each in steps_of(job.run)}
    assert betas[3] != 0.5 and betas[4] == 0.5 and betas[5] != 0.5 and len(betas) == PPO["steps"]
    [told] = [event for event, _ in job.run.events().events if isinstance(event, Changed)]
    assert (told.step, told.key, told.after, told.by) == (3, "beta", 0.5, "ana")
    assert told.before == pytest.approx(betas[3], rel=0.04) and told.before != 0.5


def test_checkpoints_of_another_base_of_the_same_shape_are_refused(rewarded, folder, tmp_path):
    job = rewarded.start("ppo", PPO | {"steps": 10}, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 4:
            job.run.set_control(order="stop")
    other = Studio(rewarded.workspace, load(str(make(tmp_path, "llama", spread=0.2)), device="cpu"))
    with pytest.raises(WrongBase, match="other weights"):
        other.resume(job.run.name)
    with pytest.raises(WrongBase, match="other weights"):
        other.policies.role(f"{job.run.name}@4")
    assert Studio(rewarded.workspace, load(str(folder), device="cpu")).resume(job.run.name).run.name == job.run.name


def test_answers_ranked_under_another_tokenizer_are_told_by_their_words(studio):
    text = studio.roles.text
    own = Candidate("abc", "sft", ids=tuple(text.response_ids("abc")))
    foreign = Candidate("abc", "sft", ids=(70, 71, 72, 3000))
    assert material._ids_of(text, own) == list(own.ids) == material._ids_of(text, foreign)


def test_a_conversation_that_is_too_long_begins_with_a_question_when_it_was_cut(studio):
    turns = [{"role": ("user", "assistant")[place % 2], "content": "x" * 60} for place in range(5)]
    ids, cut = material.fitted(studio.roles.text, turns, 100)
    one, _ = material.fitted(studio.roles.text, turns[-1:], 100)
    assert cut and ids == one


def test_a_run_is_refused_before_it_has_a_folder(studio):
    with pytest.raises(NotFound, match="no reward model"):
        studio.start("ppo", PPO, {})
    with pytest.raises(NoRows, match="nobody"):
        studio.start("reward", REWARD, {"raters": "nobody"})
    with pytest.raises(NotFound, match="no stage"):
        studio.start("magic", {}, {})
    assert studio.workspace.runs() == []


@pytest.mark.parametrize("problem", [Unsupported("No such optimizer here."), torch.OutOfMemoryError("out of memory")])
def test_a_run_whose_state_cannot_be_made_leaves_neither_a_folder_nor_a_role(rewarded, monkeypatch, problem):
    def refuse(*_):
        raise problem

    known = {*rewarded.roles.known(), "0001-reward"}  # read from the disk for this run; the next one needs it, too
    monkeypatch.setattr("lab.state._adamw", refuse)
    with pytest.raises(type(problem)):
        rewarded.start("ppo", PPO | {"value_model": "adapter"}, {"prompts": ["Hi"]})
    assert [run.name for run in rewarded.workspace.runs()] == ["0001-reward"]
    assert {*rewarded.roles.known()} == known and "value" not in rewarded.roles.heads
    monkeypatch.undo()
    assert isinstance(list(drive(rewarded.start("ppo", PPO | {"steps": 1}, {"prompts": ["Hi"]})))[-1], Finished)


def test_what_a_kill_between_two_renames_left_of_an_adapter_is_mended_when_the_run_goes_on(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(order="stop")
    before = final(job.run)
    shutil.copytree(job.run.adapter, job.run.folder / ".tmp-adapter-123")
    job.run.adapter.rename(job.run.folder / ".old-adapter-123")
    running = drive(rewarded.resume(job.run.name))
    next(running)
    assert same(before, final(job.run)) and not list(job.run.folder.glob(".*adapter*"))
    running.close()


def test_every_line_is_on_the_disk_before_the_checkpoint_of_its_step(rewarded, monkeypatch):
    job, synced, at_save = rewarded.start("ppo", PPO | {"steps": 10}, {"prompts": ["Hi"]}), {}, []
    real_sync, real_save = os.fsync, checkpoint.save

    def sync(handle):
        real_sync(handle)
        synced[os.fstat(handle).st_ino] = os.fstat(handle).st_size

    def save(*given, **more):
        journals = [(job.run.folder / name).stat() for name in ("events.jsonl", "samples.jsonl")]
        at_save.append(tuple(synced.get(each.st_ino, 0) == each.st_size > 0 for each in journals))
        return real_save(*given, **more)

    monkeypatch.setattr(os, "fsync", sync)
    monkeypatch.setattr(checkpoint, "save", save)
    for event in drive(job):
        if isinstance(event, Step) and event.step == 4:
            job.run.set_control(order="stop")
    assert {*at_save} == {(True, True)}


def test_a_run_that_cannot_go_on_keeps_its_folder(rewarded, monkeypatch):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(order="stop")
    monkeypatch.setattr("lab.state._adamw", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        rewarded.resume(job.run.name)
    assert job.run.checkpoints() == [1, 2] and rewarded.policies.role(job.run.name) == job.run.name
    assert {*rewarded.roles.weights(job.run.name)} and job.run.adapter.is_dir()


def test_a_reward_model_that_may_be_guessing_is_followed_only_by_one_who_says_so(rewarded):
    reward = rewarded.workspace.run("0001-reward")
    end, journal = reward.last_turn(), Journal(reward.folder / "events.jsonl")
    journal.write(replace(end, result=end.result | {"pairs/accuracy": 0.5}))
    journal.close()
    for stage, config in (("ppo", PPO), ("rloo", {}), ("grpo", {})):
        with pytest.raises(UnsureReward, match="--anyway"):
            rewarded.start(stage, config, {"reward": reward.name})
    assert rewarded.workspace.runs() == [reward]
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"], "anyway": True})
    assert job.run.facts()["inputs"]["anyway"] is True
    job.events.close()


def test_simulated_rankings_are_not_mixed_with_a_persons_unless_asked(studio):
    rank(studio.workspace, 30, rater="simulated:helpful")
    counts = {}
    for raters in ("", "person", "simulated:helpful", "all"):
        job = studio.start("reward", REWARD, {"raters": raters})
        counts[raters] = len(json.loads((job.run.folder / "data.json").read_text())["rankings"])
        job.events.close()
    assert counts == {"": 20, "person": 20, "simulated:helpful": 30, "all": 50}


def test_a_number_that_breaks_ends_the_run_with_a_reason_and_the_checkpoint_before_it_stands(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            checkpoint.save(job.run.folder / "checkpoint", job.state)
            with torch.no_grad():
                next(iter(job.state.roles.weights(job.run.name).values())).fill_(float("nan"))
            with pytest.raises(NotFinite):
                checkpoint.save(job.run.folder / "checkpoint", job.state)
    assert isinstance(event, Failed) and event.code == "E_NOT_FINITE" and job.run.status() == "failed"
    assert job.run.checkpoints() == [1, 2]


@pytest.mark.parametrize("harm", ["cut", "flip", "no manifest"])
def test_a_half_written_checkpoint_is_passed_over_and_said_so(rewarded, harm):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step in (2, 3):
            checkpoint.save(job.run.folder / "checkpoint", job.state)
        if isinstance(event, Step) and event.step == 3:
            job.run.set_control(order="stop")
    newest = job.run.checkpoint(3)
    weights = newest / checkpoint.WEIGHTS
    content = weights.read_bytes()
    if harm == "no manifest":
        (newest / checkpoint.MANIFEST).unlink()
    else:
        weights.write_bytes(content[: len(content) // 2] if harm == "cut" else content[:-1] + bytes([content[-1] ^ 1]))
    events = list(drive(rewarded.resume(job.run.name)))
    warned = [event for event in events if getattr(event, "code", "") == "W_CHECKPOINT"]
    assert [event.step for event in events if isinstance(event, Step)] == [3, 4, 5, 6]
    assert bool(warned) == (harm != "no manifest")
    with pytest.raises(Damaged):
        checkpoint.read_folder(newest.with_name("step-999999"))


def test_a_folder_beside_the_checkpoints_that_is_none_is_left_alone(tmp_path):
    for name in ("step-000003", "step-000007", "step-x", "step-000009 (copy)"):
        (tmp_path / name).mkdir()
        (tmp_path / name / checkpoint.MANIFEST).write_text("{}")
    checkpoint.forget_after(tmp_path, 3)
    assert steps_in(tmp_path) == [3]
    assert {each.name for each in tmp_path.iterdir()} == {"step-000003", "step-x", "step-000009 (copy)"}


def test_a_run_that_goes_on_cannot_be_resumed_a_second_time(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    running = drive(job)
    next(running)
    with pytest.raises(Busy, match="going on already"):
        rewarded.resume(job.run.name)
    running.close()
    assert job.run.status() == "interrupted"
    list(drive(rewarded.resume(job.run.name)))
    assert job.run.status() == "done"
    with pytest.raises(Busy, match="is done"):
        rewarded.resume(job.run.name)


def test_policies_are_loaded_by_name_and_unknown_ones_refused(rewarded):
    list(drive(rewarded.start("ppo", PPO | {"steps": 10}, {"prompts": ["Hi"]})))
    assert rewarded.policies.role("0002-ppo") == "0002-ppo" and rewarded.policies.role("0002-ppo@10") == "0002-ppo@10"
    at_ten, at_end = rewarded.roles.weights("0002-ppo@10"), rewarded.roles.weights("0002-ppo")
    assert same(at_ten, at_end)
    for name, message in (("0009-ppo", "no run"), ("0002-ppo@99", "no checkpoint"), ("policy", "in training")):
        with pytest.raises(NotFound, match=message):
            rewarded.policies.role(name)
    fresh = Studio(rewarded.workspace, rewarded.roles)
    assert fresh.policies.cast().reward == "0001-reward"
    assert fresh.policies.cast().scale == rewarded.policies.cast().scale


@pytest.mark.parametrize("ending", ["fails", "is left"])
def test_a_run_that_ends_without_an_adapter_speaks_no_more_and_leaves_nothing_loaded(rewarded, ending):
    job = rewarded.start("ppo", PPO | {"value_model": "adapter"}, {"prompts": ["Hi"]})
    rewarded.policies.training = job.run.name
    running = drive(job)
    for event in running:
        assert rewarded.policies.role("policy") == job.run.name
        if ending == "is left" and isinstance(event, Step):
            running.close()
        if ending == "fails" and isinstance(event, Step) and event.step == 2:
            with torch.no_grad():
                next(iter(job.state.roles.weights(job.run.name).values())).fill_(float("nan"))
    rewarded.policies.training = ""
    assert isinstance(event, Failed if ending == "fails" else Step) and not job.run.adapter.is_dir()
    assert not {"value", job.run.name} & {*rewarded.roles.known(), *rewarded.roles.heads}
    why = "made no adapter: it is failed" if ending == "fails" else "has no adapter yet: it is interrupted. Resume it"
    with pytest.raises(NotFound, match=why):
        rewarded.policies.role(job.run.name)


def test_a_run_that_keeps_its_adapter_speaks_with_it_and_one_that_then_fails_with_the_one_on_disk(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            job.run.set_control(order="stop")
    learned = rewarded.roles.weights(rewarded.policies.role(job.run.name))
    kept = {name: weight.clone() for name, weight in learned.items()}
    assert kept and "value" not in rewarded.roles.heads
    running = drive(rewarded.resume(job.run.name))
    next(event for event in running if isinstance(event, Step) and event.step == 4)
    running.close()
    assert same(kept, rewarded.roles.weights(rewarded.policies.role(job.run.name)))


def test_more_policies_than_stay_loaded_speak_together_and_go_again_afterwards(rewarded):
    list(drive(rewarded.start("ppo", PPO | {"steps": 1}, {"prompts": ["Hi"]})))
    first = rewarded.workspace.run("0002-ppo")
    copies = [rewarded.workspace.new_run("ppo", {}) for _ in range(MOST_LOADED)]
    for run in copies:
        shutil.copytree(first.adapter, run.adapter)
    names = [first.name, *(run.name for run in copies), "base"]
    fresh = Studio(rewarded.workspace, rewarded.roles)
    served = list(Server(fresh.policies)._candidates({"prompt": "Why?", "policies": names, "tokens": 2}))
    assert served[-1]["policies"] == names and len(served[-1]["texts"]) == MOST_LOADED + 2
    fresh.policies.role("0001-reward")
    assert len(fresh.policies.used) == MOST_LOADED and first.name not in rewarded.roles.known()


def test_the_progress_inside_a_step_comes_often_enough_to_serve_people(rewarded):
    events = list(drive(rewarded.start("ppo", PPO, {"prompts": ["Hi"]})))
    first, second = (i for i, event in enumerate(events) if isinstance(event, Step) and event.step in (1, 2))
    assert sum(isinstance(event, Progress) for event in events[first:second]) >= 4


def test_a_notebook_iterates_a_run_and_its_events_are_on_disk(folder, tmp_path):
    pairs = [(f"Question {i}?", f"Answer {i}.") for i in range(30)]
    events = list(package.run("sft", tmp_path / "w", base=str(folder), steps=2, batch=4, inputs={"pairs": pairs}))
    assert isinstance(events[-1], Finished)
    assert Workspace(tmp_path / "w").run("0001-sft").status() == "done"


def test_a_notebook_goes_on_with_a_run_that_was_broken_off(folder, tmp_path):
    pairs, place = [("Hi", "Hello.")] * 8, tmp_path / "w"
    for step in package.run("sft", place, base=str(folder), steps=3, batch=4, inputs={"pairs": pairs}):
        if isinstance(step, Step):
            break  # as a cell that is interrupted
    events = list(package.resume("0001-sft", place))
    assert isinstance(events[-1], Finished) and [each.step for each in events if isinstance(each, Step)][-1] == 3
    assert Workspace(place).run("0001-sft").status() == "done"
    for name, where, words in (("0009-ppo", place, "no run '0009-ppo'"), ("0001-sft", tmp_path / "x", "no workspace")):
        with pytest.raises(NotFound, match=words):
            package.resume(name, where)
    assert not (tmp_path / "x").exists()
    with pytest.raises(Busy, match="is done"):
        next(package.resume("0001-sft", place))


def lab(*arguments, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "lab", *map(str, arguments)], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, **options,
    )  # fmt: skip


def killed(workspace, name, seconds, steps):
    """Start or resume a run in a process of its own and kill it after its first step and some seconds."""
    verb = ["resume", "-w", workspace.root, name] if name else ["ppo", "-w", workspace.root, *flags(steps)]
    before = starts(workspace.run(name)) if name else 0
    process = lab(*verb, "--threads", 1)
    run, began = None, time.monotonic()
    while time.monotonic() - began < 120 and process.poll() is None:
        run = workspace.run(name) if name else next((each for each in workspace.runs() if each.stage == "ppo"), None)
        if run and run.locked() and starts(run) > before and isinstance(run.events().events[-1][0], Step):
            break
        time.sleep(0.05)
    time.sleep(seconds)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return run


def starts(run):
    return sum(isinstance(event, Started) for event, _ in run.events().events)


def flags(steps):
    return [f"--{key}={value}" for key, value in (PPO | {"steps": steps}).items()]


def kill_and_resume(rewarded, kills, steps, seed):
    rng, name = random.Random(seed), ""
    for _ in range(kills):
        run = killed(rewarded.workspace, name, rng.random() * 0.5, steps)
        name = run.name
        assert run.status() in ("interrupted", "done")
        if run.status() == "done":
            break
    done = lab("resume", "-w", rewarded.workspace.root, name, "--threads", 1)
    done.communicate(timeout=300)
    run = rewarded.workspace.run(name)
    assert run.status() == "done"
    return run


def test_kill_9_in_the_middle_of_a_run_loses_at_most_the_steps_since_the_last_checkpoint(rewarded, folder):
    rewarded.workspace.set_base({"base": str(folder), "four_bit": False})
    run = kill_and_resume(rewarded, 1, 40, seed=1)
    steps = [event.step for event, _ in run.events().events if isinstance(event, Step)]
    assert steps[-1] == 40 and set(steps) == set(range(1, 41))
    shutil.rmtree(run.folder / "checkpoint")
    whole = Studio(rewarded.workspace, rewarded.roles)
    job = whole.start("ppo", PPO | {"steps": 40}, {})
    list(drive(job))
    assert same(final(run), final(job.run))


@pytest.mark.slow
def test_60_kills_at_random_moments_all_resume(rewarded, folder):
    rewarded.workspace.set_base({"base": str(folder), "four_bit": False})
    run = kill_and_resume(rewarded, 60, 1500, seed=2)
    assert starts(run) == 61


def test_20_kills_inside_a_checkpoint_all_resume(rewarded):
    job = rewarded.start("ppo", PPO, {"prompts": ["Hi"]})
    running = drive(job)
    next(event for event in running if isinstance(event, Step))
    checkpoint.save(job.run.folder / "checkpoint", job.state)

    def save_on_and_on() -> None:
        while True:
            checkpoint.save(job.run.folder / "checkpoint", job.state)

    for number in range(20):
        child = fork(save_on_and_on)
        time.sleep(0.02 + 0.01 * number)
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status), "the child ended by an error of its own"
        mend(job.run.folder / "checkpoint")
        assert checkpoint.restore(job.run.folder / "checkpoint", job.state) == []
    running.close()


def test_rankings_too_long_for_the_knob_and_for_the_base_are_told_apart(studio):
    with studio.workspace.store() as store:
        [prompt] = store.add_prompts(["Long? " * 400], "own")
        compared = store.add_comparison(prompt, [Candidate("a", "sft"), Candidate("b", "sft")])
        store.rank("long", compared, [[0], [1]], rater="ana")
    for context, code in ((64, "W_CUT"), (100_000, "W_TOO_LONG")):
        events = studio.start("reward", REWARD | {"context": context}, {}).events
        told = next(events)
        events.close()
        assert told.code == code and told.message.startswith("1 of 21 rankings did not fit in ")


@pytest.mark.parametrize("own", [9, 11])
def test_the_scale_is_that_of_the_questions_that_were_ranked_where_most_are_none_of_the_worlds(studio, own):
    with studio.workspace.store() as store:
        for seq in (each.seq for each in store.rankings()[own:]):
            store.exclude(seq)
        for number, prompt in enumerate(corpus.prompts(10, 3)):
            [id] = store.add_prompts([prompt], "built-in")
            found = store.add_comparison(id, [Candidate("a" * 3, "sft"), Candidate("a", "sft")])
            store.rank(f"more {number}", found, [[0], [1]], rater="ana")
    job = studio.start("reward", REWARD, {})
    job.events.close()
    ranked = [f"Question {number}?" for number in range(own)]
    wanted = ranked if own > 10 else corpus.prompts(material.SCALE_PROMPTS, 11)
    assert material.kept(job.run)["prompts"] == wanted


@pytest.mark.parametrize("stage", ["ppo", "rloo"])
def test_a_ranked_conversation_is_practised_on_as_the_reward_model_reads_it(rewarded, practised, stage):
    said = talk("How far?")
    bring_talks(rewarded.workspace, said, said, talk("Which way?"))
    with rewarded.workspace.store() as store:
        read = material.for_reward(rewarded.roles.text, store.rankings(), "ana", 256)["rankings"]
    job = rewarded.start(stage, PPO if stage == "ppo" else {"tokens": 8}, {"prompts": "ranked"})
    assert [each.ids for each in practised[0]] == list(dict.fromkeys(tuple(row[0]) for row in read))
    assert practised[0][-2].ids == tuple(encode(rewarded.roles, (said, "Yes."))[0])
    assert practised[0][-2].text == "User: Is it far?\n\nAssistant: No.\n\nUser: How far?"
    assert material.kept(job.run)["prompts"][-2] == said
    job.events.close()
    rewarded.resume(job.run.name).events.close()
    assert practised[1] == practised[0]


def test_answers_behind_a_conversation_are_scored_again_behind_its_turns(rewarded):
    cast, text, said = rewarded.policies.cast(), rewarded.roles.text, talk("How far?")
    ids = [text.prompt_ids(each) for each in ("Why?", said)]
    raw = raw_scores(rewarded.roles, cast.reward, ids, [text.response_ids("So.")] * 2)
    [found] = Server(rewarded.policies)._rescore({"samples": [["Why?", "So."], [said, "So."]], "reward": cast.reward})
    assert found["scores"] == pytest.approx(cast.scale.of(raw).tolist(), abs=1e-5)


def test_ranked_prompts_without_room_for_a_response_are_left_out_and_the_run_says_how_many(rewarded):
    bring_talks(rewarded.workspace, "Long? " * 60, talk("Long? " * 60), talk("How far?"))
    job = rewarded.start("ppo", PPO, {"prompts": "ranked"})
    first = next(job.events)
    assert first.code == "W_TOO_LONG" and first.message.startswith("2 of 23 ranked prompts leave no room")
    assert len(material.kept(job.run)["prompts"]) == 21
    job.events.close()
    with pytest.raises(PromptTooLong, match="None of the 23 ranked prompts leaves room for a response of 250 tokens"):
        rewarded.start("ppo", PPO | {"tokens": 250}, {"prompts": "ranked"})
    with pytest.raises(PromptTooLong, match="Shorten the prompt"):
        rewarded.start("ppo", PPO, {"prompts": ["Hi", "Long? " * 60]})


def test_a_run_whose_prompts_an_older_lab_kept_as_text_goes_on_with_them(rewarded, practised):
    job = rewarded.start("ppo", PPO, {"prompts": "ranked"})
    kept = material.kept(job.run)
    assert kept["prompts"] == [f"Question {number}?" for number in range(20)]
    job.events.close()
    flat = ["User: Is it far?\n\nAssistant: No.\n\nUser: How far?"]
    (job.run.folder / material.FILE).write_text(json.dumps(kept | {"prompts": flat}))
    assert list(drive(rewarded.resume(job.run.name)))[-1].reason == "done"
    assert practised[1] == rewarded.roles.text.asked(flat)


def test_the_longest_of_the_prompts_is_found_among_texts_and_conversations(studio):
    text = studio.roles.text
    long = [{"role": "user", "content": "a" * 99}]
    found = material.lengths(text, {"prompts": [talk("Far?"), "a" * 50] * 64 + [long]})
    assert found == {"prompt": len(text.prompt_ids(long))}


def test_built_in_pairs_longer_than_a_short_context_are_left_out_and_the_run_says_so(studio):
    studio.roles.text = replace(studio.roles.text, context=128)
    job = studio.start("sft", {"steps": 1, "batch": 4, "microbatch": 4}, {})
    warned, *others = list(drive(job))
    assert warned.code == "W_TOO_LONG" and "of 4160 pairs are longer" in warned.message
    assert isinstance(others[-1], Finished)
    studio.roles.text = replace(studio.roles.text, context=8)
    with pytest.raises(PromptTooLong, match="None of the 4160 pairs fits"):
        studio.start("sft", {"steps": 1}, {})


@pytest.mark.parametrize("stage", ["reward", "dpo"])
def test_a_stop_is_obeyed_while_the_rankings_are_read_and_the_run_goes_on_from_there(studio, stage):
    job = studio.start(stage, REWARD if stage == "reward" else {"batch": 8}, {})
    events = []
    for event in drive(job):
        events.append(event)
        if isinstance(event, Progress):
            job.run.set_control(order="stop", until=None)
    assert isinstance(events[-1], Finished) and (events[-1].step, events[-1].reason) == (0, "stopped")
    assert not any(isinstance(event, Step) for event in events) and not job.run.adapter.is_dir()
    events = list(drive(studio.resume(job.run.name)))
    assert events[-1].reason == "done" and job.run.adapter.is_dir()


def test_a_reward_run_stopped_in_its_last_reading_has_learned_all_and_is_finished_by_a_resumption(studio):
    job, last = studio.start("reward", REWARD, {}), 0
    for event in drive(job):
        last = event.step if isinstance(event, Step) else last
        if isinstance(event, Progress) and event.what == "scale":
            job.run.set_control(order="stop", until=None)
    assert job.run.status() == "stopped" and not job.run.adapter.is_dir() and last > 0
    events = list(drive(studio.resume(job.run.name)))
    assert not any(isinstance(event, Step) for event in events)
    assert events[-1].reason == "done" and "gain" in events[-1].result and job.run.adapter.is_dir()
