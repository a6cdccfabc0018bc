"""The gate before every request: whose Host, Origin and session, how large, and headers that keep browsers strict."""

from __future__ import annotations

import hmac
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from gradio.utils import get_upload_folder
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import JSONResponse, RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab import disk
from lab.errors import DiskFull
from lab.ui.roles import COOKIE as HOST
from lab.ui.roles import GUEST, KEY, UPLOADS, cookies_of, marked, new_guest, seal
from lab.ui.sessions import Sessions, in_body, named, read

BODY, UPLOAD = 2_000_000, 52_000_000
CLOSED = (
    "/gradio_api/runs",
    "/monitoring",
    "/gradio_api/deep_link",
    "/gradio_api/vibe",
    # Both take what anybody sends, and the first leaves a file behind even where it refuses it.
    "/gradio_api/process_recording",
    "/gradio_api/stream",
    "/gradio_api/component_server",
    "/openapi.json",
    "/docs",
    "/redoc",
)
# Gradio asks for the first while it starts, from this machine and without a cookie; both tell and change nothing.
OPEN = ("/gradio_api/startup-events", "/healthz")
OTHERS = "This belongs to another browser. Reload the page to begin one of your own."


@dataclass(frozen=True, slots=True)
class Rules:
    """`hosts`: names under which the app may be asked for, without port; '*.x' allows what ends in .x.
    `key`: the word that a browser must bring once (?key=...), '' where only this machine can reach the app.
    `host_key`: the word that makes a browser the host's, '' where there is no difference.
    `frames`: origins that may show the page inside their own.
    `mark`: what its cookies are marked with, so that they are no other lab's on this machine."""

    hosts: frozenset[str]
    key: str = ""
    host_key: str = ""
    frames: tuple[str, ...] = ("'self'",)
    mark: str = ""


class TooLarge(Exception):
    """More bytes came than the limit allows; the answer has its own status."""


class Guard:
    def __init__(self, app: ASGIApp, rules: Rules) -> None:
        self.app, self.rules, self.sessions = app, rules, Sessions()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            return await self.app(scope, receive, send)
        headers = Headers(scope=scope)
        refused = self._refused(scope, headers)
        if refused is None:
            await self._pass(scope, headers, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008})
        else:
            await refused(scope, receive, send)

    def _refused(self, scope: Scope, headers: Headers) -> Any:
        """The answer to a request that may not pass; None for one that may."""
        method, path = scope.get("method", "GET"), scope["path"]
        if not allowed_host(headers.get("host", ""), self.rules.hosts):
            return problem(421, "E_HOST", "This app does not answer to that name.")
        if method not in ("GET", "HEAD") and not same_origin(headers):
            return problem(403, "E_ORIGIN", "Requests from other web sites are refused.")
        if any(path == each or path.startswith(each + "/") or path.startswith(each + "-") for each in CLOSED):
            return problem(404, "E_NOT_FOUND", "There is no such page.")
        length = headers.get("content-length", "0")
        if not length.isdigit() or int(length) > limit(path):
            return problem(413, "E_BODY_TOO_LARGE", f"A request may have {limit(path):,} bytes.")
        return self._unknown(scope, headers) or self._guest(path, headers)

    def _guest(self, path: str, headers: Headers) -> Any:
        """Files come from the host alone, for Gradio takes them before any handler of ours is asked; and none where the
        disk has no room for it."""
        if path.rstrip("/") not in UPLOADS:
            return None
        if self.rules.host_key and not self._has(headers, HOST, self.rules.host_key):
            return problem(403, "E_FORBIDDEN", "Only the host may send files.")
        try:
            disk.check(Path(get_upload_folder()), "an upload")
        except DiskFull as full:
            return problem(507, full.code, str(full))
        return None

    def _unknown(self, scope: Scope, headers: Headers) -> Any:
        """The right ?key= or ?host= sets its cookie. Where a key is needed, nobody else passes without that cookie."""
        query = parse_qs(scope.get("query_string", b"").decode("latin-1"))
        found = {KEY: self.rules.key} if offers(query, "key", self.rules.key) else {}
        if offers(query, "host", self.rules.host_key):
            found = {KEY: self.rules.key, HOST: self.rules.host_key}
        if scope.get("method") == "GET" and found:
            # What begins with two slashes is a place of another server, and a browser takes a backslash for one.
            answer = RedirectResponse("/" + scope["path"].lstrip("/\\"), 303)
            for name, value in filter(lambda each: each[1], found.items()):
                name = marked(name, self.rules.mark)
                answer.set_cookie(name, value, httponly=True, samesite="lax", max_age=7 * 86400)
            return answer
        if not self.rules.key or scope["path"] in OPEN or self._has(headers, KEY, self.rules.key):
            return None
        return problem(401, "E_KEY", "Open the link with its key, as it was printed when the app started.")

    def _has(self, headers: Headers, name: str, key: str) -> bool:
        return hmac.compare_digest(cookies_of(self.rules.mark, cookies(headers)).get(name, "").encode(), key.encode())

    async def _pass(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        room, begun = limit(scope["path"]), False

        async def counted() -> Message:
            nonlocal room
            message = await receive()
            room -= len(message.get("body", b""))
            if room < 0:
                raise TooLarge
            return message

        async def noted(message: Message) -> None:
            nonlocal begun
            if given and not begun:
                MutableHeaders(scope=message).append("set-cookie", given)
            begun = True
            await send(message)

        given = self._new_guest(scope, headers)
        try:
            await self._as_its_own(scope, headers, counted, noted)
        except TooLarge:
            if not begun:
                await problem(413, "E_BODY_TOO_LARGE", "The request is too large.")(scope, receive, send)

    async def _as_its_own(self, scope: Scope, headers: Headers, receive: Receive, send: Send) -> None:
        """On to the app, but not about a session of Gradio's, such as a chat, that another guest has used first."""
        if not self.rules.host_key or scope["type"] != "http":
            return await self.app(scope, receive, send)
        given = await read(receive) if in_body(scope) else (b"", receive)
        if given is None:
            return None
        body, receive = given
        owner = seal(cookies_of(self.rules.mark, cookies(headers)))
        with ExitStack() as ends:
            try:
                asked = named(scope, body)
            except (ValueError, RecursionError):
                return await problem(400, "E_BAD_JSON", "The request is not JSON.")(scope, receive, send)
            # All or none: what is refused takes no session for itself.
            if not all(self.sessions.may(name, owner) for name in asked):
                return await problem(403, "E_FORBIDDEN", OTHERS)(scope, receive, send)
            for name in asked:
                self.sessions.enter(name, owner)
                ends.callback(self.sessions.leave, name)
            return await self.app(scope, receive, send)

    def _new_guest(self, scope: Scope, headers: Headers) -> str:
        """A cookie of its own for a browser that opens a shared page for the first time: it tells the guests apart
        until they type a name, and whose rankings are whose."""
        known = cookies_of(self.rules.mark, cookies(headers))
        if not self.rules.host_key or scope["path"] != "/" or seal(known):
            return ""
        name = marked(GUEST, self.rules.mark)
        return f"{name}={new_guest()}; Path=/; Max-Age=31536000; HttpOnly; SameSite=lax"


class Strict:
    """The headers that keep a browser strict, on every answer of the app that it stands around."""

    def __init__(self, app: ASGIApp, frames: Iterable[str]) -> None:
        self.app, self.policy = app, csp(frames)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def wrapped(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["x-content-type-options"] = "nosniff"
                headers["referrer-policy"] = "same-origin"
                headers["content-security-policy"] = self.policy
                for name in ("access-control-allow-origin", "access-control-allow-credentials"):
                    if name in headers:
                        del headers[name]
            await send(message)

        await self.app(scope, receive, wrapped)


def csp(frames: Iterable[str]) -> str:
    """Gradio builds templates with new Function and inline styles, so scripts may do both; the rest is shut."""
    return (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:; style-src 'self' 'unsafe-inline'; "
        "img-src 'self' data: blob:; font-src 'self' data:; media-src 'self' blob:; connect-src 'self' data: blob:; "
        "worker-src 'self' blob:; object-src 'none'; base-uri 'self'; form-action 'self'; "
        f"frame-ancestors {' '.join(frames)}"
    )


def allowed_host(host: str, hosts: Iterable[str]) -> bool:
    name = host_name(host)
    return any(name == each or (each.startswith("*.") and name.endswith(each[1:])) for each in hosts)


def host_name(host: str) -> str:
    """The name without its port: example.org:80, [::1]:80."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def same_origin(headers: Headers) -> bool:
    """A script of another site cannot forge Origin. No Origin at all: not a browser's cross-site request."""
    origin = headers.get("origin")
    if origin is None:
        return headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")
    return urlsplit(origin).netloc.lower() == headers.get("host", "").lower()


def limit(path: str) -> int:
    return UPLOAD if path.rstrip("/") == "/gradio_api/upload" else BODY


def offers(query: dict[str, list[str]], name: str, key: str) -> bool:
    return bool(key) and hmac.compare_digest(query.get(name, [""])[0].encode(), key.encode())


def cookies(headers: Headers) -> dict[str, str]:
    """What the browser brings. Cookies of other programs on the same machine come too, whatever their form."""
    return {name: value for line in headers.getlist("cookie") for name, value in cookie_parser(line).items()}


def problem(status: int, code: str, message: str) -> JSONResponse:
    return JSONResponse({"error": {"code": code, "message": message}}, status)
