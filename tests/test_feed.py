"""What is made ahead: nothing that was refused then is handed out, and own prompts come before it."""

from __future__ import annotations

import sys
import time
import tracemalloc

import pytest
from brought import bring

from lab.errors import BadFile, PromptTooLong
from lab.events import Finished, to_json
from lab.journal import append_json
from lab.served import MOST_ANSWERS
from lab.ui import ppo
from lab.ui.compare.arena import Arena
from lab.ui.compare.tally import speaker
from lab.ui.feed import LOST, known_policies
from lab.ui.office import LOOK_EVERY, Office
from lab.ui.pool import read_pool
from lab.ui.prompts import HOW_MANY, SEED, TRIES, from_file
from lab.ui.rank.desk import Desk
from lab.ui.state import AGE
from lab.ui.supervisor import Supervisor
from lab.world import corpus


@pytest.fixture
def office_with_worker(tmp_path):
    """An office whose worker is a living process that never answers."""
    silent = (sys.executable, "-c", "import time; time.sleep(600)")
    made = Office(tmp_path, worker=Supervisor(tmp_path, command=silent))
    yield made
    made.close()


def answer(office, request: str) -> None:
    append_json(office.workspace.served, {"id": request, "done": True, "texts": ["a", "b", "c", "d"]})


def refuse(office, request: str, code: str = "E_OOM") -> None:
    error = {"code": code, "message": "Not now."}
    append_json(office.workspace.served, {"id": request, "done": True, "error": error})
    time.sleep(2 * LOOK_EVERY)


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


def asked_under(office, pool) -> set[str]:
    """What the tab has in hand and what is made ahead for it."""
    held = office.feed.hold("tabone000", pool)
    return {held.prompt} | {item.prompt for item in made_ahead(office.feed, pool, 2)}


def test_own_prompts_that_were_waiting_are_asked_under_the_settings_that_a_person_changes_to(office):
    mine = {"Mine, one?", "Mine, two?", "Mine, three?"}
    office.store.add_prompts(sorted(mine), "own:mine.txt")
    pools = [read_pool({"temperature": 0.5 + 0.1 * number}) for number in range(5)]
    for pool in pools:
        assert asked_under(office, pool) == mine
    assert not mine & asked_under(office, read_pool({"prompts": "built-in"}))
    assert asked_under(office, read_pool({"prompts": "own"})) == mine
    assert list(office.feed._ready) == [read_pool({"prompts": "own"})]


def test_own_prompts_outlast_settings_that_change_faster_than_anything_is_made_ahead(office):
    mine = {f"Mine, number {number}?" for number in range(4)}
    office.store.add_prompts(sorted(mine), "own:mine.txt")
    for number in range(20):
        office.feed.hold("tabone000", read_pool({"temperature": 0.5 + 0.01 * number}))
    pool, seen = read_pool({"temperature": 0.69}), set()
    for _ in range(4):
        seen.add(office.feed.hold("tabone000", pool).prompt)
        office.feed.advance("tabone000", pool)
        made_ahead(office.feed, pool, 2)
    assert seen == mine


def test_own_prompts_stay_where_another_tab_still_has_the_settings(office):
    feed, pool = office.feed, read_pool({})
    office.store.add_prompts(["Mine, one?", "Mine, two?", "Mine, three?"], "own:mine.txt")
    feed.advance("tabtwo000", pool)
    waiting = made_ahead(feed, pool, 2)
    feed.advance("tabone000", read_pool({"temperature": 0.5}))
    feed.advance("tabone000", read_pool({"temperature": 0.6}))
    assert made_ahead(feed, pool, 2) == waiting and feed.hold("tabtwo000", pool).prompt == "Mine, one?"


def test_a_typed_prompt_is_asked_anew_under_other_settings_but_not_once_it_is_ranked(office):
    desk, other = Desk(office), {"temperature": 0.5}
    first = desk.own({"tab": "tabone000", "prompt": "Mine?"}, "ana")
    again = desk.next({"tab": "tabone000", "pool": other}, "ana")
    assert again["prompt"] == "Mine?" and again["item"] != first["item"]
    answer(office, office.feed.item(again["item"]).request)
    time.sleep(2 * LOOK_EVERY)
    shown = desk.look({"item": again["item"]}, "ana")
    body = {"tab": "tabone000", "pool": {}, "key": "k" * 20, "comparison": shown["comparison"], "order": [[0, 1, 2, 3]]}
    assert desk.submit(body, "ana")["next"]["prompt"] != "Mine?"


@pytest.mark.parametrize(("code", "again"), [("E_OOM", True), ("E_BUSY", True), ("E_PROMPT_TOO_LONG", False)])
def test_an_own_prompt_that_was_refused_for_a_passing_reason_comes_before_the_built_in_ones(office, code, again):
    feed, pool = office.feed, read_pool({})
    office.store.add_prompts(["Mine, one?", "Mine, two?"], "own:mine.txt")
    held = feed.advance("tabone000", pool)
    assert held.prompt == "Mine, one?", "in hand"
    refuse(office, held.request, code)
    ahead = made_ahead(feed, pool, 2)[0]
    assert ahead.prompt == "Mine, two?", "made ahead"
    refuse(office, ahead.request, code)
    seen = []
    for _ in range(5):
        seen.append(feed.advance("tabone000", pool).prompt)
        made_ahead(feed, pool, 2)
    assert {"Mine, one?", "Mine, two?"} <= set(seen) if again else not {"Mine, one?", "Mine, two?"} & set(seen)


def test_an_own_prompt_that_is_refused_each_time_keeps_nothing_else_from_being_asked(office):
    feed, pool = office.feed, read_pool({})
    office.store.add_prompts(["Never answered?", "Mine?"], "own:mine.txt")
    seen = []
    for _ in range(12):
        held = feed.advance("tabone000", pool)
        seen.append(held.prompt)
        for item in (held, *made_ahead(feed, pool, 2)):
            if item.prompt == "Never answered?":
                refuse(office, item.request)
    asked = [payload["prompt"] for _, _, kind, payload, _ in office.store.requests_after(0) if kind == "candidates"]
    assert seen[:2] == ["Never answered?", "Mine?"] and len(set(seen)) > 5
    assert asked.count("Never answered?") == 1 + TRIES


def test_an_imported_file_brings_no_own_prompts_whatever_it_is_called(office):
    office.store.add_prompts(["Theirs?"], "own-rankings.jsonl")
    office.store.add_prompts(["Mine?"], "own:mine.txt")
    assert [office.feed.prompts.next("own")[0] for _ in range(2)] == ["Mine?", "Mine?"]
    office.store.add_prompts(["Mine too?"], "own")
    assert office.feed.prompts.next("both") == ("Mine too?", "own")


def test_what_was_ranked_before_the_start_comes_again_when_all_else_has_been_asked(office):
    first, second, *_ = corpus.prompts(HOW_MANY, SEED)
    office.store.add_prompts(["Mine?", "Mine too?"], "own:mine.txt")
    rows = [(text, ["yes", "no"], [[0], [1]], "") for text in (first, "Mine?")]
    bring(office.store, rows, "ana", "pairs.jsonl")
    prompts = office.feed.prompts
    assert [prompts.next("own")[0] for _ in range(3)] == ["Mine too?", "Mine?", "Mine too?"]
    assert prompts.next("built-in")[0] == second


def test_the_first_prompt_after_a_start_reads_no_answer_of_an_import(office):
    rows = [(f"Theirs {n}?", ["yes " * 25_000, "no"], [[0], [1]], "") for n in range(60)]
    bring(office.store, rows, "ana", "pairs.jsonl")
    desk = Desk(office)
    tracemalloc.start()
    try:
        shown, most = desk.next({"tab": "tabone000"}, "ana"), tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert shown["progress"]["mine"] == 60
    assert most < 3_000_000, "half of the answers"


def test_many_boards_that_ask_who_can_answer_have_the_runs_looked_at_once(office, monkeypatch):
    desk, looks, runs = Desk(office), [], office.workspace.runs
    monkeypatch.setattr(office.workspace, "runs", lambda: looks.append(1) or runs())
    names = [[each["value"] for each in desk.sources({}, "ana")["sources"]] for _ in range(20)]
    assert names == [["base", "sft", "mix"]] * 20 and len(looks) == 1
    run = finished(office, "ppo")
    time.sleep(AGE + 0.1)
    assert run.name in [each["value"] for each in desk.sources({}, "ana")["sources"]]


def test_lists_say_which_run_sft_is_by_its_title(office):
    finished(office, "sft")
    last = finished(office, "sft")
    last.rename("Short answers")
    words = {each["value"]: each["label"] for each in Desk(office).sources({}, "ana")["sources"]}
    assert words["sft"] == f"SFT Short answers ({last.name})"
    assert {
        each["value"]: each["label"] for each in Arena(office).choices({}, "ana")["policies"]
    }.items() < words.items()


def test_the_sft_of_the_base_has_a_name_of_its_own_as_soon_as_another_has_taken_its_place(office):
    workspace = office.workspace
    assert known_policies(office) == ["base", "sft"] and speaker(workspace, "shipped") == ("sft", False)
    own = finished(office, "sft")
    tuned = finished(office, "ppo").name
    found = Arena(office).choices({}, "ana")
    words = {each["value"]: each["label"] for each in found["policies"]}
    assert list(words) == ["base", "shipped", "sft", tuned]
    assert (words["shipped"], words["sft"]) == ("SFT of the base", f"SFT {own.name}")
    assert found["pair"] == [tuned, "sft"] and [each["run"] for each in found["tuned"]] == [tuned]
    assert (speaker(workspace, "shipped"), speaker(workspace, "sft")) == (("sft", False), (own.name, False))
    item = office.feed.make(read_pool({"kind": "duel", "source": "shipped", "against": "sft"}), "Why?", "own")
    assert sorted(item.policies) == ["sft", "shipped"]
    assert [each["value"] for each in ppo.more(office, None)["starts"]] == [own.name, "shipped"]
    workspace.set_base({"base": "small"})
    assert known_policies(office) == ["base", "sft"], "that base came with none, and those runs are not its own"
    assert ppo.more(office, None)["starts"] == []
    own = finished(office, "sft", "small").name
    assert [each["value"] for each in ppo.more(office, None)["starts"]] == [own]


def finished(office, stage, base="tiny"):
    run = office.workspace.new_run(stage, {}, base={"base": base})
    (run.folder / "events.jsonl").write_text(to_json(Finished(1, "done", {}), 1.0) + "\n")
    run.adapter.mkdir()
    return run


def test_what_was_refused_is_shown_without_answers_and_with_the_reason(office):
    item = office.feed.advance("tabone000", read_pool({}))
    assert office.feed.view(item)["count"] == 4
    refuse(office, item.request)
    view = office.feed.view(item)
    assert (view["count"], view["candidates"], view["error"]) == (0, [], {"code": "E_OOM", "message": "Not now."})


def test_a_prompt_of_a_file_that_is_too_long_is_counted_until_another_base_is_loaded(office):
    feed, pool, desk = office.feed, read_pool({"prompts": "own"}), Desk(office)
    office.store.add_prompts(["Mine, one?", "Mine, two?", "Mine, three?"], "own:mine.txt")
    feed.advance("tabone000", pool)
    refuse(office, made_ahead(feed, pool, 2)[0].request, PromptTooLong.code)
    assert feed.left_out() == 0
    view = desk.next({"tab": "tabone000", "pool": {"prompts": "own"}, "another": True}, "me")
    assert (view["prompt"], view["progress"]["left_out"]) == ("Mine, three?", 1)
    office.workspace.set_base({"base": "small", "precision": "float32", "fit": False})
    assert feed.left_out() == 0


@pytest.mark.parametrize(
    ("name", "words"), [("a.json", "{broken"), ("a.jsonl", "{broken\n{also"), ("a.csv", "prompt\n1,2")]
)
def test_a_file_of_prompts_that_cannot_be_read_is_told_as_one_and_not_as_empty(tmp_path, name, words):
    (tmp_path / name).write_text(words)
    with pytest.raises(BadFile, match="holds no row that can be read; row [12]: (not JSON .Expecting|2 cells where)"):
        from_file(tmp_path / name)
