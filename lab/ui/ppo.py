"""The PPO page: start and steer a run of any method, see reward and KL live, read warnings, see answers change."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lab import trust
from lab.errors import BadInput
from lab.store.raters import learnable
from lab.ui import desk, remedies, timeline
from lab.ui.curves import Curves
from lab.ui.curves import serve as serve_curves
from lab.ui.live import Live
from lab.ui.naming import called, policy_called, sft_called
from lab.ui.notes import lead
from lab.ui.office import Office
from lab.ui.pages import stages_of
from lab.ui.points import run_or_none
from lab.ui.tracks import Track
from lab.ui.whose import asked_raters
from lab.workspace import SHIPPED, Run

METHODS: Mapping[str, str] = MappingProxyType(
    {
        "ppo": "The model practises on a few hundred prompts and gets better at what the reward model likes. A value "
        "head guesses at each word how well an answer will do. With the model that ships here it takes a few minutes.",
        "rloo": "Like PPO without a value head: several answers to each prompt are scored, and each is measured "
        "against the mean of the others.",
        "grpo": "Like RLOO, but an answer counts by how far its score stands out from the others of its prompt, and "
        "KL is paid for word by word.",
        "dpo": "Straight from your rankings: what you put higher becomes likelier, what you put lower less likely. It "
        "needs no reward model and writes no answers, so it is done soonest.",
    }
)
MOST_PINNED, MOST_PROMPTS, LONGEST, MOST_LISTED = 5, 5_000, 2_000, 50
PROMPTS = ("built-in", "ranked", "own")


def page(office: Office) -> None:
    """Called inside the page's tab."""
    tracks = desk.tracks_of(office)
    stage = desk.Stage(
        "ppo",
        lambda kind: hindrance(office, kind),
        lambda body, _: inputs(office, body),
        lambda track: more(office, track),
    )
    desk.serve(office, stage)
    serve_curves(office, tracks)
    timeline.serve(office, tracks)
    remedies.serve(office, stage)
    lead("PPO", "What the reward model scores well, or what you ranked higher, becomes likelier.")
    methods = [{"name": name, "title": name.upper(), "meaning": METHODS[name]} for name in stages_of("ppo")]
    Live(("form.js", "desk.js", "ppo.js"), **desk.forms("ppo"), methods=methods, elem_id="ppo-desk")
    Curves("ppo", elem_id="ppo-curves")
    timeline.Timeline(elem_id="ppo-timeline")
    timeline.Samples(elem_id="ppo-samples")
    timeline.Heat(elem_id="ppo-heat")


def hindrance(office: Office, kind: str) -> str:
    """Why a method cannot start: nothing tells it what is good."""
    if kind == "dpo":
        _, pairs = learnable(office.store.counts())
        return "" if pairs else "DPO learns from rankings, and there are none by a person yet. Rank some."
    if office.newest("reward"):
        return ""
    if office.workspace.newest("reward"):
        return (
            f"{kind.upper()} needs a reward model to follow, and none was made with this base yet. Train one: your "
            "rankings still count."
        )
    return f"{kind.upper()} needs a reward model to follow, and there is none yet. Rank some answers, then train one."


def inputs(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """What a run works on: up to five prompts to watch; for DPO whose rankings, else which reward model and prompts."""
    pinned = lines(body.get("pinned"), MOST_PINNED, "Prompts to watch")
    watched = {"pinned": pinned} if pinned else {}
    if body.get("stage") == "dpo":
        raters = asked_raters(office, body)
        return watched | ({"raters": raters} if raters else {})
    prompts = body.get("prompts") or "built-in"
    if prompts not in PROMPTS:
        raise BadInput(f"Prompts are {', '.join(PROMPTS)}; {str(prompts)[:40]!r} is none of them.")
    own = lines(body.get("own"), MOST_PROMPTS, "Own prompts")
    if prompts == "own" and not own:
        raise BadInput("You chose prompts of your own, but wrote none. Write one a line, or choose the built-in ones.")
    found: dict[str, Any] = {key: str(body.get(key) or "") for key in ("reward", "reference")}
    found["prompts"] = own if prompts == "own" else prompts
    return found | watched | ({"anyway": True} if body.get("anyway") is True else {})


def lines(text: Any, most: int, field: str) -> list[str]:
    """The lines of a text field that say something, each once; what is wrong with them is said by the field's label."""
    found = list(dict.fromkeys(line.strip() for line in str(text or "").splitlines() if line.strip()))
    if len(found) > most:
        raise BadInput(f"{field}: {len(found):,} prompts, one a line; at most {most:,} are taken. Remove some.")
    if any(len(line) > LONGEST for line in found):
        raise BadInput(f"{field}: one of them has more than {LONGEST:,} characters. Shorten it.")
    return found


def more(office: Office, track: Track | None) -> dict[str, Any]:
    """Warnings with their remedies, which reward models there are to follow, and which SFT to start from."""
    done = [run for run in reversed(office.runs()) if run.status() == "done"]
    rewards, starts = ([run for run in done if run.stage == stage][:MOST_LISTED] for stage in ("reward", "sft"))
    there = starts and office.workspace.ships_sft()
    shipped = [{"value": SHIPPED, "label": policy_called(office.workspace, SHIPPED)}] if there else []
    return {
        **remedies.shown(track),
        "raters": dict(office.store.counts()["raters"]),
        "rewards": [
            {"name": run.name, "title": called(run), "doubt": trust.doubt(run), "start": start_label(office, run)}
            for run in rewards
        ],
        "starts": [{"value": run.name, "label": sft_called(run)} for run in starts] + shipped,
        "score": track.latest("reward/score") if track else None,
        "kl": track.latest("kl/reference") if track else None,
    }


def start_label(office: Office, reward: Run) -> str:
    """The SFT from which a run starts that follows this reward model and is told nothing else."""
    start = trust.scaled_on(reward)
    run = run_or_none(office.workspace.run, start)
    return sft_called(run) if run else policy_called(office.workspace, start)
