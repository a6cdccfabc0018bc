"""What each visit asks for, the page itself and the files that it loads, is compressed once and kept by the browser."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
import re
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

MOST = 16 * 2**20  # bytes: room for all of Gradio's own texts, compressed
# Vite puts a hash of a file into its name, and a digit behind it where two hashes differ in small and large letters.
HASHED = re.compile(r"/assets/[^/]*-[\w-]{8}\d?\.\w+")
FONTS, TEXTS = "/static/", (".js", ".css", ".svg", ".json", ".html")
# A browser alone may keep them, and no proxy on the way, which would give them to those without the key.
FOR_GOOD, A_DAY, ASKING = (f"private, {how}" for how in ("max-age=31536000, immutable", "max-age=86400", "no-cache"))


class Packed:
    """Around the app, which is asked each time, so that the guard is: what it answers with is sent as gzip, or as the
    word that the browser has it already. `versioned`: paths that tell what they lead to by ?v=.

    Gradio compresses files anew for each browser, on its event loop, and the page not at all. Starlette's middleware
    would do the page, too, but also anew each time, also Plotly's file of megabytes.
    """

    def __init__(self, app: ASGIApp, versioned: frozenset[str] = frozenset(), most: int = MOST) -> None:
        self.app, self.versioned, self.kept = app, versioned, Kept(most)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        lasts = self._lasts(scope) if scope["type"] == "http" and scope["method"] == "GET" else ""
        if not lasts:
            return await self.app(scope, receive, send)
        asked = Headers(scope=scope)
        text = scope["path"] == "/" or scope["path"].endswith(TEXTS)
        if not text or "gzip" not in asked.get("accept-encoding", ""):
            return await self.app(scope, receive, partial(dated, send, lasts, text))
        has = {tag.strip().removeprefix("W/").strip('"') for tag in asked.get("if-none-match", "").split(",")}
        await self.app(plain(scope), receive, Answer(scope["path"], self.kept, send, lasts, has).take)

    def _lasts(self, scope: Scope) -> str:
        """How long a browser may keep what it asks for; '' for what is none of a visit's."""
        path, version = scope["path"], scope.get("query_string", b"").startswith(b"v=")
        if HASHED.fullmatch(path) or (path in self.versioned and version):
            return FOR_GOOD
        if path.startswith(FONTS):
            return A_DAY
        return ASKING if path == "/" or path in self.versioned else ""


class Answer:
    """An answer of the app, held back until it is whole. `has`: the tags of what the browser kept."""

    def __init__(self, path: str, kept: Kept, send: Send, lasts: str, has: set[str]) -> None:
        self.path, self.kept, self.send, self.lasts, self.has = path, kept, send, lasts, has
        self.start: Message = {}
        self.parts: list[bytes] = []

    async def take(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.start = message
        if self.start.get("status") != 200:
            await self.send(message)
        elif message["type"] == "http.response.pathsend":
            tag = Headers(raw=self.start["headers"])["etag"].strip('"')
            await self._finish(tag, Path(message["path"]).read_bytes)
        elif message["type"] == "http.response.body":
            self.parts.append(message.get("body", b""))
            if not message.get("more_body", False):
                body = b"".join(self.parts)
                await self._finish(hashlib.sha256(body).hexdigest()[:32], lambda: body)

    async def _finish(self, tag: str, read: Callable[[], bytes]) -> None:
        headers = MutableHeaders(scope=self.start)
        headers["etag"] = f'W/"{tag}"'  # weak, for the same text also goes out as it is
        headers["cache-control"] = self.lasts
        varied(headers)
        del headers["content-length"]
        if tag in self.has:
            body = b""
            del headers["content-type"]
            self.start["status"] = 304
        else:
            body = await self.kept.small(f"{self.path} {tag}", read)
            headers["content-encoding"], headers["content-length"] = "gzip", str(len(body))
        await self.send(self.start)
        await self.send({"type": "http.response.body", "body": body})


class Kept:
    """Compressed texts by name, of those asked for last as many as take `most` bytes."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._kept: OrderedDict[str, bytes] = OrderedDict()
        self._begun: dict[str, asyncio.Task[bytes]] = {}

    async def small(self, name: str, read: Callable[[], bytes]) -> bytes:
        """Made on a thread. All who ask meanwhile wait for the one: on the way a text as it is would take longer."""
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        if name not in self._begun:
            self._begun[name] = asyncio.ensure_future(run_in_threadpool(lambda: gzip.compress(read(), mtime=0)))
        making = self._begun[name]
        try:
            # A browser that leaves takes it from none of the others.
            found = await asyncio.shield(making)
        finally:
            if making.done():
                self._begun.pop(name, None)
        self._kept[name] = found
        while sum(map(len, self._kept.values())) > self._most:
            self._kept.popitem(last=False)
        return found


def plain(scope: Scope) -> Scope:
    """The same question, to be answered as it is, and where that is a file, by its path (an extension of ASGI)."""
    headers = [each for each in scope["headers"] if each[0] != b"accept-encoding"]
    return scope | {"headers": headers, "extensions": {**scope.get("extensions", {}), "http.response.pathsend": {}}}


async def dated(send: Send, lasts: str, text: bool, message: Message) -> None:
    """An answer that goes out as it is, with how long it may be kept."""
    if message["type"] == "http.response.start" and message["status"] == 200:
        headers = MutableHeaders(scope=message)
        headers["cache-control"] = lasts
        if text:
            varied(headers)
    await send(message)


def varied(headers: MutableHeaders) -> None:
    """Said once: whoever answers within may have said it."""
    if "accept-encoding" not in headers.get("vary", "").lower():
        headers.add_vary_header("Accept-Encoding")
