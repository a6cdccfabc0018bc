"""The board: a component whose script streams the answers in and lets a person order them by mouse, keys or touch."""

from __future__ import annotations

from dataclasses import fields
from types import MappingProxyType
from typing import Any

import gradio as gr

from lab.ui.pool import Sampling
from lab.ui.theme import STATIC

LABELS = MappingProxyType(
    {
        "count": "Answers",
        "prompts": "Prompts",
        "temperature": "Temperature",
        "tokens": "Longest answer",
        "repeats": "Self-test after",
    }
)
TAGS = ("wrong", "rude", "off topic", "too long", "all bad")
SCRIPTS = ("ranking.js", "dragging.js", "telling.js", "panels.js", "sources.js", "draft.js", "board.js")


class Board(gr.HTML):
    """`kind`: rank on the Rank page, duel on the Compare page. All that a model or a person wrote reaches the page
    through textContent only."""

    def __init__(self, kind: str = "rank", **more: Any) -> None:
        super().__init__(
            "",
            html_template=(STATIC / "board.html").read_text(encoding="utf-8"),
            js_on_load="\n".join((STATIC / name).read_text(encoding="utf-8") for name in SCRIPTS),
            apply_default_css=False,
            kind=kind,
            knobs=settings(),
            tags=list(TAGS),
            **more,
        )


def settings() -> list[dict[str, Any]]:
    """The knobs of a board, for the script to draw."""
    return [
        {"name": each.name, "label": LABELS[each.name], "value": each.default, "help": each.metadata["help"]}
        | {name: each.metadata[name] for name in ("low", "high", "choices")}
        for each in fields(Sampling)
    ]
