"""The Compare page's server side: what is taken away comes back whole, and one bad comparison hides no other."""

from __future__ import annotations

import json
import time

import pytest

from lab.errors import BadInput, BadName, BadNumber, BadText, Busy, EmptyPrompt, NotFound, PromptTooLong
from lab.events import Finished, Progress, Started, Step, to_json
from lab.exchange import LOSSLESS, exported, import_file
from lab.formats.files import rows
from lab.journal import append_json, replace_json
from lab.locks import taken
from lab.serve import MOST_TURNS
from lab.store import Candidate, Store
from lab.ui import model, reward, runs
from lab.ui.compare.arena import JUDGES, Arena, path
from lab.ui.compare.export import PREFERENCES, rankings_file
from lab.ui.office import LOOK_EVERY, Office
from lab.ui.supervisor import Supervisor
from lab.ui.talk import CHARACTERS
from lab.ui.tracks import Track
from lab.workspace import SHIPPED

TWO = [Candidate("yes", "sft", ids=(4, 5)), Candidate("no", "sft")]


@pytest.fixture
def office(tmp_path):
    """A real office whose worker was never started: what is asked of it stays unanswered."""
    made = Office(tmp_path / "workspace", worker=Supervisor(tmp_path / "workspace"))
    yield made
    made.close()


def rank(office, count):
    for number in range(count):
        prompt = office.store.add_prompts([f"Why {number}?"], "own")[0]
        shown = office.store.add_comparison(prompt, TWO)
        office.store.rank(f"k{number}", shown, [[1], [0]], rater="ana", note="n", tags=["rude"], seconds=2.0)


def test_the_labs_own_download_adds_nothing_when_it_is_imported_again(office, tmp_path):
    rank(office, 5)
    office.store.withdraw("w", 2)
    path = rankings_file(office, {}, tmp_path)
    found = import_file(office.store, path)
    assert (found.accepted, found.already, found.rejected) == (0, 5, [])
    with Store(tmp_path / "lab.db") as other:
        import_file(other, path)
        assert other.rankings(withdrawn=True) == office.store.rankings(withdrawn=True)


@pytest.mark.parametrize("format", PREFERENCES)
def test_every_format_on_offer_is_a_file_with_its_name(office, tmp_path, format):
    rank(office, 2)
    path = rankings_file(office, {"format": format}, tmp_path)
    assert path.name == f"{format}{'.parquet' if format.startswith('verl') else '.jsonl'}"
    assert len(rows(path)) == 2


def test_what_the_page_writes_is_what_the_command_line_writes(office, tmp_path):
    rank(office, 2)
    office.store.rank("s", office.store.rankings()[0].comparison.id, [[0], [1]], rater="simulated:helpful")
    for format, whose in (("trl", ""), ("trl", "all"), ("openrlhf", ""), (LOSSLESS, "person")):
        path = rankings_file(office, {"format": format, "raters": whose}, tmp_path)
        written = path.read_bytes()
        assert exported(office.store, tmp_path / "shell.jsonl", format, whose).rows == (3 if whose == "all" else 2)
        assert (tmp_path / "shell.jsonl").read_bytes() == written


def test_of_an_endless_conversation_only_the_end_is_sent_to_the_worker(office):
    said = [{"role": ("user", "assistant")[place % 2], "content": f"{place}"} for place in range(3001)]
    Arena(office).chat({"policy": "sft", "messages": said}, "ana")
    with pytest.raises(Busy):
        [*reply_within(office, said)]
    for _, _, kind, payload, _ in office.store.requests_after(0):
        assert kind == "chat" and payload["messages"] == said[-MOST_TURNS:]


def user(content):
    return [{"role": "user", "content": content}]


TEXTS = [(" ", EmptyPrompt), ("\u200b", EmptyPrompt), ("a" * 20_001, PromptTooLong), ("\ud800", BadText)]
TEXTS += [("a" + " " * 20_000 + "a", PromptTooLong)]


@pytest.mark.parametrize(("text", "problem"), TEXTS)
def test_no_text_of_a_browser_reaches_the_worker_that_no_prompt_may_be(office, text, problem):
    arena = Arena(office)
    with pytest.raises(problem):
        arena.chat({"policy": "sft", "messages": user("Why?") + user(text)}, "ana")
    with pytest.raises(problem):
        [*reply_within(office, user(text))]
    with pytest.raises(problem):
        arena.side({"a": "base", "b": "sft", "prompt": text}, "ana")
    assert office.store.last_request() == 0


@pytest.mark.parametrize("messages", [None, "Why?", [], ["Why?"], [{"role": "system", "content": "Why?"}], user(5)])
def test_what_is_no_conversation_does_not_reach_the_worker(office, messages):
    with pytest.raises(BadInput):
        Arena(office).chat({"policy": "sft", "messages": messages}, "ana")
    assert office.store.last_request() == 0


def test_of_long_messages_the_newest_are_kept_as_a_whole_and_nothing_that_comes_with_them(office):
    turns = [*user("a" * 15_000), {"role": "assistant", "content": ""}] * 9 + user("Why?")
    Arena(office).chat({"policy": "sft", "messages": [each | {"more": "b" * 90_000} for each in turns]}, "ana")
    [(*_, payload, _)] = office.store.requests_after(0)
    assert payload["messages"] == turns[-len(payload["messages"]) :] and len(payload["messages"]) > 10
    assert CHARACTERS - 15_000 < sum(len(each["content"]) for each in payload["messages"]) <= CHARACTERS


def test_a_name_without_end_is_kept_nowhere(office):
    name = "0" * 1_900_000 + "1-ppo"
    with pytest.raises(BadInput):
        Arena(office).side({"a": name, "b": "sft", "prompt": "Why?"}, "ana")
    with pytest.raises(BadInput):
        Arena(office).chat({"policy": name, "messages": user("Why?")}, "ana")
    with pytest.raises(BadName):
        reward.score(office, {"prompt": "Why?", "response": "So.", "run": name})
    assert office.store.last_request() == 0


def reply_within(office, said):
    """The Model page's chat, whose worker is given a moment only."""
    follow = office.follow
    office.follow = lambda request: follow(request, 0.1)
    return model.reply(office, said, "sft", 0.8)


def comparison(office, *events):
    """A comparison whose lock is held, as a worker holds it; ended where Finished is among the events."""
    run = office.workspace.new_run("compare", {}, inputs={"a": "0003-ppo", "b": "sft", "judge": JUDGES[0]})
    lines = [to_json(event, 1.0) + "\n" for event in (Started("compare", 8, {}), *events)]
    (run.folder / "events.jsonl").write_text("".join(lines))
    (run.folder / "lock").touch()
    return run


def test_a_comparison_that_is_going_on_is_stopped_and_no_other_run(office):
    arena, run = Arena(office), comparison(office)
    lock = taken(run.lock(), "The run")
    assert arena.results({}, "ana")["results"][0]["status"] == "running"
    assert run.name in arena.stop({"run": run.name}, "ana")["said"]
    assert run.control()["order"] == "stop" and run.control()["by"] == "ana"
    lock.release()
    with pytest.raises(Busy):
        arena.stop({"run": run.name}, "ana")
    with pytest.raises(NotFound):
        arena.stop({"run": office.workspace.new_run("ppo", {}).name}, "ana")


def test_an_sft_in_the_record_of_a_comparison_is_called_as_the_choices_call_the_one_of_the_base(office):
    result = {"win_rate": 0.5, "a": "0003-ppo", "b": "sft"}
    comparison(office, Finished(8, "done", result))
    own = office.workspace.new_run("sft", {})
    (own.folder / "events.jsonl").write_text(to_json(Finished(1, "done", {}), 1.0) + "\n")
    arena = Arena(office)
    shipped = next(each["label"] for each in arena.choices({}, "ana")["policies"] if each["value"] == SHIPPED)
    assert shipped == "SFT of the base"
    assert arena.results({}, "ana")["results"][0]["b"] == shipped
    assert runs.won(office, result) == f"0003-ppo wins 50 % against {shipped}"
    office.workspace.new_run("compare", {}, inputs={"a": "0003-ppo", "b": own.name, "judge": JUDGES[0]})
    [row] = [row for row in runs.compare(office, ["0001-compare", "0003-compare"])["rows"] if row["label"] == "B"]
    assert row["values"] == [shipped, own.name]


@pytest.mark.parametrize("config", [b"", b"{", b"\xff", b"[]"])
def test_a_damaged_comparison_is_listed_as_that_and_hides_no_other(office, config):
    good, bad = comparison(office, Finished(8, "done", {"win_rate": 0.5})), comparison(office)
    (bad.folder / "config.json").write_bytes(config)
    first, second = Arena(office).results({}, "ana")["results"]
    assert (first["run"], first["status"], first["a"]) == (bad.name, "damaged", None)
    assert (second["run"], second["status"], second["win_rate"]) == (good.name, "done", 0.5)


def test_a_comparison_that_waits_is_listed_with_what_it_waits_for_until_it_is_taken_back(office):
    run = office.workspace.new_run("dpo", {})
    (run.folder / "events.jsonl").write_text(to_json(Started("dpo", 8, {}), 1.0) + "\n")
    (run.folder / "lock").touch()
    lock = taken(run.lock(), "The run")
    run.set_control(order="pause", until=None)
    replace_json(office.workspace.root / "worker.json", {"ready": True, "busy": run.name})
    body = {"a": "base", "b": "sft", "judge": JUDGES[0], "count": 40}
    request = Arena(office).judge(body, "ana")["request"]
    append_json(office.workspace.served, {"id": request, "done": False, "queued": 1})
    arena = Arena(office)  # as after a restart
    [row] = arena.results({}, "bo")["waiting"]
    assert (row["request"], row["a"], row["b"]) == (request, "Base model, untuned", "SFT")
    assert row["status"] == f"waits for {run.name}, which is paused"
    run.rename("Slow")
    assert arena.results({}, "bo")["waiting"][0]["status"] == f"waits for Slow ({run.name}), which is paused"
    arena.stop({"request": request}, "ana")
    assert [(kind, payload) for *_, kind, payload, _ in office.store.requests_after(1)] == [
        ("forget", {"request": request})
    ]
    append_json(office.workspace.served, {"id": request, "done": True, "error": {"code": "E_BUSY", "message": "No."}})
    time.sleep(LOOK_EVERY)
    assert arena.results({}, "bo")["waiting"] == []
    with pytest.raises(Busy):
        arena.stop({"request": request}, "ana")
    lock.release()


def test_a_checkpoint_stands_where_its_own_answers_were_measured_and_not_at_a_mean_over_steps(office):
    run = office.workspace.new_run("ppo", {})
    steps = [Step(at, {"kl/reference": float(at), "reward/score": at / 2}) for at in range(1, 13)]
    lines = [to_json(event, 1.0) + "\n" for event in (Started("ppo", 12, {}), *steps)]
    (run.folder / "events.jsonl").write_text("".join(lines))
    points = path(Track(run).refresh())["points"]
    assert [(each["step"], each["kl"], each["score"]) for each in points] == [(n, n, n / 2) for n in range(1, 13)]
    assert all(each["trend"][0] < each["kl"] for each in points[1:])


@pytest.mark.parametrize(("count", "words"), [(None, "Prompts is empty"), (1, "Prompts is 1"), ("9", "not a number")])
def test_a_count_of_prompts_that_cannot_be_is_refused_by_its_name_on_the_page(office, count, words):
    with pytest.raises(BadNumber, match=words):
        Arena(office).judge({"a": "base", "b": "sft", "judge": JUDGES[0], "count": count}, "ana")


def test_a_comparison_that_goes_on_tells_how_far_it_is(office):
    run = office.workspace.new_run("compare", {}, inputs={"a": "sft", "b": "base", "judge": JUDGES[0]})
    with taken(run.lock(), "The run"):
        for done in (32, 2560):
            append_json(run.folder / "events.jsonl", json.loads(to_json(Progress("answers of sft", done, 5000), 1.0)))
        [row] = Arena(office).results({}, "me")["results"]
        assert row["status"] == "running" and row["progress"] == "answers of sft: 2,560 of 5,000"


def test_where_the_hosts_files_lie_is_told_to_the_host_alone(office):
    run = office.workspace.new_run("ppo", {}, base={"base": "/home/ana/bases/own"})
    (run.folder / "events.jsonl").write_text(to_json(Finished(1, "done", {}), 1.0) + "\n")
    run.adapter.mkdir()
    arena = Arena(office)
    of_guest, of_host = (arena.choices(body, "ana")["tuned"] for body in ({}, {"host": True}))
    assert [each["path"] for each in of_host] == [str(run.adapter)]
    assert of_guest == [of_host[0] | {"path": ""}]
    office.workspace.new_run("ppo", {}, base={"base": "tiny"})
    compared = runs.compare(office, [run.name, "0002-ppo"])
    [row] = [row for row in compared["rows"] if row["label"] == "Base model"]
    assert row["values"] == ["own", "tiny"] and "/home" not in json.dumps(runs.listing(office, {}))
