"""Whether a reward model has earned that PPO follows it: tested on enough pairs, and better than guessing."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from lab.config import PAIRS_TO_TEST
from lab.errors import BadInput, Damaged, UnsureReward
from lab.events import Finished, Warned
from lab.journal import read_json
from lab.store import Store
from lab.store.raters import is_meant
from lab.workspace import SHIPPED, Run, recorded

CHANCE = 0.5
LEAST_ACCURACY = 0.55  # by judgement: a little over chance, since ten pairs tell no more; may_be_luck says what is sure


def check(run: Run) -> None:
    """Raises UnsureReward for a run of the reward stage that PPO should not follow yet."""
    if words := _problem(_result(run)):
        raise UnsureReward(
            f"{words}, or start PPO all the same: Start PPO anyway on the page, --anyway on the command line."
        )


def doubt(run: Run) -> str:
    """The same as a sentence, for where a button starts it anyway; '' where there is no doubt."""
    words = _problem(_result(run))
    return f"{words}, or start anyway." if words else ""


def may_be_luck(run: Run) -> bool:
    """Whether its accuracy on unseen pairs may be that of a coin: no reason to refuse it, but to say so."""
    low = _result(run).get("pairs/accuracy_low")
    return isinstance(low, int | float) and low <= CHANCE


def ranked_since(run: Run, store: Store, after: int = 0) -> list[int]:
    """The numbers of the rankings that came after those of which a reward model learned, all or a half, and after this
    one, by the same raters. Raises Damaged where nobody knows any more what it learned from."""
    path = run.folder / "data.json"
    try:
        newest, raters = _learned(path, path.stat().st_mtime_ns)
    except (OSError, LookupError, TypeError, ValueError) as problem:
        raise Damaged(f"data.json of run {run.name} cannot be read, and what it learned from with it.") from problem
    later = store.rankings(after=max(newest, after), excluded=False, ids=False)
    return [each.seq for each in later if each.order and is_meant(each.rater, raters)]


@lru_cache(maxsize=8)
def _learned(path: Path, _: int) -> tuple[int, str]:
    """The newest ranking of which it knew, and whose it learned from. An older lab kept only those that it learned."""
    found = read_json(path) or {}
    newest = found["newest"] if "newest" in found else max(row[4] for row in found["rankings"])
    return int(newest), str(found["raters"])


def start_of(inputs: Mapping[str, Any]) -> str:
    """The SFT that a run is told to start from; '' where it is told none. BadInput for what nothing can start from."""
    named = str(inputs.get("reference") or "")
    if named in ("base", "policy"):
        raise BadInput(f"No run starts from {named}. Name sft, shipped (the SFT that came with the base), or a run.")
    return named


def scaled_on(run: Run) -> str:
    """The SFT that a reward model was trained from, and whose answers score 0 on the mean; '' where nobody knows."""
    try:
        return recorded(str((run.facts().get("inputs") or {}).get("reference") or ""))
    except Damaged:
        return ""


def apart(run: Run, reference: str) -> Iterator[Warned]:
    """What is to be said where a policy starts from another SFT than its reward model; names as runs record them."""
    own, other = scaled_on(run), recorded(reference)
    if own and own != other:
        own, other = ("the SFT that came with the base" if each == SHIPPED else each for each in (own, other))
        yield Warned(
            0,
            "W_REFERENCE",
            f"This run starts from {other}, but {run.name} was trained from {own} and scaled on its answers. So score "
            "0 does not mean as before PPO here.",
            f"Hold scores against that of the first step, not against 0. Or start from {own}, or train a reward model "
            f"from {other} on its own answers.",
        )


def _result(run: Run) -> Mapping[str, Any]:
    end = run.last_turn()
    return end.result if isinstance(end, Finished) else {}


def _problem(result: Mapping[str, Any]) -> str:
    """What speaks against it, and what to do; '' where nothing does. A flat one has not come to its end."""
    pairs, accuracy = (_number(result.get(key)) for key in ("pairs", "pairs/accuracy"))
    if pairs < PAIRS_TO_TEST:
        return (
            f"The reward model was tested on {pairs:.0f} pairs that it never saw; under {PAIRS_TO_TEST} nobody can "
            "tell whether it guesses, so PPO may chase noise. Rank more prompts, keep some for testing, train it again"
        )
    if accuracy <= LEAST_ACCURACY:
        return (
            f"The reward model is right on {100 * accuracy:.0f} % of {pairs:.0f} pairs that it never saw, and guessing "
            "would be right on 50 %, so PPO would chase noise. Rank about ten more prompts and train it again"
        )
    return ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
