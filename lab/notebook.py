"""A live figure for notebooks: it draws the curves while the events of a stage pass through it.

from lab.notebook import live_figure
for event in live_figure(ppo(state, cast, prompts, live)):
    ...
"""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from lab.bars import failure
from lab.errors import Unsupported
from lab.events import Changed, Event, Failed, Finished, Started, Step, Warned
from lab.glossary import GLOSSARY, Metric, measured

COLUMNS, HEIGHT, INK = 4, 190, "#0f766e"
Points = Mapping[str, tuple[list[int], list[float]]]
Show = Callable[[Any], None]


def live_figure(events: Iterable[Event], *, every: float = 0.5, show: Show | None = None) -> Iterator[Event]:
    """Passes every event on and redraws at most every `every` seconds; each stage gets a figure of its own.

    `show` takes the figure; without it, the notebook's output is updated in place, and where there is no notebook
    Unsupported is raised at once. Raises what ended a run that failed.
    """
    if show is None:
        check_notebook()
    return _drawn(events, every, Drawing(show))


def check_notebook() -> None:
    """Before a run begins that nobody could see: by its first cell a notebook has loaded IPython and has its shell."""
    ipython = sys.modules.get("IPython")
    if ipython is None or ipython.get_ipython() is None:
        raise Unsupported(
            "lab.live draws below a notebook's cell, and this is no notebook; go through the events of lab.run without "
            "it."
        )


def _drawn(events: Iterable[Event], every: float, drawing: Drawing) -> Iterator[Event]:
    drawn = -math.inf
    for event in events:
        drawing.take(event)
        over = isinstance(event, Finished | Failed)
        if over or (isinstance(event, Step) and time.monotonic() - drawn > every):
            drawing.draw()
            drawn = time.monotonic()
        yield event
        if isinstance(event, Failed):
            raise failure(event)


class Drawing:
    """What has been seen of the stage that is going on."""

    def __init__(self, show: Show | None) -> None:
        self._given, self._show = show, show
        self.stage, self.points, self.marks = "", {}, []

    def take(self, event: Event) -> None:
        match event:
            case Started(stage=stage):
                self._begin(stage)
            case Step(step=step, metrics=metrics):
                for key, value in metrics.items():
                    if value is not None and key in GLOSSARY:
                        xs, ys = self.points.setdefault(key, ([], []))
                        xs.append(step)
                        ys.append(value)
            case Changed(step=step, key=key, after=after):
                self.marks.append((step, f"{key} {after}"))
            case Warned(step=step, message=message):
                self.marks.append((step, message))

    def _begin(self, stage: str) -> None:
        if stage != self.stage:
            self.stage, self.points, self.marks = stage, {}, []
            self._show = self._given

    def draw(self) -> None:
        if self.points:
            self._show = self._show or in_place()
            self._show(figure(self.stage, self.points, self.marks))


def figure(stage: str, points: Points, marks: Sequence[tuple[int, str]] = ()) -> Any:
    """The stage's usual curves side by side, with the healthy range shaded and what was changed marked."""
    from plotly.subplots import make_subplots

    metrics = [each for each in measured(stage) if each.shown and each.key in points]
    metrics = metrics or [GLOSSARY[key] for key in points]
    rows = -(-len(metrics) // COLUMNS)
    titles = [f"{each.title}{f', {each.unit}' if each.unit else ''}" for each in metrics]
    made = make_subplots(rows=rows, cols=min(COLUMNS, len(metrics)), subplot_titles=titles)
    for index, metric in enumerate(metrics):
        _curve(made, metric, points[metric.key], marks, index // COLUMNS + 1, index % COLUMNS + 1)
    margin = {"l": 40, "r": 10, "t": 30, "b": 30}
    made.update_layout(height=HEIGHT * rows + 40, showlegend=False, margin=margin, template="plotly_white")
    return made


def _curve(made: Any, metric: Metric, points: tuple[list[int], list[float]], marks: Sequence[tuple[int, str]],
           row: int, col: int) -> None:  # fmt: skip
    xs, ys = points
    line = {"color": INK, "width": 2}
    made.add_scatter(x=list(xs), y=list(ys), mode="lines+markers", marker={"size": 3}, line=line, row=row, col=col)
    low, high = min(ys), max(ys)
    bottom, top = max(metric.low if metric.low is not None else low, low), min(metric.high or high, high)
    if (metric.low is not None or metric.high is not None) and top > bottom:
        made.add_hrect(y0=bottom, y1=top, fillcolor=INK, opacity=0.08, line_width=0, row=row, col=col)
    for step, _ in marks:
        made.add_vline(x=step, line={"dash": "dot", "width": 1, "color": "#64748b"}, row=row, col=col)
    if metric.unit == "share":
        made.update_yaxes(tickformat=".0%", row=row, col=col)


def in_place() -> Show:
    """Shows a figure below the cell once, and replaces it from then on.

    As a bundle of data: a figure that is handed over as an object displays itself, below the last one each time.
    """
    from IPython.display import display

    handle: list[Any] = []

    def show(made: Any) -> None:
        bundle = made._repr_mimebundle_()
        if handle:
            handle[0].update(bundle, raw=True)
        else:
            handle.append(display(bundle, raw=True, display_id=True))

    return show
