"""What one click does about a warning: each code of a `Warned` event with the orders that usually help."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from types import MappingProxyType
from typing import Any

from lab.config import STAGES
from lab.errors import BadInput, Damaged
from lab.journal import read_json
from lab.ui.desk import LIVE, Stage, go_back, in_force, move_to, track_of, wait_a_little
from lab.ui.office import Office
from lab.ui.tracks import Track


@dataclass(frozen=True, slots=True)
class Remedy:
    """`times` multiplies live knobs, with `anew` the new run's; `back` returns to the last checkpoint before the
    warning; `tab` opens a page; `anew` begins again with the same settings, with `fit` made to fit the memory."""

    words: str
    times: Mapping[str, float] = field(default_factory=dict)
    back: bool = False
    stop: bool = False
    anew: bool = False
    fit: bool = False
    tab: str = ""


_DEARER = Remedy("Double beta", {"beta": 2})
_SLOWER = Remedy("Halve the learning rate", {"learning_rate": 0.5})
_BACK = Remedy("Go back and double beta", {"beta": 2}, back=True)
_RETURN = Remedy("Go back to a checkpoint", back=True)
_STOP = Remedy("Stop here", stop=True)
_RANK = Remedy("Rank new answers", tab="rank")
_MORE = Remedy("Rank more", tab="rank")
_MODEL = Remedy("Choose another model", tab="model")
_FIT = Remedy("Start anew, made to fit", anew=True, fit=True)

REMEDIES: Mapping[str, tuple[Remedy, ...]] = MappingProxyType(
    {
        "W_RATIO": (_STOP,),
        "W_KL_HIGH": (_DEARER, _RETURN),
        "W_KL_NEGATIVE": (_STOP,),
        "W_STUCK": (Remedy("Halve beta", {"beta": 0.5}), Remedy("Double the learning rate", {"learning_rate": 2})),
        "W_RATIO_MEAN": (_SLOWER,),
        "W_UPDATE_KL": (_SLOWER,),
        "W_CLIP": (_SLOWER,),
        "W_GRADIENT": (_SLOWER, _RETURN),
        "W_ENTROPY_LOW": (_BACK,),
        "W_ENTROPY_HIGH": (Remedy("Halve the rate, double beta", {"learning_rate": 0.5, "beta": 2}),),
        "W_COLLAPSE": (_BACK,),
        "W_LENGTH": (_RANK,),
        "W_ENDED": (_DEARER,),
        "W_VALUE": (_SLOWER,),
        "W_VALUE_LOSS": (_SLOWER, _RETURN),
        "W_VALUE_CLIP": (_STOP,),
        "W_SCORE_CAP": (_STOP, _RANK),
        "W_SCORE_HIGH": (_DEARER, _RANK),
        "W_FLAT": (_RETURN, _RANK),
        "W_CHANCE": (_MORE,),
        "W_CUT": (Remedy("Train anew, reading twice as much", {"context": 2}, anew=True),),
        "W_TOO_LONG": (_MODEL,),
        "W_MEMORY_SHORT": (_FIT, Remedy("Choose a smaller model", tab="model")),
        "W_FIT": (_MODEL,),
        "W_FORECAST": (Remedy("See what it needs", tab="model"),),
    }
)
NEWEST = 6


def serve(office: Office, stage: Stage) -> None:
    """What the buttons of a page's warnings ask for."""
    office.action(f"{stage.name}-remedy", lambda body, rater: apply(office, track_of(office, stage, body), body, rater))


def cards(track: Track | None) -> list[dict[str, Any]]:
    """The newest warnings of a run, each code once, with what can be done about it as the run stands now."""
    found: dict[str, dict[str, Any]] = {}
    for event, at in reversed(track.warned if track else ()):
        if event.code not in found and len(found) < NEWEST:
            offered = [_offer(track, event.step, each, i) for i, each in enumerate(REMEDIES.get(event.code, ()))]
            found[event.code] = {
                "code": event.code,
                "step": event.step,
                "message": event.message,
                "grave": event.grave,
                "remedy": event.remedy,
                "at": at,
                "offers": [offer for offer in offered if offer],
            }
    return list(found.values())


def _offer(track: Track, step: int, remedy: Remedy, index: int) -> dict[str, Any] | None:
    """None where it can do nothing: knobs of a run that has ended, a way back without a checkpoint; and an SFT does not
    begin anew, since its examples may have come from a file that is gone."""
    live = remedy.stop or (remedy.times and not (remedy.back or remedy.anew))
    if (live and track.status() not in LIVE) or (remedy.anew and track.run.stage == "sft"):
        return None
    there = checkpoint_before(track, step) if remedy.back else None
    if remedy.back and there is None:
        return None
    words = f"{remedy.words} (step {there})" if remedy.back else remedy.words
    return {"index": index, "words": words, "tab": remedy.tab}


def checkpoint_before(track: Track, step: int) -> int | None:
    return max((each for each in track.run.checkpoints() if each < step), default=None)


def apply(office: Office, track: Track, body: dict[str, Any], rater: str) -> dict[str, Any]:
    """Do what the card's button says; the numbers come from the settings in force here, not from the page."""
    known = REMEDIES.get(str(body.get("code")), ())
    index = body.get("index")
    warned = [event.step for event, _ in track.warned if event.code == body.get("code")]
    if type(index) is not int or not 0 <= index < len(known) or not warned:
        raise BadInput("This warning is no longer there. Reload the page.")
    remedy, said = known[index], []
    for key, factor in ({} if remedy.anew else remedy.times).items():
        said.append(move_to(track, STAGES[track.run.stage], key, in_force(track)[key] * factor, rater))
    if remedy.stop:
        track.run.set_control(order="stop", until=None, by=rater)
        said.append("It stops after this step and keeps what it learned.")
    found: dict[str, Any] = {}
    if remedy.back:
        found = go_back(office, track, checkpoint_before(track, warned[-1]), rater)
        said.append(found.pop("said", ""))
    if remedy.anew:
        found = anew(office, track, remedy, rater)
        said.append(found.pop("said", ""))
    track.forget_status()
    return found | {"said": " ".join(filter(None, said))}


def anew(office: Office, track: Track, remedy: Remedy, rater: str) -> dict[str, Any]:
    """The same run from its beginning, with the knobs that the remedy turns; the old one stops.

    To fit, half the micro-batch in any case and whatever else it takes: memory may have run out although the forecast
    said that it fits.
    """
    now, inputs, stage = in_force(track), dict(track.run.facts()["inputs"]), track.run.stage
    config = {each.name: now[each.name] for each in fields(STAGES[stage]) if each.name in now}
    for key, factor in remedy.times.items():
        config[key] *= factor
    if remedy.fit and "microbatch" in config:
        config["microbatch"] = max(1, config["microbatch"] // 2)
    if inputs.get("prompts") == "own":
        inputs["prompts"] = _own_prompts(track)
    if track.run.status() in LIVE:
        track.run.set_control(order="stop", until=None, by=rater)
    payload = {"stage": stage, "config": config, "inputs": inputs, "by": rater, "fit": remedy.fit}
    return wait_a_little(office, office.ask("run", payload))


def _own_prompts(track: Track) -> list[str]:
    found = read_json(track.run.folder / "data.json")
    if found is None:
        raise Damaged(f"data.json of run {track.run.name} cannot be read, and its prompts with it. Start a new run.")
    return found["prompts"]
