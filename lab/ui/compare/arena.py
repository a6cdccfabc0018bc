"""What the Compare page asks of the server: who may meet, how the duels stand, a judge's run, answers side by side."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from lab.config import TUNING, Compare
from lab.errors import BadInput, Busy, NotFound
from lab.events import Finished, Progress
from lab.store.records import checked_prompt
from lab.ui.compare.export import adapter_file, formats, rankings_file
from lab.ui.compare.second import opinion
from lab.ui.compare.tally import speaker, tally
from lab.ui.desk import LIVE, tracks_of
from lab.ui.fields import read
from lab.ui.naming import called, judge_called, policy_called, recorded_called
from lab.ui.office import Office
from lab.ui.points import facts_of
from lab.ui.policies import offered
from lab.ui.pool import POLICY
from lab.ui.refusal import refuse
from lab.ui.tracks import Track
from lab.ui.waiting import Waiting
from lab.workspace import SHIPPED, Run, Workspace

JUDGES = ("simulated:helpful",)
SHOWN, POINTS, TOKENS = 12, 100, 120


class Arena:
    """Each method takes the request's JSON and the rater's name."""

    def __init__(self, office: Office) -> None:
        self.office = office
        self.waiting = Waiting(office)

    def open(self) -> None:
        names = ("choices", "tally", "judge", "results", "side", "side_look", "frontier", "chat", "chat_look")
        for name in (*names, "second", "stop"):
            self.office.action(f"compare-{name.replace('_', '-')}", getattr(self, name))
        self.office.download("rankings", lambda query, folder: rankings_file(self.office, query, folder))
        self.office.download("adapter", lambda query, folder: adapter_file(self.office, query, folder))

    def choices(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Policies, judges and export formats; the usual pair is the newest tuned policy against SFT."""
        known, workspace = offered(self.office), self.office.workspace
        rewards = [run.name for run in self.office.runs() if run.stage == "reward" and run.status() == "done"]
        tuned = [each["value"] for each in known if each["value"] not in ("base", SHIPPED, "sft", "policy")]
        return {
            "policies": known,
            "pair": [tuned[-1], "sft"] if tuned else ["sft", "base"],
            "tuned": [self._adapter(name, body.get("host") is True) for name in reversed(tuned)],
            "judges": [
                {"value": each, "label": judge_called(workspace, each)}
                for each in (*JUDGES, *(f"reward:{name}" for name in reversed(rewards)))
            ],
            "formats": formats(),
        }

    def tally(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        a, b = pair(body)
        two = (speaker(self.office.workspace, each, self.office.base()) for each in (a, b))
        return tally(self.office.store.duels(), *two)

    def judge(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Ask for a comparison by a judge; its result appears in `results`."""
        a, b = pair(body)
        judge = body.get("judge")
        if not isinstance(judge, str) or not (judge in JUDGES or judge.startswith("reward:")):
            raise BadInput("Choose who judges.")
        config = read(Compare, {"count": body.get("count")})
        inputs = {"a": a, "b": b, "judge": judge, "count": config["count"]}
        request = self.office.ask("run", {"stage": "compare", "config": config, "inputs": inputs, "by": rater})
        return {"request": request}

    def results(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """The newest comparisons, those that still wait, and a refusal of the one that was just asked for."""
        asked = self.office.answer(str(body.get("request", "")))
        if asked:
            refuse(asked)
        runs = [run for run in self.office.runs() if run.stage == "compare"][-SHOWN:]
        lined = self.waiting.inputs()
        why = self.waiting.why() if lined else ""
        waiting = [
            named(self.office, inputs) | {"request": request, "status": why} for request, inputs in lined.items()
        ]
        return {"waiting": waiting[::-1], "results": [row(self.office, run) for run in reversed(runs)]}

    def stop(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """End a comparison that is going on, or take one back that waits; what it has drawn so far decides nothing."""
        if request := body.get("request"):
            if request not in self.waiting.inputs():
                raise Busy("It waits no longer: look for it among the comparisons below.")
            self.office.ask("forget", {"request": request})
            return {"said": "It is taken back."}
        run = self.office.workspace.run(body.get("run"))
        if run.stage != "compare":
            raise NotFound(f"{called(run)} is no comparison.")
        if run.status() not in LIVE:
            raise Busy(f"{called(run)} is not going on now, so there is nothing to stop.")
        run.set_control(order="stop", until=None, by=rater)
        return {"said": f"{called(run)} stops after the answers that it is drawing now."}

    def side(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Both policies answer one prompt, each under its name."""
        a, b = pair(body)
        asked = {
            "prompt": checked_prompt(str(body.get("prompt", "")).strip()),
            "policies": [a, b],
            "temperature": 0.7,
            "tokens": TOKENS,
            "seed": 0,
            "guess": self._newest(),
        }
        return {"request": self.office.ask("candidates", asked, str(body.get("guest") or ""))}

    def side_look(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        found = self.office.answer(str(body.get("request", ""))) or {}
        refuse(found)
        return {name: found.get(name) for name in ("texts", "finished", "scores", "done")}

    def frontier(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """Score against KL along every run that has both, thinned; `kept` points are checkpoints that can answer."""
        runs = [run for run in self.office.runs() if run.stage in TUNING and run.stage != "dpo"][-SHOWN:]
        rewards = [run for run in self.office.runs() if run.stage == "reward" and run.status() == "done"]
        return {
            "runs": [path(tracks_of(self.office).of(run)) for run in runs],
            "rewards": [{"value": run.name, "label": called(run)} for run in reversed(rewards[-SHOWN:])],
        }

    def chat(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """One more turn with a policy or a checkpoint of a run."""
        policy = body.get("policy")
        if not isinstance(policy, str) or not POLICY.fullmatch(policy):
            raise BadInput("Choose a checkpoint to talk to.")
        guest = str(body.get("guest") or "")
        return {"request": self.office.chat(policy, body.get("messages"), guest, tokens=TOKENS)}

    def chat_look(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        found = self.office.answer(str(body.get("request", ""))) or {}
        refuse(found)
        return {"text": found.get("text") or "", "done": bool(found.get("done"))}

    def second(self, body: dict[str, Any], rater: str) -> dict[str, Any]:
        """What a reward model that PPO did not follow thinks of a run's answers."""
        workspace = self.office.workspace
        return opinion(self.office, workspace.run(body.get("run")), workspace.run(body.get("reward")))

    def _newest(self) -> str:
        run = self.office.newest("reward")
        return run.name if run else ""

    def _adapter(self, name: str, host: bool) -> dict[str, str]:
        """Where it lies is told to the host alone, who may take it away."""
        run = self.office.workspace.run(name)
        return {"run": name, "title": called(run), "path": str(run.adapter) if host else ""}


def path(track: Track) -> dict[str, Any]:
    """One run's way through KL and score, its checkpoints always among the points.

    A point has what the answers of its step measured: a mean over steps lags behind a policy that moves, and would give
    a checkpoint less KL than it has. `trend` is that mean, which is no figure but shows where the run went.
    """
    with track.guard:
        kl, score = track.series.get("kl/reference"), track.series.get("reward/score")
        measured = [track.steps, kl.raw, score.raw, kl.smooth, score.smooth] if kl and score else []
        rows = list(zip(*measured, strict=True))
    kept = set(track.run.checkpoints())
    every = max(1, len(rows) // POINTS)
    chosen = [row for place, row in enumerate(rows) if place % every == 0 or row[0] in kept]
    points = [
        {"step": step, "kl": nats, "score": score, "kept": step in kept, "trend": trend}
        for step, nats, score, *trend in chosen
        if all(map(math.isfinite, (nats, score, *trend)))
    ]
    followed = (facts_of(track.run).get("inputs") or {}).get("reward")
    return {"run": track.run.name, "title": called(track.run), "reward": followed, "points": points}


def pair(body: dict[str, Any]) -> tuple[str, str]:
    a, b = body.get("a"), body.get("b")
    if not all(isinstance(each, str) and POLICY.fullmatch(each) for each in (a, b)):
        raise BadInput("Choose two policies.")
    if a == b:
        raise BadInput("Choose two different policies.")
    return a, b


def row(office: Office, run: Run) -> dict[str, Any]:
    """One comparison by a judge: who met, how far it is, and its result."""
    inputs = facts_of(run).get("inputs") or {}
    events = [event for event, _ in run.events().events]
    result = next((event.result for event in reversed(events) if isinstance(event, Finished)), {})
    far = next((event for event in reversed(events) if isinstance(event, Progress)), None)
    kept = ("win_rate", "low", "high", "count", "kl_a", "kl_b", "score_a", "score_b")
    facts = {"run": run.name, "title": called(run), "status": run.status()}
    if far and facts["status"] == "running":
        facts["progress"] = f"{far.what}: {far.done:,} of {far.total:,}"
    return facts | named(office, inputs, recorded_called) | {key: result.get(key) for key in kept}


def named(
    office: Office, inputs: dict[str, Any], call: Callable[[Workspace, Any], str] = policy_called
) -> dict[str, Any]:
    """Who meets whom before which judge."""
    a, b = (call(office.workspace, inputs[side]) if inputs.get(side) else None for side in ("a", "b"))
    return {"a": a, "b": b, "judge": judge_called(office.workspace, str(inputs.get("judge") or ""))}
