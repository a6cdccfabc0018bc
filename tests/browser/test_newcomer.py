"""The path of somebody who reads nothing: rank by keys, one button to the reward model, one button to PPO, for real."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from urllib.error import HTTPError
from urllib.request import HTTPCookieProcessor, build_opener, urlopen

import psutil
import pytest

from .conftest import ROOT, start, stop
from .test_rank import rank

pytestmark = pytest.mark.filterwarnings("ignore")


@pytest.fixture(scope="module")
def fresh(tmp_path_factory):
    """An app of its own: what others ranked would shorten the path."""
    running = start(tmp_path_factory.mktemp("newcomer") / "workspace")
    yield running
    stop(running)


def step(page, button: str, seconds: float = 120) -> None:
    """Wait until the strip at the top offers this button, go to it by the Tab key and press it."""
    page.wait_for_function(
        "words => { const go = document.querySelector('.lab-go'); return !go.hidden && go.textContent === words }",
        arg=button,
        timeout=1000 * seconds,
    )
    for _ in range(60):
        if page.evaluate("() => document.activeElement.classList.contains('lab-go')"):
            break
        page.keyboard.press("Shift+Tab")
    assert page.evaluate("() => document.activeElement.matches('.lab-go:focus-visible')")
    page.keyboard.press("Enter")


def test_eight_rankings_and_two_buttons_lead_to_the_first_curve_of_ppo_by_the_keyboard_alone(fresh, chromium):
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.set_default_timeout(60_000)
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(fresh.url)
    for _ in range(8):
        rank(page)
    step(page, "Train the reward model")
    page.wait_for_selector("#tab-reward-button[aria-selected=true]")
    step(page, "Run PPO")
    page.wait_for_selector("#tab-ppo-button[aria-selected=true]")
    start_all_the_same(page)
    page.wait_for_function(
        "() => [...document.querySelectorAll('#ppo-curves .curve-value')].some(each => /[0-9]/.test(each.textContent))",
        timeout=180_000,
    )
    assert not errors
    kill_the_worker(fresh, page)
    page.close()


def start_all_the_same(page) -> None:
    """Twelve pairs of answers ranked by chance may leave doubt about the reward model; then one key more starts PPO."""
    start = page.locator("#ppo-desk .desk-new button:visible", has_text="Start PPO")
    page.locator("#ppo-desk .desk-picker option").or_(start).first.wait_for(state="attached")
    if start.count():
        start.focus()
        page.keyboard.press("Enter")


def kill_the_worker(fresh, page) -> None:
    """The run shows as interrupted and says by what, another worker takes over, and the rankings are all there."""
    from lab.journal import read_json

    before = read_json(fresh.workspace / "worker.json")["pid"]
    os.kill(before, signal.SIGKILL)
    page.wait_for_function(
        "() => document.querySelector('#ppo-desk').innerText.includes('interrupted')", timeout=30_000
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not _ready(fresh, before):
        time.sleep(0.2)
    assert _ready(fresh, before)
    page.locator("#ppo-desk .desk-failure").get_by_text("The system killed the model process, probably").wait_for()
    page.locator("#ppo-desk").get_by_role("button", name="Choose a smaller model").wait_for()
    assert len(fresh.rankings()) == 8


def _ready(fresh, before: int) -> bool:
    from lab.journal import read_json

    facts = read_json(fresh.workspace / "worker.json") or {}
    return facts.get("pid") != before and bool(facts.get("ready"))


def test_a_port_that_is_taken_is_said_in_one_line_with_status_two(app, tmp_path):
    port = app.url.rpartition(":")[2]
    command = [sys.executable, "app.py", "--workspace", str(tmp_path / "w"), "--port", port]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2
    assert found.stderr.count("\n") == 1 and f"Port {port} is taken" in found.stderr
    assert not (tmp_path / "w").exists()


def test_where_others_reach_the_port_the_printed_link_carries_a_key_and_nothing_opens_without(tmp_path):
    shared = start(tmp_path / "workspace", "--host", "0.0.0.0")
    log, deadline = tmp_path / f"app-{shared.url.rpartition(':')[2]}.log", time.monotonic() + 60
    while "?key=" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    key = log.read_text().partition("?key=")[2].split()[0]
    with pytest.raises(HTTPError) as refused:
        urlopen(f"{shared.url}/config", timeout=30)
    assert refused.value.code == 401 and len(key) >= 16
    opener = build_opener(HTTPCookieProcessor())
    assert b"RLHF Lab" in opener.open(f"{shared.url}/?key={key}", timeout=30).read()
    assert opener.open(f"{shared.url}/config", timeout=30).status == 200
    stop(shared)


def test_the_page_answers_while_the_model_still_loads_and_torch_stays_out_of_its_process(app):
    with urlopen(f"{app.url}/", timeout=30) as answer:
        assert b"RLHF Lab" in answer.read()
    maps = open(f"/proc/{app.process.pid}/maps", encoding="utf-8").read()
    assert "libtorch" not in maps


def test_an_app_that_nobody_uses_takes_less_than_a_twentieth_of_a_core(app):
    process, shares = psutil.Process(app.process.pid), []
    for _ in range(3):
        before = sum(process.cpu_times()[:2])
        time.sleep(2)
        shares.append((sum(process.cpu_times()[:2]) - before) / 2)
    assert min(shares) < 0.05, shares


def test_a_backup_that_fails_is_told_over_all_tabs_until_one_succeeds(here, cached):
    office, url = here
    office.store.backups.write_text("a file where the folder should be")
    page = cached.new_page()
    page.goto(url)
    page.wait_for_selector(".lab-head")
    assert page.locator(".lab-fault").is_hidden()
    office.store.add_prompts([f"Why {n}?" for n in range(500)], "own")
    fault = page.get_by_role("alert").filter(has_text="The newest backup of the rankings failed")
    fault.wait_for()
    assert str(office.store.backups) in fault.text_content() and "themselves are saved" in fault.text_content()
    office.store.backups.unlink()
    office.store.close()  # which makes one more
    fault.wait_for(state="hidden")
    page.close()
