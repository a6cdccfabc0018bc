"""What one click does about a warning, or the error that a run broke off with: the orders that usually help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from lab.config import STAGES, lessened
from lab.errors import BadInput, Damaged, FlatReward, NotFinite, OutOfMemory
from lab.events import Failed, Warned
from lab.journal import read_json
from lab.ui.desk import LIVE, Stage, go_back, in_force, move_to, settings, track_of, wait_a_little
from lab.ui.fields import label, read
from lab.ui.killed import broke_off
from lab.ui.naming import called
from lab.ui.office import Office
from lab.ui.tracks import Track
from lab.workspace import recorded


@dataclass(frozen=True, slots=True)
class Remedy:
    """`times` multiplies live knobs, with `anew` the new run's, and `put` sets those; `back` returns to the last
    checkpoint before the warning; `tab` opens a page; `anew` begins again with the same settings and those that were
    changed in the form for a new run, with `fit` made to fit the memory, with `less` turned as the words of the error
    say."""

    words: str
    times: Mapping[str, float] = field(default_factory=dict)
    put: Mapping[str, Any] = field(default_factory=dict)
    back: bool = False
    stop: bool = False
    anew: bool = False
    fit: bool = False
    less: bool = False
    tab: str = ""


BETA_FROM_0 = 0.01

_DEARER = Remedy("Double beta", {"beta": 2})
_SLOWER = Remedy("Halve the learning rate", {"learning_rate": 0.5})
_BACK = Remedy("Go back and double beta", {"beta": 2}, back=True)
_BACK_SLOWER = Remedy("Go back and halve the learning rate", {"learning_rate": 0.5}, back=True)
_RETURN = Remedy("Go back to a checkpoint", back=True)
_STOP = Remedy("Stop here", stop=True)
_RANK = Remedy("Rank new answers", tab="rank")
_MORE = Remedy("Rank more", tab="rank")
_MODEL = Remedy("Choose another model", tab="model")
_SMALLER = Remedy("Choose a smaller model", tab="model")
_FIT = Remedy("Start anew, made to fit", anew=True, fit=True)

REMEDIES: Mapping[str, tuple[Remedy, ...]] = MappingProxyType(
    {
        "W_SKIPPED": (_SLOWER, _RETURN),
        "W_WENT_BACK": (_BACK_SLOWER,),
        "W_DISK": (_STOP,),
        "W_RATIO": (_STOP,),
        "W_KL_HIGH": (_DEARER, _RETURN),
        "W_KL_NEGATIVE": (_STOP,),
        "W_STUCK": (Remedy("Halve beta", {"beta": 0.5}), Remedy("Double the learning rate", {"learning_rate": 2})),
        "W_RATIO_MEAN": (_SLOWER, _BACK_SLOWER),
        "W_UPDATE_KL": (_SLOWER, _BACK_SLOWER),
        "W_CLIP": (_SLOWER, Remedy("Start anew with one epoch a step", put={"epochs": 1}, anew=True)),
        "W_GRADIENT": (_SLOWER, _RETURN),
        "W_ENTROPY_LOW": (_BACK,),
        "W_ENTROPY_HIGH": (Remedy("Halve the rate, double beta", {"learning_rate": 0.5, "beta": 2}),),
        "W_COLLAPSE": (_BACK,),
        "W_LENGTH": (_RANK,),
        "W_ENDED": (
            Remedy("Start anew with responses twice as long", {"tokens": 2}, anew=True),
            Remedy("Start anew with missing EOS on replace", put={"missing_eos": "replace"}, anew=True),
        ),
        "W_VALUE": (_SLOWER,),
        "W_VALUE_LOSS": (_SLOWER, _RETURN),
        "W_VALUE_CLIP": (Remedy("Start anew with twice the value clip", {"value_clip": 2}, anew=True),),
        "W_SCORE_CAP": (_STOP, _RANK),
        "W_SCORE_HIGH": (_DEARER, _RANK),
        "W_SCALE": (_RANK,),
        "W_FLAT": (_RETURN, _RANK),
        "W_CHANCE": (_MORE,),
        "W_CUT": (Remedy("Train anew, reading twice as much", {"context": 2}, anew=True),),
        "W_TOO_LONG": (_MODEL,),
        "W_MEMORY_SHORT": (_FIT, _SMALLER),
        "W_FIT": (_MODEL,),
        "W_LAYERS": (_MODEL,),
        "W_REFERENCE": (Remedy("Train another reward model", tab="reward"),),
        "W_FORECAST": (Remedy("See what it needs", tab="model"),),
        NotFinite.code: (
            _BACK_SLOWER,
            Remedy("Start anew with half the learning rate", {"learning_rate": 0.5}, anew=True),
        ),
        FlatReward.code: (_RETURN, _RANK),
        OutOfMemory.code: (Remedy("Start anew with", anew=True, fit=True, less=True), _SMALLER),
    }
)
NEWEST = 6


def serve(office: Office, stage: Stage) -> None:
    """What the buttons of a page's warnings ask for."""
    office.action(f"{stage.name}-remedy", lambda body, rater: apply(office, track_of(office, stage, body), body, rater))


def shown(track: Track | None) -> dict[str, Any]:
    """A page's warnings, and what can be done about the error that its run broke off with."""
    end = broke_off(track) if track else None
    return {"warnings": cards(track), "ways_out": _offers(track, end) if end else []}


def cards(track: Track | None) -> list[dict[str, Any]]:
    """The newest warnings of a run, each code once, grave ones first, with what can be done about it as the run stands
    now: what went wrong is not pushed out by what followed from it."""
    newest: dict[str, tuple[Warned, float]] = {}
    for event, at in reversed(track.warned if track else ()):
        newest.setdefault(event.code, (event, at))
    return [
        {
            "code": event.code,
            "step": event.step,
            "message": event.message,
            "grave": event.grave,
            "remedy": event.remedy,
            "at": at,
            "offers": _offers(track, event),
        }
        for event, at in sorted(newest.values(), key=lambda each: not each[0].grave)[:NEWEST]
    ]


def _offers(track: Track, event: Warned | Failed) -> list[dict[str, Any]]:
    offered = (_offer(track, event.step, each, i) for i, each in enumerate(REMEDIES.get(event.code, ())))
    return [offer for offer in offered if offer]


def _offer(track: Track, step: int, remedy: Remedy, index: int) -> dict[str, Any] | None:
    """None where it can do nothing: knobs of a run that has ended, a way back without a checkpoint, nothing to turn."""
    live = remedy.stop or (remedy.times and not (remedy.back or remedy.anew))
    there = checkpoint_before(track, step) if remedy.back else None
    turns = remedy.anew and (remedy.less or remedy.put or remedy.times)
    turned = _turned(remedy, STAGES[track.run.stage], settings(track)) if turns else {}
    if (live and track.status() not in LIVE) or (remedy.back and there is None) or (turns and not turned):
        return None
    words = f"{remedy.words} (step {there})" if remedy.back else remedy.words
    more = ", ".join(f"{name} {value}" for name, value in turned.items()) if remedy.less else ""
    changed = "but for what you have changed in the form for a new run"
    about = f"A new run. {_from(track)}, {changed}." if remedy.anew else ""
    return {
        "index": index,
        "words": f"{words} {more}".strip(),
        "tab": remedy.tab,
        "about": about,
        "anew": remedy.anew,
    }


def _from(track: Track) -> str:
    return f"Its other settings are those of {called(track.run)}"


def _turned(remedy: Remedy, stage: type, now: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of a new run that the remedy makes others, each within its range."""
    highest = {each.name: each.metadata["high"] for each in fields(stage)}
    wanted = dict(remedy.put) | (lessened(now) if remedy.less else {})
    for key, factor in remedy.times.items():
        value = _times(now[key], factor)
        wanted[key] = value if highest[key] is None else min(value, highest[key])
    return {key: value for key, value in wanted.items() if now.get(key) != value}


def _times(value: float, factor: float) -> float:
    """The value so many times; twice nothing would be nothing, so a beta of 0 becomes BETA_FROM_0."""
    return BETA_FROM_0 if value == 0 and factor > 1 else value * factor


def checkpoint_before(track: Track, step: int) -> int | None:
    return max((each for each in track.run.checkpoints() if each < step), default=None)


def apply(office: Office, track: Track, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """Do what the card's button says. The numbers come from the settings in force here; the page adds, for a new run,
    what somebody has changed in its form."""
    known = REMEDIES.get(str(body.get("code")), ())
    index = body.get("index")
    said_at = [event.step for event in _said(track) if event.code == body.get("code")]
    if type(index) is not int or not 0 <= index < len(known) or not said_at:
        raise BadInput("This warning is no longer there. Reload the page.")
    remedy, said = known[index], []
    for key, factor in ({} if remedy.anew else remedy.times).items():
        said.append(move_to(track, STAGES[track.run.stage], key, _times(in_force(track)[key], factor), rater))
    if remedy.stop:
        track.run.set_control(order="stop", until=None, by=rater)
        said.append("It stops after this step and keeps what it learned.")
    found: dict[str, Any] = {}
    if remedy.back:
        found = go_back(office, track, checkpoint_before(track, said_at[-1]), rater)
        said.append(found.pop("said", ""))
    if remedy.anew:
        config = _config(track, remedy, body.get("changed") or {})
        found = anew(office, track, remedy, config, rater)
        said += [found.pop("said", ""), f"{_from(track)}{_but_for(config, body)}."]
    track.forget_status()
    return found | {"said": " ".join(filter(None, said))}


def _said(track: Track) -> list[Warned | Failed]:
    """The warnings of a run, and the error that it broke off with."""
    return [*(event for event, _ in track.warned), *filter(None, [broke_off(track)])]


def _config(track: Track, remedy: Remedy, changed: Any) -> dict[str, Any]:
    """The settings of a run that begins anew: the old run's, over them what was changed in the form, and over that what
    the button says, which speaks of the old run.

    To fit, at most half the old micro-batch in any case and whatever else it takes: memory may have run out although
    the forecast said that it fits.
    """
    if not isinstance(changed, dict):
        raise BadInput("These settings are not those of this stage. Reload the page and try again.")
    stage, now = STAGES[track.run.stage], settings(track)
    before = {each.name: now[each.name] for each in fields(stage) if each.name in now}
    config = read(stage, before | changed | _turned(remedy, stage, before))
    if remedy.fit and "microbatch" in before:
        half = max(1, before["microbatch"] // 2)
        config["microbatch"] = min(config.get("microbatch", half), half)
    return config


def _but_for(config: Mapping[str, Any], body: Mapping[str, Any]) -> str:
    """Which settings of the form were taken; not those that the button itself says otherwise."""
    taken = [label(key) for key, value in (body.get("changed") or {}).items() if config.get(key) == value]
    return f", but for what you changed in the form: {', '.join(taken)}" if taken else ""


def anew(office: Office, track: Track, remedy: Remedy, config: dict[str, Any], rater: str) -> dict[str, Any]:
    """The same run from its beginning, with these settings; the old one stops."""
    inputs = _inputs(track)
    if track.run.status() in LIVE:
        track.run.set_control(order="stop", until=None, by=rater)
    payload = {"stage": track.run.stage, "config": config, "inputs": inputs, "by": rater, "fit": remedy.fit}
    return wait_a_little(office, office.ask("run", payload))


def _inputs(track: Track) -> dict[str, Any]:
    """What the run was given: the prompts or examples that somebody brought along are kept beside it."""
    inputs = dict(track.run.facts()["inputs"])
    if inputs.get("reference"):
        inputs["reference"] = recorded(inputs["reference"])
    if inputs.get("prompts") == "own":
        inputs["prompts"] = _kept(track)["prompts"]
    if track.run.stage == "sft" and inputs.pop("pairs", "built-in") != "built-in":
        kept = _kept(track)
        inputs["pairs"] = kept["pairs"] + kept["held_out"]
    return inputs


def _kept(track: Track) -> dict[str, Any]:
    found = read_json(track.run.folder / "data.json")
    if found is None:
        name = called(track.run)
        raise Damaged(f"data.json of run {name} cannot be read, and what it worked on with it. Start a new run.")
    return found
