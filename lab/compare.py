"""Which policy is better: the same unseen prompts, a judge, a win rate with its interval, and the price in KL."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lab import losses
from lab.generate import sample
from lab.models import Roles
from lab.reward import Scale
from lab.text import batch_of

Judge = Callable[[str, str, bool], float]


@dataclass(frozen=True, slots=True)
class Answers:
    """One policy's responses to the prompts of a comparison, with their mean score and exact KL in nats a response."""

    ids: list[list[int]]
    texts: list[str]
    ended: list[bool]
    scores: torch.Tensor  # [N]
    kl: float


def answers(
    roles: Roles, role: str, prompts: Sequence[str], scale: Scale, *, seed: int, tokens: int = 72, best_of: int = 1
) -> Answers:
    """The policy's answers, or the best scored of `best_of`, whose KL is then the bound log n - (n-1)/n."""
    asked = [roles.text.prompt_ids(prompt, room=tokens) for prompt in prompts]
    rounds = [_answer_once(roles, role, asked, scale, seed + 7919 * i, tokens) for i in range(best_of)]
    scores = torch.stack([scored for _, scored, _ in rounds])
    chosen = scores.argmax(0).tolist()
    ids = [rounds[best][0][row] for row, best in enumerate(chosen)]
    stops = frozenset(roles.text.eos_ids)
    kl = losses.best_of_n_kl(best_of) if best_of > 1 else rounds[0][2]
    return Answers(ids, [roles.text.decode(i) for i in ids], [i[-1] in stops for i in ids], scores.amax(0), float(kl))


@torch.no_grad()
def _answer_once(
    roles: Roles, role: str, asked: list[list[int]], scale: Scale, seed: int, tokens: int
) -> tuple[list[list[int]], torch.Tensor, float]:
    ids, scores, kls = [], [], []
    for start in range(0, len(asked), 64):
        group = asked[start : start + 64]
        responses = sample(roles, role, group, tokens=tokens, seed=seed + start)
        batch = batch_of(group, responses, roles.text.pad_id).to(roles.device)
        policy = roles.logits(roles.hidden(role, batch)[:, :-1])
        reference = roles.logits(roles.hidden("sft", batch)[:, :-1])
        kls.append(losses.masked_sum(losses.exact_kl(policy, reference), batch.mask, dim=1))
        scores.append(scale.gain * roles.raw_scores(batch) + scale.bias)
        ids += responses
    return ids, torch.cat(scores).cpu(), torch.cat(kls).mean().item()


def win_rate(ours: Answers, theirs: Answers, prompts: Sequence[str], judge: Judge) -> dict[str, float]:
    """Share of prompts on which the judge prefers ours, ties a half, with a 95 % normal interval of the mean."""
    won = []
    for row, prompt in enumerate(prompts):
        a = judge(prompt, ours.texts[row], ours.ended[row])
        b = judge(prompt, theirs.texts[row], theirs.ended[row])
        won.append(0.5 if a == b else float(a > b))
    mean = sum(won) / len(won)
    spread = math.sqrt(sum((each - mean) ** 2 for each in won) / max(1, len(won) - 1) / len(won))
    return {"win_rate": mean, "low": max(0.0, mean - 1.96 * spread), "high": min(1.0, mean + 1.96 * spread)}
