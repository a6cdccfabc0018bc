"""Gradio's server with our guard before it and our routes beside it."""

from __future__ import annotations

import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial

import gradio as gr
import psutil
from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.middleware.gzip import DEFAULT_EXCLUDED_CONTENT_TYPES, GZipMiddleware
from starlette.types import ASGIApp

from lab.ui.curves import PLOTLY
from lab.ui.early import Early
from lab.ui.guard import Guard, Rules, Strict
from lab.ui.launch import LOOPBACK, Options
from lab.ui.looked_at import unshown
from lab.ui.office import Office
from lab.ui.packed import Packed
from lab.ui.routes import routes, unexpected
from lab.ui.shell import build, head, styles
from lab.ui.theme import theme

# Gradio's queue looks for work every millisecond, more than all else that an idle app does. Only chats pass it.
QUEUE_SECONDS = 0.02
# Bytes: an answer of fewer than the first fits into one packet as it is; one of more than the other is compressed on a
# thread, where it holds up nobody.
SMALL, LARGE = 1_000, 32_000
VERSIONED = frozenset({"/theme.css", f"/gradio_api/file={PLOTLY}"})


def start(office: Office, options: Options, port: int, key: str) -> gr.Blocks:
    """Returns as soon as the page answers."""
    demo = build(office)
    demo.queue(max_size=100, api_open=False)
    demo._queue.sleep_when_free = QUEUE_SECONDS
    rules = Rules(hosts(options), key, office.host_key, frames(options), office.mark)
    demo.launch(
        server_name=options.host,
        server_port=port,
        share=options.share,
        theme=theme(),
        css=styles(),
        head=head(),
        app_kwargs={
            "middleware": [Middleware(Guard, rules=rules)],
            "routes": routes(office),
            "exception_handlers": {Exception: partial(unexpected, why=unshown(office.workspace.barred))},
            "lifespan": outermost(rules),
        },
        max_file_size="50mb",
        max_threads=80,
        footer_links=[],
        run_history=False,
        enable_monitoring=False,
        ssr_mode=False,
        mcp_server=False,
        show_error=False,
        quiet=True,
        prevent_thread_lock=True,
    )
    return demo


def outermost(rules: Rules) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Gradio puts its CORS handling before our guard and would answer a foreign preflight; not after this.

    Starlette answers an unexpected error outside any guard, so the headers come from what stands around all of it.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.user_middleware.sort(key=lambda each: each.cls is not Guard)
        app.middleware_stack = Strict(small(Early(app.build_middleware_stack())), rules.frames)
        yield

    return lifespan


def small(app: ASGIApp) -> ASGIApp:
    """What each visit loads is compressed once, other answers each time, and streams of events and archives never."""
    no = (*DEFAULT_EXCLUDED_CONTENT_TYPES, "application/octet-stream")
    each = GZipMiddleware(app, SMALL, compresslevel=6, thread_minimum_size=LARGE, exclude_content_types=no)
    return Packed(each, VERSIONED)


def hosts(options: Options) -> frozenset[str]:
    """The names under which this app may be asked for."""
    found = {*LOOPBACK, options.host.lower(), *options.names}
    if options.host not in LOOPBACK:
        name = socket.gethostname().lower()
        found |= {name, f"{name.partition('.')[0]}.local"}
        found |= {each.address.split("%")[0].lower() for card in psutil.net_if_addrs().values() for each in card}
    if options.share:
        found.add("*.gradio.live")
    if os.environ.get("SPACE_HOST"):
        found |= {name.strip().lower() for name in os.environ["SPACE_HOST"].split(",")}
    return frozenset(found)


def frames(options: Options) -> tuple[str, ...]:
    """Who may show the page in a frame: a notebook on this machine, and the hosting page of a Space."""
    here = ("'self'", "http://localhost:*", "http://127.0.0.1:*")
    return (*here, "https://huggingface.co") if os.environ.get("SPACE_HOST") else here
