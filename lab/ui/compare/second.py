"""A second opinion on a PPO run: some of its answers, scored by a reward model that it did not follow."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean
from typing import Any

from lab.errors import BadInput, NoRows
from lab.events import Sample
from lab.journal import read_json
from lab.store.records import readable
from lab.ui import desk
from lab.ui.naming import called
from lab.ui.office import Office
from lab.ui.points import run_or_none
from lab.workspace import Run

# Answers that are scored anew, the points that they are averaged to, and the fewest that make a mean.
MOST, POINTS, FEWEST, SECONDS = 192, 8, 8, 90.0
# Lines of the file that are read at a time: the figures of each token are many, and none of them is kept.
AT_A_TIME = 1_000


def opinion(office: Office, run: Run, reward: Run) -> dict[str, Any]:
    """Both scores along the run, each point the mean over the same answers. Waits for the worker."""
    if reward.stage != "reward" or reward.status() != "done":
        raise BadInput(f"{called(reward)} is no finished reward model. Choose another one.")
    if reward.name == run.facts()["inputs"].get("reward"):
        raise BadInput(
            f"{called(run)} was trained on {called(reward)}, so it is no second opinion. Choose another one."
        )
    samples = chosen(written(run), desk.tracks_of(office).of(run).step)
    if not samples:
        raise NoRows(f"{called(run)} has no finished answers to score yet. Wait for a few steps.")
    turns = talks(run)
    answers = [[turns.get(each.prompt, each.prompt), each.response] for each in samples]
    asked = {"reward": reward.name, "samples": answers}
    points = along(samples, office.wait(office.ask("rescore", asked), SECONDS)["scores"])
    return {"points": points, "kinship": kinship(office, run, reward)}


def kinship(office: Office, run: Run, reward: Run) -> str:
    """Whether the judge has read what the followed model has, which makes it err alike; '' where that is not known."""
    followed = run_or_none(office.workspace.run, run.facts()["inputs"].get("reward"))
    if followed is None:
        return ""
    theirs, own = prompts_of(followed), prompts_of(reward)
    if not theirs or not own:
        return ""
    both = len(theirs & own)
    if not both:
        return (
            f"None of the prompts that {called(reward)} learned from was ranked for {called(followed)}: an independent "
            "judge."
        )
    return (
        f"Both have read the same rankings of {both} of {len(own)} prompts, so they may err alike. For an independent "
        "judge train one reward model on each half: Reward page, More settings."
    )


def prompts_of(reward: Run) -> frozenset[tuple[int, ...]]:
    """The prompts whose rankings a reward model was trained or tested on."""
    rows = (read_json(reward.folder / "data.json") or {}).get("rankings") or []
    return frozenset(tuple(row[0]) for row in rows)


def talks(run: Run) -> dict[str, list[dict[str, str]]]:
    """The turns of the conversations that a run practises on, by the readable text under which its answers stand."""
    prompts = (read_json(run.folder / "data.json") or {}).get("prompts") or []
    return {readable(each): each for each in prompts if not isinstance(each, str)}


def written(run: Run) -> Iterator[Sample]:
    """Every sample of a run, as they came; of its tokens the last one's text alone."""
    offset = 0
    while (found := run.samples(offset, AT_A_TIME)).offset > offset:
        offset = found.offset
        for event, _ in found.events:
            if isinstance(event, Sample):
                yield replace(event, tokens={"text": event.tokens.get("text", [])[-1:]})


def chosen(samples: Iterable[Sample], standing: int) -> list[Sample]:
    """Answers to the run's own prompts, evenly over its steps; none that was cut short, whose score is a rule's, and
    none of the steps that a roll back has undone: those behind the run's last, and those that came once more, behind a
    later one."""
    kept: list[Sample] = []
    last = 0
    for each in samples:
        if each.step < last:
            kept = [earlier for earlier in kept if earlier.step < each.step]
        last = each.step
        if None not in (each.score, each.kl) and not each.pinned and _ended(each):
            kept.append(each)
    kept = [each for each in kept if each.belongs_to <= standing]
    every = max(1, -(-len(kept) // MOST))
    return kept[::every]


def _ended(sample: Sample) -> bool:
    """The stop token has no text of its own. Runs from before there were tokens are taken to have ended."""
    pieces = sample.tokens.get("text")
    return not pieces or pieces[-1] == ""


def along(samples: Sequence[Sample], scores: Sequence[float]) -> list[dict[str, float]]:
    """Neighbouring answers averaged to a few points, from the first step to the last."""
    rows = sorted(zip(samples, scores, strict=True), key=lambda row: row[0].belongs_to)
    width = max(FEWEST, -(-len(rows) // POINTS))
    parts = [rows[start : start + width] for start in range(0, len(rows), width)]
    return [_mean(part) for part in parts]


def _mean(part: Sequence[tuple[Sample, float]]) -> dict[str, float]:
    return {
        "step": part[-1][0].belongs_to,
        "kl": fmean(sample.kl for sample, _ in part),
        "own": fmean(sample.score for sample, _ in part),
        "second": fmean(score for _, score in part),
        "count": len(part),
    }
