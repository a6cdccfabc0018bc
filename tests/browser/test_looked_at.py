"""A workspace on a disk that takes nothing, in a real browser: it is shown, and calmly says what cannot be done."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from shown import filled, listing, on_a_read_only_disk, why_no_mount

from .conftest import ROOT, App, free_port, windows


@pytest.fixture
def visit_shown(tmp_path, chromium, cached):
    """A window on python app.py, for which the workspace's disk takes nothing; nothing there changes until its end."""
    root = filled(tmp_path / "mine")
    if why := why_no_mount(root):
        pytest.skip(why)
    before, port, log = listing(root), free_port(), tmp_path / "app.log"
    command = on_a_read_only_disk(root, sys.executable, "app.py", "--workspace", str(root), "--port", str(port))
    with open(log, "wb") as file:
        process = subprocess.Popen(
            command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, stdout=file, stderr=file
        )
    try:
        answers(f"http://127.0.0.1:{port}", process, log)
        yield from windows(App(f"http://127.0.0.1:{port}", root), chromium, cached)
    finally:
        process.terminate()
        process.wait(30)
    assert listing(root) == before and "so it is only shown" in log.read_text()


def answers(url: str, process: subprocess.Popen, log: Path) -> None:
    """Returns once the app does."""
    deadline = time.monotonic() + 90
    while True:
        assert process.poll() is None and time.monotonic() < deadline, log.read_text()
        try:
            return urlopen(f"{url}/healthz", timeout=2).close()
        except OSError:
            time.sleep(0.1)


def test_a_read_only_workspace_is_shown_with_a_banner_and_nothing_to_press_in_vain(visit_shown):
    page = visit_shown()
    words = page.inner_text(".lab-looking")
    assert "its disk is read-only" in words and "copy its folder to a place where you may write" in words
    page.locator(".lab-missing", has_text="The workspace has 6 rankings.").wait_for()
    assert "No model runs here" in page.inner_text(".lab-worker") and page.is_hidden(".lab-worker button")
    assert page.locator("#board").count() == 0 and page.is_hidden(".lab-next") and page.is_hidden(".lab-name")
    page.click("#tab-runs-button")
    page.locator(".runs", has_text="0001-ppo").wait_for()
    assert page.is_visible(".lab-looking") and page.is_hidden(".runs-orders >> nth=0")
    page.click("#tab-ppo-button")
    page.locator("#ppo-desk .desk-where", has_text="step 2 of 2").wait_for()
    assert page.is_hidden("#ppo-desk .desk-new") and page.is_hidden("#ppo-desk .desk-orders")
    page.click("#tab-compare-button")
    page.locator(".arena-scroll", has_text="90 %").wait_for()
    assert page.is_hidden("#duel-board") and page.is_hidden(".arena-judge") and page.is_hidden(".arena-ask")
    with page.expect_download() as taken:
        page.click(".arena-export a")
    assert Path(taken.value.path()).read_text().count("\n") == 6
