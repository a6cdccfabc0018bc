"""A workshop: guests rank and watch, the host alone starts, stops and deletes, and the server sees to it."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
import sys
import time
from urllib.parse import urlsplit

import pytest
from test_roles import HOST_ONLY

from lab.events import Finished, Step
from lab.store import Store
from lab.ui.launch import mark

from .conftest import ROOT, start, stop, watch
from .made import made
from .test_rank import rank, rank_an_older_one_again, ready
from .test_reward import RESULT


@pytest.fixture(scope="module")
def workshop(tmp_path_factory):
    """The app, and the host's word from the link that it printed."""
    top = tmp_path_factory.mktemp("workshop")
    running = start(top / "workspace", "--mode", "workshop")
    yield running, host_word(running)
    stop(running)


def host_word(app) -> str:
    """The host's word from the link that the app printed."""
    log, deadline = app.workspace.parent / f"app-{urlsplit(app.url).port}.log", time.monotonic() + 60
    while "?host=" not in log.read_text() and time.monotonic() < deadline:
        time.sleep(0.1)
    return re.search(r"\?host=(\S+)", log.read_text()).group(1)


def post(app, path: str, body: dict, cookie: str = "") -> tuple[int, dict]:
    link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
    headers = {"content-type": "application/json"} | ({"cookie": cookie} if cookie else {})
    link.request("POST", path, json.dumps(body), headers)
    answer = link.getresponse()
    return answer.status, json.loads(answer.read() or b"{}")


@pytest.mark.parametrize("action", sorted(HOST_ONLY))
def test_the_server_refuses_a_guest_whatever_the_page_claims(workshop, action):
    app, _ = workshop
    with Store(app.workspace / "lab.db", read_only=True) as store:
        before = store.last_request()
        for cookie in ("", "lab_host=wrong", "lab_key=x; lab_host="):
            status, body = post(app, f"/lab/{action}", {"host": True, "run": "0001-ppo", "base": "tiny"}, cookie)
            assert (status, body["error"]["code"]) == (403, "E_FORBIDDEN")
        assert [kind for _, _, kind, _, _ in store.requests_after(before) if kind != "candidates"] == []


def test_a_guest_can_take_no_file_away_and_send_none(workshop):
    app, host = workshop
    own = f"lab_host_{mark(app.workspace)}"
    for cookie, wanted in (("", 403), (f"{own}={host}", 422), (f"{own}=x; lab_host={host}", 403)):
        link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
        link.request("GET", "/lab/export/rankings", headers={"cookie": cookie})
        assert link.getresponse().status == wanted
    boundary = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\nWhy?\r\n--x--\r\n'
    for cookie, wanted in (("", 403), (f"lab_host={host}", 200)):
        link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
        kind = {"content-type": "multipart/form-data; boundary=x", "cookie": cookie}
        link.request("POST", "/gradio_api/upload", boundary, kind)
        assert link.getresponse().status == wanted


def test_the_host_is_refused_for_the_usual_reasons_only(workshop):
    app, host = workshop
    status, body = post(app, "/lab/ppo-start", {"config": {}}, f"lab_host={host}")
    assert (status, body["error"]["code"]) == (422, "E_BAD_INPUT") and "reward model" in body["error"]["message"]


def test_a_guest_ranks_and_sees_no_button_that_would_be_refused_and_the_host_sees_them(workshop, chromium):
    app, host = workshop
    guest, owner = chromium.new_context(), chromium.new_context()
    page, other = guest.new_page(), owner.new_page()
    faults = watch(page, app.url) + watch(other, app.url)
    page.goto(app.url)
    page.get_by_text("Guest: the host starts and stops runs").wait_for()
    rank(page)
    assert len(app.rankings()) == 1
    other.goto(f"{app.url}/?host={host}")
    other.wait_for_selector(".lab-head")
    assert "host=" not in other.url
    for tab in ("sft", "reward"):
        page.click(f"#tab-{tab}-button")
        other.click(f"#tab-{tab}-button")
        other.locator(f"#{tab}-desk .desk-new").wait_for()
        page.locator(f"#{tab}-desk .desk-new").wait_for(state="attached")
        assert not page.locator(f"#{tab}-desk .desk-new").is_visible()
        page.locator(f"#{tab}-desk").get_by_text("The host has not started one yet.").wait_for()
        assert not other.locator(f"#{tab}-desk").get_by_text("The host has not started one yet.").is_visible()
    page.click("#tab-compare-button")
    other.click("#tab-compare-button")
    other.get_by_role("region", name="Take it with you").wait_for()
    page.get_by_role("region", name="Side by side").wait_for()
    assert not page.get_by_role("region", name="By a judge").is_visible()
    assert not page.get_by_role("region", name="Take it with you").is_visible()
    assert not other.get_by_text("Guest: the host").is_visible()
    guest.close()
    owner.close()
    assert not faults


def test_a_guest_reads_the_verdict_and_is_led_to_ranking_and_not_to_ppo(workshop, chromium):
    app, host = workshop
    guest, owner = chromium.new_context(), chromium.new_context()
    page, other = guest.new_page(), owner.new_page()
    with made(app.workspace, "reward", 1) as run:
        run.write(Step(1, {"loss/train": 0.5}), Finished(1, "done", RESULT))
        page.goto(f"{app.url}/#reward")
        other.goto(f"{app.url}/?host={host}#reward")
        for each in (page, other):
            each.locator(".verdict").get_by_role("button", name="Rank more").wait_for()
        lead = "#reward-desk .verdict button:text-is('Run PPO with it')"
        assert other.locator(lead).is_visible() and not page.locator(lead).is_visible()
    guest.close()
    owner.close()


def test_a_guest_cannot_read_what_another_chats_about_and_both_chat_in_several_tabs(workshop, chromium):
    app, _ = workshop
    guests = [chromium.new_context() for _ in range(2)]
    pages = [guest.new_page() for guest in (guests[0], guests[0], guests[1])]
    for page in pages:
        page.goto(app.url)
        ready(page)  # what its board waits for counts among the two requests that a guest may have unanswered
    for page in pages:
        page.click("#tab-model-button")
        page.locator("#chat-words textarea").fill("How do I make pancakes?")
        page.keyboard.press("Enter")
    for page in pages:
        page.wait_for_function("() => document.querySelector('#chat [data-testid=bot]')?.innerText.trim().length > 3")
    alice = pages[0].evaluate("window.__gradio_session_hash__")
    bob = "; ".join(f"{each['name']}={each['value']}" for each in guests[1].cookies())
    for cookie in (bob, ""):
        for path in (f"queue/data?session_hash={alice}", f"heartbeat/{alice}", f"call/answer/{alice}"):
            link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
            link.request("GET", f"/gradio_api/{path}", headers={"cookie": cookie} if cookie else {})
            answer = link.getresponse()
            assert answer.status == 403 and json.loads(answer.read())["error"]["code"] == "E_FORBIDDEN"
        join = {"session_hash": alice, "data": [], "fn_index": 0}
        assert post(app, "/gradio_api/queue/join", join, cookie)[0] == 403
    pages[0].locator("#chat-words textarea").fill("Which is faster, a horse or a snail?")
    pages[0].keyboard.press("Enter")
    pages[0].wait_for_function("() => document.querySelectorAll('#chat [data-testid=bot]').length === 2")
    for guest in guests:
        guest.close()


def test_guests_without_a_name_are_told_apart_and_keep_their_number(workshop, chromium):
    app, host = workshop
    names = []
    for first in ("", "", f"?host={host}"):
        browser = chromium.new_context()
        page = browser.new_page()
        for _ in range(2):
            page.goto(f"{app.url}/{first}")
            page.wait_for_function("() => document.querySelector('.lab-name input')?.value")
            names.append(page.input_value(".lab-name input"))
        browser.close()
    assert all(re.fullmatch("guest [0-9]{6}", name) for name in names[:4]) and names[4:] == ["me", "me"]
    assert names[0] == names[1] != names[2] == names[3]


def test_a_guest_takes_a_ranking_back_where_it_was_saved_and_nowhere_else_under_the_same_name(workshop, chromium):
    app, _ = workshop
    own, other = chromium.new_context(), chromium.new_context()
    pages = [each.new_page() for each in (own, other)]
    for page in pages:
        page.goto(app.url)
        page.fill(".lab-name input", "dora")
        page.keyboard.press("Enter")
        page.wait_for_function("document.cookie.includes('=dora')")
    rank(pages[0])
    saved = app.rankings()[-1]
    assert saved.rater == "dora"
    for page in pages[::-1]:
        page.reload()
        ready(page)
        rank_an_older_one_again(page, saved.seq)
        if page is pages[1]:
            page.locator("#board").get_by_text("another browser saved it").wait_for()
            assert saved.seq in [each.seq for each in app.rankings()]
    arg = saved.comparison.prompt
    pages[0].wait_for_function(
        "prompt => document.querySelector('#board .board-prompt').textContent === prompt", arg=arg
    )
    pages[0].locator("#board").get_by_text("counts until you submit a new one").wait_for()
    assert saved.seq in [each.seq for each in app.rankings()]
    rank(pages[0], "432")
    [newest] = [each for each in app.rankings() if each.comparison.id == saved.comparison.id]
    assert newest.seq != saved.seq and newest.rater == "dora"
    own.close()
    other.close()


@pytest.mark.slow  # a second app
def test_one_browser_is_the_host_of_two_labs_on_one_machine_with_a_name_in_each(workshop, tmp_path, chromium):
    first, second = workshop[0], start(tmp_path / "workspace", "--mode", "workshop")
    try:
        browser = chromium.new_context()
        for app, host, name in ((first, workshop[1], "ana"), (second, host_word(second), "bo")):
            page = browser.new_page()
            page.goto(f"{app.url}/?host={host}")
            page.fill(".lab-name input", name)
            page.keyboard.press("Enter")
            page.wait_for_function("name => document.cookie.includes(`=${name}`)", arg=name)
        for app, name in ((first, "ana"), (second, "bo")):
            page = browser.new_page()
            with page.expect_response("**/lab/state") as state:
                page.goto(app.url)
            assert (state.value.json()["host"], state.value.json()["rater"]) == (True, name)
        browser.close()
    finally:
        stop(second)


def test_a_second_app_on_the_workspace_ends_with_one_line_that_names_the_first(workshop):
    app, _ = workshop
    command = [sys.executable, "app.py", "--workspace", str(app.workspace)]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert found.returncode == 2 and found.stderr.count("\n") == 1
    assert f"E_BUSY: This workspace is open already, at {app.url}/" in found.stderr


def test_open_pages_of_guests_and_host_go_on_after_a_restart(tmp_path):
    links = []
    for _ in range(2):
        app = start(tmp_path / "workspace", "--mode", "workshop")
        try:
            links.append(host_word(app))
            assert post(app, "/lab/state", {}, f"lab_host={links[0]}")[1]["host"] is True
        finally:
            stop(app)
    assert links[0] == links[1]
