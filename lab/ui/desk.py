"""Where a stage is started and its run steered: the same orders for every stage, sent by a desk's script."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from lab.config import STAGES
from lab.errors import BadInput, Busy, NotFound, WrongBase
from lab.ui import waiting
from lab.ui.fields import in_digits, label, live_schema, read, read_one, schema
from lab.ui.killed import broke_off
from lab.ui.naming import base_called, called, in_titles, run_called
from lab.ui.office import Office
from lab.ui.pages import newest, stages_of
from lab.ui.points import facts_of, run_or_none, until_end
from lab.ui.refusal import refuse
from lab.ui.tracks import Track, Tracks
from lab.workspace import Run

LIVE = ("running", "paused")
# How long an order waits for the worker's word before the page goes on by itself.
PATIENCE = 3.0
MOST_LISTED = 200


@dataclass(frozen=True, slots=True)
class Stage:
    """A page's name, and what it adds to its desk: why a run of a stage cannot start yet ('' when it can), inputs
    checked, and more to show."""

    name: str
    hindrance: Callable[[str], str]
    inputs: Callable[[dict[str, Any], str], dict[str, Any]]
    more: Callable[[Track | None], dict[str, Any]]


def tracks_of(office: Office) -> Tracks:
    """One for the whole app, so that each event file is read once however many pages draw from it."""
    if not hasattr(office, "tracks"):
        office.tracks = Tracks()
    return office.tracks


def forms(page: str) -> dict[str, dict[str, Any]]:
    """What a desk's script makes forms of: the settings of each stage, and those of them that move while it runs."""
    kinds = {kind: STAGES[kind] for kind in stages_of(page)}
    return {
        "schema": {kind: schema(config, skip=("method",)) for kind, config in kinds.items()},
        "live": {kind: live_schema(config) for kind, config in kinds.items()},
    }


def serve(office: Office, stage: Stage) -> None:
    """The actions of one page's desk."""
    waiting.serve(office)
    office.action(f"{stage.name}-desk", lambda body, _: look(office, stage, body))
    office.action(f"{stage.name}-start", lambda body, rater: start(office, stage, body, rater))
    office.action(f"{stage.name}-order", lambda body, rater: order(office, stage, body, rater))
    office.action(f"{stage.name}-move", lambda body, rater: move(office, stage, body, rater))


def look(office: Office, stage: Stage, body: dict[str, Any]) -> dict[str, Any]:
    """How the page's run stands; the one under way, else the newest, when none is named or it is gone."""
    asked = _asked(office, body.get("request"))
    name = asked.get("run") or body.get("run")
    run = run_or_none(office.workspace.run, name) if name else None
    kinds = stages_of(stage.name)
    base = office.base()
    run = run if run and run.stage in kinds and run.made_with(base) else newest(office, stage.name)
    track = tracks_of(office).of(run) if run else None
    all_runs = [each for each in office.workspace.runs() if each.stage in kinds]
    fitting = [each for each in all_runs if each.made_with(base)]
    listed = fitting[-MOST_LISTED:]
    found = {
        "elsewhere": elsewhere(len(all_runs) - len(fitting)),
        "runs": [{"name": each.name, "title": called(each)} for each in reversed(listed)],
        "run": standing(track, office.workspace.worker()) if track else None,
        "asked": asked,
        "waiting": waiting.waiting_of(office).lines(stage.name),
        "hindrance": {kind: stage.hindrance(kind) for kind in kinds},
        **stage.more(track),
    }
    for words in filter(None, (*found.get("warnings", ()), (found["run"] or {}).get("failed"))):
        words |= {key: in_titles(office.workspace, words[key]) for key in ("message", "remedy") if key in words}
    return found


def elsewhere(count: int) -> str:
    """Where the runs of another base are, which nobody can use now."""
    if not count:
        return ""
    runs = "1 run was" if count == 1 else f"{count} runs were"
    return f"{runs} made with another base and cannot be used with this one: see the Runs page."


def standing(track: Track, worker: Mapping[str, Any] | None) -> dict[str, Any]:
    """One run as its desk shows it; `worker` is what the living one says of itself."""
    control, status = track.run.control(), track.status()
    queued = status == "interrupted" and _is_to_begin(track, worker)
    progress, broken = track.progress, broke_off(track)
    return {
        "name": track.run.name,
        "stage": track.run.stage,
        "title": called(track.run),
        "status": "queued" if queued else status,
        "step": track.step,
        "total": track.total,
        "pace": track.seconds_a_step(),
        "left": until_end(track) if status == "running" else None,
        "progress": {"what": progress.what, "done": progress.done, "total": progress.total} if progress else None,
        "failed": {"code": broken.code, "message": broken.message} if broken else None,
        "held": status == "paused" and progress is None and _goes_on_from(track) == track.step,
        "stepping": control["order"] == "pause" and (control["until"] or 0) > track.step,
        "pausing": control["order"] == "pause" and status == "paused" and progress is not None,
        "stopping": control["order"] == "stop" and status in LIVE,
        "checkpoints": track.run.checkpoints(),
        "live": in_force(track),
        "generation": track.generation,
    }


def _is_to_begin(track: Track, worker: Mapping[str, Any] | None) -> bool:
    """Whether the worker that made its folder still lives, and so will begin it; no other one does that by itself."""
    made = facts_of(track.run).get("created") or 0.0
    return track.started is None and worker is not None and worker["started"] <= made


def _goes_on_from(track: Track) -> int | None:
    """The step of the checkpoint that the run went on from; None where it began anew."""
    return (track.started.step or None) if track.started else None


def settings(track: Track) -> dict[str, Any]:
    """The run's settings with what was moved since laid over them."""
    config = track.started.config if track.started else facts_of(track.run).get("config") or {}
    return dict(config) | track.run.control()["live"]


def in_force(track: Track) -> dict[str, Any]:
    """The same, and of a beta that adapts, or did until that was switched off, what it has come to; unless it was moved
    and no step is done with it yet."""
    found = settings(track)
    moved = track.run.control()["moved"].get("beta", 0.0)
    if "beta" in found and found["beta"] == track.knobs.get("beta") and moved <= track.begun:
        found["beta"] = float(f"{track.latest('kl/beta') or found['beta']:.4g}")
    return found


def start(office: Office, stage: Stage, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """Ask the worker for a run. It answers at once when it is free; until then the page asks for the request."""
    kind = body.get("stage", stage.name)
    if kind not in stages_of(stage.name):
        raise BadInput(f"{str(kind)[:40]!r} is nothing that this page can start. Reload it.")
    if hindrance := stage.hindrance(kind):
        raise BadInput(hindrance)
    config = read(STAGES[kind], body.get("config", {}))
    payload = {"stage": kind, "config": config, "inputs": stage.inputs(body, rater), "by": rater}
    return wait_a_little(office, office.ask("run", payload))


def wait_a_little(office: Office, request: str) -> dict[str, Any]:
    """The run's name when the worker answers soon. What it refuses is raised, as the error that it was over there."""
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        refuse(office.answer(request) or {})
        if run := _asked(office, request).get("run"):
            return {"request": request, "run": run, "said": f"{run_called(office.workspace, run)} has begun."}
        time.sleep(0.05)
    return {
        "request": request,
        "said": f"Asked for. It begins as soon as the model is free. {office.worker.sentence()}",
    }


def _asked(office: Office, request: Any) -> dict[str, Any]:
    """What became of a request for a run: its name, or why it was refused, or nothing yet."""
    answer = office.answer(request) if isinstance(request, str) else None
    if not answer:
        return {}
    error = answer.get("error")
    if error:
        words = str(error.get("message") or "The model process gave no reason.")
        return {"error": in_titles(office.workspace, words)}
    return {"run": answer["run"]} if isinstance(answer.get("run"), str) else {"queued": True}


def order(office: Office, stage: Stage, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """pause, go, step, stop, kill, resume or back (with `step`, to a checkpoint, where the run stands paused)."""
    track = track_of(office, stage, body)
    what = body.get("order")
    if what not in ORDERS:
        raise BadInput(f"{str(what)[:40]!r} is no order. Orders: {', '.join(ORDERS)}.")
    said = ORDERS[what](office, track, body, rater)
    track.forget_status()
    return said if isinstance(said, dict) else {"said": said}


def move(office: Office, stage: Stage, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """Move a live knob; the run reads it at its next step and marks it on the curves."""
    track = track_of(office, stage, body)
    return {"said": move_to(track, STAGES[track.run.stage], body.get("key"), body.get("value"), rater)}


def move_to(track: Track, config: type, key: Any, value: Any, rater: str) -> str:
    checked = read_one(config, in_force(track), key, value)
    track.run.set_control(live={key: checked}, by=rater)
    return f"{label(key)} is {in_digits(checked)} from the next step on."


def track_of(office: Office, stage: Stage, body: dict[str, Any]) -> Track:
    run = office.workspace.run(body.get("run"))
    if run.stage not in stages_of(stage.name):
        raise NotFound(f"{called(run)} is no run of this page.")
    return tracks_of(office).of(run)


def _need_live(track: Track) -> None:
    if track.run.status() not in LIVE:
        raise Busy(f"{called(track.run)} is not running now, so there is nothing to steer. Resume it first.")


def need_base(office: Office, run: Run) -> None:
    """WrongBase where a run of another base is to go on: its weights do not fit the one that is loaded."""
    base = office.base()
    if not run.made_with(base):
        raise WrongBase(
            f"{called(run)} was made with {base_called(run, base)}, and {base.get('base')} is loaded, so it cannot go "
            "on. Load its base on the Model page first."
        )


def _pause(office: Office, track: Track, body: dict[str, Any], rater: str) -> str:
    _need_live(track)
    track.run.set_control(order="pause", until=None, by=rater)
    return "It pauses after this step."


def _go(office: Office, track: Track, body: dict[str, Any], rater: str) -> str:
    _need_live(track)
    track.run.set_control(order="run", until=None, by=rater)
    return "It goes on."


def _step(office: Office, track: Track, body: dict[str, Any], rater: str) -> str:
    """A pause that begins one step later."""
    _need_live(track)
    track.run.set_control(order="pause", until=track.step + 1, by=rater)
    return f"Step {track.step + 1}, then it pauses."


def _stop(office: Office, track: Track, body: dict[str, Any], rater: str) -> str:
    _need_live(track)
    track.run.set_control(order="stop", until=None, by=rater)
    return "It stops after this step and keeps what it learned."


def _kill(office: Office, track: Track, body: dict[str, Any], rater: str) -> str:
    _need_live(track)
    office.worker.kill()
    kept = track.run.checkpoints()
    way = "The last checkpoint stands; resume from it" if kept else "There is no checkpoint yet: Resume begins it again"
    return f"The model process was ended. {way} when you like."


def _resume(office: Office, track: Track, body: dict[str, Any], rater: str) -> dict[str, Any]:
    if track.run.status() in LIVE:
        raise Busy(f"{called(track.run)} is running already.")
    need_base(office, track.run)
    track.run.set_control(order="run", until=None, by=rater)
    return _ask_to_go_on(office, track.run, {"from": None})


def _back(office: Office, track: Track, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """It stands there, so that its knobs can be moved: with the same ones it would do the same steps again. What was
    moved before stays moved."""
    found, step = go_back(office, track, body.get("step"), rater, hold=True), body["step"]
    if "run" not in found:
        return found
    said = f"{called(track.run)} has gone back to step {step} and is paused there."
    return found | {"said": f"{said} Its knobs stay as they are set now: move them, then Go on trains on."}


def go_back(office: Office, track: Track, step: Any, rater: str, *, hold: bool = False) -> dict[str, Any]:
    """To a checkpoint, to go on from it or to be held there.

    A run that is going on stops first: the worker takes the request up when it is free.
    """
    if step not in track.run.checkpoints():
        raise NotFound(f"There is no checkpoint of step {str(step)[:20]}. Choose one from the list.")
    need_base(office, track.run)
    if track.run.status() in LIVE:
        track.run.set_control(order="stop", until=None, by=rater)
    return _ask_to_go_on(office, track.run, {"from": step, "hold": hold})


def _ask_to_go_on(office: Office, run: Run, where: dict[str, Any]) -> dict[str, Any]:
    """With how often it has begun by now, so that an order that comes twice is carried out once."""
    return wait_a_little(office, office.ask("resume", {"run": run.name, "begun": run.begun(), **where}))


Order = Callable[[Office, Track, dict[str, Any], str], Any]
ORDERS: Mapping[str, Order] = MappingProxyType(
    {"pause": _pause, "go": _go, "step": _step, "stop": _stop, "kill": _kill, "resume": _resume, "back": _back}
)
