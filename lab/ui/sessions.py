"""Whose each of Gradio's sessions is: the word for one is no secret, so only the browser that used it first may."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from dataclasses import dataclass
from urllib.parse import parse_qs

from starlette.types import Message, Receive, Scope

from lab.ui.roles import UPLOADS

MOST = 10_000
API = "/gradio_api/"
# A session is the last part of these; of the second by a way round, which takes it for the name of an event.
IN_PATH = (f"{API}heartbeat/", f"{API}call/")
STATE = "/lab/state"  # by which each page asks, once a second, whether its session still is its own


@dataclass(slots=True)
class Session:
    """`owner`: the seal of a browser's own cookie, '' where it brought none. `open`: requests under way."""

    owner: str
    open: int = 0


class Sessions:
    """Those with a request under way, and of the others the `most` that were used last; an open page always has one."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._open: dict[bytes, Session] = {}
        self._rest: OrderedDict[bytes, Session] = OrderedDict()

    def may(self, name: bytes, owner: str) -> bool:
        """Whether this browser may use the session: a new one, its own, or one that nobody with a cookie has used."""
        found = self._open.get(name) or self._rest.get(name)
        return found is None or found.owner in ("", owner)

    def enter(self, name: bytes, owner: str) -> bool:
        """The beginning of a request, where the browser may use the session."""
        if not self.may(name, owner):
            return False
        found = self._open.get(name) or self._rest.get(name) or Session(owner)
        self._rest.pop(name, None)
        self._open[name] = found
        found.owner = owner
        found.open += 1
        return True

    def leave(self, name: bytes) -> None:
        """The end of a request that has entered."""
        found = self._open[name]
        found.open -= 1
        if not found.open:
            self._rest[name] = self._open.pop(name)
        while len(self._rest) > self._most:
            self._rest.popitem(last=False)


def named(scope: Scope, body: bytes) -> set[bytes]:
    """The sessions that a request is about, each in 32 bytes; ValueError or RecursionError for what is no JSON."""
    path, found = scope["path"], parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_hash", [])
    if scope["method"] != "POST" and path.startswith(IN_PATH):
        found = [*found, path.rstrip("/").rpartition("/")[2]]
    given = json.loads(body) if body else None
    if isinstance(given, dict):
        found = [*found, given.get("session_hash")]
    return {hashlib.sha256(each.encode("utf-8", "surrogatepass")).digest() for each in found if isinstance(each, str)}


def in_body(scope: Scope) -> bool:
    """Whether a request may name its session in its body."""
    path = scope["path"]
    asked = path == STATE or (path.startswith(API) and path.rstrip("/") not in UPLOADS)
    return scope["method"] == "POST" and asked


async def read(receive: Receive) -> tuple[bytes, Receive] | None:
    """A body of a size that `receive` bounds, and what gives it once more; None where the browser is gone before."""
    parts, more = [], True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"".join(parts)
    waiting = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Message:
        return waiting.pop() if waiting else await receive()

    return body, again
