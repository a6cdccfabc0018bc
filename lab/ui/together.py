"""While a policy is in training: how it and its reward model stand, under the board on which people rank on."""

from __future__ import annotations

import math
from typing import Any

from lab import trust
from lab.errors import Damaged, NotFound
from lab.events import Finished
from lab.ui.desk import LIVE, in_force, tracks_of
from lab.ui.live import Live
from lab.ui.naming import called
from lab.ui.office import Office
from lab.ui.pages import newest
from lab.ui.tracks import Track
from lab.workspace import Run

POINTS = 120
AGE = 0.4  # seconds, for which all browsers are told the same
LINES = (("reward/score", "Score"), ("kl/reference", "KL to the start, nats"))


def panel(office: Office) -> None:
    """Called inside the Rank page's tab; it takes no room while nothing is in training."""
    office.action("together", lambda body, _: office.remembered("together", AGE, lambda: look(office)))
    Live(("together.js",), elem_id="together")


def look(office: Office) -> dict[str, Any]:
    """The run that follows a reward model now, with its last points; no run where there is none."""
    run = newest(office, "ppo")
    if run is None or run.status() not in LIVE or not run.facts().get("inputs", {}).get("reward"):
        return {"run": None}
    track = tracks_of(office).of(run)
    return {
        "run": {
            "name": run.name,
            "title": called(run),
            "paused": track.status() == "paused",
            "step": track.step,
            "total": track.total,
            "lines": [{"name": words, "values": _last(track, key)} for key, words in LINES],
        },
        "refresh": in_force(track).get("refresh", 0),
        **_follows(office, run),
    }


def _last(track: Track, key: str) -> list[float]:
    """The newest points of a curve, as they were measured."""
    found = track.series[key].raw[-POINTS:] if key in track.series else ()
    return [float(f"{value:.4g}") for value in found if not math.isnan(value)]


def _follows(office: Office, run: Run) -> dict[str, Any]:
    """The reward model that the run follows, how many rankings came after it, and whether its successor is learning."""
    name = run.control()["reward"] or run.facts()["inputs"]["reward"]
    anew = any(each.stage == "reward" and each.locked() for each in office.runs())
    try:
        reward = office.workspace.run(name)
        since = len(trust.ranked_since(reward, office.store))
    except (NotFound, Damaged):
        return {"reward": None, "since": None, "anew": anew}
    end = reward.last_turn()
    result = end.result if isinstance(end, Finished) else {}
    told = {key: result.get(f"pairs/{key}") for key in ("accuracy", "accuracy_low", "accuracy_high")}
    return {"reward": {"title": called(reward), **told}, "since": since, "anew": anew}
