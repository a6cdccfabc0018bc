"""Every metric once: what it means in plain words, its unit and where it is healthy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a run; `low` to `high` is its healthy range, None is open, and a `shown` one is a curve by default.

    `unit` stands behind the number, or is "share" (0 to 1, shown as per cent), "seconds" or "bytes". `source` is the
    formula or the estimator, for those who want to check it.
    """

    key: str
    title: str
    meaning: str
    unit: str = ""
    low: float | None = None
    high: float | None = None
    stages: tuple[str, ...] = ("ppo", "rloo", "grpo")
    shown: bool = False
    source: str = ""


_ALL = (
    # What PPO is for, and what it pays.
    Metric(
        "reward/score",
        "Score",
        "How much the reward model likes the answers of this step, on average. 0 is what the model scored before "
        "PPO, and 1 is one standard deviation better. It should rise and then level off; a score that only rises "
        "may be cheating.",
        shown=True,
        source="mean of gain * raw + bias over the rollout, after the rule for cut-off answers and clipping",
    ),
    Metric(
        "reward/total",
        "Score minus the price of KL",
        "What PPO maximises: the score less beta for every nat that the answers moved from where they started. "
        "If it falls while the score rises, the move costs more than it earns.",
        source="mean of score - beta * k1 summed over the response",
    ),
    Metric(
        "reward/raw",
        "Raw output of the reward model",
        "The reward model's own number before it is put on the scale of the score. Only differences between answers "
        "mean anything.",
        source="mean of the reward head's output at the last token",
    ),
    Metric(
        "reward/std",
        "Spread of the scores",
        "How much the scores of one step differ from one another. Near 0 there is nothing left to learn from: all "
        "answers are alike.",
        low=0.1,
        source="population standard deviation of the scores of a rollout",
    ),
    Metric(
        "reward/length_correlation",
        "Score and length",
        "Whether longer answers of a step score higher: 1 always, 0 not at all, -1 the other way round. Far above 0 "
        "the model may learn to talk on rather than to answer well.",
        low=-0.5,
        high=0.5,
        source="Spearman's rank correlation of the reward head's output and the number of tokens over a rollout",
    ),
    Metric(
        "kl/reference",
        "KL to the start",
        "How far the model has moved from the one it started as, in nats an answer. 0 is the same model. It grows "
        "quickly at first and should flatten; far above its healthy range, answers usually turn strange even while "
        "the score rises.",
        unit="nats",
        low=0.0,
        high=15.0,
        shown=True,
        source="exact: summed over the vocabulary at every token and over the response, mean over responses",
    ),
    Metric(
        "kl/k1",
        "KL to the start, sampled",
        "A noisier measure of the same distance, from the sampled words alone; it is what the reward subtracts. "
        "It may dip below 0 by chance, but not for long.",
        unit="nats",
        source="mean over responses of the sum of log policy - log reference (k1, Schulman 2020)",
    ),
    Metric(
        "kl/k3",
        "KL to the start, sampled without negatives",
        "A third estimate of the same distance that is never below 0. The three should tell one story.",
        unit="nats",
        source="mean over responses of the sum of expm1(-r) + r, r = log policy - log reference (k3, Schulman 2020)",
    ),
    Metric(
        "kl/update",
        "KL of one step",
        "How far this step alone moved the model, in nats a token. Too much in one step means that the learning "
        "rate is too high.",
        unit="nats a token",
        low=0.0,
        high=0.02,
        source="k3 of the policy that sampled against the policy now, mean over tokens and minibatches",
    ),
    Metric(
        "kl/beta",
        "Beta",
        "The price of a nat in force at this step. A higher price keeps the model closer to where it started; at a low "
        "one it can trade what is true for a manner that scores well.",
    ),
    Metric(
        "policy/entropy",
        "Entropy",
        "How unsure the model is of its next word, in nats a token. It falls a little as the model makes up its "
        "mind; near 0 it says the same thing again and again, and a strong rise means gibberish.",
        unit="nats a token",
        low=0.1,
        shown=True,
        source="mean over response tokens of the entropy of the next-token distribution",
    ),
    Metric(
        "policy/clip_fraction",
        "Clipped",
        "The share of words at which PPO's brake held an update back. Above a third, the steps are too large.",
        unit="share",
        low=0.0,
        high=0.3,
        shown=True,
        source="share of tokens whose ratio left 1 - clip to 1 + clip where that raises the loss",
    ),
    Metric(
        "policy/ratio_first",
        "Self-check before the first update",
        "Before anything is learned from a step, the model must agree exactly with itself. Anything but 0 points to "
        "a fault in the numbers, not in the model.",
        unit="nats",
        low=0.0,
        high=0.02,
        source="largest |log ratio| over the first minibatch",
    ),
    Metric(
        "policy/ratio_mean",
        "Mean ratio",
        "How much likelier the sampled words are after the update than before it. It stays near 1 when steps are "
        "small.",
        low=0.8,
        high=1.25,
        source="mean over tokens of exp(log policy now - log policy that sampled)",
    ),
    Metric(
        "policy/grad_norm",
        "Gradient size",
        "How hard this step pulls on the weights, before the pull is limited. Sudden spikes come before trouble.",
        source="Euclidean norm over the parameters of the policy, and of a value head on its states, before clipping",
    ),
    Metric(
        "policy/updates",
        "Updates in the step",
        "How many optimiser steps were taken. Fewer than planned: the step had moved far enough and ended early.",
        source="minibatches over all epochs, in PPO until the limit of kl/update",
    ),
    Metric(
        "loss/policy",
        "Policy loss",
        "What the optimiser minimises for the policy. It hovers around 0 and says little by itself: look at score "
        "and KL.",
        source="clipped surrogate with the sign of a loss (Schulman 2017, equation 7)",
    ),
    Metric(
        "loss/value",
        "Value loss",
        "How wrong the value head's forecast of the score is. It falls at first and is noisy later.",
        source="half the squared error, the worse of plain and clipped",
        stages=("ppo",),
    ),
    Metric(
        "value/explained_variance",
        "Value fit",
        "How well the value head foresees the score of an answer while it is being written. 100 % is perfect, 0 is "
        "no better than always guessing the average, and below 0 is worse than that.",
        unit="share",
        low=0.0,
        high=1.0,
        shown=True,
        source="1 - Var(return - value) / Var(return) over response tokens",
        stages=("ppo",),
    ),
    Metric(
        "value/clip_fraction",
        "Value updates clipped",
        "The share of tokens at which the value head was held back. Above a half, the scale of the values is wrong.",
        unit="share",
        low=0.0,
        high=0.5,
        source="share of tokens whose value moved further than value_clip from the rollout's",
        stages=("ppo",),
    ),
    Metric(
        "response/length",
        "Length",
        "How long the answers are. A steady climb often means that the model learned 'longer scores better' instead "
        "of 'better'.",
        unit="tokens",
        shown=True,
        source="mean number of response tokens, the end token included",
    ),
    Metric(
        "response/ended",
        "Ended by themselves",
        "The share of answers that came to an end before they were cut off at the longest allowed length.",
        unit="share",
        low=0.9,
        high=1.0,
        shown=True,
        source="share of responses whose last token is a stop token",
    ),
    Metric(
        "response/distinct",
        "Different answers",
        "The share of answers in a step that are not word for word the same as another. When it falls, the model "
        "has found one answer that always pays.",
        unit="share",
        low=0.7,
        high=1.0,
        shown=True,
        source="distinct token sequences divided by responses",
    ),
    Metric(
        "response/phrase",
        "Same phrase",
        "The share of the prompts that are answered with one and the same phrase somewhere, the most common one. When "
        "it grows, the model has found words that always pay, whatever was asked.",
        unit="share",
        low=0.0,
        high=0.2,
        source="most common 8 tokens in a row, by different prompts; at least 10 of these",
    ),
    # Learning from examples and from rankings.
    Metric(
        "loss/train",
        "Loss while learning",
        "How surprised the model is by what it is being taught: lower is better, and it is noisy from step to step. "
        "On the Reward page 0.69 is a coin toss, where pairs are learned.",
        unit="nats",
        stages=("sft", "reward", "dpo"),
        shown=True,
        source="sft: mean -log p of a response token; reward: mean -log sigmoid(score difference) over a "
        "ranking's pairs, then over rankings",
    ),
    Metric(
        "loss/held_out",
        "Loss on unseen examples",
        "The same surprise on examples kept aside. When it rises while the other falls, the model learns by heart.",
        unit="nats",
        stages=("sft",),
        shown=True,
        source="mean -log p of a response token over the held-out pairs",
    ),
    Metric(
        "pairs/train_accuracy",
        "Right on known pairs",
        "How often the reward model agrees with the rankings it is being taught. It may well reach 100 %; what "
        "counts is the same number on pairs it never saw.",
        unit="share",
        low=0.5,
        high=1.0,
        stages=("reward", "dpo"),
        shown=True,
        source="share of pairs scored in the person's order, equal scores count one half",
    ),
    Metric(
        "pairs/accuracy",
        "Right on unseen pairs",
        "How often the reward model agrees with rankings it never saw. 50 % is guessing; people agree with one "
        "another on about 75 %.",
        unit="share",
        low=0.55,
        high=1.0,
        stages=("reward",),
        shown=True,
        source="share of held-out pairs scored in the person's order; prompts are held out, not pairs",
    ),
    Metric(
        "pairs/margin",
        "Margin",
        "How far apart it scores the better and the worse answer of an unseen pair, on average. Below 0 it prefers "
        "the wrong one.",
        low=0.0,
        stages=("reward",),
        source="mean score of the chosen minus that of the rejected, over held-out pairs",
    ),
    Metric(
        "pairs/calibration_error",
        "Calibration error",
        "How far its confidence is from the truth: at 5 %, what it calls 80 % sure comes true 75 to 85 % of the time.",
        unit="share",
        low=0.0,
        high=0.1,
        stages=("reward",),
        source="expected calibration error, 10 equal bins of confidence from 0.5 to 1",
    ),
    Metric(
        "pairs/nll",
        "Surprise on unseen pairs",
        "How surprised it is by unseen rankings: 0.69 is a coin toss, and being wrong with great confidence costs "
        "most.",
        unit="nats",
        low=0.0,
        high=0.69,
        stages=("reward",),
        source="mean -log sigmoid(score difference) over held-out pairs",
    ),
    Metric(
        "gradient/norm",
        "Gradient size",
        "How hard this step pulls on the weights, before the pull is limited. Sudden spikes come before trouble.",
        stages=("sft", "reward", "dpo"),
        source="Euclidean norm over the trained parameters, before clipping",
    ),
    Metric(
        "update/skipped",
        "Updates left out",
        "How many updates of the step were left out because a loss, a gradient or a score was not a number. Anything "
        "but 0 means that the steps are too large; after three in a row the run goes back.",
        low=0.0,
        high=0.5,
        stages=("sft", "reward", "ppo", "rloo", "grpo", "dpo"),
        source="updates whose loss, gradient norm, score or KL is not finite; a rollout that is not counts as one",
    ),
    # Time and memory.
    Metric(
        "time/step",
        "Time of a step",
        "How long one step takes from end to end.",
        unit="seconds",
        stages=("sft", "reward", "ppo", "rloo", "grpo", "dpo"),
    ),
    Metric("time/rollout", "Time to answer", "How long the model takes to write the answers of a step.", "seconds"),
    Metric("time/score", "Time to score", "How long scoring the answers takes, in every role.", "seconds"),
    Metric("time/update", "Time to learn", "How long the updates of a step take.", "seconds"),
    Metric(
        "speed/tokens_per_second",
        "Speed",
        "Tokens worked through each second.",
        unit="tokens a second",
        stages=("sft", "ppo", "rloo", "grpo"),
    ),
    Metric(
        "memory/peak_bytes",
        "Memory at most",
        "The most memory that the process has held so far, in this run or one before it.",
        unit="bytes",
    ),
)

GLOSSARY: Mapping[str, Metric] = MappingProxyType({metric.key: metric for metric in _ALL})


def measured(*stages: str) -> tuple[Metric, ...]:
    """The metrics of some stages, or of "all": the curves that are shown by default come first."""
    own = [metric for metric in GLOSSARY.values() if {"all", *metric.stages} & set(stages)]
    return tuple(sorted(own, key=lambda metric: not metric.shown))
