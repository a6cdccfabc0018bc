"""Reads the metrics of a run of PPO, RLOO or GRPO and says in words when one leaves its healthy range, and what helps.

Thresholds are our choice, where no comment names a source: KL to the reference may go wide of the 6 to 10 nats that
OpenAI aims at (Ziegler 2019), the ratio not as far as the 2.0 or 0.1 that TRL calls too drastic.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median
from typing import NamedTuple

from lab.errors import FlatReward
from lab.events import Step, Warned

Metrics = Mapping[str, float]
# The weight of the newest step: an average over about three.
_SMOOTHING, _STEPS = 0.5, 3
# So many quiet steps before an alarm repeats itself: a measure that swings about its threshold is one piece of news.
_QUIET = 20
_REMEMBERED, _FEWEST = 50, 5


@dataclass(frozen=True, slots=True)
class Setup:
    """What the thresholds depend on: knobs of the run, the highest score among the reference's own responses, and
    whether products are `exact`, in float32."""

    batch: int = 64
    target_kl: float = 0.0
    score_clip: float = 5.0
    highest: float = math.inf
    exact: bool = False


@dataclass(frozen=True, slots=True)
class View:
    """What a rule looks at: metrics smoothed `now`, those of the `last` step and the `first` that had each, and
    the steps before."""

    now: Metrics
    last: Metrics
    first: Metrics
    raw: Sequence[Metrics]
    smooth: Sequence[Metrics]
    setup: Setup
    seen: int

    def times_usual(self, key: str) -> float:
        """`now` over the running median; 1 while too few steps are known to speak of a usual value."""
        known = [each[key] for each in self.raw if key in each]
        usual = median(known) if len(known) >= _FEWEST else 0.0
        return self.now[key] / usual if usual > 0 else 1.0


class Found(NamedTuple):
    """What a rule sees, and whether it is grave enough to pause (red) or only to be known (yellow)."""

    text: str
    grave: bool


Rule = Callable[[View], Found | None]


@dataclass(frozen=True, slots=True)
class Alarm:
    """A rule over the metrics that it `reads`, not judged before `after` steps were seen."""

    code: str
    found: Rule
    reads: tuple[str, ...]
    remedy: str
    after: int = _STEPS


@dataclass
class Diagnosis:
    """Remembers the first step, the last ones and what each alarm said; one speaks when it goes on or turns red."""

    setup: Setup = Setup()
    first: Metrics = field(default_factory=dict)
    raw: deque[Metrics] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    smooth: deque[Metrics] = field(default_factory=lambda: deque(maxlen=_REMEMBERED))
    heard: dict[str, tuple[int, int]] = field(default_factory=dict)
    seen: int = 0

    def replay(self, steps: Iterable[Step]) -> None:
        """Take in the steps before a resumption without a word, so that warnings come as if it had never stopped."""
        for step in steps:
            self.warnings(step.step, step.metrics)

    def warnings(self, step: int, metrics: Mapping[str, float | None]) -> list[Warned]:
        """The alarms that this step turns on."""
        known = {key: value for key, value in metrics.items() if value is not None}
        before = self.smooth[-1] if self.smooth else {}
        now = dict(before)
        for key, value in known.items():
            now[key] = (1 - _SMOOTHING) * before.get(key, value) + _SMOOTHING * value
        self.first, self.seen = {**known, **self.first}, self.seen + 1
        view = View(now, known, self.first, self.raw, self.smooth, self.setup, self.seen)
        said = [(alarm, self._judged(alarm, view)) for alarm in alarms()]
        self.raw.append(known)
        self.smooth.append(now)
        return [Warned(step, alarm.code, found.text, alarm.remedy, found.grave) for alarm, found in said if found]

    def _judged(self, alarm: Alarm, view: View) -> Found | None:
        """What the alarm has to say that it has not said lately: of this step, where its own figures say so too."""
        if self.seen < alarm.after or any(key not in view.now or key not in view.first for key in alarm.reads):
            return None
        found = alarm.found(view)
        level, at = self.heard.get(alarm.code, (0, 0))
        level = 0 if self.seen - at > _QUIET else level
        new = 0 if found is None else 2 if found.grave else 1
        if new >= level:
            self.heard[alarm.code] = new, self.seen
        if found is None or new <= level:
            return None
        own = alarm.found(replace(view, now={**view.now, **view.last}))
        if own and own.grave >= found.grave:
            return Found(own.text, found.grave)
        return Found(f"{found.text} This is a mean of the last steps.", found.grave)

    def check_not_flat(self, step: int) -> None:
        """FlatReward where three rollouts in a row scored all alike, so that nothing can be learned.

        Not where none came to an end: those score alike because they were cut off, which W_ENDED says, and may end yet.
        """
        spreads = [each.get("reward/std", 1.0) if each.get("response/ended") else 1.0 for each in self.raw][-_STEPS:]
        if len(spreads) == _STEPS and max(spreads) < 1e-6:
            raise FlatReward(
                f"Up to step {step}, all responses of three rollouts in a row got the same score, so there is nothing "
                "to learn from them. Go back to an earlier checkpoint, or rank prompts whose answers differ and train "
                "the reward model again."
            )


def alarms() -> tuple[Alarm, ...]:
    """Every rule."""
    again = "Go back to an earlier checkpoint and double beta."
    slower = "Halve the learning rate, or go back to a checkpoint and halve it there."
    return (
        Alarm("W_RATIO", _ratio, ("policy/ratio_first",), "Stop the run, and start it in another precision.", after=1),
        Alarm("W_RATIO_MEAN", _ratio_mean, ("policy/ratio_mean",), slower),
        Alarm("W_UPDATE_KL", _update_kl, ("kl/update",), slower),
        Alarm(
            "W_CLIP", _clip, ("policy/clip_fraction",), "Halve the learning rate, or start anew with one epoch a step."
        ),
        Alarm("W_GRADIENT", _gradient, ("policy/grad_norm",), "Halve the learning rate; if it stays, go back."),
        Alarm("W_KL_HIGH", _kl, ("kl/reference", "response/length"), "Double beta, or go back to a checkpoint."),
        Alarm("W_KL_NEGATIVE", _kl_negative, ("kl/k1", "kl/reference"), "Stop the run, and start it anew from SFT."),
        Alarm("W_STUCK", _stuck, ("reward/score", "kl/reference"), "Halve beta, or double the learning rate."),
        Alarm("W_ENTROPY_LOW", _entropy_low, ("policy/entropy",), again),
        Alarm("W_ENTROPY_HIGH", _entropy_high, ("policy/entropy",), "Halve the learning rate and double beta."),
        Alarm("W_COLLAPSE", _collapse, ("response/distinct",), again),
        Alarm(
            "W_LENGTH", _length, ("response/length",), "Rank some long and some short answers, then train the reward."
        ),
        Alarm("W_ENDED", _ended, ("response/ended",), "Start anew with longer responses or missing EOS on replace."),
        Alarm(
            "W_VALUE", _value, ("value/explained_variance",), "Let it run; if it stays, halve the learning rate.", 11
        ),
        Alarm("W_VALUE_LOSS", _value_loss, ("loss/value",), "Halve the learning rate; if it stays, go back."),
        Alarm("W_VALUE_CLIP", _value_clip, ("value/clip_fraction",), "Start anew with a larger value clip."),
        Alarm("W_SCORE_CAP", _score_cap, ("reward/score",), "Stop here, and rank answers of this policy."),
        Alarm("W_SCORE_HIGH", _score_high, ("reward/score",), "Double beta, or rank answers of this policy."),
        Alarm("W_SCALE", _scale, ("reward/score",), "Rank answers to prompts like these, then train the reward.", 1),
        Alarm("W_FLAT", _flat, ("reward/std",), "Go back, or rank prompts whose answers clearly differ.", 1),
    )


def _yellow(text: str) -> Found:
    return Found(text, False)


def _red(text: str) -> Found:
    return Found(text, True)


def _ratio(view: View) -> Found | None:
    """One step is proof enough. In float32 it is 0 and even a small difference is an error; bfloat16 rounds."""
    value = view.last.get("policy/ratio_first", 0.0)
    text = (
        f"The first update of a step begins at a log-ratio of {value:.2g} instead of 0: "
        "sampling and training do not compute the same numbers."
    )
    if value > 0.05:
        return _red(text)
    return _yellow(text) if value > (1e-3 if view.setup.exact else 0.02) else None


def _ratio_mean(view: View) -> Found | None:
    value = view.now["policy/ratio_mean"]
    text = f"An update makes the sampled words {value:.2f} times as likely on average; healthy is 0.8 to 1.25."
    if value > 10:
        return _red(text)
    return None if 0.8 <= value <= 1.25 else _yellow(text)


def _update_kl(view: View) -> Found | None:
    value = view.now["kl/update"]
    text = (
        f"One step moves the policy by {value:.3f} nats a token; healthy is 0.001 to 0.02. "
        "The learning rate is likely too high."
    )
    if value > 0.05:
        return _red(text)
    return _yellow(text) if value > 0.02 else None


def _clip(view: View) -> Found | None:
    share = view.now["policy/clip_fraction"]
    text = f"{share:.0%} of the tokens are clipped in an update, so much of it is lost. It tries to go too far at once."
    if share > 0.5:
        return _red(text)
    return _yellow(text) if share > 0.3 else None


def _gradient(view: View) -> Found | None:
    times = view.times_usual("policy/grad_norm")
    text = f"The gradient is {times:.0f} times as large as usual: some responses pull much harder than the others."
    return _yellow(text) if times > 5 else None


def _kl(view: View) -> Found | None:
    nats, length, target = view.now["kl/reference"], max(view.now["response/length"], 1.0), view.setup.target_kl
    away = f"The policy is {nats:.1f} nats a response away from SFT"
    # 0.3 a token counts from the first threshold on: with answers of 28 tokens, recorded runs that ended well stand at
    # 0.35 although their 7 to 10 nats are within what is healthy.
    if nats > 30 or (nats > 15 and nats / length > 0.3):
        return _red(f"{away}, {nats / length:.2f} a token: far more than a score can justify.")
    earlier = [each["kl/reference"] for each in view.smooth if "kl/reference" in each][-_STEPS:]
    # Doubling in 3 steps is an explosion only from 10 on: recorded healthy runs go from 0.2 to 0.6 and from 0.9 to 1.8.
    if len(earlier) == _STEPS and nats > 10 and nats > 2 * earlier[0]:
        return _red(f"{away}, twice as far as {_STEPS} steps ago: it runs away, and beta is too small to hold it.")
    if target and nats > 2 * target:
        return _yellow(f"{away}, more than twice the target of {target:g}: beta has not caught up.")
    return _yellow(f"{away}, beyond the healthy 2 to 15: the score is cheap to please.") if nats > 15 else None


def _kl_negative(view: View) -> Found | None:
    """The exact KL is the mean that the sampled k1 scatters about, by sqrt(2 KL / B); it cannot lie far below 0."""
    error = math.sqrt(2 * max(view.now["kl/reference"], 0.0) / view.setup.batch) + 1e-4
    off = -view.now["kl/k1"] / error
    text = (
        f"The KL of the sampled words is {view.now['kl/k1']:.2f}, {off:.0f} standard errors below 0, "
        "which a KL cannot be. Likely the reference moved, or sampling and training use different temperatures."
    )
    if off > 5:
        return _red(text)
    return _yellow(text) if off > 2 else None


def _stuck(view: View) -> Found | None:
    gain, nats = view.now["reward/score"] - view.first["reward/score"], view.now["kl/reference"]
    if view.seen < 30 or gain >= 0.1 or nats >= 0.5:
        return None
    return _yellow(
        f"After {view.seen} steps the score has gained {gain:.2f} and the policy is {nats:.2f} nats from SFT: "
        "it is held too tight, or learns too slowly."
    )


def _entropy_low(view: View) -> Found | None:
    value, first = view.now["policy/entropy"], view.first["policy/entropy"]
    text = f"The policy is becoming too sure of its words: {value:.2f} nats a token, {first:.2f} at the start."
    # Below 0.1 is collapse for a policy that has come down to it, not for one that was as sure from the start.
    if value < 0.3 * first or value < min(0.1, 0.5 * first):
        return _red(text)
    return _yellow(text) if value < 0.5 * first else None


def _entropy_high(view: View) -> Found | None:
    value, first = view.now["policy/entropy"], view.first["policy/entropy"]
    if value <= max(1.5 * first, 0.1):
        return None
    return _red(
        f"The policy chooses its words more and more at random: {value:.2f} nats a token, {first:.2f} at the start."
    )


def _collapse(view: View) -> Found | None:
    share = view.now["response/distinct"]
    text = f"Only {share:.0%} of a step's responses differ from one another: the policy repeats what scored well."
    if share < 0.5:
        return _red(text)
    if share < 0.7:
        return _yellow(text)
    phrase = view.now.get("response/phrase", 0.0)
    text = f"The same words stand in the answers to {phrase:.0%} of the prompts: the policy repeats what scored well."
    return _yellow(text) if phrase > 0.2 else None


def _length(view: View) -> Found | None:
    """Never red: whether the gain would be gone at equal length, which the table asks for too, is not measured."""
    value, first = view.now["response/length"], view.first["response/length"]
    why, related = "length may be what the score rewards.", view.now.get("reward/length_correlation", 0.0)
    if not 0.5 * first <= value <= 1.5 * first:
        return _yellow(f"Responses have {value:.0f} tokens on average, {first:.0f} at the start: {why}")
    return _yellow(f"Longer responses score higher (rank correlation {related:.2f}): {why}") if related > 0.5 else None


def _scale(view: View) -> Found | None:
    """Three standard errors of a mean, or 0.3: of the first step alone, whose policy is the reference to which the mean
    of 0 belongs. Where many are cut off, that alone moves it, and W_ENDED says so."""
    value, ended = view.last["reward/score"], view.last.get("response/ended", 1.0)
    if view.seen > 1 or ended < 0.9 or abs(value) <= max(0.3, 3 / math.sqrt(view.setup.batch)):
        return None
    return _yellow(
        f"Before anything was learned, responses score {value:.2f} on average and not 0: the reward model was scaled "
        "on prompts of another kind. Hold scores against this step's and not against 0."
    )


def _ended(view: View) -> Found | None:
    share = view.now["response/ended"]
    text = f"Only {share:.0%} of the responses come to an end in the tokens allowed: the others are cut off."
    if share < 0.7:
        return _red(text)
    return _yellow(text) if share < 0.9 else None


def _value(view: View) -> Found | None:
    fit = view.now["value/explained_variance"]
    text = f"The value head explains nothing of the returns ({fit:.2f}), so advantages are noisier than they need be."
    # Not below 0: of the recorded runs that win 3 in 4 duels, each comes down to -0.1 to -0.4, since the scores to
    # explain grow alike; the one that was driven too hard, to -0.9.
    return _red(text) if fit < -1 else _yellow(text) if fit < -0.5 else None


def _value_loss(view: View) -> Found | None:
    times = view.times_usual("loss/value")
    text = f"The value loss is {times:.0f} times as large as usual: the returns change faster than the head follows."
    if times > 20:
        return _red(text)
    return _yellow(text) if times > 5 else None


def _value_clip(view: View) -> Found | None:
    share = view.now["value/clip_fraction"]
    text = f"{share:.0%} of the values move as far as they may in a step: the clip does not suit the scores."
    return _red(text) if share > 0.5 else None


def _score_cap(view: View) -> Found | None:
    score, cap = view.now["reward/score"], view.setup.score_clip
    text = f"The mean score is {score:.1f}, at the cap of {cap:g}: the reward model is far outside what it knows."
    return _red(text) if score > 0.9 * cap else None


def _score_high(view: View) -> Found | None:
    """The highest of the reference's 256 scores, the last quantile kept, stands at its 99.6th percentile on average."""
    score, highest = view.now["reward/score"], view.setup.highest
    if score <= highest:
        return None
    return _yellow(
        f"The mean score is {score:.1f}, above the best of SFT's own responses ({highest:.1f}): "
        "the reward model judges what it has never seen, and may be wrong about it."
    )


def _flat(view: View) -> Found | None:
    spread = view.last.get("reward/std", 1.0)
    text = f"All responses score alike (spread {spread:.2g}), so there is next to nothing to learn from."
    return _red(text) if spread < 1e-6 else _yellow(text) if spread < 1e-3 else None
