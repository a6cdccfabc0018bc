"""The worker beside the page is one process, whatever is asked of its keeper at the same moment."""

from __future__ import annotations

import sys
import threading
import time
from types import SimpleNamespace

import psutil
import pytest

from lab.journal import read_json
from lab.ui.killed import was_killed
from lab.ui.supervisor import QUICK, Supervisor
from lab.workspace import Workspace


@pytest.fixture
def supervisor(tmp_path):
    made = Supervisor(tmp_path, command=(sys.executable, "-c", "import time; time.sleep(600)"))
    before = children()
    yield made
    made.stop()
    left = [each for each in children() if each not in before]
    for each in left:
        each.kill()
    assert not left, "a worker outlived its app"


def children() -> list[psutil.Process]:
    return [each for each in psutil.Process().children() if each.status() != psutil.STATUS_ZOMBIE]


def at_once(*calls) -> None:
    threads = [threading.Thread(target=call) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_of_two_restarts_at_once_one_worker_comes_and_it_ends_with_the_app(supervisor):
    before = children()
    supervisor.start()
    first = supervisor.pid
    at_once(supervisor.restart, supervisor.restart)
    assert [each.pid for each in children() if each not in before] == [supervisor.pid] != [first]


def test_a_worker_that_is_kept_alive_is_not_started_a_second_time(supervisor):
    before = children()
    at_once(supervisor.start, supervisor.start)
    supervisor.start()
    assert [each.pid for each in children() if each not in before] == [supervisor.pid]


def test_a_worker_that_was_given_up_is_so_until_somebody_starts_it_again(tmp_path):
    cured = tmp_path / "cured"
    code = f"import pathlib, sys, time; pathlib.Path({str(cured)!r}).exists() or sys.exit('no model'); time.sleep(600)"
    supervisor = Supervisor(tmp_path, command=(sys.executable, "-c", code))
    supervisor.start()
    until(lambda: supervisor.given_up)
    supervisor._deaths = [each - QUICK for each in supervisor._deaths]
    assert supervisor.given_up and supervisor.sentence() == "The model process has ended: no model"
    cured.touch()
    supervisor.restart()
    try:
        assert supervisor.alive and not supervisor.given_up
        assert supervisor.sentence() == "The model process is starting."
    finally:
        supervisor.stop()


def test_a_worker_that_leaves_for_the_sake_of_a_new_one_gets_it_and_one_that_keeps_leaving_is_given_up(tmp_path):
    left = tmp_path / "left"
    code = (
        f"import pathlib, sys, time; left = pathlib.Path({str(left)!r}); before = left.read_text() if left.exists() "
        "else ''; left.write_text(before + 'x'); time.sleep(600) if before else sys.exit(70)"
    )
    supervisor = Supervisor(tmp_path, command=(sys.executable, "-c", code))
    supervisor.start()
    first = supervisor.pid
    try:
        until(lambda: left.exists() and left.read_text() == "xx" and supervisor.pid not in (first, None))
        assert not supervisor.given_up
    finally:
        supervisor.stop()
    supervisor = Supervisor(tmp_path, command=(sys.executable, "-c", "raise SystemExit(70)"))
    supervisor.start()
    until(lambda: supervisor.given_up)


def test_a_thread_that_has_lost_the_gpu_is_not_started_again_in_the_same_process(tmp_path, monkeypatch):
    def work(*_, **__):
        raise SystemExit(70)

    monkeypatch.setitem(sys.modules, "lab.worker", SimpleNamespace(work=work))
    supervisor = Supervisor(tmp_path, inline=True)
    supervisor.start()
    until(lambda: supervisor.given_up)
    assert len(supervisor._deaths) == 1 and "End the app and start it again" in supervisor.sentence()


BUSY = """
import json, os, pathlib, signal, sys, time
root, ends = pathlib.Path(sys.argv[1]), sys.argv[2]
first = not (root / "began").exists()
(root / "began").touch()
(root / "worker.json").write_text(json.dumps({"pid": os.getpid(), "busy": "0001-sft" if first else None}))
if ends == "always" or (first and ends == "once"):
    os.kill(os.getpid(), signal.SIGKILL)
time.sleep(600)
"""


@pytest.mark.parametrize(("ends", "by_system"), [("once", True), ("never", False)])
def test_a_run_that_the_system_killed_is_marked_so_and_not_one_that_was_killed_from_here(tmp_path, ends, by_system):
    run = Workspace(tmp_path).new_run("sft", {})
    supervisor = Supervisor(tmp_path, command=(sys.executable, "-c", BUSY, str(tmp_path), ends))
    supervisor.start()
    first = supervisor.pid
    try:
        if not by_system:
            until(lambda: (read_json(tmp_path / "worker.json") or {}).get("busy") == run.name)
            supervisor.kill()
        until(lambda: (read_json(tmp_path / "worker.json") or {}).get("pid") not in (None, first))
        assert was_killed(run) is by_system and not supervisor.given_up
    finally:
        supervisor.stop()


def test_a_worker_that_the_system_kills_each_time_is_given_up_with_the_likely_reason(tmp_path):
    supervisor = Supervisor(tmp_path, command=(sys.executable, "-c", BUSY, str(tmp_path), "always"))
    supervisor.start()
    until(lambda: supervisor.given_up)
    assert supervisor.sentence().startswith("The model process has ended: the system killed it, probably because mem")
    assert supervisor.sentence(whole=False) == "The model process has ended."


def until(met) -> None:
    deadline = time.monotonic() + 30
    while not met():
        assert time.monotonic() < deadline
        time.sleep(0.05)
