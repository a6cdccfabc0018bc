"""Two tabs with which one browser opens a shared page for the first time at once: each is given a cookie of its own."""

from __future__ import annotations

import pytest

from lab.ui.launch import Options
from lab.ui.office import Office
from lab.ui.roles import GUEST, new_guest
from lab.ui.server import start
from lab.ui.supervisor import Supervisor

from .conftest import free_port

SESSION = "window.__gradio_session_hash__"
READ = """async () => (await fetch("gradio_api/queue/data?session_hash=" + window.__gradio_session_hash__,
    { signal: AbortSignal.timeout(9000) })).status"""


@pytest.fixture
def shared(tmp_path):
    """Where a workshop answers whose model was never started."""
    office = Office(tmp_path, mode="workshop", host_key="the host's own", worker=Supervisor(tmp_path))
    port = free_port()
    demo = start(office, Options(tmp_path, mode="workshop"), port, "")
    yield f"http://127.0.0.1:{port}"
    demo.close()
    office.close()


def test_a_tab_whose_cookie_gave_way_to_that_of_the_other_begins_a_session_of_its_own_and_only_once(shared, chromium):
    browser = chromium.new_context()
    page, visits = browser.new_page(), []
    page.on("load", lambda page: visits.append(page.url))
    with page.expect_response("**/lab/state"):
        page.goto(shared)
    page.wait_for_function(f"() => {SESSION} && document.querySelector('.lab-name input')?.value")
    first, given = page.evaluate(SESSION), [each for each in browser.cookies() if each["name"] == GUEST]
    # The answer to the other tab, which asked before this one had its cookie.
    browser.add_cookies([given[0] | {"value": new_guest()}])
    page.wait_for_function(f"first => {SESSION} && {SESSION} !== first", arg=first, timeout=20_000)
    with page.expect_response("**/lab/state") as state:
        pass
    assert state.value.status == 200 and page.evaluate(READ) == 200
    # One that loses its cookie at every turn is not loaded again and again.
    browser.add_cookies([given[0] | {"value": new_guest()}])
    with page.expect_response(lambda answer: answer.url.endswith("/lab/state") and answer.status == 403):
        pass
    page.locator(".lab-worker").get_by_text("another browser").wait_for()
    assert len(visits) == 2
    browser.close()
