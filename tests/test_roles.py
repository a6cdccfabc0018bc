"""Who may do what: every action is somebody's, and what nobody thought of is the host's."""

from __future__ import annotations

import stat
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from types import SimpleNamespace

import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from lab.errors import Busy, Forbidden
from lab.journal import replace_json
from lab.store import Candidate
from lab.ui.launch import Options, mark, only_one, words
from lab.ui.office import Office
from lab.ui.roles import (
    COOKIE,
    EVERYBODY,
    GUEST,
    RATER,
    check,
    cookies_of,
    is_host,
    marked,
    new_guest,
    number,
    seal,
)
from lab.ui.routes import routes
from lab.ui.shell import build
from lab.ui.supervisor import Supervisor

HOST_ONLY = {
    *(f"{stage}-{order}" for stage in ("sft", "reward", "ppo") for order in ("start", "order", "move")),
    *(
        "sft-remedy",
        "reward-remedy",
        "ppo-remedy",
        "reward-exclude",
        "runs-rename",
        "runs-delete",
        "runs-restore",
        "restart",
        "take-back",
    ),
    *(
        "model-load",
        "model-foretell",
        "sft-data",
        "compare-judge",
        "compare-second",
        "compare-stop",
        "bring-look",
        "bring-add",
        "bring-list",
        "bring-back",
    ),
}


@pytest.fixture(scope="module")
def office(tmp_path_factory):
    root = tmp_path_factory.mktemp("roles")
    made = Office(root, mode="workshop", host_key="secret", worker=Supervisor(root))
    build(made)
    yield made
    made.close()


def test_every_action_of_the_page_is_either_everybodys_or_the_hosts(office):
    assert set(office.actions) == EVERYBODY | HOST_ONLY and not EVERYBODY & HOST_ONLY


@pytest.mark.parametrize("action", sorted(HOST_ONLY | {"something-new"}))
def test_a_guest_is_refused_what_is_the_hosts_and_the_host_is_not(action):
    with pytest.raises(Forbidden):
        check(False, action)
    check(True, action)


def test_in_a_workshop_only_the_hosts_cookie_makes_the_host_and_alone_everybody_is():
    assert is_host("solo", "", {})
    for mode in ("workshop", "demo"):
        assert is_host(mode, "secret", {COOKIE: "secret"})
        for cookies in ({}, {COOKIE: ""}, {COOKIE: "Secret"}, {"lab_key": "secret"}):
            assert not is_host(mode, "secret", cookies)
        assert not is_host(mode, "", {COOKIE: ""})


def test_a_guest_is_not_led_to_what_only_the_host_may_start(office, monkeypatch):
    from lab.ui import header

    step = {"sentence": "Enough.", "tab": "reward", "button": "Train", "start": "reward"}
    monkeypatch.setattr(header, "snapshot", lambda _: {"next": step, "fault": "/home/ana is full", "base": None})
    host, guest = (header.seen_by(office, each, "ana") for each in (True, False))
    assert (host["next"], host["fault"]) == (step, "/home/ana is full")
    assert (guest["next"], guest["fault"]) == (None, "")


TOLD = ("state", "reward-score-look", "compare-results")


@pytest.fixture
def away(tmp_path):
    """A workshop whose worker, once started, is a living process that never answers."""
    silent = (sys.executable, "-c", "import time; time.sleep(600)")
    made = Office(tmp_path, mode="workshop", host_key="secret", worker=Supervisor(tmp_path, command=silent))
    build(made)
    yield made
    made.close()


def test_a_guest_is_not_told_where_the_hosts_folders_are(away):
    base, root, app = "/home/ana/models/small", away.workspace.root, Starlette(routes=routes(away))

    def seen(message: str) -> list[str]:
        """All that is told of the worker, as host and guest see it."""
        replace_json(root / "worker.json", {"pid": away.worker.pid, "base": base, "message": message})
        away._memory.clear()
        host, guest = TestClient(app, cookies={COOKIE: "secret"}), TestClient(app)
        request = guest.post("/lab/reward-score", json={"prompt": "Why?", "response": "So."}).json()
        return [" ".join(each.post(f"/lab/{name}", json=request).text for name in TOLD) for each in (host, guest)]

    away.ask("run", {"stage": "compare", "inputs": {}})
    (root / "worker.log").write_text(f"Loading\nE_DAMAGED: {base}/model.safetensors is cut off\n")
    host, guest = seen("")
    assert f"has ended: E_DAMAGED: {base}" in host
    assert "The model process has ended." in guest and '"base":"small"' in guest and base not in guest
    away.worker.start()
    replace_json(root / "base.json", {"base": base})
    host, guest = seen(f"{base} is being read.")
    assert f"{base} is being read." in host and "small is loading." in guest and base not in guest
    with pytest.raises(Busy, match=r"small is loading\.$"):
        away.wait(away.ask("chat", {}), 0.1)


def test_a_second_app_on_a_workspace_is_told_where_the_first_is(tmp_path):
    first = only_one(tmp_path, "http://127.0.0.1:7860/")
    with pytest.raises(Busy, match="open already, at http://127.0.0.1:7860/"):
        only_one(tmp_path, "http://127.0.0.1:7861/")
    first.release()
    only_one(tmp_path, "http://127.0.0.1:7861/").release()


def test_a_request_without_cookies_is_a_guests(office):
    assert not office.is_host(SimpleNamespace(cookies=None))
    assert office.is_host(SimpleNamespace(cookies={COOKIE: "secret"}))


OWN = ["a" * 22, "b" * 22]


def ranked(office, client) -> dict:
    """Two answers that a browser has ranked: what it was told, and the request that takes it back."""
    store = office.store
    prompt = store.add_prompts(["Why?"], "own")[0]
    compared = store.add_comparison(prompt, [Candidate("a", "sft"), Candidate("b", "sft")])
    body = {"tab": "tabone000", "key": f"save {len(store.rankings(withdrawn=True))}", "order": [[0], [1]]}
    saved = client.post("/lab/board-submit", json=body | {"comparison": compared}).json()
    assert client.post("/lab/board-submit", json=body | {"comparison": compared}).json()["already"]
    return {"tab": "tabtwo000", "key": f"undo {saved['seq']}", "seq": saved["seq"]}


@pytest.mark.parametrize("action", ["board-undo", "board-again"])
def test_what_one_browser_saved_no_other_takes_back_by_its_name(office, action):
    app = Starlette(routes=routes(office))
    name = {RATER: "ana"}
    ana, other = (TestClient(app, cookies=name | {GUEST: own}) for own in OWN)
    asked = ranked(office, ana)
    for cookies in ({GUEST: OWN[1]}, {}, {GUEST: "482913"}, {GUEST: seal({GUEST: OWN[0]})}):
        answer = TestClient(app, cookies=name | cookies).post(f"/lab/{action}", json=asked | {"host": True})
        assert answer.status_code == 422 and "another browser" in answer.json()["error"]["message"]
    lie = asked | {"browser": seal({GUEST: OWN[0]})}
    assert other.post(f"/lab/{action}", json=lie).status_code == 422
    assert office.store.ranking(asked["seq"]) is not None
    assert TestClient(app, cookies=ana.cookies).post(f"/lab/{action}", json=asked).status_code == 200
    assert (office.store.ranking(asked["seq"]) is None) is (action == "board-undo")


def test_another_ranking_takes_the_place_only_of_one_that_the_same_browser_saved(office):
    app = Starlette(routes=routes(office))
    ana, other, host = (
        TestClient(app, cookies={RATER: "ana", **cookies})
        for cookies in ({GUEST: OWN[0]}, {GUEST: OWN[1]}, {GUEST: OWN[1], COOKIE: "secret"})
    )
    asked = ranked(office, ana)
    seq, count = asked["seq"], office.store.counts()["raters"]["ana"]
    compared = office.store.ranking(seq).comparison.id
    body = {"tab": asked["tab"], "comparison": compared, "order": [[1], [0]], "instead": seq}
    refused = other.post("/lab/board-submit", json=body | {"key": "of the other"})
    assert "another browser" in refused.json()["error"]["message"]
    bob = TestClient(app, cookies={RATER: "bob", GUEST: OWN[1]})
    assert bob.post("/lab/board-submit", json=body | {"key": "beside it"}).status_code == 200
    assert office.store.ranking(seq) is not None
    for client, key in ((ana, "of her own"), (host, "of the host")):
        view = client.post("/lab/board-again", json=asked | {"seq": seq}).json()
        assert view["instead"] == seq and office.store.ranking(seq) is not None
        saved = [client.post("/lab/board-submit", json=body | {"key": key, "instead": seq}).json() for _ in range(2)]
        assert [each["already"] for each in saved] == [False, True]
        assert office.store.ranking(seq) is None and saved[0]["next"]["progress"]["mine"] == count
        seq = saved[0]["seq"]


def test_a_board_names_to_each_browser_the_newest_ranking_that_it_may_take_back_and_to_others_none(office):
    app = Starlette(routes=routes(office))
    eve = TestClient(app, cookies={RATER: "eve", GUEST: OWN[0]})
    first, second = (ranked(office, eve)["seq"] for _ in range(2))

    def newest(pool: dict | None = None, **cookies) -> int:
        body = {"tab": "tabone000", "pool": pool or {}}
        return TestClient(app, cookies={RATER: "eve", **cookies}).post("/lab/board-next", json=body).json()["newest"]

    duel = {"kind": "duel", "source": "base", "against": "sft"}
    assert (newest(**eve.cookies), newest(duel, **eve.cookies)) == (second, 0)
    for cookies in ({GUEST: OWN[1]}, {}, {GUEST: OWN[1], COOKIE: "secret"}, {GUEST: OWN[0], RATER: "ana"}):
        assert newest(**cookies) not in (first, second)
    assert newest(**{COOKIE: "secret"}) == second, "a host without a cookie of their own may take back what is theirs"
    for seq, before in ((second, first), (first, 0)):
        body = {"tab": "tabtwo000", "key": f"undo of eve's {seq}", "seq": seq}
        assert eve.post("/lab/board-undo", json=body).json()["newest"] == before


def test_the_host_takes_a_ranking_of_their_own_back_in_any_browser_and_also_one_of_an_older_lab(office):
    app = Starlette(routes=routes(office))
    host = TestClient(app, cookies={COOKIE: "secret", GUEST: OWN[0]})
    for saved in (host, TestClient(app, cookies={COOKIE: "secret"})):
        asked = ranked(office, saved)
        assert TestClient(app, cookies={COOKIE: "secret"}).post("/lab/board-undo", json=asked).status_code == 200


def test_each_browser_has_a_secret_of_its_own_and_what_is_told_of_it_leads_nobody_to_it():
    first, second = ({GUEST: new_guest()} for _ in range(2))
    assert seal(first) and seal(first) != seal(second) and seal(first) == seal(dict(first))
    assert first[GUEST] not in seal(first) and number(first) not in first[GUEST]
    for forged in ("", "482913", "<b>", first[GUEST] + "a", f"{first[GUEST]}\n"):
        assert seal({GUEST: forged}) == number({GUEST: forged}) == ""


def test_a_save_without_a_key_is_refused_in_a_browser_with_a_cookie_too(office):
    client = TestClient(Starlette(routes=routes(office)), cookies={GUEST: OWN[0]})
    seq = ranked(office, client)["seq"]
    compared = office.store.ranking(seq).comparison.id
    body = {"tab": "tabone000", "comparison": compared, "order": [[0], [1]]}
    assert "without a key" in client.post("/lab/board-submit", json=body).json()["error"]["message"]


@pytest.mark.parametrize("cookies", [{COOKIE: "secret"}, {GUEST: OWN[0]}, {RATER: "Ana"}, {}])
def test_who_brings_no_cookie_takes_nobodys_ranking_back(office, cookies):
    """Neither the host's, nor that of a guest, be it one who brought no cookie either."""
    app = Starlette(routes=routes(office))
    asked = ranked(office, TestClient(app, cookies=cookies))
    for action in ("board-undo", "board-again"):
        refused = action == "board-undo" or not cookies
        assert TestClient(app).post(f"/lab/{action}", json=asked).status_code == (422 if refused else 200)
        assert office.store.ranking(asked["seq"]) is not None


def test_a_save_waits_behind_nobodys_question_to_the_model(office):
    """Ninety scores are asked for, twice as many as there are threads, of a worker that never answers."""
    client = TestClient(Starlette(routes=routes(office)))
    with ThreadPoolExecutor(90) as crowd:
        began = time.monotonic()
        asked = [
            crowd.submit(client.post, "/lab/reward-score", json={"prompt": "Why?", "response": "So."})
            for _ in range(90)
        ]
        assert client.post("/lab/name", json={"name": "ana"}).json()["name"] == "ana"
        answers = [each.result().json() for each in asked]
        assert time.monotonic() - began < 20
    look = client.post("/lab/reward-score-look", json={"request": answers[0]["request"]}).json()
    assert look["done"] is False and look["worker"]


def test_the_links_outlive_a_restart_and_are_changed_on_request(tmp_path):
    options = Options(tmp_path, host="0.0.0.0", mode="workshop")
    first = words(options, tmp_path)
    assert all(len(word) == 16 for word in first) and first[0] != first[1]
    assert words(options, tmp_path) == first and stat.S_IMODE((tmp_path / "links.json").stat().st_mode) == 0o600
    assert words(Options(tmp_path), tmp_path) == ("", "") and words(options, tmp_path) == first
    own = mark(tmp_path)
    again = words(replace(options, new_links=True), tmp_path)
    assert mark(tmp_path) == own, "new links take nobody's name away"
    assert not set(again) & set(first) and words(options, tmp_path) == again
    for damaged in ('{"key": "", "host": ""}', "[]", "{"):
        (tmp_path / "links.json").write_text(damaged)
        assert all(len(word) == 16 for word in words(options, tmp_path))


def test_a_workspace_reads_its_own_cookies_and_those_of_a_lab_from_before_the_marks(tmp_path):
    first, second = (tmp_path / name for name in ("first", "second"))
    for root in (first, second):
        root.mkdir()
    marks = mark(first), mark(second)
    assert marks[0] != marks[1] and (mark(first), mark(second)) == marks
    assert stat.S_IMODE((first / "links.json").stat().st_mode) == 0o600
    browser = {marked(COOKIE, each): f"word {each}" for each in marks} | {COOKIE: "old", RATER: "ana", "prefs": "x"}
    for each in marks:
        assert cookies_of(each, browser) == {COOKIE: f"word {each}", RATER: "ana"}
    assert cookies_of("cafecafe", browser) == {COOKIE: "old", RATER: "ana"}
    assert cookies_of(marks[0], {marked(RATER, marks[0]): "bo", RATER: "ana"}) == {RATER: "bo"}
