"""A model comes from the hub with progress, what came whole is kept, and a refusal says in one line what to do."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from folders import make

ROOT = Path(__file__).parent.parent
COMMIT = "c" * 40
SCRIPT = """
import json, sys
from lab import hub
from lab.errors import LabError
said = []
try:
    print(json.dumps({"folder": str(hub.fetch(sys.argv[1], said.append)), "said": said}))
except LabError as problem:
    print(json.dumps({"code": problem.code, "refused": str(problem), "said": said}))
"""


class Hub(ThreadingHTTPServer):
    """The hub's own addresses for one model, me/small; `breaks` cuts its weights off in the middle of an answer."""

    def __init__(self, folder):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {path.name: path.read_bytes() for path in folder.iterdir()}
        self.files |= {"pytorch_model.bin": b"pickle", "consolidated.safetensors": b"x" * 1000}
        self.breaks, self.asked = False, []
        Thread(target=self.serve_forever, daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *words):
        pass

    def answer(self, code, body=b"", **headers):
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        hub, path = self.server, self.path.split("?")[0]
        hub.asked.append((self.command, path))
        if path.startswith("/api/models/me/gated"):
            return self.answer(403, X_Error_Code="GatedRepo", X_Error_Message="Access is restricted")
        if path.startswith("/api/models/me/small/revision"):
            return self.answer(200, json.dumps({"id": "me/small", "sha": COMMIT, "siblings": []}).encode())
        if path.startswith("/api/models/me/small/tree"):
            rows = [{"type": "file", "path": n, "size": len(b), "oid": etag(b)} for n, b in hub.files.items()]
            return self.answer(200, json.dumps(rows).encode(), Content_Type="application/json")
        name = path.rpartition("/")[2]
        if path.startswith("/me/small/resolve/") and name in hub.files:
            return self.file(name, hub.files[name])
        self.answer(404, X_Error_Code="RepoNotFound")

    def file(self, name, body):
        hub, start = self.server, int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").rstrip("-") or 0)
        headers = {"ETag": f'"{etag(body)}"', "X-Repo-Commit": COMMIT, "Accept-Ranges": "bytes"}
        part = body[start:]
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(body) - 1}/{len(body)}"
        self.send_response(206 if start else 200)
        for key, value in (headers | {"Content-Length": str(len(part))}).items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            cut = hub.breaks and name == "model.safetensors"
            self.wfile.write(part[: len(part) // 2] if cut else part)
        self.close_connection = True


def etag(body):
    return hashlib.sha1(body).hexdigest()


@pytest.fixture
def hub(tmp_path):
    server = Hub(make(tmp_path / "served", "llama"))
    yield server
    server.shutdown()
    server.server_close()


def fetched(home, address, name="me/small"):
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": address, "HF_HUB_DISABLE_XET": "1"}
    env = {key: value for key, value in os.environ.items() if not key.lower().endswith("_proxy")} | settings
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, name], cwd=ROOT, env=env, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_comes_with_progress_keeps_what_came_whole_and_then_needs_no_network(hub, tmp_path):
    hub.breaks = True
    broken = fetched(tmp_path / "home", hub.address)
    assert broken["code"] == "E_MODEL_INCOMPLETE" and "files that came whole are kept" in broken["refused"]
    hub.breaks = False
    hub.asked.clear()
    found = fetched(tmp_path / "home", hub.address)
    assert {Path(path).name for command, path in hub.asked if command == "GET" and "resolve" in path} == {
        "model.safetensors"
    }
    megabytes = sum(
        len(body) for name, body in hub.files.items() if name not in ("pytorch_model.bin", "consolidated.safetensors")
    )
    assert found["said"][-1] == f"me/small is being downloaded: 100% of {megabytes / 1e6:,.0f} MB."
    names = {path.name for path in Path(found["folder"]).iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json"} <= names
    assert not names & {"pytorch_model.bin", "consolidated.safetensors"}, "no pickle, and no weights twice"
    address = hub.address
    hub.shutdown()
    hub.server_close()
    assert fetched(tmp_path / "home", address)["folder"] == found["folder"]
    (Path(found["folder"]) / "model.safetensors").unlink()
    half = fetched(tmp_path / "home", address)
    assert "only in part" in half["refused"] and "tiny" in half["refused"]


def test_gated_missing_and_unreachable_models_are_told_apart(hub, tmp_path):
    gated = fetched(tmp_path / "home", hub.address, "me/gated")
    assert "accept its terms" in gated["refused"] and "hf auth login" in gated["refused"]
    missing = fetched(tmp_path / "home", hub.address, "me/nothing")
    assert "neither a folder here nor a model" in missing["refused"] and "tiny" in missing["refused"]
    unreachable = fetched(tmp_path / "home", "http://127.0.0.1:9", "me/small")
    assert "cannot be reached" in unreachable["refused"] and "tiny" in unreachable["refused"]
    hub.files.pop("model.safetensors")
    hub.files.pop("consolidated.safetensors")
    assert "no weights as safetensors" in fetched(tmp_path / "other", hub.address)["refused"]
    assert {each["code"] for each in (gated, missing, unreachable)} == {"E_MODEL_INCOMPLETE"}
