"""The frame of the app: a header that knows the next step, and one tab for each stage of the work."""

from __future__ import annotations

import importlib
import importlib.util
from html import escape
from types import MappingProxyType

import gradio as gr

from lab.ui.header import header
from lab.ui.looked_at import MISSING, missing
from lab.ui.office import Office
from lab.ui.theme import STATIC
from lab.words import WORDS

GUEST = "guest.css"
TABS = MappingProxyType(
    {
        "model": "Model",
        "sft": "SFT",
        "rank": "Rank",
        "reward": "Reward",
        "ppo": "PPO",
        "compare": "Compare",
        "runs": "Runs",
    }
)


def build(office: Office) -> gr.Blocks:
    """All pages in one document: a multipage app would load the whole page anew at each click."""
    with gr.Blocks(title="RLHF Lab", fill_width=True, analytics_enabled=False) as demo:
        header(office)
        with gr.Tabs(selected="rank", elem_id="tabs", overflow_behavior="wrap"):
            for name, title in TABS.items():
                with gr.Tab(title, id=name, elem_id=f"tab-{name}"):
                    if office.workspace.barred and name in MISSING:
                        gr.HTML(html_template=missing(name), js_on_load=None, apply_default_css=False)
                    page(name, office)
        with gr.Accordion("What the words mean", open=False, elem_id="words"):
            gr.HTML(words())
        demo.load(None, js="() => lab.reopen()", api_visibility="private")
    return demo


def page(name: str, office: Office) -> None:
    module = f"lab.ui.{name}"
    if importlib.util.find_spec(module) is None:
        gr.Markdown(f"The {TABS[name]} page is being built.")
        return
    importlib.import_module(module).page(office)


def words() -> str:
    meanings = "".join(f"<dt>{escape(word)}</dt><dd>{escape(meaning)}</dd>" for word, meaning in WORDS.items())
    return f"<dl>{meanings}</dl>"


def head() -> str:
    """The helpers that all scripts of the page use, before any component is mounted, and what hangs on the body."""
    script, style = ((STATIC / name).read_text(encoding="utf-8") for name in ("lab.js", GUEST))
    return f"<script>{script}</script><style>{style}</style>"


def styles() -> str:
    """The app's own style sheets, one after another."""
    found = (path for path in sorted(STATIC.glob("*.css")) if path.name != GUEST)
    return "\n".join(path.read_text(encoding="utf-8") for path in found)
