"""What is made ahead: nothing that was refused then is handed out, and own prompts come before it."""

from __future__ import annotations

import sys
import time

import pytest

from lab.journal import append_json
from lab.ui.feed import LOST
from lab.ui.office import LOOK_EVERY, Office
from lab.ui.pool import read_pool
from lab.ui.rank.desk import Desk
from lab.ui.supervisor import Supervisor
from lab.workspace import MOST_ANSWERS


@pytest.fixture
def office(tmp_path):
    """A real office whose worker was never started: the test answers in its place."""
    made = Office(tmp_path, worker=Supervisor(tmp_path))
    yield made
    made.close()


@pytest.fixture
def office_with_worker(tmp_path):
    """An office whose worker is a living process that never answers."""
    silent = (sys.executable, "-c", "import time; time.sleep(600)")
    made = Office(tmp_path, worker=Supervisor(tmp_path, command=silent))
    yield made
    made.close()


def answer(office, request: str) -> None:
    append_json(office.workspace.served, {"id": request, "done": True, "texts": ["a", "b", "c", "d"]})


def made_ahead(feed, pool, count: int) -> list:
    deadline = time.monotonic() + 20
    while len(feed._ready.get(pool, ())) < count:
        assert time.monotonic() < deadline, "nothing was made ahead"
        time.sleep(0.01)
    return list(feed._ready[pool])


@pytest.mark.parametrize("refused", [1, 2])
def test_what_was_refused_when_it_was_made_ahead_is_not_handed_out(office, refused):
    feed, pool = office.feed, read_pool({})
    feed.advance("tabone000", pool)
    ready = made_ahead(feed, pool, 2)
    for item in ready[:refused]:
        error = {"code": "E_NOT_FOUND", "message": "The policy is gone."}
        append_json(office.workspace.served, {"id": item.request, "done": True, "error": error})
    given = feed.advance("tabtwo000", pool)
    assert given.request not in [item.request for item in ready[:refused]]
    assert refused == 2 or given is ready[1]
    assert "error" not in feed.view(given)


def test_a_prompt_that_somebody_typed_is_kept_once_it_is_answered_and_not_asked_again(office):
    desk = Desk(office)
    shown = desk.own({"tab": "tabone000", "prompt": " Mine? "}, "ana")
    assert shown["prompt"] == "Mine?" and not office.store.prompts()
    assert office.feed.prompts.next("both")[0] != "Mine?"
    item = office.feed.item(shown["item"])
    answer = {"id": item.request, "done": True, "texts": ["a", "b", "c", "d"]}
    append_json(office.workspace.served, answer)
    time.sleep(2 * LOOK_EVERY)
    office.feed.view(item)
    assert [text for _, text, source in office.store.prompts() if source == "own"] == ["Mine?"]
    assert office.feed.prompts.next("own")[0] == "Mine?", "and with no other it may come back"


def test_what_was_asked_before_there_was_a_worker_is_asked_again_of_the_one_that_came_too_late(office_with_worker):
    office, feed = office_with_worker, office_with_worker.feed
    item = feed.advance("tabone000", read_pool({}))
    first = item.request
    office.worker.start()
    feed.view(item)
    assert item.request == first, "it may still be answered"
    item.asked -= LOST + 1
    feed.view(item)
    assert item.request != first and item.worker == office.worker.pid
    answer(office, item.request)
    time.sleep(2 * LOOK_EVERY)
    assert feed.view(item)["comparison"]


def test_an_answer_that_has_been_forgotten_is_asked_for_again(office_with_worker):
    office, feed = office_with_worker, office_with_worker.feed
    office.worker.start()
    held = feed.advance("tabone000", read_pool({}))
    ahead = made_ahead(feed, held.pool, 2)[0]
    before = {each.id: each.request for each in (held, ahead)}
    for request in (*before.values(), *(f"other {number}" for number in range(MOST_ANSWERS))):
        answer(office, request)
    time.sleep(2 * LOOK_EVERY)
    for item in (held, ahead):
        feed.view(item)
        assert item.request == before[item.id], "the model may just be slow"
        item.asked -= LOST + 1
        feed.view(item)
        assert item.request != before[item.id]
    before = held.request
    feed.view(held)
    assert held.request == before, "once"


@pytest.mark.parametrize("choice", ["both", "own", "built-in"])
def test_own_prompts_come_before_what_was_made_ahead_and_after_what_was_put_back(office, choice):
    feed, pool = office.feed, read_pool({"prompts": choice})
    held = feed.advance("tabone000", pool)
    ready = made_ahead(feed, pool, 2)
    held.comparison = "seen"
    feed.put("tabone000", ready[0])
    office.store.add_prompts(["Mine, please?"], "own:mine.txt")
    feed.own_came()
    assert feed.advance("tabone000", pool) is held
    made_ahead(feed, pool, 2)
    following = feed.advance("tabone000", pool)
    assert following.prompt == "Mine, please?" if choice != "built-in" else following is ready[0]
