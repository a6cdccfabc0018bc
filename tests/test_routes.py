"""What the routes answer when something goes wrong, and that nothing of it is left behind."""

from __future__ import annotations

import errno
import tempfile
import time

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.errors import NotFound
from lab.journal import append_json
from lab.ui import desk, reward
from lab.ui.notes import told
from lab.ui.office import LOOK_EVERY
from lab.ui.pool import read_pool
from lab.ui.routes import routes, unexpected


@pytest.fixture
def client(office):
    app = Starlette(routes=routes(office), exception_handlers={Exception: unexpected})
    return TestClient(app, raise_server_exceptions=False)


@pytest.fixture
def away(tmp_path, monkeypatch):
    """Where exports are put together."""
    folder = tmp_path / "away"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.mark.parametrize(
    ("problem", "status", "words"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), 507, "No room was left in"),
        (PermissionError(errno.EACCES, "Permission denied"), 422, "could not be put together (Permission denied)"),
        (NotFound("There is no such run."), 404, "There is no such run."),
        (ValueError("a slip"), 500, "Something unexpected happened (ValueError"),
    ],
)
def test_an_export_that_fails_says_why_and_leaves_nothing_behind(office, client, away, problem, status, words):
    def make(query, folder):
        (folder / "half.jsonl").write_text("half")
        raise problem

    office.download("broken", make)
    answer = client.get("/lab/export/broken")
    assert answer.status_code == status and not list(away.iterdir())
    assert words in answer.json()["error"]["message"]


def test_an_export_without_a_temporary_folder_is_refused_in_words(office, client, away):
    office.download("whole", lambda query, folder: folder / "none")
    away.rmdir()
    assert client.get("/lab/export/whole").json()["error"]["code"] == "E_BAD_FILE"


@pytest.mark.parametrize(("ranges", "status"), [({}, 200), ({"range": "bytes=0-1"}, 206), ({"range": "bytes=9-"}, 416)])
def test_an_export_leaves_nothing_behind_however_much_of_it_was_wanted(office, client, away, ranges, status):
    def make(query, folder):
        (folder / "whole.txt").write_text("whole")
        return folder / "whole.txt"

    office.download("whole", make)
    assert client.get("/lab/export/whole", headers=ranges).status_code == status and not list(away.iterdir())


@pytest.fixture
def refused(office):
    """The id of a request that the worker refused over a run in whose title another's name stands."""
    for stage, title in (("sft", "Calm"), ("ppo", "like 0001-sft")):
        office.workspace.new_run(stage, {}).rename(title)
    error = {"code": "E_NOT_FOUND", "message": "Run 0002-ppo, made from 0001-sft, is gone."}
    append_json(office.workspace.served, {"id": "asked", "done": True, "error": error})
    time.sleep(2 * LOOK_EVERY)
    return "asked"


IN_TITLES = "Run like 0001-sft (0002-ppo), made from Calm (0001-sft), is gone."


def test_a_refusal_over_a_run_calls_it_by_its_title_once_wherever_it_is_shown(office, client, refused):
    office.action("reward-score-look", lambda body, _: reward.score_look(office, body))
    answer = client.post("/lab/reward-score-look", json={"request": refused}).json()
    assert answer["error"]["message"] == IN_TITLES, "an action's refusal"
    assert desk._asked(office, refused) == {"error": IN_TITLES}, "at the button that asked for a run"
    item = office.feed.make(read_pool({}), "Why?", "own")
    item.request = refused
    assert office.feed.view(item)["error"]["message"] == IN_TITLES, "on a board"
    for handler in (office.wait, office.follow):
        with pytest.warns(UserWarning) as notices:
            list(told(office)(handler)(refused))
        assert [str(each.message) for each in notices] == [IN_TITLES], "in a notice of Gradio's"
