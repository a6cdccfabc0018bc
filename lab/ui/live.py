"""A part of a page that its own script draws and keeps up to date, by asking the office."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lab.ui.theme import STATIC


class Live(gr.HTML):
    """`scripts` are files of static/, run in order after live.js, which all share; `props` reach them as `props`."""

    def __init__(self, scripts: tuple[str, ...], **props: Any) -> None:
        code = "\n".join((STATIC / name).read_text(encoding="utf-8") for name in ("live.js", *scripts))
        part = scripts[-1].removesuffix(".js")
        template = f'<div class="live" data-part="{part}"></div>'
        super().__init__("", html_template=template, js_on_load=code, apply_default_css=False, **props)

    def api_info(self) -> dict[str, str]:
        return {"type": "string"}
