"""The gate before the app: foreign names and origins, oversized bodies, closed pages, the headers, and the key."""

from __future__ import annotations

import http.client
import json
import re
import tempfile
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit

import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lab.ui.guard import Guard, Rules, allowed_host
from lab.ui.roles import new_guest
from lab.ui.sessions import Sessions

MARKS = ("aaaaaaaa", "bbbbbbbb")


@pytest.fixture(scope="module")
def app(quiet):
    return quiet


def ask(app, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict, bytes]:
    """One request as raw as it is given: no client here mends a Host or a path."""
    link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
    link.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
    answer = link.getresponse()
    return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()


def code(body: bytes) -> str:
    return json.loads(body)["error"]["code"]


@pytest.mark.parametrize("path", ["/", "/config", "/lab/state", "/gradio_api/info", "/healthz"])
def test_a_foreign_name_is_answered_on_no_path(app, path):
    status, _, body = ask(app, "GET", path, Host="evil.example")
    assert (status, code(body)) == (421, "E_HOST")


def test_a_script_of_another_site_can_neither_post_nor_read(app):
    status, headers, body = ask(
        app, "POST", "/lab/state", b"{}", Origin="https://evil.example", Content_Type="application/json"
    )
    assert (status, code(body)) == (403, "E_ORIGIN")
    status, headers, _ = ask(
        app, "OPTIONS", "/lab/state", Origin="https://evil.example", Access_Control_Request_Method="POST"
    )
    assert status == 403 and "access-control-allow-origin" not in headers


def test_every_answer_carries_the_headers_that_keep_a_browser_strict(app):
    _, headers, _ = ask(app, "GET", "/")
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    assert "img-src 'self' data: blob:" in headers["content-security-policy"]
    assert "frame-ancestors 'self'" in headers["content-security-policy"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("POST", "/lab/broken", 500), ("GET", "/lab/export/broken", 500), ("GET", "/no", 404)],
)
def test_an_answer_to_an_error_carries_them_too(here, method, path, status):
    office, url = here
    office.action("broken", lambda body, rater: body["nothing"])
    office.downloads["broken"] = lambda query, folder: folder / query["nothing"]
    where = SimpleNamespace(url=url)
    _, usual, _ = ask(where, "GET", "/healthz")
    found, headers, body = ask(where, method, path, b"{}", Content_Type="application/json")
    assert found == status and (status == 404 or code(body) == "E_INTERNAL")
    for name in ("x-content-type-options", "referrer-policy", "content-security-policy"):
        assert headers[name] == usual[name]


def test_a_body_over_two_megabytes_is_refused_with_and_without_its_length(app):
    large = b'{"x":"' + b"a" * 3_000_000 + b'"}'
    status, _, body = ask(app, "POST", "/lab/state", large, Content_Type="application/json")
    assert (status, code(body)) == (413, "E_BODY_TOO_LARGE")
    link = http.client.HTTPConnection(urlsplit(app.url).netloc, timeout=30)
    pieces = (large[at : at + 500_000] for at in range(0, len(large), 500_000))
    link.request("POST", "/lab/state", pieces, {"content-type": "application/json"}, encode_chunked=True)
    answer = link.getresponse()
    assert (answer.status, code(answer.read())) == (413, "E_BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/runs",
        "/monitoring",
        "/monitoring/summary",
        "/gradio_api/deep_link?session_hash=x",
        "/gradio_api/vibe-edit",
        "/gradio_api/stream/x",
        "/gradio_api/process_recording",
        "/gradio_api/process_recording/",
    ],
)
def test_pages_of_gradio_that_nobody_needs_are_closed(app, path):
    assert ask(app, "GET", path)[0] == 404


@pytest.mark.parametrize(
    ("body", "kind", "status", "expected"),
    [
        (b"{bad", "application/json", 400, "E_BAD_JSON"),
        (b"", "application/json", 400, "E_BAD_JSON"),
        (b"[1]", "application/json", 400, "E_BAD_JSON"),
        (b"[" * 100_000, "application/json", 400, "E_BAD_JSON"),
        (b'{"x": NaN}', "application/json", 400, "E_BAD_JSON"),
        (b'{"x": 1e999}', "application/json", 400, "E_BAD_JSON"),
        (b'{"x": [-' + b"9" * 19 + b"]}", "application/json", 400, "E_BAD_JSON"),
        (b'{"x": ' + b"9" * 9999 + b"}", "application/json", 400, "E_BAD_JSON"),
        (b"{}", "text/plain", 415, "E_CONTENT_TYPE"),
    ],
)
def test_what_is_no_json_object_is_refused(app, body, kind, status, expected):
    found, _, said = ask(app, "POST", "/lab/state", body, Content_Type=kind)
    assert (found, code(said)) == (status, expected)


def test_a_refused_recording_leaves_no_file(app):
    part = b'--x\r\nContent-Disposition: form-data; name="files"; filename="lab-guard-recording.webm"\r\n\r\n'
    kind = {"Content_Type": "multipart/form-data; boundary=x"}
    before = set(Path(tempfile.gettempdir()).glob("tmp*"))
    status, _, _ = ask(app, "POST", "/gradio_api/process_recording", part + b"a" * 1_000_000 + b"\r\n--x--\r\n", **kind)
    left = set(Path(tempfile.gettempdir()).glob("tmp*")) - before
    assert status == 404 and not any(each.is_file() and each.stat().st_size == 1_000_000 for each in left)


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("board-undo", {"seq": 10**30}),
        ("curves", {"stage": "ppo", "window": [1e308, 10**400]}),
        ("curves", {"stage": "ppo", "window": [0, 10**17]}),
        ("board-undo", {"seq": 10**17}),
    ],
)
def test_a_number_beyond_all_measure_is_no_fault_of_the_server(app, action, body):
    said = json.dumps({"tab": "a" * 32, "pool": {}} | body)
    status, _, _ = ask(app, "POST", f"/lab/{action}", said.encode(), Content_Type="application/json")
    assert status < 500


@pytest.mark.parametrize("path", ["/etc/passwd", "/proc/self/environ", "../lab.db"])
def test_no_file_of_the_machine_is_served(app, path):
    assert ask(app, "GET", f"/gradio_api/file={path}")[0] in (403, 404)
    assert ask(app, "GET", f"/gradio_api/file={app.workspace / 'lab.db'}")[0] in (403, 404)


def test_an_unknown_action_or_export_says_so(app):
    status, _, body = ask(app, "POST", "/lab/nothing", b"{}", Content_Type="application/json")
    assert (status, code(body)) == (404, "E_NOT_FOUND")
    for name in ("nothing", "adapter?run=../x", "adapter?run=%2e%2e%2flab.db"):
        status, _, body = ask(app, "GET", f"/lab/export/{name}")
        assert status in (404, 422) and b"SQLite" not in body


def guarded(**rules) -> TestClient:
    """A tiny app behind the guard."""

    async def hello(request: Request) -> PlainTextResponse:
        return PlainTextResponse("hello")

    middle = Middleware(Guard, rules=Rules(frozenset({"lab.example"}), **rules))
    return TestClient(Starlette(routes=[Route("/{path:path}", hello)], middleware=[middle]), "http://lab.example")


def test_with_a_key_nobody_passes_without_it_and_the_link_sets_the_cookie():
    client = guarded(key="secret")
    assert client.get("/").status_code == 401
    assert client.get("/?key=wrong").status_code == 401
    answer = client.get("/?key=secret", follow_redirects=False)
    assert answer.status_code == 303 and "HttpOnly" in answer.headers["set-cookie"]
    assert client.get("/").text == "hello"


@pytest.mark.parametrize("word", ["key=secret", "host=mine"])
@pytest.mark.parametrize(
    ("path", "leads"),
    [
        ("//evil.example/", "/evil.example/"),
        ("///evil.example", "/evil.example"),
        ("/%2Fevil.example/", "/evil.example/"),
        ("/\\evil.example/", "/evil.example/"),
        ("/%5C/%5Cevil.example/", "/evil.example/"),
        ("/here/there", "/here/there"),
        ("", "/"),
    ],
)
def test_a_link_with_its_word_leads_to_no_other_server(word, path, leads):
    answer = guarded(key="secret", host_key="mine").get(f"http://lab.example{path}?{word}", follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, leads)


@pytest.mark.parametrize(
    "cookie", ['prefs={"a":1}; lab_key=secret', "a b=c; =; x; lab_key=secret", "lab_key=secret; é"]
)
def test_cookies_of_other_programs_on_the_machine_lock_nobody_out(cookie):
    client = guarded(key="secret")
    assert client.get("/", headers={"cookie": cookie.encode()}).text == "hello"
    assert client.get("/", headers={"cookie": cookie.replace("secret", "wrong").encode()}).status_code == 401


def test_the_hosts_link_opens_the_app_and_makes_the_host_and_the_guests_link_does_not():
    client = guarded(key="secret", host_key="mine")
    assert client.get("/?host=wrong").status_code == 401
    assert client.get("/?key=secret").text == "hello"
    assert client.post("/gradio_api/upload").status_code == 403
    assert client.get("/?host=mine").text == "hello"
    # The tiny app's own answer to a method that it does not know, behind the guard.
    assert client.post("/gradio_api/upload").status_code == 405


def test_the_link_of_one_lab_locks_nobody_out_of_another_on_the_same_machine():
    labs = [guarded(key=f"key {each}", host_key=f"host {each}", mark=each) for each in MARKS]
    labs[1].cookies = labs[0].cookies.jar  # one browser
    for lab, each in zip(labs, MARKS, strict=True):
        assert lab.get("/").status_code == 401
        assert lab.get(f"/?host=host {each}").text == "hello"
    for lab in labs:
        assert lab.get("/").text == "hello"
        assert lab.post("/gradio_api/upload").status_code == 405, "the host is still the host"
    assert sorted(labs[0].cookies) == sorted(
        f"lab_{what}_{each}" for what in ("guest", "host", "key") for each in MARKS
    )


def test_a_browser_that_was_let_in_by_an_older_lab_is_still_let_in():
    client = guarded(key="secret", host_key="mine", mark=MARKS[0])
    old = {"cookie": f"lab_key=secret; lab_host=mine; lab_guest={new_guest()}"}
    answer = client.get("/", headers=old)
    assert answer.text == "hello" and "set-cookie" not in answer.headers
    assert client.post("/gradio_api/upload", headers=old).status_code == 405


ALICE, BOB = ({"cookie": f"lab_guest={letter * 22}"} for letter in "ab")
USES = [
    ("GET", "/gradio_api/queue/data?session_hash=own", None),
    ("GET", "/gradio_api/queue/data?session_hash=other&session_hash=own", None),
    ("GET", "/gradio_api/heartbeat/own", None),
    ("GET", "/gradio_api/call/answer/own", None),
    ("GET", "/gradio_api/call/v2/answer/own/", None),
    ("POST", "/gradio_api/queue/join", {"session_hash": "own", "data": []}),
    ("POST", "/gradio_api/run/answer", {"session_hash": "own", "data": []}),
    ("POST", "/gradio_api/api/answer", {"session_hash": "own", "data": []}),
    ("POST", "/lab/state", {"session_hash": "own"}),
    ("POST", "/gradio_api/cancel", {"session_hash": "own", "fn_index": 1, "event_id": "x"}),
]


@pytest.mark.parametrize("first", USES)
@pytest.mark.parametrize("use", USES)
def test_a_session_is_the_guests_who_used_it_first_and_nobody_elses(first, use):
    client = guarded(host_key="mine")

    def status(asked, **more) -> int:
        method, path, body = asked
        return client.request(method, path, json=body, **more).status_code

    passed = {"GET": 200, "POST": 405}  # of the tiny app
    assert status(first, headers=ALICE) == passed[first[0]]
    for stranger in (BOB, {}, {"cookie": "lab_guest=guest"}):
        assert status(use, headers=stranger) == 403
    assert status(use, headers=ALICE) == passed[use[0]]
    assert guarded().request(*use[:2], json=use[2]).status_code == passed[use[0]]


def test_a_session_from_before_its_browser_had_a_cookie_is_that_browsers_from_then_on():
    client = guarded(host_key="mine")
    read = [client.get(USES[0][1], headers=each).status_code for each in ({}, {}, ALICE, BOB, ALICE)]
    assert read == [200, 200, 200, 403, 200]


def test_a_session_that_is_in_use_is_never_forgotten_and_of_the_others_those_used_last_are_kept():
    sessions = Sessions(most=2)
    for name in (b"open", b"first", b"second", b"first", b"third"):
        assert sessions.enter(name, "alice")
        if name != b"open":
            sessions.leave(name)
    assert [sessions.enter(name, "bob") for name in (b"open", b"first", b"third", b"second")] == [False] * 3 + [True]


def test_what_names_a_session_in_its_body_is_read_no_further_than_the_limit_and_must_be_json():
    client = guarded(host_key="mine")
    pieces = (b"a" * 500_000 for _ in range(9))
    assert client.post("/gradio_api/queue/join", content=pieces).status_code == 413
    for body in (b"{bad", b"[" * 100_000, b"\xff"):
        answer = client.post("/gradio_api/queue/join", content=body)
        assert (answer.status_code, code(answer.content)) == (400, "E_BAD_JSON")


def test_a_guests_cookie_that_can_be_guessed_gives_way_to_one_that_cannot():
    client = guarded(host_key="mine")
    for own, given in ((new_guest(), False), ("123456", True), ("guest", True)):
        answer = client.get("/", headers={"cookie": f"lab_guest={own}"})
        found = re.match("lab_guest=([^;]*);.*HttpOnly", answer.headers.get("set-cookie", ""))
        assert bool(found) is given and (not given or len(found.group(1)) == 22)


@pytest.mark.parametrize(
    ("host", "allowed"),
    [
        ("lab.example", True), ("lab.example:7860", True), ("LAB.example", True), ("evil.example", False), ("", False),
        ("lab.example.evil.example", False), ("x.gradio.live", True), ("gradio.live.evil.example", False),
        ("[::1]:80", True),
    ],
)  # fmt: skip
def test_a_host_is_matched_whole_and_a_star_by_its_end(host, allowed):
    assert allowed_host(host, {"lab.example", "*.gradio.live", "::1"}) is allowed


POSTED = "() => lab.post('broken').then(() => null, (error) => [error.code, error.message])"


def test_an_error_that_nobody_foresaw_is_told_under_a_reference_and_not_taken_for_a_dead_app(here, cached, caplog):
    office, url = here
    office.action("broken", lambda body, rater: body["nothing"])
    page = cached.new_page()
    page.goto(url)
    page.wait_for_function("window.lab")
    found, words = page.evaluate(POSTED)
    assert found == "E_INTERNAL" and "unexpected" in words and "Traceback" not in words
    [reference] = re.findall("ref ([0-9a-f]{8})", words)
    [told] = [each for each in caplog.records if reference in each.getMessage()]
    assert told.exc_info[0] is KeyError
    page.route("**/lab/broken", lambda route: route.fulfill(status=502, body="<p>Bad gateway"))
    found, words = page.evaluate(POSTED)
    assert found == "E_HTTP" and "502" in words
    page.route("**/lab/broken", lambda route: route.abort())
    assert page.evaluate(POSTED)[0] == "E_OFFLINE"
    page.close()
