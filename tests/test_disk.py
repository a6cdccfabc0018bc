"""A disk that fills up: a run waits before it saves and goes on with room, and nothing new is begun without any."""

from __future__ import annotations

import shutil
from types import SimpleNamespace

import pytest
from starlette.testclient import TestClient

from lab import disk
from lab.errors import DiskFull
from lab.events import Finished, Step, Warned
from lab.loading import load
from lab.runner import drive
from lab.studio import Studio
from lab.ui.guard import Guard, Rules
from lab.workspace import Workspace

SFT = {"steps": 3, "batch": 4}
PAIRS = [("Hi", "Hello.")] * 20


@pytest.fixture
def room(monkeypatch):
    """What the disk has left, to be set."""
    left = SimpleNamespace(bytes=2**40)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: SimpleNamespace(free=left.bytes))
    return left


@pytest.fixture
def job(tmp_path):
    return Studio(Workspace(tmp_path / "w"), load("tiny", device="cpu")).start("sft", SFT, {"pairs": PAIRS})


def test_a_run_waits_before_it_saves_until_there_is_room_and_says_so_once(job, room):
    seen, waits = [], []

    def between():
        if room.bytes < 2**40:
            waits.append(job.run.checkpoints())
            room.bytes = 2**40 if len(waits) == 4 else room.bytes

    for event in drive(job, between):
        seen.append(event)
        if isinstance(event, Step) and event.step == 2:
            room.bytes = disk.BESIDE
    assert isinstance(seen[-1], Finished) and job.run.checkpoints() == [1, 2, 3]
    (told,) = [event for event in seen if isinstance(event, Warned)]
    assert told.code == "W_DISK" and told.grave and told.step == 2 and "before it saves step 2" in told.message
    assert seen.index(told) < next(i for i, each in enumerate(seen) if isinstance(each, Step) and each.step == 3)
    assert len(waits) >= 4 and set(map(tuple, waits)) == {(1,)}


def test_a_run_that_waits_for_room_can_be_stopped(job, room):
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            room.bytes = disk.BESIDE
        if isinstance(event, Warned):
            job.run.set_control(order="stop")
    assert isinstance(event, Finished) and event.reason == "stopped" and job.run.adapter.is_dir()


def test_what_a_run_is_about_to_keep_is_what_it_keeps(job):
    for event in drive(job):
        if isinstance(event, Step) and event.step == 2:
            size = job.state.size()
    written = (job.run.checkpoint(2) / "weights.safetensors").stat().st_size
    assert size < written < size + 100_000


def test_twice_what_is_kept_and_some_more_must_be_free(tmp_path, room):
    room.bytes = disk.BESIDE + 200
    assert disk.lacking(tmp_path, 100) == 0 and disk.lacking(tmp_path / "not there" / "yet", 101) == 2


def test_no_run_is_begun_on_a_full_disk_and_none_is_left_half_made(tmp_path, room):
    workspace = Workspace(tmp_path / "w")
    room.bytes = disk.LEAST - 1
    with pytest.raises(DiskFull, match="63 MB left, and a new run is not begun"):
        workspace.new_run("sft", {})
    assert workspace.runs() == []
    room.bytes += 1
    assert workspace.new_run("sft", {}).name == "0001-sft"


def test_no_file_is_taken_on_a_full_disk(room):
    async def app(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"{}"})

    client = TestClient(Guard(app, Rules(frozenset({"testserver"}))))
    assert client.post("/gradio_api/upload").status_code == 200
    room.bytes = disk.LEAST - 1
    refused = client.post("/gradio_api/upload")
    assert refused.status_code == 507 and refused.json()["error"]["code"] == "E_DISK_FULL"
    assert client.get("/").status_code == 200
