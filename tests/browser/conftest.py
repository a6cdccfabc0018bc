"""One real app with its real worker and one Chromium for all browser tests."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from lab.bench.page import rank_by_taste
from lab.store import Store
from lab.ui.launch import Options
from lab.ui.office import Office
from lab.ui.server import start as serve
from lab.ui.supervisor import Supervisor
from lab.workspace import Workspace

from .seen import told

ROOT = Path(__file__).parent.parent.parent
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-component-update",
    "--disable-sync", "--no-first-run", "--process-per-site",
)  # fmt: skip
PATIENCE = 120_000


@dataclass(frozen=True)
class App:
    """A running app: where it answers, its workspace, and its process where it has one of its own."""

    url: str
    workspace: Path
    process: subprocess.Popen | None = None

    def rankings(self) -> list:
        with Store(self.workspace / "lab.db", read_only=True) as store:
            return store.rankings()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def start(workspace: Path, *more: str) -> App:
    """python app.py, as a person would start it, once it answers."""
    port = free_port()
    command = [sys.executable, "app.py", "--workspace", str(workspace), "--port", str(port), *more]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    with open(workspace.parent / f"app-{port}.log", "wb") as log, heard():
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    url = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        try:
            with urlopen(f"{url}/healthz", timeout=2) as answer:
                assert answer.status == 200
                return App(url, workspace, process)
        except OSError:
            assert process.poll() is None, (workspace.parent / f"app-{port}.log").read_text()
            time.sleep(0.1)
    raise AssertionError("the app did not answer in 90 s")


@contextmanager
def heard() -> Iterator[None]:
    """What is started here hears Ctrl-C, which it else would not where a shell runs the tests in its background."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def stop(app: App) -> None:
    app.process.send_signal(signal.SIGINT)
    try:
        app.process.wait(15)
    except subprocess.TimeoutExpired:
        app.process.kill()


@pytest.fixture(scope="session")
def app(tmp_path_factory) -> Iterator[App]:
    running = start(tmp_path_factory.mktemp("lab") / "workspace")
    yield running
    stop(running)


@pytest.fixture(scope="session")
def quiet(tmp_path_factory) -> Iterator[App]:
    """An app whose model was never started, for pages that are made of what a test writes: no visit costs answers."""
    workspace, port = tmp_path_factory.mktemp("quiet") / "workspace", free_port()
    office = Office(workspace, worker=Supervisor(workspace))
    demo = serve(office, Options(workspace), port, "")
    yield App(f"http://127.0.0.1:{port}", workspace)
    demo.close()
    office.close()


@pytest.fixture
def here(tmp_path) -> Iterator[tuple[Office, str]]:
    """An app of this process whose model was never started: its office, and where it answers."""
    office, port = Office(tmp_path, worker=Supervisor(tmp_path)), free_port()
    demo = serve(office, Options(tmp_path), port, "")
    yield office, f"http://127.0.0.1:{port}"
    demo.close()
    office.close()


@pytest.fixture(scope="session")
def tuned(tmp_path_factory) -> Iterator[App]:
    """Another app, with rankings by "me", a reward model on each half and a short run of PPO, all real."""
    running = start(tmp_path_factory.mktemp("tuned") / "workspace")
    with Store(running.workspace / "lab.db") as store:
        rank_by_taste(store, 25, "me")
        quick = {"epochs": 1, "normalise_over": 16, "tokens": 12}
        train(running, store, "reward", quick | {"half": "first"}, {})
        train(running, store, "reward", quick | {"half": "second"}, {})
        small = {"steps": 12, "batch": 8, "minibatch": 8, "microbatch": 8, "tokens": 24}
        train(running, store, "ppo", small, {"reward": "0001-reward", "reference": "sft", "anyway": True})
    yield running
    stop(running)


def train(app: App, store: Store, stage: str, config: dict, inputs: dict) -> None:
    """One run from its order to its end."""
    request, workspace = (
        store.ask("run", {"stage": stage, "config": config, "inputs": inputs}),
        Workspace(app.workspace),
    )
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        answer = workspace.answer(request) or {}
        assert "error" not in answer, answer
        if answer.get("run") and workspace.run(answer["run"]).status() == "done":
            return
        time.sleep(0.2)
    raise AssertionError(f"{stage} did not end in 240 s")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


def watch(page: Page, url: str) -> list[str]:
    """What must not happen on a page, as it happens."""
    faults: list[str] = []

    def on_request(request) -> None:
        if not request.url.startswith((url, "data:", "blob:", "about:")):
            faults.append(f"a request left the machine: {request.url}")

    page.on("pageerror", lambda error: faults.append(f"script error: {error}"))
    page.on("request", on_request)
    return faults


@pytest.fixture(scope="session")
def cached(chromium) -> Iterator[BrowserContext]:
    """One browser whose cache serves all tests: reading Gradio's scripts anew costs seconds a page.

    A page that stays open keeps the process alive in which the next one finds those scripts compiled.
    """
    context = chromium.new_context(viewport={"width": 1280, "height": 900})
    keeper = context.new_page()
    keeper.route("**", lambda route: route.fulfill(body="Kept open."))
    keeper.goto("http://127.0.0.1/")
    yield context
    context.close()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A failure tells what the windows showed: on another machine nothing else is left of it."""
    report = yield
    browser = getattr(item, "funcargs", {}).get("chromium")
    if report.failed and browser is not None and browser.is_connected():
        report.sections.append(("What the windows showed", told(browser)))
    return report


@pytest.fixture
def visit(app, chromium, cached):
    """visit(tab) opens the app in a new window on that tab; with options, in a browser of its own.

    A script error or a request to anywhere else fails the test at its end.
    """
    yield from windows(app, chromium, cached)


@pytest.fixture
def visit_tuned(tuned, chromium, cached):
    """The same for the app that has been through all stages."""
    yield from windows(tuned, chromium, cached)


def windows(app: App, chromium: Browser, cached: BrowserContext) -> Iterator[Callable[..., Page]]:
    cached.clear_cookies()
    opened: list[tuple[Page, list[str]]] = []

    def open_tab(tab: str = "rank", **options) -> Page:
        page = (chromium.new_context(**options) if options else cached).new_page()
        page.set_default_timeout(PATIENCE)
        opened.append((page, watch(page, app.url)))
        page.goto(app.url)
        page.wait_for_selector(".lab-head")
        if tab != "rank":
            page.click(f"#tab-{tab}-button")
        return page

    yield open_tab
    for page, faults in opened:
        (page if page.context is cached else page.context).close()
        assert not faults
