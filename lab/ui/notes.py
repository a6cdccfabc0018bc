"""Small things that every page says the same way: its heading, and an error as one sentence."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from html import escape
from typing import Any

import gradio as gr

from lab.errors import LabError
from lab.ui.naming import in_titles
from lab.ui.office import Office

Handler = Callable[..., Any]


def lead(title: str, sentence: str) -> gr.HTML:
    """The heading of a page. Both texts are ours, never a person's or a model's."""
    markup = f'<div class="lab-lead"><h2>{escape(title)}</h2><p>{escape(sentence)}</p></div>'
    return gr.HTML(html_template=markup, js_on_load=None, apply_default_css=False)


def told(office: Office) -> Callable[[Handler], Handler]:
    """Around a handler of Gradio's: a LabError inside it is shown as a notice, and its outputs stay as they are."""
    return functools.partial(_told, office)


def _told(office: Office, handler: Handler) -> Handler:
    def notice(error: LabError) -> None:
        gr.Warning(escape(in_titles(office.workspace, str(error))))

    if inspect.isgeneratorfunction(handler):

        @functools.wraps(handler)
        def stream(*args: Any, **more: Any) -> Iterator[Any]:
            try:
                yield from handler(*args, **more)
            except LabError as error:
                notice(error)
                yield gr.skip()

        return stream

    @functools.wraps(handler)
    def once(*args: Any, **more: Any) -> Any:
        try:
            return handler(*args, **more)
        except LabError as error:
            notice(error)
            return gr.skip()

    return once
