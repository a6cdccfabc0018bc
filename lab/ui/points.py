"""Points of a run for a page's cursors: each one when the page keeps up, thinned when it is far behind."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from lab.errors import LabError
from lab.glossary import GLOSSARY
from lab.ui.tracks import Series, Track
from lab.workspace import Run

# A browser draws some 1,500 points of a curve without effort, and a screen has no more columns to show them in.
MOST_POINTS = 1_500
BUCKETS = 500
MOST_RUNS = 8


def points(
    track: Track, keys: Sequence[str], have: Sequence[int], window: tuple[float, float] | None
) -> dict[str, Any]:
    """What a page lacks that holds `have` = (generation, points, marks); a page of another generation holds nothing."""
    with track.guard:
        generation, count, marks = have
        known = generation == track.generation and 0 <= count <= len(track.steps)
        start = count if known else 0
        chosen = _indices(track.steps, start, window)
        return {
            "generation": track.generation,
            "from": start,
            "count": len(track.steps),
            "thinned": chosen is not None,
            "measured": list(track.series),
            "curves": {key: _curve(track, track.series[key], start, chosen) for key in keys if key in track.series},
            "marks": track.marks[marks:] if known and 0 <= marks <= len(track.marks) else track.marks,
            "marks_count": len(track.marks),
        }


def _indices(steps: Sequence[int], start: int, window: tuple[float, float] | None) -> list[range] | None:
    """Buckets of neighbouring points, narrower inside the window that a person zoomed into; None: send each point."""
    count = len(steps)
    if count - start <= MOST_POINTS:
        return None
    if window is None:
        return _split(start, count, BUCKETS)
    first = next((i for i in range(start, count) if steps[i] >= window[0]), count)
    last = next((i for i in range(first, count) if steps[i] > window[1]), count)
    outside = BUCKETS // 4
    return _split(start, first, outside) + _split(first, last, 2 * BUCKETS) + _split(last, count, outside)


def _split(start: int, end: int, parts: int) -> list[range]:
    width = max(1, math.ceil((end - start) / parts))
    return [range(i, min(end, i + width)) for i in range(start, end, width)]


def _curve(track: Track, series: Series, start: int, buckets: list[range] | None) -> dict[str, list[float]]:
    """Steps and values of the raw curve, and of the smoothed one. A bucket gives its lowest and highest value."""
    if buckets is None:
        kept = [i for i in range(start, len(track.steps)) if not math.isnan(series.raw[i])]
        ends = kept
    else:
        kept, ends = [], []
        for bucket in buckets:
            measured = [i for i in bucket if not math.isnan(series.raw[i])]
            if measured:
                low, high = min(measured, key=series.raw.__getitem__), max(measured, key=series.raw.__getitem__)
                kept += sorted({low, high})
                ends.append(measured[-1])
    return {
        "x": [track.steps[i] for i in kept],
        "y": [_rounded(series.raw[i]) for i in kept],
        "smooth_x": [] if ends is kept else [track.steps[i] for i in ends],
        "smooth": [_rounded(series.smooth[i]) for i in ends],
    }


def _rounded(value: float) -> float:
    """Six digits: no screen shows more, and they are a third of the bytes."""
    return float(f"{value:.6g}")


def asked_keys(body: dict[str, Any], default: Sequence[str]) -> list[str]:
    """Metric keys that a page asked for, those alone that the glossary knows."""
    found = body.get("keys")
    return [key for key in found if isinstance(key, str) and key in GLOSSARY] if isinstance(found, list) else [*default]


def asked_window(body: dict[str, Any]) -> tuple[float, float] | None:
    found = body.get("window")
    if not (isinstance(found, list) and len(found) == 2 and all(isinstance(each, int | float) for each in found)):
        return None
    return (min(found), max(found)) if all(math.isfinite(each) for each in found) else None


def asked_have(body: dict[str, Any], name: str) -> tuple[int, int, int]:
    """A page's cursors for a run; anything odd counts as holding nothing."""
    have = body.get("have")
    found = have.get(name) if isinstance(have, dict) else None
    whole = isinstance(found, list) and len(found) == 3 and all(type(each) is int for each in found)
    return tuple(found) if whole else (-1, 0, 0)


def asked_runs(body: dict[str, Any]) -> list[str]:
    found = body.get("runs")
    names = [name for name in found if isinstance(name, str)] if isinstance(found, list) else []
    return list(dict.fromkeys(names))[:MOST_RUNS]


def until_end(track: Track) -> float | None:
    """Seconds that are left at the pace of the last ten steps; None when it cannot be told."""
    pace = track.seconds_a_step()
    return None if pace is None or not track.total else max(0, track.total - track.step) * pace


def run_or_none(find: Any, name: str) -> Any:
    """The run, or None when it was deleted meanwhile or never was: a page must go on drawing the others."""
    try:
        return find(name)
    except LabError:
        return None


def facts_of(run: Run) -> dict[str, Any]:
    """What was asked for when the run began; {} where that cannot be read any more."""
    try:
        return run.facts()
    except LabError:
        return {}
