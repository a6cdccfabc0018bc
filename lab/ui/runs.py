"""The Runs page: every run with its settings, what two of them did differently, their curves on top of one another."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

from lab.config import STAGES, TUNING
from lab.errors import BadInput
from lab.events import Changed, Finished, Step, standing
from lab.journal import tail
from lab.ui import desk, waiting
from lab.ui.curves import EXACT, Curves
from lab.ui.curves import serve as serve_curves
from lab.ui.fields import label
from lab.ui.live import Live
from lab.ui.naming import base_called, called, judge_called, recorded_called, without_folder
from lab.ui.notes import lead
from lab.ui.numbers import number
from lab.ui.office import Office
from lab.ui.pages import page_of
from lab.ui.points import MOST_RUNS, asked_runs, facts_of, run_or_none
from lab.ui.tracks import Series, birth
from lab.workspace import Run

MOST_LISTED = 300
# Enough of the end of an event file to hold the last step, whatever it says.
END = 1 << 15
Glance = dict[str, Any]
Moves = dict[str, list[Changed]]
# What a run works on, where a setting is called the same.
_INPUTS = MappingProxyType({"prompts": "Prompts practised on"})
_RUNS = frozenset({"reward", "reference", "a", "b"})


def page(office: Office) -> None:
    """Called inside the page's tab."""
    glances: dict[str, tuple[tuple[int, int], Glance]] = {}
    serve_curves(office, desk.tracks_of(office))
    waiting.serve(office)
    office.action("runs-list", lambda body, _: listing(office, glances))
    office.action("runs-compare", lambda body, _: compare(office, asked_runs(body)))
    office.action("runs-rename", lambda body, _: rename(office, body))
    office.action("runs-delete", lambda body, _: delete(office, body))
    office.action("runs-restore", lambda body, _: restore(office, body))
    lead("Runs", "Everything that was trained in this workspace. Choose two or more to see what they did differently.")
    Live(("runs.js",), most=MOST_RUNS, elem_id="runs-table")
    Curves("all", page="runs", elem_id="runs-curves")


def listing(office: Office, glances: dict[str, tuple[tuple[int, int], Glance]]) -> dict[str, Any]:
    """Every run, newest first, those in the trash, and those that were asked for and have not begun."""
    runs, base = office.workspace.runs()[-MOST_LISTED:], office.base()
    deleted = [{"name": run.name, "title": called(run)} for run in office.workspace.deleted()[-50:]]
    return {
        "runs": [_row(office, run, glances) | {"foreign": foreign(run, base)} for run in reversed(runs)],
        "deleted": list(reversed(deleted)),
        "waiting": waiting.waiting_of(office).lines(),
    }


def _row(office: Office, run: Run, glances: dict[str, tuple[tuple[int, int], Glance]]) -> dict[str, Any]:
    """Its title and its name stand apart here, where the title is given."""
    glance = dict(_glance(office, run, glances))
    met = glance.pop("met")
    return {
        "name": run.name,
        "title": run.title(),
        "stage": run.stage,
        "page": page_of(run.stage),
        "status": run.status(),
        **glance | ({"result": won(office, met)} if met else {}),
    }


def _glance(office: Office, run: Run, glances: dict[str, tuple[tuple[int, int], Glance]]) -> Glance:
    """What the list says of a run, read anew only when its event file has grown."""
    path = run.folder / "events.jsonl"
    try:
        mark = (path.stat().st_size, birth(run)[1])
    except OSError:
        mark = (0, birth(run)[1])
    if run.name not in glances or glances[run.name][0] != mark:
        glances[run.name] = (mark, _look(office, run, mark[0]))
    return glances[run.name][1]


def _look(office: Office, run: Run, size: int) -> Glance:
    config = facts_of(run)
    events = [event for event, _ in tail(run.folder / "events.jsonl", max(0, size - END)).events]
    steps = standing(events)
    end = next((event for event in reversed(events) if isinstance(event, Finished)), None)
    return {
        "step": steps[-1].step if steps else 0,
        "by": str(config.get("by") or ""),
        "created": config.get("created"),
        "settings": unusual(run.stage, config.get("config") or {}, moves(office, run, size)),
        "result": headline(run.stage, steps[-1].metrics if steps else {}, shown(steps), end.result if end else {}),
        "met": end.result if end and run.stage == "compare" else None,
    }


def shown(steps: Sequence[Step]) -> dict[str, float]:
    """Each metric as its curve shows it: the mean over the last steps, or the newest value where that counts."""
    found = {}
    for key in steps[-1].metrics if steps else ():
        series = Series()
        for step in steps:
            value = step.metrics.get(key)
            series.add(math.nan if value is None else float(value))
        found[key] = series.raw[-1] if key in EXACT else series.smooth[-1]
    return {key: value for key, value in found.items() if not math.isnan(value)}


def moves(office: Office, run: Run, size: int = 0) -> Moves:
    """What was moved while a run went on, by the knob's name. Only one that somebody has steered is read for it."""
    found: Moves = {}
    for event in desk.tracks_of(office).of(run, size).moved if run.control()["live"] else ():
        found.setdefault(event.key, []).append(event)
    return found


def unusual(stage: str, config: dict[str, Any], moved: Moves) -> str:
    """The settings that differ from the usual ones, or did after a while, in words."""
    kind = STAGES.get(stage)
    usual = {name: each.default for name, each in kind.__dataclass_fields__.items()} if kind else {}
    odd = (key for key, value in config.items() if key != "method" and (key in moved or usual.get(key, value) != value))
    found = [f"{label(name)} {in_time(config[name], moved.get(name, ()))}" for name in odd]
    return ("; " if moved else ", ").join(found) or "usual settings"


def in_time(value: Any, moved: Sequence[Changed]) -> str:
    """A setting as the run began with it, and what it was moved to: '0.0015, moved to 1 at step 7'."""
    if not moved:
        return said(value)
    steps = [f"to {said(each.after)} at step {each.step}" for each in moved]
    way = ", then ".join(steps) if len(steps) < 3 else f"{len(steps)} times, last {steps[-1]}"
    return f"{said(value)}, moved {way}"


def said(value: Any) -> str:
    """A setting as a person reads it."""
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "–"}[value]
    if isinstance(value, int | float):
        return f"{value:,.6g}"
    return ", ".join(map(str, value))[:200] if isinstance(value, list) else str(value)[:200]


def headline(stage: str, last: dict[str, Any], metrics: dict[str, Any], result: dict[str, Any]) -> str:
    """The one number or two that a run of this stage is judged by.

    last: what its last step measured, where a run that broke is seen. metrics: as their curves show them.
    """
    if stage in TUNING and last.get("reward/score") is not None:
        end, mean = (
            f"{number(each['reward/score'])} at {number(each.get('kl/reference'), 'nats')}" for each in (last, metrics)
        )
        return f"score {end} of KL in the last step" + (f", {mean} on average of the last" if mean != end else "")
    if stage == "reward" and result.get("pairs/accuracy") is not None:
        return f"right on {number(result['pairs/accuracy'], 'share')} of unseen pairs"
    if stage == "dpo" and metrics.get("pairs/train_accuracy") is not None:
        return f"right on {number(metrics['pairs/train_accuracy'], 'share')} of the last pairs it learned from"
    if stage == "sft" and result.get("loss/held_out") is not None:
        return f"loss {number(result['loss/held_out'], 'nats')}"
    if stage == "sft" and metrics.get("loss/train") is not None:
        return f"loss {number(metrics['loss/train'], 'nats')} on average of the last steps"
    return ""


def foreign(run: Run, base: Mapping[str, Any]) -> str:
    """What stands beside a run that this base cannot use; '' beside all others."""
    return "" if run.made_with(base) else f"made with {base_called(run, base)}, not usable now"


def won(office: Office, result: dict[str, Any]) -> str:
    """What a comparison came to, in the names that its policies have now."""
    if result.get("win_rate") is None:
        return ""
    a, b = (recorded_called(office.workspace, result.get(side) or side) for side in ("a", "b"))
    return f"{a} wins {number(result['win_rate'], 'share')} against {b}"


def compare(office: Office, names: list[str]) -> dict[str, Any]:
    """The settings in which the chosen runs differ, a row each; `alone` counts those that only one of them has."""
    runs = [run for name in names if (run := run_or_none(office.workspace.run, name))]
    configs = [_flat(office, facts_of(run), moves(office, run)) for run in runs]
    keys = list(dict.fromkeys(key for config in configs for key in config))
    shared = [key for key in keys if sum(key in config for config in configs) > 1]
    rows = []
    for key in shared:
        values = [said(config.get(key)) if key in config else "–" for config in configs]
        if len(set(values)) > 1:
            rows.append({"label": key, "values": values})
    return {
        "runs": [{"name": run.name, "title": called(run)} for run in runs],
        "rows": rows,
        "alone": len(keys) - len(shared),
    }


def _flat(office: Office, facts: dict[str, Any], moved: Moves) -> dict[str, Any]:
    """Settings and inputs under names in words."""
    config = facts.get("config") or {}
    knobs = {label(key): in_time(each, moved[key]) if key in moved else each for key, each in config.items()}
    found = {"Stage": facts.get("stage")} | knobs
    base = facts.get("base")
    name = base.get("base") if isinstance(base, dict) else base
    found["Base model"] = without_folder(name) if isinstance(name, str) else name
    inputs = (facts.get("inputs") or {}).items()
    return found | {_INPUTS.get(key) or label(key): _named(office, key, each) for key, each in inputs}


def _named(office: Office, key: str, value: Any) -> Any:
    """An input; those that are runs or policies as people call them."""
    if key == "judge" and isinstance(value, str):
        return judge_called(office.workspace, value)
    return recorded_called(office.workspace, value) if key in _RUNS and value else value


def rename(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    run = office.workspace.run(body.get("run"))
    if not isinstance(body.get("title"), str):
        raise BadInput("What shall it be called? Write a title, or leave it empty for the run's own name.")
    run.rename(body["title"])
    return {"said": f"{run.name} is called {run.title()} now."}


def delete(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    run = office.workspace.run(body.get("run"))
    words = called(run)
    run.delete()
    needing = _made_with(office, run.name)
    if not needing:
        return {"said": f"{words} was deleted."}
    named = ", ".join(needing[:5]) + (f" and {len(needing) - 5} more" if len(needing) > 5 else "")
    return {"said": f"{words} was deleted. Without it these cannot go on: {named}. Undo brings it back."}


def _made_with(office: Office, name: str) -> list[str]:
    """The runs that follow this one, or began at it, and so need it to go on."""
    inputs = ((run, facts_of(run).get("inputs") or {}) for run in office.workspace.runs())
    return [called(run) for run, given in inputs if name in (given.get("reward"), given.get("reference"))]


def restore(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Undo of a deletion."""
    found = next((run for run in office.workspace.deleted() if run.name == body.get("run")), None)
    if found is None:
        raise BadInput("That run is not among the deleted ones. Reload the page.")
    return {"said": f"{called(found.restore())} is back."}
