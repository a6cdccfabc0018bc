"""What the routes answer when something goes wrong, and that nothing of it is left behind."""

from __future__ import annotations

import errno
import tempfile

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.errors import NotFound
from lab.ui.office import Office
from lab.ui.routes import routes, unexpected
from lab.ui.supervisor import Supervisor


@pytest.fixture
def office(tmp_path):
    made = Office(tmp_path, worker=Supervisor(tmp_path))
    yield made
    made.close()


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
