"""Reads the metrics of a PPO run as they come and says in words when one leaves its healthy range, and what usually helps.

Thresholds and their sources: ALGORITHMS section 4. Smoothed over three steps unless a single step is proof enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from lab.events import Warned

Metrics = Mapping[str, float | None]
_SMOOTHING = 0.5


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule: `found` gives the sentence when it holds for smoothed metrics `now` and those of the first steps, else ''."""

    code: str
    found: Callable[[Metrics, Metrics, int], str]
    remedy: str


@dataclass
class Diagnosis:
    """Remembers the first step's metrics and which alarms are on; an alarm speaks when it goes on, not while it stays."""

    start: dict[str, float] = field(default_factory=dict)
    smooth: dict[str, float] = field(default_factory=dict)
    on: set[str] = field(default_factory=set)
    seen: int = 0

    def warnings(self, step: int, metrics: Metrics) -> list[Warned]:
        """The alarms that this step turns on."""
        known = {key: value for key, value in metrics.items() if value is not None}
        self.start = self.start or dict(known)
        for key, value in known.items():
            self.smooth[key] = (1 - _SMOOTHING) * self.smooth.get(key, value) + _SMOOTHING * value
        self.seen += 1
        said = {alarm: alarm.found(self.smooth, self.start, self.seen) for alarm in alarms()}
        fresh = [Warned(step, a.code, text, a.remedy) for a, text in said.items() if text and a.code not in self.on]
        self.on = {alarm.code for alarm, text in said.items() if text}
        return fresh


def alarms() -> tuple[Alarm, ...]:
    """Every rule."""
    return (
        Alarm("W_RATIO", _ratio, "Stop the run: the sampling and the training pass do not compute the same numbers."),
        Alarm("W_KL_HIGH", _kl, "Double beta, or go back to an earlier checkpoint."),
        Alarm("W_UPDATE_KL", _update_kl, "Halve the learning rate."),
        Alarm("W_CLIP", _clip, "Halve the learning rate, or make one epoch a step."),
        Alarm("W_ENTROPY_LOW", _entropy_low, "Go back to an earlier checkpoint and double beta."),
        Alarm("W_ENTROPY_HIGH", _entropy_high, "Halve the learning rate and double beta."),
        Alarm("W_COLLAPSE", _collapse, "Go back to an earlier checkpoint and double beta."),
        Alarm(
            "W_LENGTH",
            _length,
            "Rank some long and short answers, so that length alone does not pay; train the reward again.",
        ),
        Alarm("W_ENDED", _ended, "Allow longer responses, or keep the missing end penalty at replace."),
        Alarm("W_VALUE", _value, "Let it run some steps; if it stays, lower the learning rate."),
        Alarm(
            "W_SCORE_CAP",
            _score_cap,
            "Stop here: the reward model is far outside what it learned from. Rank new answers.",
        ),
    )


def _ratio(now: Metrics, start: Metrics, seen: int) -> str:
    value = now["policy/ratio_first"]
    return f"The first update of a step begins at a log-ratio of {value:.2g} instead of 0." if value > 0.02 else ""


def _kl(now: Metrics, start: Metrics, seen: int) -> str:
    nats, length = now["kl/reference"], max(now["response/length"], 1.0)
    if nats > 30 or nats / length > 0.5:
        return f"The policy is {nats:.1f} nats a response away from SFT: far more than a score can justify."
    return f"The policy is {nats:.1f} nats a response away from SFT, beyond the healthy 2 to 15." if nats > 15 else ""


def _update_kl(now: Metrics, start: Metrics, seen: int) -> str:
    value = now["kl/update"]
    return f"One step moves the policy by {value:.3f} nats a token; healthy is 0.001 to 0.02." if value > 0.05 else ""


def _clip(now: Metrics, start: Metrics, seen: int) -> str:
    share = now["policy/clip_fraction"]
    return f"{share:.0%} of the tokens are clipped in an update, so most of it is lost." if share > 0.3 else ""


def _entropy_low(now: Metrics, start: Metrics, seen: int) -> str:
    value, first = now["policy/entropy"], start["policy/entropy"]
    if seen > 3 and (value < 0.3 * first or value < 0.05):
        return f"The policy has become sure of nearly every word: {value:.2f} nats a token, {first:.2f} at the start."
    return ""


def _entropy_high(now: Metrics, start: Metrics, seen: int) -> str:
    value, first = now["policy/entropy"], start["policy/entropy"]
    if value > 1.5 * first + 0.1:
        return (
            f"The policy chooses its words more and more at random: {value:.2f} nats a token, {first:.2f} at the start."
        )
    return ""


def _collapse(now: Metrics, start: Metrics, seen: int) -> str:
    share = now["response/distinct"]
    return f"Only {share:.0%} of a step's responses differ from one another." if share < 0.7 else ""


def _length(now: Metrics, start: Metrics, seen: int) -> str:
    value, first = now["response/length"], start["response/length"]
    if seen > 3 and (value > 1.6 * first or value < 0.5 * first):
        return f"Responses have {value:.0f} tokens on average, {first:.0f} at the start: length may be what the score rewards."
    return ""


def _ended(now: Metrics, start: Metrics, seen: int) -> str:
    share = now["response/ended"]
    return f"Only {share:.0%} of the responses come to an end in the tokens allowed." if share < 0.7 else ""


def _value(now: Metrics, start: Metrics, seen: int) -> str:
    fit = now["value/explained_variance"]
    return f"The value head explains nothing of the returns yet ({fit:.2f})." if seen > 15 and fit < -0.2 else ""


def _score_cap(now: Metrics, start: Metrics, seen: int) -> str:
    score, spread = now["reward/score"], now["reward/std"]
    if score > 4.5:
        return f"The mean score is {score:.1f}, at the cap of what is allowed."
    return f"All responses score alike (spread {spread:.2g})." if spread < 1e-3 else ""
