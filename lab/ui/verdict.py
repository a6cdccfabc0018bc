"""What a reward model's test says, in sentences: how often it is right, whether to trust it or to rank more."""

from __future__ import annotations

from typing import Any

from lab.config import RANKINGS_FOR_CURVE
from lab.trust import CHANCE
from lab.ui.numbers import short

GOOD, WORTH_IT, TAKES_LENGTH, TRUSTED = 0.6, 0.02, 0.5, 0.1


def facts(result: dict[str, Any]) -> dict[str, Any]:
    """Sentences by what they speak of; '' where nothing was measured. `good` says whether PPO should follow it."""
    low, against = _number(result, "pairs/accuracy_low"), contrary(result.get("raters") or {})
    return {
        "accuracy": accuracy(result),
        "advice": against or advice(low),
        "good": low is not None and low > CHANCE and not against,
        "margin": margin(result),
        "calibration": calibration(result),
        "length": length(result),
        "more": worth_ranking(result.get("learning_curve") or [], _number(result, "rankings")),
    }


def accuracy(result: dict[str, Any]) -> str:
    """
    >>> accuracy({"pairs/accuracy": 0.82, "pairs/accuracy_low": 0.74, "pairs/accuracy_high": 0.9, "pairs": 96})
    'Right on 82 % of 96 pairs it never saw, between 74 and 90 %; guessing would be 50 %.'
    """
    found = [_number(result, key) for key in ("pairs/accuracy", "pairs/accuracy_low", "pairs/accuracy_high")]
    if None in found:
        return "It was not tested: no prompts were kept aside. Keep some for testing to know how good it is."
    middle, low, high = (f"{100 * each:.0f}" for each in found)
    count = f"{result['pairs']} " if isinstance(result.get("pairs"), int) else ""
    return f"Right on {middle} % of {count}pairs it never saw, between {low} and {high} %; guessing would be 50 %."


def contrary(raters: dict[str, float]) -> str:
    """Whom it has not understood, where it learned from several: those with few rankings are outvoted by the others.

    >>> contrary({"ana": 0.3, "imported": 0.9})
    'It goes against ana: right on 30 % of their pairs. Learn from their rankings alone, or have them rank more.'
    """
    worst = min(raters, key=raters.__getitem__, default="")
    if len(raters) < 2 or raters[worst] > CHANCE:
        return ""
    share = f"right on {100 * raters[worst]:.0f} % of their pairs"
    return f"It goes against {worst}: {share}. Learn from their rankings alone, or have them rank more."


def advice(low: float | None) -> str:
    if low is None:
        return ""
    if low <= CHANCE:
        return "That may be luck: rank more prompts before PPO follows it, or it will chase noise."
    return "It has understood something; more rankings would make it surer." if low < GOOD else "Good enough for PPO."


def margin(result: dict[str, Any]) -> str:
    value = _number(result, "pairs/margin")
    if value is None:
        return ""
    side = "above" if value >= 0 else "below"
    return f"It scores the better answer {short(abs(value))} {side} the worse one on average."


def calibration(result: dict[str, Any]) -> str:
    error = _number(result, "pairs/calibration_error")
    if error is None:
        return ""
    off = f"Its confidence is off by {100 * error:.0f} percentage points on average"
    return f"{off}: you can believe it." if error <= TRUSTED else f"{off}: believe its order more than how sure it is."


def length(result: dict[str, Any]) -> str:
    value = _number(result, "length_correlation")
    if value is None:
        return ""
    said = f"Score and length go together by {short(value)} (0 not at all, 1 always, -1 the other way round)"
    if value > TAKES_LENGTH:
        return f"{said}: it may take length for quality. Rank some short good answers above long poor ones."
    return (
        f"{said}: shorter answers score better."
        if value < -TAKES_LENGTH
        else f"{said}: no sign that length alone pays."
    )


def worth_ranking(curve: list[dict[str, Any]], learned: float | None = None) -> str:
    """From the last two points of the learning curve, which a stand-in made: probe.py. `learned`: from how many
    rankings, where that is known.

    >>> worth_ranking([], 9)
    'Whether more ranking is worth it shows from 12 rankings to learn from on; it had 9.'
    """
    if not curve and learned is not None and learned < RANKINGS_FOR_CURVE:
        on = f"Whether more ranking is worth it shows from {RANKINGS_FOR_CURVE} rankings to learn from on"
        return f"{on}; it had {learned:.0f}."
    if len(curve) < 2:
        return ""
    before, after = curve[-2], curve[-1]
    gain = after["accuracy"] - before["accuracy"]
    grew = f"From {before['rankings']} to {after['rankings']} rankings a quick stand-in gained {100 * gain:.0f} points"
    if gain > WORTH_IT:
        return f"{grew}: more ranking is worth it."
    return f"{grew}: it has nearly learned what these prompts can teach. Rank other kinds of prompts."


def _number(result: dict[str, Any], key: str) -> float | None:
    value = result.get(key)
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None
