"""The folder: names, runs whose status is derived, locks that die with their holder, answers that are followed."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from lab.errors import BadFile, BadName, Busy, Damaged, DiskFull, NotFound
from lab.events import Failed, Finished, Progress, Sample, Started, Step
from lab.journal import Journal, append_json
from lab.locks import held, taken
from lab.served import Served
from lab.store import Store
from lab.workspace import DEFAULT_CONTROL, STATES, Run, Workspace

ROOT = Path(__file__).parent.parent
STARTED = Started("ppo", 60, {"beta": 0.1})

# Takes a lock and says so; then waits to be killed, or for its input to end.
HOLDER = """
import sys
from lab.workspace import Workspace
workspace = Workspace(sys.argv[1])
lock = workspace.run(sys.argv[2]).lock() if sys.argv[2] else workspace.lock()
with lock:
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "work")


@pytest.fixture
def run(workspace):
    return workspace.new_run("ppo", {"steps": 60})


@pytest.fixture
def hold():
    """Starts a process that holds the lock of a run, or of the workspace; all are gone afterwards."""
    started = []

    def begin(workspace, name=""):
        process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, workspace.root, name],
            cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        started.append(process)
        assert process.stdout.readline() == "held\n"
        return process

    yield begin
    for process in started:
        process.kill()
        process.communicate()


def write(run, *events):
    with Journal(run.folder / "events.jsonl") as journal:
        for event in events:
            journal.write(event)


def test_a_workspace_makes_its_folder_for_its_owner_only_and_opens_nothing(tmp_path):
    workspace = Workspace(tmp_path / "a" / "b")
    assert [each.name for each in workspace.root.iterdir()] == ["runs"]
    assert workspace.root.stat().st_mode & 0o077 == 0
    assert (workspace.runs(), workspace.base(), workspace.worker()) == ([], None, None)
    workspace.set_base({"base": "tiny"})
    assert Workspace(tmp_path / "a" / "b").base() == {"base": "tiny"}
    with workspace.store() as store:
        assert isinstance(store, Store) and workspace.db.exists()


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(BadFile, match="workspace"):
            Workspace(path)


def test_runs_are_numbered_in_order_and_keep_what_they_were_asked(workspace):
    workspace.set_base({"base": "tiny"})
    first = workspace.new_run("sft", {"steps": 3})
    second = workspace.new_run("ppo", {"beta": 0.1}, inputs={"reward": "0001-reward"}, by="ana")
    assert [each.name for each in workspace.runs()] == ["0001-sft", "0002-ppo"]
    facts = workspace.run("0002-ppo").facts()
    assert facts.pop("created") > 0
    assert (facts.pop("inputs"), facts.pop("by")) == ({"reward": "0001-reward"}, "ana")
    assert facts == {"stage": "ppo", "config": {"unfrozen": 1.0, "beta": 0.1}, "base": {"base": "tiny"}}
    assert (first.number, second.number, second.stage) == (1, 2, "ppo")
    assert second.adapter == second.folder / "adapter"


def test_runs_made_at_once_all_get_numbers_of_their_own(workspace):
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda stage: workspace.new_run(stage, {}), ["sft", "ppo"] * 12))
    assert sorted(each.number for each in made) == list(range(1, 25)) == [each.number for each in workspace.runs()]
    assert all(each.facts()["stage"] == each.stage for each in made)


def test_ten_thousand_runs_stay_in_order(workspace):
    for number in (9_999, 2, 10_000):
        (workspace.root / "runs" / f"{number:04d}-sft").mkdir()
    assert [each.number for each in workspace.runs()] == [2, 9_999, 10_000]
    assert workspace.new_run("ppo", {}).name == "10001-ppo"


def test_a_run_appears_with_all_of_its_files_or_not_at_all(workspace, monkeypatch):
    made = workspace.new_run("sft", {}, files={"data.json": {"pairs": []}})
    assert json.loads((made.folder / "data.json").read_text()) == {"pairs": []}

    def full(path, record):
        raise DiskFull(f"No room was left for {path.name}.")

    before = sorted(path.name for path in made.folder.parent.iterdir())
    monkeypatch.setattr("lab.workspace.replace_json", full)
    with pytest.raises(DiskFull, match="data.json"):
        workspace.new_run("sft", {}, files={"data.json": {"pairs": []}})
    assert sorted(path.name for path in made.folder.parent.iterdir()) == before


BAD_NAMES = [
    "../../x", "..", "", "/etc/passwd", "0001-ppo/../../x", "0001-ppo/", "0001-PPO", "1-ppo", "0001-", "0001-ppo\n",
    "0001-p\0o", None,
]  # fmt: skip


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_that_could_lead_elsewhere_is_refused(workspace, name):
    (workspace.root / "x").mkdir()
    with pytest.raises(BadName):
        workspace.run(name)
    with pytest.raises(BadName):
        workspace.new_run(name or "", {})


def test_an_unknown_run_is_not_found_and_the_known_ones_are_named(workspace, run):
    with pytest.raises(NotFound, match="0001-ppo"):
        workspace.run("0007-ppo")


def test_other_things_in_the_folder_are_no_runs(workspace, run):
    for name in ("notes", ".new-abc", "0003-ppo.bak"):
        (workspace.root / "runs" / name).mkdir()
    (workspace.root / "runs" / "0002-ppo").write_text("a file")
    assert workspace.runs() == [run]


@pytest.mark.parametrize(
    ("events", "free", "locked"),
    [
        ((), "interrupted", "running"),
        ((STARTED, Step(1, {})), "interrupted", "running"),
        ((STARTED, Step(1, {}), Finished(1, "done", {})), "done", "done"),
        ((STARTED, Finished(1, "stopped", {})), "stopped", "stopped"),
        ((STARTED, Step(1, {}), Failed(1, "E_NOT_FINITE", "nan")), "failed", "failed"),
        ((STARTED, Finished(1, "stopped", {}), STARTED), "interrupted", "running"),
        ((STARTED, Failed(1, "E", ""), STARTED, Step(2, {}), Progress("x", 1, 2)), "interrupted", "running"),
        ((STARTED, Finished(1, "stopped", {}), STARTED, Finished(2, "done", {})), "done", "done"),
    ],
)
def test_the_status_follows_from_the_last_turn_and_the_lock(run, events, free, locked):
    write(run, *events)
    assert run.status() == free
    with run.lock():
        assert run.status() == locked
        run.set_control(order="pause")
        assert run.status() == ("paused" if locked == "running" else locked)
    assert run.status() == free and {free, locked} <= set(STATES)


def test_the_status_is_found_behind_many_and_behind_very_long_lines(run):
    write(run, STARTED, Finished(1, "stopped", {}), STARTED, *(Step(n, {"a": 1.0}) for n in range(5000)))
    assert run.status() == "interrupted"
    write(run, Finished(5000, "done", {"calibration": ["x" * 100] * 20_000}))
    assert run.status() == "done"
    with (run.folder / "events.jsonl").open("ab") as file:
        file.write(b'garbage\n{"event":"Started","at":1}\n{"event":"Fini')
    assert run.status() == "done"


def test_a_run_whose_holder_was_killed_is_interrupted(workspace, run, hold):
    write(run, STARTED, Step(1, {}))
    process = hold(workspace, run.name)
    assert run.locked() and run.status() == "running"
    run.set_control(order="pause")
    assert run.status() == "paused"
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert run.status() == "interrupted" and not run.locked()


def test_a_run_without_its_config_is_damaged_and_the_others_work(workspace, run):
    other = workspace.new_run("sft", {})
    for content in (b"", b'{"stage": "pp', None):
        (run.folder / "config.json").unlink()
        if content is not None:
            (run.folder / "config.json").write_bytes(content)
        assert run.status() == "damaged" and other.status() == "interrupted"
        with pytest.raises(Damaged, match="0001-ppo"):
            run.facts()
    assert workspace.runs() == [run, other]


def test_the_newest_run_of_a_stage_and_status_is_found(workspace):
    runs = [workspace.new_run("reward", {}) for _ in range(3)]
    for each in runs[:2]:
        write(each, Finished(1, "done", {}))
    assert workspace.newest("reward") == runs[1]
    assert workspace.newest("reward", "interrupted") == runs[2]
    assert workspace.newest("ppo") is None


def test_only_one_may_hold_the_workspace_and_its_death_frees_it(workspace, hold):
    lock = workspace.lock()
    workspace.say({"pid": 1})
    assert workspace.worker() is None
    process = hold(workspace)
    assert workspace.worker() == {"pid": 1}
    for attempt in (lock.acquire, lambda: lock.acquire(timeout=0), lambda: taken(lock, "The workspace")):
        with pytest.raises(Busy, match="another process"):
            attempt()
    process.send_signal(signal.SIGKILL)
    process.wait()
    with lock:
        assert held(workspace.root / "worker.lock")
    assert not held(workspace.root / "worker.lock") and workspace.worker() is None


def test_many_who_look_at_a_lock_keep_nobody_from_taking_it(workspace):
    taken(workspace.lock(), "It").release()
    stop = threading.Event()

    def look():
        while not stop.is_set():
            held(workspace.root / "worker.lock")

    watchers = [threading.Thread(target=look) for _ in range(4)]
    for watcher in watchers:
        watcher.start()
    for _ in range(20):
        workspace.lock().acquire(timeout=0).lock.release()
    stop.set()
    for watcher in watchers:
        watcher.join()


def test_control_keeps_what_is_not_changed_and_lays_knobs_over_knobs(run):
    assert run.control() == DEFAULT_CONTROL
    run.set_control(live={"beta": 0.2}, by="ana")
    run.set_control(order="pause", until=7)
    run.set_control(live={"temperature": 0.9, "beta": 0.3}, by="bob")
    found = run.control()
    assert set(found.pop("moved")) == {"beta", "temperature"}
    live = {"beta": 0.3, "temperature": 0.9}
    assert found == {"order": "pause", "until": 7, "live": live, "by": "bob", "reward": ""}
    with pytest.raises(TypeError, match="oder"):
        run.set_control(oder="stop")
    with pytest.raises(ValueError):
        run.set_control(live={"beta": float("nan")})
    assert run.control()["live"]["beta"] == 0.3
    (run.folder / "control.json").write_text('{"order": "st')
    assert run.control() == DEFAULT_CONTROL


def test_a_knob_that_is_set_to_what_it_was_is_still_seen_to_have_been_moved(run):
    run.set_control(live={"beta": 0.2, "temperature": 0.9})
    before = run.control()
    run.set_control(live={"beta": 0.2})
    after = run.control()
    assert after["live"] == before["live"] and after["moved"]["temperature"] == before["moved"]["temperature"]
    assert after["moved"]["beta"] > before["moved"]["beta"]


def test_two_people_who_move_two_sliders_at_once_undo_nothing(run):
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda n: Run(run.folder).set_control(live={f"knob{n}": n}, by="ana"), range(24)))
    assert run.control()["live"] == {f"knob{n}": n for n in range(24)}


def test_checkpoints_count_once_their_manifest_is_there(run):
    assert run.checkpoints() == []
    for step, whole in ((20, True), (100, True), (30, False), (3, True)):
        run.checkpoint(step).mkdir(parents=True)
        if whole:
            (run.checkpoint(step) / "manifest.json").write_text("{}")
    (run.folder / "checkpoint" / ".tmp-x").mkdir()
    assert run.checkpoints() == [3, 20, 100]
    assert run.checkpoint(3).name == "step-000003"


def test_a_title_is_shown_beside_the_name_that_stays(workspace, run):
    assert run.title() == "0001-ppo"
    run.rename("  Lower \n beta ")
    assert workspace.run("0001-ppo").title() == "Lower beta"
    for bad in ("x" * 121, "a\u202eb", "half \ud800"):
        with pytest.raises(BadName):
            run.rename(bad)
    run.rename("")
    assert run.title() == "0001-ppo"


def test_a_deleted_run_can_be_brought_back_and_its_number_is_not_used_again(workspace, run, hold):
    process = hold(workspace, run.name)
    with pytest.raises(Busy):
        run.delete()
    process.communicate("")
    write(run, STARTED)
    run.delete()
    assert workspace.runs() == [] and [each.name for each in workspace.deleted()] == ["0001-ppo"]
    assert workspace.new_run("ppo", {}).name == "0002-ppo"
    back = workspace.deleted()[0].restore()
    assert workspace.run("0001-ppo") == back and back.events().events[0][0] == STARTED
    assert workspace.deleted() == []


def test_events_and_samples_are_followed_apart(run):
    sample = Sample(1, "Why?", "Because.", 0.5, 0.1, 3, True, "policy")
    write(run, STARTED)
    with Journal(run.folder / "samples.jsonl") as journal:
        journal.write(sample)
    assert [event for event, _ in run.events().events] == [STARTED]
    first = run.samples()
    assert [event for event, _ in first.events] == [sample] and run.samples(first.offset).events == []


def test_a_run_counts_how_often_it_has_begun_and_no_line_that_is_not_whole(run):
    assert run.begun() == 0
    write(run, STARTED, Step(1, {}), Failed(1, "E_OOM", "Too much."), STARTED)
    assert run.begun() == 2
    with (run.folder / "events.jsonl").open("ab") as file:
        file.write(b'{"event":"Started","at":')
    assert run.begun() == 2
    write(run, STARTED)
    assert run.begun() == 3


def test_the_newest_answer_to_each_request_is_kept(workspace):
    assert workspace.answer("a") is None
    for n in range(3):
        append_json(workspace.served, {"id": "a", "done": n == 2, "text": "x" * n})
        append_json(workspace.served, {"id": "b", "done": False, "n": n})
        assert workspace.answer("a") == {"id": "a", "done": n == 2, "text": "x" * n}
    with workspace.served.open("ab") as file:
        file.write(b'garbage\n{"id":"b","done":true,')
    assert workspace.answer("b")["n"] == 2
    with workspace.served.open("ab") as file:
        file.write(b'"n":9}\n')
    assert workspace.answer("b") == {"id": "b", "done": True, "n": 9}


def test_a_long_history_of_answers_costs_bounded_memory_and_keeps_the_newest(tmp_path):
    path = tmp_path / "served.jsonl"
    path.write_text("".join(json.dumps({"id": str(n), "text": "x" * 9000}) + "\n" for n in range(2000)))
    served = Served(path, keep=50)
    served.refresh()
    assert served.get("1999") and served.get("1950") and served.get("1949") is None
    append_json(path, {"id": "1950", "again": True})
    append_json(path, {"id": "new"})
    served.refresh()
    assert served.get("1950")["again"] and served.get("new") and served.get("1951") is None
    assert served.get("1952")


def test_answers_are_followed_by_many_threads_while_they_come(workspace):
    served, seen = Served(workspace.served), []

    def follow():
        last = -1
        while last < 299:
            served.refresh()
            now = (served.get("a") or {"n": -1})["n"]
            assert now >= last
            last = now
        seen.append(last)

    threads = [threading.Thread(target=follow) for _ in range(4)]
    for thread in threads:
        thread.start()
    for n in range(300):
        append_json(workspace.served, {"id": "a", "n": n})
    for thread in threads:
        thread.join()
    assert seen == [299] * 4


def test_looking_at_runs_while_they_are_deleted_and_restored_never_fails(workspace, run):
    write(run, STARTED, Step(1, {}))
    with run.lock():
        pass
    stop = threading.Event()

    def move():
        while not stop.is_set():
            run.delete()
            workspace.deleted()[0].restore()

    with ThreadPoolExecutor(1) as pool:
        moved = pool.submit(move)
        try:
            # Running for the moment of the move itself, which happens under the run's lock.
            seen = {each.status() for _ in range(300) for each in workspace.runs()}
        finally:
            stop.set()
        moved.result()
    assert seen <= {"interrupted", "damaged", "running"}
    assert workspace.runs() == [run] and workspace.deleted() == []
