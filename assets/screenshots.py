"""Takes the pictures of every page, light, dark and narrow.

python -m assets.screenshots WORKSPACE    a workspace that `lab loop -w` has filled
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

from lab.rater import Rater

if TYPE_CHECKING:
    from playwright.sync_api import Page

ROOT = Path(__file__).parent.parent
PAGES = ("Model", "SFT", "Rank", "Reward", "PPO", "Compare", "Runs")
PORT, WIDE, NARROW = 7899, {"width": 1280, "height": 860}, {"width": 390, "height": 844}
SETTLED_MS, READY_MS = 1500, 90_000
# Each is true once what it asks about is drawn or written.
CURVES = """page => { const plots = [...document.querySelectorAll(`#${page}-curves .live > .curves-grid .curve-plot`)];
    return plots.length && plots.every(each => each.querySelector(".main-svg")) }"""
ANSWERS = """board => { const cards = [...document.querySelectorAll(`${board} .board-card`)];
    const written = each => !each.matches(".writing") && each.querySelector(".board-text").textContent;
    return cards.length && cards.every(written) }"""
ANOTHER = "before => document.querySelector('#board .board-prompt').textContent !== before"


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("workspace", type=Path)
    options.add_argument("--out", type=Path, default=Path(__file__).parent / "screenshots")
    chosen = options.parse_args()
    chosen.out.mkdir(exist_ok=True)
    with app(chosen.workspace) as url:
        take(url, chosen.out)


@contextmanager
def app(workspace: Path) -> Iterator[str]:
    """The app on the workspace, once it answers."""
    command = [sys.executable, "app.py", "--workspace", str(workspace), "--port", str(PORT)]
    process, url = subprocess.Popen(command, cwd=ROOT), f"http://127.0.0.1:{PORT}"
    try:
        for _ in range(300):
            try:
                urlopen(f"{url}/healthz", timeout=2).close()
                break
            except (URLError, TimeoutError, ConnectionError):
                time.sleep(0.3)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def take(url: str, out: Path) -> None:
    """One picture for each page and look."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
        for look, size, theme in (("light", WIDE, "light"), ("dark", WIDE, "dark"), ("narrow", NARROW, "light")):
            page = browser.new_page(viewport=size, color_scheme=theme)
            page.goto(f"{url}/?__theme={theme}")
            page.get_by_text("The model is ready").wait_for(timeout=READY_MS)
            for name in PAGES:
                page.evaluate("name => window.lab.tab(name)", name.lower())
                settle(page, name)
                page.screenshot(path=out / f"{name.lower()}-{look}.png")
            page.close()
        browser.close()


def settle(page: Page, name: str) -> None:
    """Until the page shows what it has; on the Rank page two answers are put in order, so that one sees how."""
    if name in ("SFT", "Reward", "PPO"):
        page.wait_for_function(CURVES, arg=name.lower(), timeout=READY_MS)
    boards = {"Rank": "#board", "Compare": "#duel-board"}
    if name in boards:
        page.wait_for_function(ANSWERS, arg=boards[name], timeout=READY_MS)
    if name == "Rank":
        show_answers_that_differ(page)
        place_the_best(page, 2)
    page.wait_for_timeout(SETTLED_MS)


def show_answers_that_differ(page: Page) -> None:
    """A prompt whose answers are all different tells more in a picture."""
    for _ in range(12):
        if len(set(page.locator("#board .board-text").all_inner_texts())) == 4:
            break
        before = page.text_content("#board .board-prompt")
        page.keyboard.press("s")
        page.wait_for_function(ANOTHER, arg=before, timeout=READY_MS)
        page.wait_for_function(ANSWERS, arg="#board", timeout=READY_MS)
    page.reload()  # the prompt stays in hand, and what was said of the skipped ones goes
    page.get_by_text("The model is ready").wait_for(timeout=READY_MS)
    page.wait_for_function(ANSWERS, arg="#board", timeout=READY_MS)


def place_the_best(page: Page, count: int) -> None:
    """The first places of an order, as a simulated rater sees it."""
    prompt, texts = page.inner_text("#board .board-prompt"), page.locator("#board .board-text").all_inner_texts()
    worth = {index: Rater("helpful").utility(prompt, text) for index, text in enumerate(texts)}
    for index in sorted(worth, key=worth.__getitem__, reverse=True)[:count]:
        page.keyboard.press(str(index + 1))


if __name__ == "__main__":
    main()
