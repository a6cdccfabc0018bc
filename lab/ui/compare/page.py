"""Lays out the Compare page."""

from __future__ import annotations

from typing import Any

import gradio as gr

from lab.config import Compare
from lab.ui.board import Board
from lab.ui.compare.arena import Arena
from lab.ui.curves import ASKED, PLOTLY
from lab.ui.fields import schema
from lab.ui.live import Live
from lab.ui.notes import lead
from lab.ui.office import Office
from lab.ui.theme import STATIC


class Part(gr.HTML):
    """One part of the page: its own markup and script, which share the chosen pair through window events."""

    def __init__(self, name: str, **more: Any) -> None:
        super().__init__(
            "",
            html_template=(STATIC / f"{name}.html").read_text(encoding="utf-8"),
            js_on_load=(STATIC / f"{name}.js").read_text(encoding="utf-8"),
            apply_default_css=False,
            **more,
        )


def page(office: Office) -> None:
    Arena(office).open()
    count = next(each for each in schema(Compare) if each["name"] == "count")
    lead("Is it really better?", "Two policies answer the same prompt and you choose, without knowing who is who.")
    Part("duel", elem_id="duel")
    Board("duel", elem_id="duel-board")
    gr.set_static_paths([PLOTLY])
    Live(("plot.js", "frontier.js"), plotly=ASKED, elem_id="frontier")
    Part("arena", elem_id="arena", count=count)
