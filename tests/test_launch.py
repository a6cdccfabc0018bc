"""What the app is told and what it prints: a link that others can follow, and the names that it answers to."""

from __future__ import annotations

import socket
import subprocess
import sys
import threading
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import psutil
import pytest

import lab
from lab.errors import BadFile, BadInput, Busy
from lab.ui import launch
from lab.ui.guard import allowed_host
from lab.ui.launch import ANYWHERE, Options, address, needs_key, parse
from lab.ui.server import hosts
from lab.workspace import Workspace

ROOT = Path(__file__).parent.parent


def machine(monkeypatch, own: str = "", name: str = "Desk.example.org") -> list:
    """As if this machine had that address on its way to others, none where it is empty; what was connected to."""
    asked = []

    class Probe(closing):
        def __init__(self, family, kind):
            super().__init__(self)
            assert kind == socket.SOCK_DGRAM

        def connect(self, there):
            asked.append(there[0])
            if not own:
                raise OSError("Network is unreachable")

        def getsockname(self):
            return own, 1

        def close(self):
            asked.append("closed")

    monkeypatch.setattr(launch.socket, "socket", Probe)
    monkeypatch.setattr(launch.socket, "gethostname", lambda: name)
    return asked


@pytest.mark.parametrize(("host", "own"), [("0.0.0.0", "192.168.7.5"), ("::", "2001:db8::7")])
def test_the_link_for_others_names_this_machines_address_on_its_way_to_them(monkeypatch, host, own):
    asked = machine(monkeypatch, own)
    assert address(Options(host=host), 7860) == f"http://{own if host == '0.0.0.0' else f'[{own}]'}:7860/"
    assert asked == [ANYWHERE[host], "closed"]


def test_without_a_way_to_others_it_names_the_machine_and_what_was_asked_for_by_name_keeps_it(monkeypatch):
    asked = machine(monkeypatch)
    assert address(Options(host="0.0.0.0"), 7860) == "http://Desk.example.org:7860/"
    assert asked == [ANYWHERE["0.0.0.0"], "closed"]
    assert address(Options(host="10.0.0.3"), 7861) == "http://10.0.0.3:7861/"
    assert address(Options(), 7860) == "http://127.0.0.1:7860/" and len(asked) == 2


def test_an_app_for_others_answers_to_every_address_and_name_of_this_machine_and_to_a_proxys(monkeypatch):
    monkeypatch.setattr(launch.socket, "gethostname", lambda: "Desk.example.org")
    names = hosts(Options(host="0.0.0.0", names=("lab.example.org",)))
    own = [each.address for card in psutil.net_if_addrs().values() for each in card if each.family == socket.AF_INET]
    for name in ("desk.example.org", "desk.local", "Desk.local:7860", "lab.example.org", *own):
        assert allowed_host(name, names)
    for name in ("example.org", "other.local", "local", "x.lab.example.org"):
        assert not allowed_host(name, names)


def test_an_app_for_this_machine_alone_answers_to_no_name_that_nobody_gave(monkeypatch):
    monkeypatch.setattr(launch.socket, "gethostname", lambda: "desk")
    assert not {"desk", "desk.local"} & hosts(Options())
    assert "lab.example.org" in hosts(Options(names=("lab.example.org",)))


def test_whoever_comes_through_a_proxy_needs_the_links_word_too():
    assert not needs_key(Options()) and needs_key(Options(names=("lab.example.org",)))
    assert not needs_key(Options(names=("lab.example.org",), mode="demo"))


@pytest.mark.parametrize("port", [-1, 0, 65536, 99999])
def test_a_port_that_can_be_none_is_not_said_to_be_taken(port, tmp_path, capsys):
    assert launch.main(["--workspace", str(tmp_path / "w"), "--port", str(port)]) == 2
    assert f"E_BAD_NUMBER: --port is {port}, and ports are 1 to 65535." in capsys.readouterr().err
    assert not (tmp_path / "w").exists()


def test_names_are_given_one_by_one_and_nothing_else_than_names(capsys):
    assert parse([]).names == ()
    assert parse(["--name", "Lab.example.org", "--name", "rlhf"]).names == ("lab.example.org", "rlhf")
    for wrong in (
        "https://lab.example.org",
        "lab.example.org:443",
        "lab.example.org/",
        "*.example.org",
        "*",
        "",
        "a b",
    ):
        with pytest.raises(SystemExit):
            parse(["--name", wrong])
        assert "is no name. Give it without https://, port and path" in capsys.readouterr().err


@pytest.mark.parametrize("mode", ["party", "Workshop", "", None])
def test_a_mode_that_is_none_is_refused_before_anything_is_served(tmp_path, mode):
    with pytest.raises(BadInput, match=r"There is no mode .*solo, workshop, demo\."):
        lab.launch(str(tmp_path / "new"), mode=mode)
    assert not (tmp_path / "new").exists()


def test_a_workspace_that_is_a_file_is_refused_in_words_by_the_app_as_by_every_verb(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(launch.signal, "signal", lambda *_: None)
    file = tmp_path / "notes.txt"
    file.write_text("x")
    words = f"The workspace {file} cannot be made (File exists). Name a folder that you may write to."
    assert launch.main(["--workspace", str(file)]) == 2
    assert capsys.readouterr().err == f"E_BAD_FILE: {words}\n"
    with pytest.raises(BadFile) as refused:
        lab.launch(str(file), inline=True)
    assert str(refused.value) == words and file.read_text() == "x"


INTERRUPTED = """
import runpy, sys
class Interrupt:
    def find_spec(self, name, *_):
        if name == "gradio":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
sys.argv = ["app.py"]
runpy.run_path("app.py", run_name="__main__")
"""


def test_ctrl_c_while_the_libraries_are_read_ends_the_app_without_a_trace():
    ended = subprocess.run([sys.executable, "-c", INTERRUPTED], cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stdout, ended.stderr) == (130, "", "")


def test_closing_the_page_ends_its_worker_and_leaves_the_workspace_to_others(tmp_path, monkeypatch):
    began, closed, tick = threading.Event(), [], threading.Event()

    def work(workspace, alive):
        with workspace.lock():
            began.set()
            while alive():
                tick.wait(0.01)

    monkeypatch.setattr("lab.worker.work", work)
    monkeypatch.setattr(launch, "_open", lambda *_: SimpleNamespace(close=closed.append))
    page = lab.launch(str(tmp_path), inline=True)
    try:
        assert began.wait(30)
        with pytest.raises(Busy, match=r"worker\.lock is held by this process.*close\(\) what lab\.launch returned"):
            next(lab.run("sft", str(tmp_path)))
        with pytest.raises(Busy, match=r"open already, at http://127\.0\.0\.1:.*close\(\) what lab\.launch returned"):
            lab.launch(str(tmp_path), inline=True)
    finally:
        page.close()
    assert closed == [True]
    with Workspace(tmp_path).lock():
        assert not [each for each in threading.enumerate() if each.name == "worker"]
    lab.launch(str(tmp_path), inline=True).close(verbose=False)
    assert closed == [True, False]
