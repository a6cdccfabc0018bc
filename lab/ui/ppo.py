"""The PPO page: start and steer a run, see reward and KL live, read warnings and how the answers change."""

from __future__ import annotations

from typing import Any

from lab import trust
from lab.config import Ppo
from lab.errors import BadInput
from lab.ui import desk, remedies, timeline
from lab.ui.curves import Curves
from lab.ui.curves import serve as serve_curves
from lab.ui.fields import live_schema, schema
from lab.ui.live import Live
from lab.ui.notes import lead
from lab.ui.office import Office
from lab.ui.tracks import Track

MOST_PINNED, MOST_PROMPTS, LONGEST = 5, 5_000, 2_000
PROMPTS = ("built-in", "ranked", "own")


def page(office: Office) -> None:
    """Called inside the page's tab."""
    tracks = desk.tracks_of(office)
    stage = desk.Stage(
        "ppo", lambda: hindrance(office), lambda body, _: inputs(body), lambda track: more(office, track)
    )
    desk.serve(office, stage)
    serve_curves(office, tracks)
    timeline.serve(office, tracks)
    remedies.serve(office, stage)
    lead("PPO", "The model writes answers, the reward model scores them, and what scored well becomes likelier.")
    Live(("form.js", "desk.js", "ppo.js"), schema=schema(Ppo), live=live_schema(Ppo), elem_id="ppo-desk")
    Curves("ppo", elem_id="ppo-curves")
    timeline.Timeline(elem_id="ppo-timeline")
    timeline.Samples(elem_id="ppo-samples")
    timeline.Heat(elem_id="ppo-heat")


def hindrance(office: Office) -> str:
    """Why PPO cannot start: nothing tells it what is good."""
    if office.workspace.newest("reward"):
        return ""
    return "PPO needs a reward model to follow, and there is none yet. Rank some answers, then train one."


def inputs(body: dict[str, Any]) -> dict[str, Any]:
    """What a run works on: which reward model, which prompts, and up to five prompts to watch."""
    prompts = body.get("prompts") or "built-in"
    if prompts not in PROMPTS:
        raise BadInput(f"Prompts are {', '.join(PROMPTS)}; {str(prompts)[:40]!r} is none of them.")
    own = lines(body.get("own"), MOST_PROMPTS, "prompts")
    if prompts == "own" and not own:
        raise BadInput("You chose prompts of your own, but wrote none. Write one a line, or choose the built-in ones.")
    pinned = lines(body.get("pinned"), MOST_PINNED, "pinned prompts")
    found: dict[str, Any] = {"reward": str(body.get("reward") or ""), "reference": "sft"}
    found["prompts"] = own if prompts == "own" else prompts
    return found | ({"pinned": pinned} if pinned else {}) | ({"anyway": True} if body.get("anyway") is True else {})


def lines(text: Any, most: int, what: str) -> list[str]:
    """The lines of a text field that say something, each once."""
    found = list(dict.fromkeys(line.strip() for line in str(text or "").splitlines() if line.strip()))
    if len(found) > most:
        raise BadInput(f"{len(found)} {what}, one a line; at most {most:,} are taken. Remove some.")
    if any(len(line) > LONGEST for line in found):
        raise BadInput(f"One of the {what} has more than {LONGEST:,} characters. Shorten it.")
    return found


def more(office: Office, track: Track | None) -> dict[str, Any]:
    """Warnings with their remedies, and which reward models there are to follow."""
    rewards = [run for run in office.workspace.runs() if run.stage == "reward" and run.status() == "done"]
    return {
        "warnings": remedies.cards(track),
        "rewards": [
            {"name": run.name, "title": desk.called(run), "doubt": trust.doubt(run)} for run in reversed(rewards[-50:])
        ],
        "score": track.latest("reward/score") if track else None,
        "kl": track.latest("kl/reference") if track else None,
    }
