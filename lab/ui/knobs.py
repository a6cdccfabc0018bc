"""The fields of a page, made from a config dataclass: at most eight in the open, the rest folded away."""

from __future__ import annotations

from dataclasses import Field, dataclass, fields
from typing import Any

import gradio as gr
from gradio.components import Component

from lab.errors import BadNumber

VISIBLE = 8


@dataclass(frozen=True, slots=True)
class Knobs:
    """The components of one config: hand `components` to a handler as inputs, and the values to `read`."""

    config: type
    names: tuple[str, ...]
    components: tuple[Component, ...]

    def read(self, values: tuple[Any, ...] | list[Any]) -> dict[str, Any]:
        """The config as a plain dict, checked by the dataclass itself (BadNumber names the knob and its range)."""
        kinds = {each.name: type(each.default) for each in fields(self.config)}
        found = {name: _typed(name, kinds[name], value) for name, value in zip(self.names, values, strict=True)}
        made = self.config(**found)
        return {each.name: getattr(made, each.name) for each in fields(made)}


def knobs(config: type, shown: tuple[str, ...] = (), skip: tuple[str, ...] = ()) -> Knobs:
    """Call inside the page's layout. `shown` names the open ones; without it, the fields whose metadata say shown."""
    all_fields = [each for each in fields(config) if each.name not in skip]
    open_ones = [each for each in all_fields if each.name in shown or (not shown and each.metadata.get("shown"))]
    open_ones = open_ones[:VISIBLE]
    folded = [each for each in all_fields if each not in open_ones]
    made = _row(open_ones)
    if folded:
        with gr.Accordion("More settings", open=False):
            made += _row(folded)
    return Knobs(config, tuple(each.name for each in open_ones + folded), tuple(made))


def _row(group: list[Field]) -> list[Component]:
    if not group:
        return []
    with gr.Row(elem_classes="knobs"):
        return [component(each) for each in group]


def component(each: Field, **more: Any) -> Component:
    """One input for one field; its help text is the tooltip's and the label's, never the variable's name alone."""
    label, help_text = each.name.replace("_", " ").capitalize(), each.metadata.get("help", "")
    common = {"label": label, "info": help_text, "interactive": True, "min_width": 180, **more}
    if isinstance(each.default, bool):
        return gr.Checkbox(each.default, **common)
    if isinstance(each.default, str):
        choices = each.metadata.get("choices")
        return (
            gr.Dropdown(list(choices), value=each.default, **common) if choices else gr.Textbox(each.default, **common)
        )
    precision = 0 if isinstance(each.default, int) else None
    low, high = each.metadata.get("low"), each.metadata.get("high")
    return gr.Number(each.default, minimum=low, maximum=high, precision=precision, **common)


def _typed(name: str, kind: type, value: Any) -> Any:
    if value is None or value == "":
        raise BadNumber(f"{name.replace('_', ' ')} is empty. Give a value, or reload the page for the usual one.")
    try:
        return kind(value)
    except (TypeError, ValueError):
        raise BadNumber(f"{name.replace('_', ' ')} must be a number, not {value!r}.") from None
