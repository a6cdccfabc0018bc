"""The worker as a process of its own: it answers while it trains, obeys, and can be killed without loss."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from folders import make

from lab import checkpoint
from lab.errors import Busy, Damaged, LabError, PromptTooLong
from lab.events import Started, Step
from lab.journal import Journal, append_json
from lab.loading import load
from lab.runner import drive
from lab.serve import MOST_TURNS, _newest, twins
from lab.served import KEPT_BYTES, MOST_BYTES
from lab.store import Candidate
from lab.studio import Studio
from lab.ui.feed import PASSING
from lab.worker import ANEW, NEVER, SETTLED, STALE_SECONDS, Worker
from lab.workspace import Workspace

ROOT = Path(__file__).parent.parent
PPO = {"steps": 400, "batch": 8, "minibatch": 4, "microbatch": 4, "tokens": 8}


class Lab:
    """A workspace with a worker process, asked as the page asks."""

    def __init__(self, root, base):
        self.workspace, self.base = Workspace(root), base
        self.store = self.workspace.store()
        self.start()

    def start(self):
        command = [sys.executable, "-m", "lab", "work", self.workspace.root, "--base", self.base, "--threads", "1"]
        self.process = subprocess.Popen([*map(str, command), "--parent", str(os.getpid())], cwd=ROOT)
        self.until(lambda: (self.workspace.worker() or {}).get("ready"), 120)

    def until(self, true, seconds=60):
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            found = true()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"nothing came in {seconds} s")

    def ask(self, kind, payload, seconds=60):
        request = self.store.ask(kind, payload)

        def done():
            answer = self.workspace.answer(request)
            return answer if answer and answer["done"] else None

        return self.until(done, seconds)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.process.terminate()
        self.process.wait(20)
        self.store.close()


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    top = tmp_path_factory.mktemp("worker")
    found = Lab(top / "w", make(top, "llama"))
    for number in range(20):
        [prompt] = found.store.add_prompts([f"Question {number}?"], "own")
        shown = [Candidate("a" * (1 + (i * 3 + number) % 7), "sft") for i in range(4)]
        order = sorted(range(4), key=lambda i: -len(shown[i].text))
        comparison = found.store.add_comparison(prompt, shown)
        found.store.rank(f"key {number}", comparison, [[i] for i in order], rater="ana")
    yield found
    found.close()


def test_candidates_of_several_policies_come_together_and_the_same_seed_gives_the_same(lab):
    wanted = {"prompt": "Why?", "policies": ["sft", "base", "sft"], "tokens": 12, "seed": 5}
    first, again = lab.ask("candidates", wanted), lab.ask("candidates", wanted)
    assert len(first["texts"]) == 3 and first["finished"] == [True] * 3 and first["scores"] is None
    assert (first["texts"], first["ids"]) == (again["texts"], again["ids"])


def test_answers_that_are_to_be_ranked_are_drawn_anew_where_two_say_the_same(lab):
    assert twins(["so", "no", " so", "no", "yes"]) == [2, 3]
    counts, policies = {False: 0, True: 0}, ["sft", "base", "sft", "base", "sft", "sft"]
    for seed in range(6):
        for distinct in counts:
            wanted = {"prompt": "Why?", "policies": policies, "tokens": 1, "seed": seed, "distinct": distinct}
            answer = lab.ask("candidates", wanted | {"temperature": 0.2})
            counts[distinct] += len(twins(answer["texts"]))
            assert answer["finished"] == [True] * 6 and all(len(ids) == 1 for ids in answer["ids"])
    assert counts[True] < counts[False] / 2, counts


def test_answers_stand_without_a_guess_where_the_reward_model_is_gone(lab):
    wanted = {"prompt": "What?", "policies": ["sft"] * 2, "tokens": 6, "guess": "0099-reward"}
    answer = lab.ask("candidates", wanted)
    assert "error" not in answer and len(answer["texts"]) == 2 and answer["scores"] is None


@pytest.mark.parametrize(
    ("kind", "payload", "code"),
    [
        ("candidates", {"prompt": " ", "policies": ["sft"]}, "E_EMPTY_PROMPT"),
        ("candidates", {"prompt": "x" * 3000, "policies": ["sft"]}, "E_PROMPT_TOO_LONG"),
        ("candidates", {"prompt": "x", "policies": ["0009-ppo"]}, "E_NOT_FOUND"),
        ("candidates", {"prompt": "x", "policies": ["../../etc"]}, "E_BAD_NAME"),
        ("candidates", {"prompt": "x", "policies": ["sft"] * 99}, "E_BAD_INPUT"),
        ("candidates", {"prompt": "x", "policies": ["sft"], "tokens": -1}, "E_BAD_NUMBER"),
        ("candidates", {"prompt": "x", "policies": ["sft"], "temperature": "hot"}, "E_BAD_NUMBER"),
        ("chat", {"messages": []}, "E_BAD_INPUT"),
        ("score", {"prompt": "x", "responses": ["y"]}, "E_NOT_FOUND"),
        ("run", {"stage": "ppo", "config": {}}, "E_NOT_FOUND"),
        ("run", {"stage": "reward", "config": {"epochs": -1}}, "E_BAD_NUMBER"),
        ("run", {"stage": "reward", "config": {"colour": 1}}, "E_BAD_NUMBER"),
        ("resume", {"run": "0099-ppo"}, "E_NOT_FOUND"),
        ("dance", {}, "E_BAD_INPUT"),
    ],
)
def test_what_cannot_be_done_is_answered_with_a_code_and_a_sentence(lab, kind, payload, code):
    error = lab.ask(kind, payload)["error"]
    assert error["code"] == code and error["message"].endswith((".", "FILE", ").")) and len(error["message"]) > 30


def test_people_are_served_by_the_policy_in_training_and_a_killed_run_goes_on(lab):
    reward = lab.ask("run", {"stage": "reward", "config": {"epochs": 1, "normalise_over": 16, "tokens": 8}})["run"]
    lab.until(lambda: lab.workspace.run(reward).status() == "done")
    scored = lab.ask("score", {"prompt": "Why?", "responses": ["aaaa", "a"]})
    assert len(scored["scores"]) == 2 and all(0 <= each <= 100 for each in scored["percentiles"])
    run = lab.workspace.run(lab.ask("run", {"stage": "ppo", "config": PPO, "by": "ana"})["run"])
    lab.until(lambda: any(isinstance(event, Step) for event, _ in run.events().events))
    answer = lab.ask("candidates", {"prompt": "Hi", "policies": ["policy", "sft"], "tokens": 8, "guess": reward})
    assert answer["policies"][0] == run.name and answer["steps"][0] >= 1 and len(answer["scores"]) == 2
    assert run.status() == "running" and lab.workspace.worker()["busy"] == run.name
    lab.until(lambda: run.checkpoints())
    in_line = lab.store.ask("run", {"stage": "dpo", "config": {"batch": 32}})
    lab.until(lambda: lab.workspace.answer(in_line))
    lab.kill()
    lab.until(lambda: run.status() == "interrupted", 5)
    assert lab.workspace.worker() is None
    lab.start()
    begun = lab.until(lambda: lab.workspace.answer(in_line).get("run"))
    lab.until(lambda: lab.workspace.run(begun).status() == "done")
    assert lab.ask("resume", {"run": run.name})["run"] == run.name
    lab.until(lambda: run.status() == "running")
    run.set_control(order="stop")
    lab.until(lambda: run.status() == "stopped")
    assert run.adapter.is_dir()


def starts(run):
    """The step that a run began at, each time that it did."""
    return [event.step for event, _ in run.events().events if isinstance(event, Started)]


def test_a_run_that_was_asked_twice_to_go_back_while_another_was_trained_does_so_once(lab):
    reward = lab.ask("run", {"stage": "reward", "config": {"epochs": 1, "normalise_over": 16, "tokens": 8}})["run"]
    short = {"stage": "ppo", "config": PPO | {"steps": 12}, "inputs": {"reward": reward}}
    run = lab.workspace.run(lab.ask("run", short)["run"])
    lab.until(lambda: run.status() == "done")
    lab.ask("run", short | {"config": PPO | {"steps": 8}})
    twice = [lab.store.ask("resume", {"run": run.name, "from": 10}) for _ in range(2)]
    for request in twice:
        assert lab.until(lambda request=request: (lab.workspace.answer(request) or {}).get("run")) == run.name
    lab.until(lambda: lab.workspace.worker()["busy"] is None and run.status() == "done")
    assert starts(run) == [0, 10]
    assert lab.ask("resume", {"run": run.name, "from": 10})["run"] == run.name
    lab.until(lambda: starts(run) == [0, 10, 10] and run.status() == "done")


@pytest.mark.parametrize("hours", [0.0, 5.0, -5.0], ids=["now", "clock set back", "clock set forward"])
def test_a_run_goes_on_once_for_each_time_that_it_was_asked_to_whatever_the_clock_says(tmp_path, hours):
    workspace, resumed = Workspace(tmp_path / "w"), []
    run = workspace.new_run("ppo", {})
    worker = Worker(workspace, no_model(workspace), lambda: True, time.time())
    worker.studio.resume = lambda name, *_, **__: resumed.append(name) or begin()

    def begin():
        with Journal(run.folder / "events.jsonl") as events:
            events.write(Started("ppo", 60, {}), at=time.time() + 3600 * hours)

    begin()
    asked = {"run": run.name, "from": None, "begun": run.begun()}
    for request in ("first", "again"):
        worker._job(request, "resume", asked, time.time())
    assert resumed == [run.name] and workspace.answer("again")["done"] and not workspace.answer("first")
    worker._job("later", "resume", asked | {"begun": run.begun()}, time.time())
    assert len(resumed) == 2
    worker.store.close()


def no_model(workspace):
    """What stands in for a studio where nothing is said or trained."""
    return SimpleNamespace(policies=SimpleNamespace(workspace=workspace))


def left_over(tmp_path, hours=0.0):
    """(answers by name, orders in line) of a worker that starts so many hours after four requests were made."""
    workspace = Workspace(tmp_path / "w")
    with workspace.store() as store:
        asked = {name: store.ask("chat" if name == "chat" else "run", {}) for name in ("done", "begun", "chat", "new")}
    for name, record in (("done", {"done": True, "run": "0001-sft"}), ("begun", {"begun": True, "done": False})):
        append_json(workspace.served, {"id": asked[name], **record})
    text = "x" * (KEPT_BYTES // 2000)
    others = "".join(f'{{"id":"other {number}","done":true,"text":"{text}"}}\n' for number in range(3000))
    with workspace.served.open("a") as served:
        served.write(others)
    worker = Worker(workspace, no_model(workspace), lambda: True, time.time() + 3600 * hours)
    worker.server.kinds["chat"] = lambda payload: iter([{"text": "Hello", "done": True}])
    worker.take_over()
    worker.look()
    assert workspace.served.stat().st_size < KEPT_BYTES + 2_000
    names = {request: name for name, request in asked.items()}
    found = {name: workspace.answer(request) or {} for name, request in asked.items()}
    worker.store.close()
    return found, [names[request] for request, *_ in worker.waiting]


@pytest.mark.parametrize("hours", [0.0, -24.0], ids=["now", "clock set back a day"])
def test_a_worker_does_what_the_one_before_it_left_undone_and_nothing_twice(tmp_path, hours):
    found, in_line = left_over(tmp_path, hours)
    assert in_line == ["new"] and found["new"]["queued"] == 1
    assert found["chat"]["text"] == "Hello" and "done" not in in_line
    assert found["begun"]["error"]["code"] == "E_BUSY" and "not tried again" in found["begun"]["error"]["message"]


def test_answers_that_have_grown_long_are_begun_anew_and_those_who_wait_are_told_all(tmp_path):
    workspace = Workspace(tmp_path / "w")
    worker = Worker(workspace, no_model(workspace), lambda: True, time.time())
    worker.server.kinds["chat"] = lambda payload: iter([{"text": "x" * MOST_BYTES}, {"text": "Hello", "done": True}])
    with workspace.store() as store:
        order, chat = store.ask("run", {}), store.ask("chat", {})
        worker.look()
        assert workspace.served.stat().st_size < 1_000
        assert workspace.answer(chat)["text"] == "Hello" and workspace.answer(order)["queued"] == 1
    worker.store.close()


@pytest.fixture
def talker(tmp_path, monkeypatch):
    """A worker, the numbers of the chats that it has answered, each of which takes 0.8 s of a clock that is set here,
    and how one asks for chats by their numbers."""
    workspace, clock, answered = Workspace(tmp_path / "w"), [100.0], []
    worker = Worker(workspace, no_model(workspace), lambda: True, time.time())

    def chat(payload):
        clock[0] += 0.8
        answered.append(payload["n"])
        yield {"done": True}

    def ask(*numbers, kind="chat"):
        with workspace.store() as store:
            found = [store.ask(kind, {"n": n}) for n in numbers]
        worker.written = NEVER
        return found

    worker.server.kinds["chat"] = chat
    monkeypatch.setattr("lab.worker.monotonic", lambda: clock[0])
    yield worker, answered, ask
    worker.store.close()


def test_a_crowd_is_answered_in_its_order_and_keeps_a_run_waiting_for_a_few_of_it_only(talker):
    worker, answered, ask = talker
    ask(*range(7))
    ask(0, kind="run")
    worker.look()
    assert answered == [0, 1, 2] and len(worker.waiting) == 1, "orders are in line before all are answered"
    ask(7)
    for _ in range(2):
        worker.look()
    assert answered == list(range(8))


def test_what_nobody_waits_for_any_more_is_refused_in_words_unless_the_worker_came_after_it(talker):
    worker, answered, ask = talker
    [first] = ask(1)
    worker.look()
    late, _ = ask(2, 3)
    worker._read()
    worker.asked[0] = (*worker.asked[0][:3], time.time() - STALE_SECONDS - 1)
    worker.asked.append(worker.asked[0])
    worker.started -= 10_000
    worker.look()
    error = worker.workspace.answer(late)["error"]
    assert answered == [1, 3] and error["code"] == "E_BUSY" and error["message"].endswith("Ask again.")
    worker.asked.append((first, "chat", {"n": 4}, time.time() - STALE_SECONDS - 1))
    worker.started = time.time()
    worker.look()
    assert answered == [1, 3, 4], "it waited for the base to be loaded"


def test_an_order_that_waits_is_taken_back_and_no_other(tmp_path):
    workspace = Workspace(tmp_path / "w")
    with workspace.store() as store:
        first, second = store.ask("run", {"stage": "compare"}), store.ask("run", {})
        worker = Worker(workspace, no_model(workspace), lambda: True, time.time())
        worker.look()
        asked = store.ask("forget", {"request": first})
    worker.looked = 0.0
    worker.look()
    worker.store.close()
    assert [request for request, *_ in worker.waiting] == [second]
    assert "taken back" in workspace.answer(first)["error"]["message"] and workspace.answer(asked)["done"]


def test_an_order_that_was_taken_back_while_no_worker_lived_is_not_begun_however_late_one_comes(tmp_path):
    workspace = Workspace(tmp_path / "w")
    with workspace.store() as store:
        order = store.ask("run", {})
        store.ask("forget", {"request": order})
    worker = Worker(workspace, no_model(workspace), lambda: True, time.time() + 3600)
    worker.take_over()
    worker.store.close()
    assert not worker.waiting and "taken back" in workspace.answer(order)["error"]["message"]


def test_an_order_waits_for_hours_and_is_refused_in_words_after_a_day_while_a_chat_is_passed_over(tmp_path):
    found, in_line = left_over(tmp_path / "hours", 5.0)
    assert in_line == ["new"] and not found["chat"]
    found, in_line = left_over(tmp_path / "days", 30.0)
    assert not in_line and "30 hours before" in found["new"]["error"]["message"]


def test_the_database_is_opened_again_only_when_it_may_have_changed(tmp_path):
    db = tmp_path / "lab.db"
    worker = SimpleNamespace(workspace=SimpleNamespace(db=db), written=(0.0, False))

    def looks(written: float | None = None) -> list[bool]:
        if written is not None:
            db.touch()
            os.utime(db, (written, written))
        return [Worker._news(worker) for _ in range(3)]

    assert looks() == [True, True, True], "no file: the store says what is wrong"
    assert looks(time.time() - 60) == [True, False, False]
    assert looks(time.time() - 3600) == [True, False, False], "an older copy in its place"
    assert looks(just := time.time()) == [True, True, True], "it may be written again within the same tick"
    time.sleep(SETTLED + 0.1)
    assert looks(just) == [True, False, False], "what came in that tick, seen late"


def test_a_store_that_cannot_be_read_now_is_read_again_later_and_ends_neither_run_nor_worker(tmp_path, caplog):
    workspace = Workspace(tmp_path)
    workspace.store().close()
    damaged = Damaged("lab.db cannot be read.")
    asked, answers = [], [Busy("lab.db was in use."), damaged, damaged, [(1, "a", "chat", {}, 0.0)]]

    def requests_after(_seq):
        found = answers.pop(0)
        if isinstance(found, LabError):
            raise found
        return found

    worker = Worker(workspace, no_model(workspace), lambda: True, 0.0)
    worker.store = SimpleNamespace(requests_after=requests_after)
    worker._take = lambda *order: asked.append(order)
    for _ in range(3):
        worker.look()
        assert not asked and worker.seen == 0
        worker.looked = 0.0
    assert caplog.text.count("lab.db cannot be read") == 1, "a fault that stays is logged once"
    worker.look()
    assert asked == [("a", "chat", {}, 0.0)] and worker.seen == 1


CHAT = {"messages": [{"role": "user", "content": "Hi"}], "tokens": 2}
LITTLE = {"steps": 2, "batch": 1, "microbatch": 1}


@pytest.fixture
def hand(tmp_path):
    """A worker in this process."""
    workspace = Workspace(tmp_path / "w")
    found = Worker(workspace, Studio(workspace, load("tiny", device="cpu")), lambda: True, time.time())
    yield found
    found.store.close()


def asked_of(worker, kind, payload):
    with worker.workspace.store() as store:
        return store.ask(kind, payload)


def test_an_answer_that_finds_no_room_on_the_disk_is_lost_and_nothing_else(hand, caplog):
    hand.workspace.served.symlink_to("/dev/full")
    job = hand.studio.start("sft", LITTLE, {"pairs": [("Why?", "So.")]})
    request = asked_of(hand, "chat", CHAT)
    hand._drive(job)
    assert job.run.status() == "done" and f"request {request}: No room was left" in caplog.text
    hand.workspace.served.unlink()
    request = asked_of(hand, "chat", CHAT)
    hand.written, hand.looked = NEVER, 0.0
    hand.look()
    assert hand.workspace.answer(request)["done"]


def test_a_disk_without_any_room_refuses_a_run_and_ends_no_worker(hand):
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    asked_of(hand, "chat", CHAT)
    order = asked_of(hand, "run", {"stage": "sft", "config": LITTLE, "inputs": {"pairs": [["Why?", "So."]]}})
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, before[1]))
    try:
        hand.look()
        hand._run(*hand.waiting[0])
        hand.report()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert hand.workspace.runs() == [] and hand.seen == 2
    hand._run(*hand.waiting.popleft())
    assert hand.workspace.run(hand.workspace.answer(order)["run"]).status() == "done"


def test_a_run_whose_files_cannot_be_opened_leaves_nothing_behind_and_ends_no_worker(hand, caplog):
    order = asked_of(hand, "run", {"stage": "sft", "config": LITTLE, "inputs": {"pairs": [["Why?", "So."]]}})
    hand.look()
    begin, before = hand.studio.start, set(hand.studio.roles.model.peft_config)

    def begun(*asked):
        job = begin(*asked)
        (job.run.folder / "samples.jsonl").mkdir()
        return job

    hand.studio.start = begun
    hand._run(*hand.waiting.popleft())
    [run] = hand.workspace.runs()
    refused = hand.workspace.answer(order)["error"]
    assert refused["code"] == "E_INTERNAL" and "ref" in refused["message"] and f"{run.name}: " in caplog.text
    assert set(hand.studio.roles.model.peft_config) == before and run.status() == "interrupted"
    (run.folder / "samples.jsonl").rmdir()
    hand._drive(hand.studio.resume(run.name))
    assert run.status() == "done"


def breaks(problem):
    """A stand-in for any work that breaks off so."""

    def work(*_):
        raise problem

    return work


def test_an_answer_that_nobody_foresaw_is_told_by_the_code_that_is_asked_again(hand, caplog):
    request = asked_of(hand, "chat", CHAT)
    hand.server.kinds["chat"] = breaks(ZeroDivisionError("by 0"))
    hand.look()
    refused = hand.workspace.answer(request)["error"]
    assert refused["code"] == "E_INTERNAL" in PASSING and "ZeroDivisionError, ref " in refused["message"]
    [reference] = re.findall("ref ([0-9a-f]{8})", refused["message"])
    assert f"E_INTERNAL {reference}" in caplog.text


FAULT = "CUDA error: device-side assert triggered\nSearch for `cudaErrorAssert' in the documentation."
FAULTS = [torch.AcceleratorError(FAULT), RuntimeError(FAULT), RuntimeError("HIP error: an illegal memory access")]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: f"{type(fault).__name__} {str(fault)[:4]}")
def test_an_answer_that_loses_the_gpu_is_told_and_the_next_process_is_spared_it_and_answers_the_rest(hand, fault):
    first, second = (asked_of(hand, "chat", CHAT) for _ in range(2))
    hand.server.kinds["chat"] = breaks(fault)
    with pytest.raises(SystemExit) as end:
        hand.look()
    refused = hand.workspace.answer(first)["error"]
    assert end.value.code == ANEW != 0 and refused["code"] == "E_DEVICE_LOST"
    assert str(fault).splitlines()[0] in refused["message"] and "process starts anew" in refused["message"]
    assert "cudaErrorAssert" not in refused["message"] and hand.workspace.answer(second) is None
    hand.store.close()
    hand.__init__(hand.workspace, hand.studio, lambda: True, time.time())
    hand.take_over()
    hand.look()
    assert hand.workspace.answer(second)["done"] and "error" not in hand.workspace.answer(second)
    assert hand.workspace.answer(first)["error"] == refused


@pytest.mark.parametrize("where", ["the run", "an answer meanwhile"])
def test_a_run_under_which_the_gpu_is_lost_fails_for_that_and_can_be_resumed(hand, where):
    order = asked_of(hand, "run", {"stage": "sft", "config": LITTLE, "inputs": {"pairs": [["Why?", "So."]]}})
    hand.look()
    if where == "the run":
        hand.look = breaks(FAULTS[0])  # in `between`, outside of what looks after the answers
    else:
        hand.server.kinds["chat"] = breaks(FAULTS[0])
        hand.written, hand.looked = NEVER, 0.0
        asked_of(hand, "chat", CHAT)
    with pytest.raises(SystemExit) as end:
        hand._run(*hand.waiting.popleft())
    [run] = hand.workspace.runs()
    end_of_run = run.last_turn()
    assert end.value.code == ANEW and (run.status(), end_of_run.code) == ("failed", "E_DEVICE_LOST")
    assert "resume the run" in end_of_run.message and not run.locked()
    assert hand.workspace.answer(order)["done"]
    hand.look = lambda: None
    hand._drive(hand.studio.resume(run.name))
    assert run.status() == "done"


def test_memory_that_runs_out_on_a_gpu_loses_nothing_and_ends_no_process(hand):
    for problem in (torch.OutOfMemoryError("CUDA out of memory."), RuntimeError("CUDA error: out of memory")):
        request = asked_of(hand, "chat", CHAT)
        hand.server.kinds["chat"] = breaks(problem)
        hand.written, hand.looked = NEVER, 0.0
        hand.look()
        assert hand.workspace.answer(request)["error"]["code"] == "E_OOM"


def test_a_conversation_that_has_grown_too_long_loses_its_oldest_turns():
    text = load("tiny", device="cpu").text
    turns = [
        {"role": ("user", "assistant")[place % 2], "content": f"{place} and what is a horse for?"}
        for place in range(61)
    ]
    ids = _newest(text, turns, 160)
    assert len(text.prompt_ids(turns[-1:])) < len(ids) <= text.context - 160
    assert text.tokenizer.decode(ids).count("and what is a horse for?") % 2, "it begins with a question"
    with pytest.raises(PromptTooLong):
        _newest(text, [{"role": "user", "content": "horse " * 600}], 160)


def test_a_conversation_without_end_costs_the_worker_no_more_than_a_few_readings():
    text, read = load("tiny", device="cpu").text, []

    class Counted:
        def prompt_ids(self, turns, room):
            read.append(len(turns))
            return text.prompt_ids(turns, room)

    for said in ("Hi?", "and what is a horse for?"):
        turns = [{"role": ("user", "assistant")[place % 2], "content": said} for place in range(3001)]
        read.clear()
        found = _newest(Counted(), turns, 160)
        assert len(read) <= 7 and max(read) <= MOST_TURNS and found == text.prompt_ids(turns[-read[-1] :])
    assert _newest(text, turns[1:2], 160) == text.prompt_ids(turns[1:2])


def test_a_second_worker_is_refused_with_one_sentence(lab):
    command = [sys.executable, "-m", "lab", "work", str(lab.workspace.root)]
    second = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert second.returncode == 2 and second.stderr.startswith("E_BUSY")
    assert len(second.stderr.strip().splitlines()) == 1


def test_a_worker_ends_with_its_parent_and_says_why_a_base_cannot_be_loaded(tmp_path):
    command = [sys.executable, "-m", "lab", "work", str(tmp_path / "w"), "--base", str(tmp_path / "nowhere")]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2 and re.match(r"E_MODEL_INCOMPLETE: .*/nowhere\b.* Check the name", done.stderr)
    orphan = [sys.executable, "-m", "lab", "work", str(tmp_path / "v"), "--base", "tiny", "--parent", "999999999"]
    assert subprocess.run(orphan, cwd=ROOT, capture_output=True, timeout=60).returncode == 0


def test_the_run_in_training_is_told_from_the_finished_one_also_before_its_first_step_and_after_a_stop(tmp_path):
    workspace = Workspace(tmp_path)
    studio = Studio(workspace, load("tiny", device="cpu"))
    worker = Worker(workspace, studio, lambda: True, 0.0)
    asked = {"prompt": "Why?", "policies": ["policy", "base"], "tokens": 1}

    def answered(job):
        """What is answered at the first word of the run: by whom, and at which step."""
        with workspace.store() as store:
            request = store.ask("candidates", asked)
        studio.policies.training = job.run.name
        worker._drive(job)
        answer = workspace.answer(request)
        studio.policies.training, studio.policies.step = "", 0
        return answer["policies"], answer["steps"]

    job = studio.start("sft", {"steps": 2, "batch": 1, "microbatch": 1}, {"pairs": [("Why?", "So.")]})

    def stopped_after_a_step(job):
        for event in job.events:
            if isinstance(event, Step):
                job.run.set_control(order="stop")
            yield event

    job = replace(job, events=stopped_after_a_step(job))
    assert answered(job) == ([f"{job.run.name}@0", "base"], [0, 0])
    assert job.run.checkpoints() == [1]
    assert answered(studio.resume(job.run.name)) == ([job.run.name, "base"], [1, 0])
    worker.store.close()


def test_a_resumed_run_that_has_to_warn_first_answers_at_its_step_from_the_first_word(hand):
    job = hand.studio.start("sft", {"steps": 9, "batch": 1, "microbatch": 1}, {"pairs": [("Why?", "So.")]})
    for event in drive(job):
        if isinstance(event, Step) and event.step in (4, 5):
            checkpoint.save(job.run.folder / "checkpoint", job.state)
        if isinstance(event, Step) and event.step == 5:
            job.run.set_control(order="stop")
    (job.run.checkpoint(5) / checkpoint.WEIGHTS).write_bytes(b"damaged")
    request = asked_of(hand, "candidates", {"prompt": "Why?", "policies": ["policy"], "tokens": 1})
    job, told = hand.studio.resume(job.run.name), []
    events, hand.policies.training = job.events, job.run.name

    def overheard():
        for event in events:
            told.append((type(event).__name__, bool(hand.workspace.answer(request))))
            yield event

    hand._drive(replace(job, events=overheard()))
    answer = hand.workspace.answer(request)
    assert told[:2] == [("Warned", False), ("Started", True)], "it was answered between the two"
    assert (answer["policies"], answer["steps"]) == ([job.run.name], [4])
