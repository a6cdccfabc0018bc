"""Puts a script at the top of the page's own HTML, where it runs before any script of Gradio's."""

from __future__ import annotations

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from lab.ui.theme import STATIC

HEAD = b"<head>"


class Early:
    """Around the app: the answer to "/" gets static/early.js as its first script, and nothing else is touched.

    What is given to Gradio as `head` comes too late: the browser adds it when Gradio's modules have run.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app
        self.script = b"<script>" + (STATIC / "early.js").read_bytes() + b"</script>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"] != "/":
            return await self.app(scope, receive, send)
        start: Message = {}

        async def longer(message: Message) -> None:
            nonlocal start
            if message["type"] == "http.response.start":
                start = message  # it tells the length, which only the first part of the page changes
                return
            if start:
                body = message.get("body", b"")
                message = message | {"body": body.replace(HEAD, HEAD + self.script, 1)}
                headers = MutableHeaders(scope=start)
                if "content-length" in headers:
                    headers["content-length"] = str(int(headers["content-length"]) + len(message["body"]) - len(body))
                await send(start)
                start = {}
            await send(message)

        await self.app(scope, receive, longer)
