"""The Reward page: train the reward model on rankings, and see in words and pictures what it has understood."""

from __future__ import annotations

import uuid
from typing import Any

from lab.errors import BadInput, BadText, NotFound
from lab.store import Ranking
from lab.store.raters import ALL, PERSON, learnable
from lab.ui import bringing, desk, remedies
from lab.ui.curves import ASKED, Curves
from lab.ui.curves import serve as serve_curves
from lab.ui.live import Live
from lab.ui.notes import lead
from lab.ui.office import Office
from lab.ui.refusal import refuse
from lab.ui.state import FEWEST, PAIRS
from lab.ui.tracks import Track
from lab.ui.verdict import facts
from lab.ui.whose import asked_raters

LONGEST = 20_000


def page(office: Office) -> None:
    """Called inside the page's tab."""
    tracks = desk.tracks_of(office)
    stage = stage_of(office)
    desk.serve(office, stage)
    remedies.serve(office, stage)
    serve_curves(office, tracks)
    bringing.serve(office)
    office.action("reward-facts", lambda body, rater: found(office, desk.track_of(office, stage, body), rater))
    office.action("reward-score", lambda body, _: score(office, body))
    office.action("reward-score-look", lambda body, _: score_look(office, body))
    office.action("reward-exclude", lambda body, _: exclude(office, body))
    lead(
        "Reward model", "It reads your rankings and learns to give any answer a score. How well has it understood you?"
    )
    Live(("form.js", "desk.js", "reward.js"), **desk.forms("reward"), elem_id="reward-desk")
    Curves("reward", elem_id="reward-curves")
    Live(("plot.js", "verdict.js"), plotly=ASKED, elem_id="reward-verdict")


def stage_of(office: Office) -> desk.Stage:
    """Its desk refuses what no choice of raters could start; what the chosen ones lack is told beside the choice."""
    return desk.Stage(
        "reward",
        lambda _: hindrance(office, ALL),
        lambda body, _: inputs(office, body),
        lambda track: more(office, track),
    )


def hindrance(office: Office, raters: str = "") -> str:
    """Why it cannot be trained yet on the rankings of these raters, with how much is missing."""
    counts = office.store.counts()
    rankings, pairs = learnable(counts, raters)
    if pairs >= FEWEST:
        return ""
    prompts, others = -(-(FEWEST - pairs) // PAIRS), counts["rankings"] - rankings
    given = f"{rankings} rankings give" if rankings != 1 else "one ranking gives"
    left_out = f" ({others} of other raters are left out)" if others else ""
    return (
        f"It needs about {FEWEST} pairs to learn from and to be tested on; your {given} {pairs}"
        f"{left_out}. Rank {prompts} more {'prompt' if prompts == 1 else 'prompts'} with four answers each."
    )


def inputs(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Whose rankings it learns from."""
    raters = asked_raters(office, body)
    if why := hindrance(office, raters):
        raise BadInput(why)
    return {"raters": raters} if raters else {}


def more(office: Office, track: Track | None) -> dict[str, Any]:
    """The verdict in words, warnings with their remedies, what it was trained on, and who has ranked."""
    counts = office.store.counts()
    done = track is not None and track.status() in ("done", "stopped")
    return {
        "verdict": facts(track.result) if done and track.result else None,
        **remedies.shown(track),
        "rankings": counts["rankings"],
        "pairs": counts["pairs"],
        "raters": dict(counts["raters"]),
        "lacking": {whose: hindrance(office, whose) for whose in ("", PERSON, ALL, *counts["raters"])},
    }


def found(office: Office, track: Track, rater: str) -> dict[str, Any]:
    """Everything behind the verdict, for the plots and the list of disagreements, in the words of this rater."""
    result = track.result
    disagreed = disagreements(office, result.get("disagreements") or [])
    return {
        "verdict": facts(result) if result else None,
        "calibration": result.get("calibration") or [],
        "learning_curve": result.get("learning_curve") or [],
        "accuracy": result.get("pairs/accuracy"),
        "raters": result.get("raters") or {},
        "disagreements": [row | {"who": office.doer(row["rater"], rater)} for row in disagreed],
    }


def disagreements(office: Office, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rankings that the reward model sees otherwise, with both texts; withdrawn ones are left out."""
    margins = {row["seq"]: row for row in rows if isinstance(row, dict) and type(row.get("seq")) is int}
    known = [each for seq in sorted(margins) if (each := office.store.ranking(seq)) and each.order]
    made = [_disagreement(each, margins[each.seq]) for each in known]
    return sorted((each for each in made if each), key=lambda row: -row["margin"])


def _disagreement(ranking: Ranking, row: dict[str, Any]) -> dict[str, Any] | None:
    candidates, order = ranking.comparison.candidates, ranking.order
    better, worse = row.get("better", order[0][0]), row.get("worse", order[-1][0])
    if not (0 <= better < len(candidates) and 0 <= worse < len(candidates)):
        return None
    return {
        "seq": ranking.seq,
        "comparison": ranking.comparison.id,
        "prompt": ranking.comparison.prompt,
        "better": candidates[better].text,
        "worse": candidates[worse].text,
        "margin": abs(float(row.get("margin") or 0.0)),
        "rater": ranking.rater,
        "excluded": ranking.excluded,
    }


def exclude(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Leave a ranking out of the next training, or take it in again."""
    seq, excluded = body.get("seq"), body.get("excluded")
    if type(seq) is not int or type(excluded) is not bool:
        raise BadInput("Which ranking is meant? Reload the page and try again.")
    if office.store.ranking(seq) is None:
        raise NotFound("That ranking is no longer there. Reload the page.")
    office.store.exclude(seq, excluded)
    return {"said": "Left out of the next training." if excluded else "Taken in again.", "key": uuid.uuid4().hex}


def score(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """Ask what the reward model thinks of any text.

    The page looks for the answer: a thread that waited for it here would be missing where rankings are saved.
    """
    prompt, response = _text(body.get("prompt"), "prompt"), _text(body.get("response"), "answer")
    run = body.get("run") and office.workspace.run(body["run"]).name
    payload = {"prompt": prompt, "responses": [response], "reward": run or ""}
    return {"request": office.ask("score", payload, str(body.get("guest") or "")), "done": False}


def score_look(office: Office, body: dict[str, Any]) -> dict[str, Any]:
    """The score that was asked for, once it is there; until then what the model process does."""
    answer = office.answer(str(body.get("request", ""))) or {}
    refuse(answer)
    if not answer.get("done"):
        return {"done": False, "worker": office.worker.sentence(whole=body.get("host") is True)}
    percentiles = answer.get("percentiles")
    return {"done": True, "score": answer["scores"][0], "percentile": percentiles[0] if percentiles else None}


def _text(value: Any, what: str) -> str:
    if not isinstance(value, str) or not value.strip():
        raise BadText(f"The {what} is empty. Write something.")
    if len(value) > LONGEST:
        raise BadText(f"The {what} has {len(value):,} characters; at most {LONGEST:,} are scored. Shorten it.")
    return value
