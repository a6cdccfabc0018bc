"""Whether a reward model has earned that PPO follows it: tested on enough pairs, better than guessing, and not flat."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from lab.errors import FlatReward, LabError, UnsureReward
from lab.events import Finished
from lab.workspace import Run

# RELIABILITY F7.
FEWEST_PAIRS, LEAST_ACCURACY, LEAST_SPREAD = 10, 0.55, 1e-3
CHANCE = 0.5


def check(run: Run) -> None:
    """Raises UnsureReward or FlatReward for a run of the reward stage that PPO should not follow yet."""
    kind, words = _problem(_result(run))
    if words:
        raise kind(f"{words}, or start PPO all the same: Start PPO anyway on the page, --anyway on the command line.")


def doubt(run: Run) -> str:
    """The same as a sentence, for where a button starts it anyway; '' where there is no doubt."""
    _, words = _problem(_result(run))
    return f"{words}, or start anyway." if words else ""


def may_be_luck(run: Run) -> bool:
    """Whether its accuracy on unseen pairs may be that of a coin: no reason to refuse it, but to say so."""
    low = _result(run).get("pairs/accuracy_low")
    return isinstance(low, int | float) and low <= CHANCE


def _result(run: Run) -> Mapping[str, Any]:
    end = run.last_turn()
    return end.result if isinstance(end, Finished) else {}


def _problem(result: Mapping[str, Any]) -> tuple[type[LabError], str]:
    """What speaks against it, and what to do. 1 / gain is the deviation of its scores of the reference's responses."""
    pairs, accuracy, gain = (_number(result.get(key)) for key in ("pairs", "pairs/accuracy", "gain"))
    if pairs < FEWEST_PAIRS:
        return UnsureReward, (
            f"The reward model was tested on {pairs:.0f} pairs that it never saw; under {FEWEST_PAIRS} nobody can tell "
            "whether it guesses, so PPO may chase noise. Rank more prompts, keep some for testing, train it again"
        )
    if accuracy <= LEAST_ACCURACY:
        return UnsureReward, (
            f"The reward model is right on {100 * accuracy:.0f} % of {pairs:.0f} pairs that it never saw, and guessing "
            "would be right on 50 %, so PPO would chase noise. Rank about ten more prompts and train it again"
        )
    if gain * LEAST_SPREAD > 1:
        return FlatReward, (
            f"The reward model's scores of different responses deviate by only {1 / gain:.2g} (it is right on "
            f"{100 * accuracy:.0f} % of unseen pairs), so PPO would have nothing to follow. Rank prompts whose answers "
            "clearly differ and train it again"
        )
    return LabError, ""


def _number(value: Any) -> float:
    return float(value) if isinstance(value, int | float) else 0.0
