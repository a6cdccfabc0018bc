"""What guests may ask of the model before it has answered, and that honest ones never notice it."""

from __future__ import annotations

import time

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.journal import append_json
from lab.ui.compare.arena import Arena
from lab.ui.crowd import ALL, EACH, NAMELESS_ONES
from lab.ui.feed import AGAIN, AHEAD
from lab.ui.office import Office
from lab.ui.rank.desk import Desk
from lab.ui.roles import COOKIE, GUEST
from lab.ui.routes import routes
from lab.ui.supervisor import Supervisor

SIDE = {"a": "base", "b": "sft", "prompt": "Why?"}


@pytest.fixture
def workshop(tmp_path):
    made = Office(tmp_path, mode="workshop", host_key="secret", worker=Supervisor(tmp_path))
    Arena(made).open()
    Desk(made).open()
    yield made
    made.close()


@pytest.fixture
def post(workshop):
    """POST as a guest by number, as one without a cookie (None) or as the host: the answer."""
    client = TestClient(Starlette(routes=routes(workshop)))

    def send(who, action, body):
        name = {COOKIE: "secret"} if who == "host" else {GUEST: f"{who:022}"} if who is not None else {}
        cookies = "; ".join(f"{key}={value}" for key, value in name.items())
        return client.post(f"/lab/{action}", json=body, headers={"cookie": cookies})

    return send


def answer(office, *requests):
    for request in requests:
        append_json(office.workspace.served, {"id": request, "done": True, "texts": ["a", "b", "c", "d"]})
    office._looked = 0.0  # it looks again, whenever it last did


def asked(office):
    return [request for _, request, *_ in office.store.requests_after(0)]


def test_a_guest_has_two_unanswered_requests_and_more_once_one_is_answered(workshop, post):
    found = [post(1, "compare-side", SIDE) for _ in range(EACH + 2)]
    assert [each.status_code for each in found] == [200] * EACH + [503] * 2
    error = found[-1].json()["error"]
    assert error["code"] == "E_BUSY" and f"has {EACH} of your requests" in error["message"]
    assert post(1, "compare-side", SIDE | {"guest": ""}).status_code == 503, "whatever the page claims"
    assert post(2, "compare-side", SIDE).status_code == 200 and len(asked(workshop)) == EACH + 1
    answer(workshop, found[0].json()["request"])
    assert [post(1, "compare-side", SIDE).status_code for _ in range(2)] == [200, 503]


def test_all_guests_together_have_fifty_and_the_host_is_not_counted(workshop, post):
    assert [post("host", "compare-side", SIDE).status_code for _ in range(EACH + 1)] == [200] * (EACH + 1)
    found = [post(guest, "compare-side", SIDE).status_code for guest in range(ALL + 10)]
    assert found == [200] * ALL + [503] * 10
    assert post("host", "compare-side", SIDE).status_code == 200


def test_those_who_bring_no_cookie_leave_room_for_the_others(post):
    found = [post(None, "compare-side", SIDE).status_code for _ in range(NAMELESS_ONES + 5)]
    assert found == [200] * NAMELESS_ONES + [503] * 5
    assert post(1, "compare-side", SIDE).status_code == 200


def settled(office, least):
    """What was asked, once nothing more is made ahead."""
    deadline = time.monotonic() + 20
    while len(asked(office)) < least:
        assert time.monotonic() < deadline, "nothing was made ahead"
        time.sleep(0.01)
    with office.feed._filling:
        return asked(office)


def test_thirty_who_begin_at_once_have_all_their_answers_asked_for_and_some_made_ahead(workshop, post):
    found = [post(guest, "board-next", {"tab": f"tabnumber{guest}"}).json() for guest in range(30)]
    assert not any("error" in each for each in found)
    assert all(workshop.feed.item(each["item"]).request for each in found)
    assert len(settled(workshop, 30 + AHEAD)) == 30 + AHEAD


def test_a_guest_with_many_tabs_and_settings_waits_without_an_error_and_asks_for_a_few_at_a_time(workshop, post):
    pools = [{"temperature": 0.5 + 0.1 * number} for number in range(8)]
    tabs = [{"tab": f"tabnumber{number}", "pool": pool} for number, pool in enumerate(pools)]
    items = [post(1, "board-next", tab).json()["item"] for tab in tabs]
    before = settled(workshop, EACH + AHEAD)
    assert len(before) == EACH + AHEAD
    waiting = [item for item in items if not workshop.feed.item(item).request]
    assert len(waiting) == len(items) - EACH
    answer(workshop, *before)
    workshop.feed.item(waiting[0]).asked -= AGAIN
    view = post(1, "board-look", {"item": waiting[0]}).json()
    assert "error" not in view and view["candidates"][0] == {"text": "", "finished": False}
    request = workshop.feed.item(waiting[0]).request
    assert request and request not in before
    answer(workshop, request)
    assert post(1, "board-look", {"item": waiting[0]}).json()["comparison"]
