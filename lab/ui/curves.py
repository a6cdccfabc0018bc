"""Live curves: one component for one run or for several on top of one another; its script asks for what it lacks."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import gradio as gr
import plotly

from lab.glossary import measured
from lab.ui.live import Live
from lab.ui.naming import called
from lab.ui.office import Office
from lab.ui.pages import newest, stages_of
from lab.ui.points import asked_have, asked_keys, asked_runs, asked_window, points, run_or_none
from lab.ui.tracks import Track, Tracks

# Where the newest value counts: settings, peaks, and what is measured on the same held-out rows each time. All else
# jumps with the answers that a step happened to draw, so that its mean over the last steps says more.
EXACT = frozenset(
    {
        *("kl/beta", "policy/updates", "loss/held_out", "memory/peak_bytes"),
        *("pairs/accuracy", "pairs/margin", "pairs/calibration_error", "pairs/nll"),
    }
)
PLOTLY = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
# What the scripts ask for: by the version in it, a browser that has kept it knows whether it still is the one.
ASKED = f"{PLOTLY}?v={plotly.__version__}"


class Curves(Live):
    """`page` is the name under which a page says which runs to show; until then it is the newest of its stages."""

    def __init__(self, stage: str, page: str = "", **more: Any) -> None:
        # The installed package's own file: nothing is fetched from elsewhere, and it is the version that we tested.
        gr.set_static_paths([PLOTLY])
        metrics = [asdict(metric) | {"exact": metric.key in EXACT} for metric in measured(*stages_of(stage))]
        super().__init__(
            ("plot.js", "curves.js"), stage=stage, page=page or stage, metrics=metrics, plotly=ASKED, **more
        )


def serve(office: Office, tracks: Tracks) -> None:
    """What the script of every Curves asks for, once for the app."""
    office.action("curves", lambda body, rater: pull(office, tracks, body, rater))


def pull(office: Office, tracks: Tracks, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """The points of the asked runs after the page's cursors; without names, of the stage's newest run. Its marks say
    who moved a knob, in the words of this rater."""
    stage, window = str(body.get("stage") or ""), asked_window(body)
    keys = asked_keys(body, [metric.key for metric in measured(*stages_of(stage))])
    names = asked_runs(body)
    runs = [run_or_none(office.workspace.run, name) for name in names] if names else [newest(office, stage)]
    found = []
    for track in (tracks.of(run) for run in runs if run):
        drawn = points(track, keys, asked_have(body, track.run.name), window)
        drawn["marks"] = [mark | {"by": office.doer(mark["by"], rater)} for mark in drawn["marks"]]
        found.append(facts(track) | drawn)
    return {"runs": found}


def facts(track: Track) -> dict[str, Any]:
    """What stands beside the curves of a run."""
    return {
        "name": track.run.name,
        "title": called(track.run),
        "status": track.status(),
        "step": track.step,
        "total": track.total,
    }
