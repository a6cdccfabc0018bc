"""Memory that runs out in the middle of any stage: smaller parts, the same optimizer's batch, and a word about it."""

from __future__ import annotations

import pytest
import torch

from lab import dpo, generate, ppo, reward, rloo_grpo, sft
from lab.__main__ import main
from lab.cast import Cast
from lab.config import Dpo, Group, Ppo, Reward, Sft
from lab.events import Failed, Finished, Step, Warned
from lab.loading import load
from lab.models import Roles
from lab.reward import Ranked
from lab.runner import drive
from lab.shortage import with_smaller_microbatches
from lab.steps import result_of
from lab.studio import Studio
from lab.text import Asked
from lab.worker import Worker
from lab.workspace import Workspace

ROOM = 4  # rows that a pass may have
SHORT = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
TEXTS = [f"{number} and what does a penguin eat?" for number in range(12)]


def asked(roles):
    return [Asked(text, tuple(roles.text.prompt_ids(text))) for text in TEXTS]


def rankings(roles):
    """The longest answer is the best one."""
    answers = [tuple(roles.text.response_ids(text)) for text in ("A penguin eats fish and squid.", "Fish.", "No, no.")]
    return [Ranked(each.ids, tuple(answers), ((0,), (2,), (1,))) for each in asked(roles)]


LITTLE = {"microbatch": 8, "tokens": 6, "missing_eos": "off"}


def of_sft(roles):
    config = Sft(steps=2, batch=8, microbatch=8)
    state = sft.begin(roles, config)
    pairs = [(text, "Fish and squid.") for text in TEXTS]
    return state, sft.sft(state, pairs, lambda: config, held_out=pairs)


def of_reward(roles):
    config = Reward(batch=8, epochs=1, normalise_over=8, tokens=4, held_out=0.0)
    state = reward.begin(roles, config)
    return state, reward.reward(state, rankings(roles), asked(roles), lambda: config)


def of_dpo(roles):
    config = Dpo(batch=8, microbatch=8, epochs=1)
    state = dpo.begin(roles, Cast(), config)
    return state, dpo.dpo(state, Cast(), rankings(roles), lambda: config)


def of_rloo(roles):
    return of_policy(roles, rloo_grpo.begin, rloo_grpo.rloo_grpo, Group(steps=1, prompts=2, group=4, **LITTLE))


def of_ppo(roles):
    return of_policy(roles, ppo.begin, ppo.ppo, Ppo(steps=2, batch=8, minibatch=8, **LITTLE))


def of_policy(roles, begin, run, config):
    roles.add("reward", like="sft")
    roles.head("reward")
    state = begin(roles, Cast(), config)
    return state, run(state, Cast(), asked(roles), lambda: config)


def last_metrics(events):
    """The numbers that the run came to, times and memory left out."""
    steps = [each.metrics for each in events if isinstance(each, Step)]
    numbers = (steps[-1] | events[-1].result).items()
    return {
        key: value
        for key, value in numbers
        if isinstance(value, float) and key.split("/")[0] not in ("time", "speed", "memory")
    }


@pytest.mark.parametrize("stage", [of_sft, of_reward, of_dpo, of_rloo])
def test_a_stage_goes_on_in_smaller_parts_and_learns_the_same(stage, monkeypatch):
    state, events = stage(load("tiny", device="cpu"))
    whole = list(events)
    expected = {name: weight.detach().clone() for name, weight in state.roles.weights(state.adapters[0]).items()}

    real = Roles.hidden

    def short(self, role, batch, only=None):
        if torch.is_grad_enabled() and len(batch.ids) > ROOM:
            raise SHORT
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


@pytest.mark.parametrize("stage", [of_sft, of_reward, of_ppo, of_rloo])
def test_a_reading_without_gradients_goes_on_in_smaller_parts(stage, monkeypatch, in_float32):
    _, events = stage(load("tiny", device="cpu"))
    expected, real = last_metrics(list(events)), Roles.hidden

    def short(self, role, batch, only=None):
        if not torch.is_grad_enabled() and len(batch.ids) > ROOM:
            raise SHORT
        return real(self, role, batch, only)

    monkeypatch.setattr(Roles, "hidden", short)
    state, events = stage(load("tiny", device="cpu"))
    found = list(events)
    assert isinstance(found[-1], Finished) and last_metrics(found) == pytest.approx(expected, rel=1e-2, abs=1e-3)
    if stage in (of_ppo, of_rloo):
        ratios = [each.metrics["policy/ratio_first"] for each in found if isinstance(each, Step)]
        assert set(ratios) == {0.0}, "a step is read and learned from in the same parts"
        assert [each.code for each in found if isinstance(each, Warned)].count("W_MEMORY") == 1
        assert state.microbatch == ROOM


@pytest.mark.parametrize("stage", [of_reward, of_ppo, of_rloo])
def test_fewer_answers_are_sampled_at_a_time_and_they_are_the_same(stage, monkeypatch, in_float32):
    _, events = stage(load("tiny", device="cpu"))
    expected, real, tried = last_metrics(list(events)), generate._speaker, []

    def short(roles, role, prompts, tokens):
        tried.append(len(prompts))
        if len(prompts) > ROOM:
            raise SHORT
        return real(roles, role, prompts, tokens)

    monkeypatch.setattr(generate, "_speaker", short)
    _, events = stage(load("tiny", device="cpu"))
    found = list(events)
    assert isinstance(found[-1], Finished) and last_metrics(found) == pytest.approx(expected, rel=1e-2, abs=1e-3)
    assert tried.count(8) == 1, "what fitted is remembered from step to step"
    if stage is not of_reward:
        (warned,) = (each for each in found if isinstance(each, Warned) and each.code == "W_MEMORY")
        assert f"answered {ROOM} at a time" in warned.message


@pytest.mark.parametrize(
    "words",
    [
        "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "MPS backend out of memory (MPS allocated: 8.00 GB, other allocations: 1.00 GB, max allowed: 9.07 GB)",
        "CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`",
        "CUDA error: out of memory",
    ],
)
def test_every_device_says_in_its_own_words_that_memory_ran_out(words):
    def work(size):
        if size > 2:
            raise RuntimeError(words)
        return size

    assert with_smaller_microbatches(work, 8) == (2, 2)


def test_python_has_a_class_of_its_own_for_it_and_no_words():
    def work(size):
        if size > 2:
            raise MemoryError
        return size

    assert with_smaller_microbatches(work, 8) == (2, 2)


def test_pairs_of_a_ranking_are_read_one_by_one_where_no_more_fit(monkeypatch, in_float32):
    roles, real = load("tiny", device="cpu"), Roles.hidden
    expected = result_of(dpo.pairs_of(roles, Cast(), rankings(roles)[:2]))

    def short(self, role, batch, only=None):
        if len(batch.ids) > 1:
            raise SHORT
        return real(self, role, batch, only)

    monkeypatch.setattr(Roles, "hidden", short)
    found = result_of(dpo.pairs_of(roles, Cast(), rankings(roles)[:2]))
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.ref_chosen == pytest.approx(theirs.ref_chosen, rel=1e-3)


def none_left(*_, **__):
    raise SHORT


def none_for_python(*_, **__):
    raise MemoryError


@pytest.mark.parametrize("short", [none_left, none_for_python])
def test_a_run_whose_smallest_part_does_not_fit_fails_in_words_and_names_what_to_lower(tmp_path, monkeypatch, short):
    studio = Studio(Workspace(tmp_path), load("tiny", device="cpu"))
    pairs = [(text, "Fish.") for text in TEXTS]
    job = studio.start("sft", {"steps": 20, "batch": 2, "microbatch": 2}, {"pairs": pairs})
    for event in drive(job):
        if isinstance(event, Step) and event.step == 12:
            monkeypatch.setattr(Roles, "hidden", short)
    assert isinstance(event, Failed) and event.code == "E_OOM" and event.step == 12
    assert "rank (now 8)" in event.message and "goes on from step 12" in event.message
    monkeypatch.undo()
    assert isinstance(list(drive(studio.resume(job.run.name)))[-1], Finished)


@pytest.mark.parametrize("short", [none_left, none_for_python])
def test_what_is_asked_for_and_does_not_fit_is_refused_in_words(tmp_path, monkeypatch, capsys, short):
    monkeypatch.setattr(generate, "_speaker", short)
    assert main(["sample", "-w", str(tmp_path), "--prompt", "Hi", "-n", "2"]) == 2
    assert capsys.readouterr().err.startswith("E_OOM: Memory ran out.")
    workspace = Workspace(tmp_path)
    worker = Worker(workspace, Studio(workspace, load("tiny", device="cpu")), lambda: True, 0.0)
    with workspace.store() as store:
        request = store.ask("chat", {"messages": [{"role": "user", "content": "Hi"}]})
    worker.look()
    assert workspace.answer(request)["error"]["code"] == "E_OOM"


def test_a_run_that_ends_by_memory_between_two_of_its_events_says_so(tmp_path):
    workspace = Workspace(tmp_path)
    worker = Worker(workspace, Studio(workspace, load("tiny", device="cpu")), lambda: True, 0.0)
    with workspace.store() as store:
        request = store.ask("run", {"stage": "sft", "config": {"steps": 2, "batch": 1, "microbatch": 1}})
    worker.look()
    worker.look = none_for_python
    worker._run(*worker.waiting.popleft())
    worker.store.close()
    [run] = workspace.runs()
    assert run.status() == "failed" and run.last_turn().code == "E_OOM"
    assert workspace.answer(request)["error"]["code"] == "E_OOM"
