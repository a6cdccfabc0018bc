"""Runs that wait for their turn: seen on their page and on the Runs page, and taken back from there."""

from __future__ import annotations

import pytest

from lab.errors import Busy
from lab.events import Started, to_json
from lab.journal import append_json, replace_json
from lab.ui import desk, runs
from lab.ui.office import Office
from lab.ui.supervisor import Supervisor
from lab.ui.waiting import take_back

PAGES = {name: desk.Stage(name, lambda _: "", lambda *_: {}, lambda _: {}) for name in ("sft", "reward", "ppo")}


@pytest.fixture
def office(tmp_path, monkeypatch):
    """A real office whose worker, which is not there, seems to be busy with a run called Slow."""
    monkeypatch.setattr("lab.ui.office.LOOK_EVERY", -1.0)  # an answer is read as soon as it is there
    office = Office(tmp_path, worker=Supervisor(tmp_path))
    run = office.workspace.new_run("ppo", {})
    (run.folder / "events.jsonl").write_text(to_json(Started("ppo", 8, {}), 1.0) + "\n")
    run.rename("Slow")
    replace_json(office.workspace.root / "worker.json", {"pid": None, "ready": True, "busy": run.name})
    yield office
    office.close()


def seen(office, page):
    return [each["words"] for each in desk.look(office, PAGES[page], {})["waiting"]]


def answered(office, request, **record):
    append_json(office.workspace.served, {"id": request, "done": False} | record)


def test_a_run_that_waits_is_seen_on_its_own_page_and_on_the_runs_page(office):
    office.ask("run", {"stage": "reward"})
    office.ask("run", {"stage": "dpo"})
    office.ask("resume", {"run": "0001-ppo", "from": 4})
    assert seen(office, "reward") == ["A new reward model waits for Slow (0001-ppo)."]
    assert seen(office, "ppo") == [
        "A new run of DPO waits for Slow (0001-ppo).",
        "Slow (0001-ppo) is to go back to step 4. It waits for Slow (0001-ppo).",
    ]
    assert seen(office, "sft") == [] and len(runs.listing(office, {})["waiting"]) == 3


def test_a_run_that_has_begun_or_was_refused_waits_no_longer(office):
    begun, refused = (office.ask("run", {"stage": "sft"}) for _ in range(2))
    answered(office, begun, begun=True)
    assert len(seen(office, "sft")) == 1
    answered(office, refused, done=True, error={"code": "E_BUSY", "message": "It was taken back before it began."})
    assert seen(office, "sft") == []


def test_a_run_that_waits_is_taken_back_by_the_worker_which_alone_knows_whether_it_has_begun(office):
    request = office.ask("run", {"stage": "sft"})
    assert "taken back" in take_back(office, {"request": request})["said"]
    kind, payload = list(office.store.requests_after(0))[-1][2:4]
    assert (kind, payload) == ("forget", {"request": request})
    answered(office, request, done=True, run="0002-sft")
    for name in (request, "x", None):
        with pytest.raises(Busy, match="waits no longer"):
            take_back(office, {"request": name})
