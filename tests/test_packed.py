"""What a visit loads: compressed once, kept by browsers as long as it holds, and never past the guard."""

from __future__ import annotations

import asyncio
import gzip
import os
import re
from collections.abc import Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import gradio
import pytest
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, StreamingResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from lab.ui.guard import Guard, Rules
from lab.ui.packed import HASHED, Kept
from lab.ui.server import small

FILE = "/assets/index-DphvyggB.js"
FONT = "/static/fonts/Plex.woff2"
TEXT = "let score = 1;\n" * 1000
GZIP, AS_IS = ({"accept-encoding": each} for each in ("gzip, deflate", "identity"))


def run(work: Coroutine) -> Any:
    """What it comes to, on a thread of its own: this one may have a loop already, a browser's."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, work).result()


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "index.js"
    path.write_text(TEXT)
    return path


@pytest.fixture
def client(script):
    """A tiny app in which all that a visit asks for is this one script."""

    async def page(request: Request) -> HTMLResponse:
        answer = HTMLResponse(f"<p>{request.query_params.get('said', '')}</p>{TEXT}")
        answer.set_cookie("lab_guest", "x")
        return answer

    async def file(request: Request) -> FileResponse:
        return FileResponse(script)

    async def number(request: Request) -> JSONResponse:
        return JSONResponse([0] * int(request.query_params["of"]))

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(iter(["data: a\n\n" * 1000]), media_type="text/event-stream")

    routes = [Route("/", page), Route("/number", number), Route("/events", events)]
    routes += [Route(path, file) for path in (FILE, FONT, "/theme.css")]
    guard = Middleware(Guard, rules=Rules(frozenset({"lab.example"}), "secret"))
    client = TestClient(small(Starlette(routes=routes, middleware=[guard])), "http://lab.example")
    client.cookies.set("lab_key", "secret")
    return client


@pytest.mark.parametrize("path", ["/", FILE, "/theme.css"])
def test_a_browser_that_takes_gzip_gets_the_same_in_a_fraction(client, path):
    plain, less = client.get(path, headers=AS_IS), client.get(path, headers=GZIP)
    assert "content-encoding" not in plain.headers and less.headers["content-encoding"] == "gzip"
    assert plain.content == less.content and int(less.headers["content-length"]) < len(plain.content) / 10
    assert plain.headers["vary"] == less.headers["vary"] == "Accept-Encoding"
    assert plain.headers["cache-control"] == less.headers["cache-control"]


@pytest.mark.parametrize("path", ["/", FILE])
def test_what_a_browser_has_already_is_not_sent_again_and_what_has_changed_is(client, script, path):
    first = client.get(path, headers=GZIP)
    has = GZIP | {"if-none-match": f'"other", {first.headers["etag"]}'}
    again = client.get(path, headers=has)
    assert (again.status_code, again.content) == (304, b"") and "content-length" not in again.headers
    assert again.headers["etag"] == first.headers["etag"]
    assert again.headers.get("set-cookie") == first.headers.get("set-cookie")
    script.write_text("new")
    changed = client.get(f"{path}?said=new", headers=has)
    assert changed.status_code == 200 and "new" in changed.text and changed.headers["etag"] != first.headers["etag"]


def test_two_files_of_one_size_and_time_are_two(tmp_path):
    async def file(request: Request) -> FileResponse:
        return FileResponse(tmp_path / request.path_params["name"])

    client = TestClient(small(Starlette(routes=[Route("/assets/{name}", file)])))
    for name in ("a-DphvyggB.js", "b-DphvyggB.js"):
        (tmp_path / name).write_text(name * 1000)
        os.utime(tmp_path / name, (1, 1))
    for name in ("a-DphvyggB.js", "b-DphvyggB.js"):
        assert client.get(f"/assets/{name}", headers=GZIP).text == name * 1000


@pytest.mark.parametrize(
    ("path", "lasts"),
    [
        (FILE, "private, max-age=31536000, immutable"),
        ("/theme.css?v=6", "private, max-age=31536000, immutable"),
        ("/theme.css", "private, no-cache"),
        (FONT, "private, max-age=86400"),
        ("/", "private, no-cache"),
        ("/number?of=9", None),
        ("/assets/no-DphvyggB.js", None),
    ],
)
def test_how_long_a_browser_may_keep_an_answer(client, path, lasts):
    assert [client.get(path, headers=each).headers.get("cache-control") for each in (GZIP, AS_IS)] == [lasts] * 2


def test_all_of_gradios_own_assets_carry_a_hash_so_that_they_may_be_kept_for_good():
    names = os.listdir(Path(gradio.__file__).parent / "templates" / "frontend" / "assets")
    assert len(names) > 100 and [each for each in names if not HASHED.fullmatch(f"/assets/{each}")] == []
    for name in ("index.js", "a-b.js", "iframeResizer.min.js", "x-DphvyggB", "a/b-DphvyggB.js"):
        assert not HASHED.fullmatch(f"/assets/{name}")


def test_a_part_of_a_file_and_a_font_go_out_as_they_are(client):
    part = client.get(FILE, headers=GZIP | {"range": "bytes=4-8"})
    assert (part.status_code, part.content, part.headers.get("content-encoding")) == (206, b"score", None)
    assert client.head("/", headers=GZIP).content == b""


def test_what_is_kept_is_not_given_to_those_whom_the_guard_refuses(client):
    tag = client.get(FILE, headers=GZIP).headers["etag"]
    client.cookies.clear()
    refused = client.get(FILE, headers=GZIP | {"if-none-match": tag})
    assert refused.status_code == 401 and "cache-control" not in refused.headers and "E_KEY" in refused.text


def test_other_answers_are_compressed_where_they_are_large_and_streams_of_events_never_are(client):
    found = {path: client.get(path, headers=GZIP) for path in ("/number?of=10", "/number?of=9999", "/events")}
    assert [each.headers.get("content-encoding") for each in found.values()] == [None, "gzip", None]
    assert len(found["/number?of=9999"].json()) == 9999


def test_an_event_goes_out_before_the_next_one_is_there():
    sent, at_second = [], []

    async def both():
        yield "data: first\n\n"
        at_second.extend(sent)
        yield "data: second\n\n"

    async def events(request: Request) -> StreamingResponse:
        return StreamingResponse(both(), media_type="text/event-stream")

    async def receive():
        await asyncio.sleep(9)

    async def send(message):
        sent.append(message.get("body"))

    scope = {
        "type": "http", "method": "GET", "path": "/events", "query_string": b"", "asgi": {"spec_version": "2.4"},
        "headers": [(b"accept-encoding", b"gzip")],
    }  # fmt: skip
    run(small(Starlette(routes=[Route("/events", events)]))(scope, receive, send))
    assert b"data: first\n\n" in at_second


def test_a_text_is_compressed_once_for_all_who_ask_at_once_though_the_first_of_them_leaves():
    async def crowd():
        kept, reads = Kept(1000), []
        asking = [asyncio.ensure_future(kept.small("x", lambda: reads.append(1) or b"text")) for _ in range(30)]
        await asyncio.sleep(0)
        asking[0].cancel()
        found = await asyncio.gather(*asking, return_exceptions=True)
        again = await kept.small("x", lambda: reads.append(1) or b"text")
        return len(reads), found, again

    reads, found, again = run(crowd())
    assert reads == 1 and isinstance(found[0], asyncio.CancelledError)
    assert {gzip.decompress(each) for each in (*found[1:], again)} == {b"text"}


def test_a_text_that_cannot_be_read_is_tried_again_by_the_next_who_asks():
    async def twice():
        kept = Kept(1000)
        with pytest.raises(FileNotFoundError):
            await kept.small("x", Path("/nowhere/at-all.js").read_bytes)
        return await kept.small("x", lambda: b"text")

    assert gzip.decompress(run(twice())) == b"text"


def test_what_was_asked_for_longest_ago_gives_way():
    async def several():
        made, kept = [], Kept(2 * len(gzip.compress(b"a")))
        for name in "abaca" + "b":
            await kept.small(name, lambda name=name: made.append(name) or name.encode())
        return "".join(made)

    assert run(several()) == "abcb"


def test_scripts_ask_for_plotly_by_its_version():
    from lab.ui.curves import ASKED, PLOTLY
    from lab.ui.server import VERSIONED

    assert re.fullmatch(re.escape(str(PLOTLY)) + r"\?v=\d+\.\d+\.\d+\w*", ASKED)
    assert f"/gradio_api/file={ASKED.partition('?')[0]}" in VERSIONED
