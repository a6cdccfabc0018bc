"""What a reward model is worth on unseen rankings: accuracy, calibration, length bias, disagreements, raters."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from lab.cast import Scale
from lab.losses import Groups, bt_accuracy, calibration, pairs_of


@dataclass(frozen=True, slots=True)
class Scored:
    """A ranking as the reward model scores it: raw scores [K], the person's groups, lengths in tokens.

    `about` is what its prompt has in common with others of the same question.
    """

    raw: torch.Tensor
    groups: Groups
    lengths: tuple[int, ...]
    rater: str = ""
    seq: int = 0
    about: Hashable = None

    @property
    def deltas(self) -> torch.Tensor:
        """Score of the better minus score of the worse, one for each pair."""
        better, worse = zip(*pairs_of(self.groups), strict=True)
        return self.raw[list(better)] - self.raw[list(worse)]


def accuracy_of(test: Sequence[Scored]) -> float:
    """Share of pairs that the scores order as the person did."""
    return float(bt_accuracy(torch.cat([each.deltas for each in test])))


def evaluate(test: Sequence[Scored], scale: Scale) -> dict[str, Any]:
    """Everything that the Reward page shows; intervals are 95 %, by bootstrap over prompts."""
    deltas = [each.deltas for each in test]
    every = torch.cat(deltas)
    low, high = interval(by_question(deltas, [each.about for each in test]))
    fit = calibration(every)
    return {
        "pairs/accuracy": float(bt_accuracy(every)),
        "pairs/accuracy_low": low,
        "pairs/accuracy_high": high,
        "pairs/margin": every.mean().item() * scale.gain,
        "pairs/calibration_error": float(fit["ece"]),
        "pairs/nll": float(fit["nll"]),
        "pairs": len(every),
        "calibration": bins(every),
        "length_correlation": length_correlation(test),
        "disagreements": disagreements(test, scale),
        "raters": {rater: accuracy_of([each for each in test if each.rater == rater]) for rater in _raters(test)},
    }


def _raters(test: Sequence[Scored]) -> list[str]:
    return sorted({each.rater for each in test})


def by_question(deltas: Sequence[torch.Tensor], about: Sequence[Hashable]) -> list[torch.Tensor]:
    """The pairs of all rankings of a question together: they are alike, so that they are no independent witnesses."""
    found: dict[Hashable, list[torch.Tensor]] = {}
    for place, (delta, question) in enumerate(zip(deltas, about, strict=True)):
        found.setdefault(place if question is None else question, []).append(delta)
    return [torch.cat(each) for each in found.values()]


def interval(deltas: Sequence[torch.Tensor], draws: int = 1000) -> tuple[float, float]:
    """Percentiles 2.5 and 97.5 of the accuracy when prompts are drawn again with replacement.

    One prompt all right and one all wrong stand among them (after Agresti and Coull 1998): else two prompts that happen
    to be alike would leave no doubt.
    """
    generator = torch.Generator().manual_seed(0)
    right = torch.tensor([float(bt_accuracy(delta)) * len(delta) for delta in deltas])
    count = torch.tensor([float(len(delta)) for delta in deltas])
    found, usual = (right.sum() / count.sum()).item(), count.mean()
    right, count = torch.cat([right, torch.stack([usual, 0 * usual])]), torch.cat([count, usual.expand(2)])
    index = torch.randint(len(count), (draws, len(count)), generator=generator)
    accuracy = right[index].sum(1) / count[index].sum(1)
    low, high = accuracy.quantile(torch.tensor([0.025, 0.975])).tolist()
    return min(low, found), max(high, found)


def bins(deltas: torch.Tensor, count: int = 5) -> list[dict[str, float]]:
    """How sure the model was and how often it was right, in equal bins of its confidence on [0.5, 1]."""
    p = deltas.double().sigmoid()
    confidence = torch.maximum(p, 1 - p)
    which = ((confidence - 0.5) * 2 * count).long().clamp(max=count - 1)
    found = []
    for index in range(count):
        chosen = which == index
        if chosen.any():
            sure = confidence[chosen].mean().item()
            found.append(
                {"confidence": sure, "accuracy": float(bt_accuracy(deltas[chosen])), "count": int(chosen.sum())}
            )
    return found


def length_correlation(test: Sequence[Scored]) -> float | None:
    """Spearman's correlation of score and length over all responses; None when one of them does not vary."""
    scores = torch.cat([each.raw for each in test])
    return rank_correlation(scores, torch.tensor([length for each in test for length in each.lengths]))


def rank_correlation(x: torch.Tensor, y: torch.Tensor) -> float | None:
    """Spearman's correlation of two measures [N] of the same things; None when one of them does not vary."""
    ranks = [_ranks(each).double() - _ranks(each).double().mean() for each in (x, y)]
    spread = ranks[0].norm() * ranks[1].norm()
    return float(ranks[0] @ ranks[1] / spread) if spread > 0 else None


def _ranks(x: torch.Tensor) -> torch.Tensor:
    """Ranks from 0, equal values share their mean rank."""
    _, which, count = x.unique(return_inverse=True, return_counts=True)
    return (count.cumsum(0) - (count + 1) / 2)[which]


def disagreements(test: Sequence[Scored], scale: Scale, most: int = 20) -> list[dict[str, float]]:
    """The rankings with the pair that the model most surely orders the other way, worst first."""
    found = []
    for each in test:
        pairs = pairs_of(each.groups)
        worst = int(each.deltas.argmin())
        if each.deltas[worst] < 0:
            better, worse = pairs[worst]
            margin = float(-each.deltas[worst] * scale.gain)
            found.append({"seq": each.seq, "better": better, "worse": worse, "margin": margin})
    return sorted(found, key=lambda row: -row["margin"])[:most]
