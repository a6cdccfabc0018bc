"""Which policy is better: the same unseen prompts, a judge, a win rate with its interval, and the price in KL."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass

import torch

from lab import logprobs, losses
from lab.cast import Cast
from lab.config import Compare
from lab.errors import NoRows
from lab.evaluate import interval
from lab.events import Event, Finished, Progress, Sample, Started
from lab.generate import sample
from lab.models import Roles
from lab.shortage import in_parts
from lab.steps import as_dict, step_seed
from lab.text import Asked, batch_of

Judge = Callable[[str, str, bool], float]
_GROUP, _READ = 32, 8  # prompts that are answered together, and answers that are read together


@dataclass(frozen=True, slots=True)
class Answers:
    """One policy's responses to the prompts of a comparison, with their scores [N] and exact KL in nats a response.

    scores: None where the cast has no reward model.
    """

    ids: list[list[int]]
    texts: list[str]
    ended: list[bool]
    scores: torch.Tensor | None
    kl: float

    def score(self) -> float | None:
        """The mean score."""
        return None if self.scores is None else self.scores.mean().item()


def compare(
    roles: Roles, cast: Cast, pair: tuple[str, str], prompts: Sequence[Asked], judge: Judge | None, config: Compare
) -> Iterator[Event]:
    """Both policies answer every prompt; the Finished event says how often the judge prefers the first.

    Without a judge the reward model's score decides, which the cast then must have.
    """
    if not prompts:
        raise NoRows("There is no prompt to compare on. Give at least two.")
    yield Started("compare", 2 * len(prompts), as_dict(config))
    ours = yield from answers(roles, cast, pair[0], prompts, config, side=1, best_of=config.best_of)
    theirs = yield from answers(roles, cast, pair[1], prompts, config, side=2)
    for row, prompt in enumerate(prompts[:20]):
        for name, each in zip(pair, (ours, theirs), strict=True):
            score = None if each.scores is None else each.scores[row].item()
            yield Sample(row, prompt.text, each.texts[row], score, None, len(each.ids[row]), False, name)
    result = win_rate(ours, theirs, prompts, judge) | {"count": len(prompts), "a": pair[0], "b": pair[1]}
    result |= {"kl_a": ours.kl, "kl_b": theirs.kl}
    result |= {"score_a": ours.score(), "score_b": theirs.score()}
    yield Finished(2 * len(prompts), "done", result)


def answers(
    roles: Roles, cast: Cast, role: str, prompts: Sequence[Asked], config: Compare, *, side: int, best_of: int = 1
) -> Generator[Event, None, Answers]:
    """The policy's answers, or the best scored of `best_of`, whose KL is then the bound log n - (n-1)/n.

    The best of several is told by the reward model, which the cast then must have.
    """
    rounds = []
    for i in range(best_of):
        found: list[tuple[list[list[int]], torch.Tensor | None, torch.Tensor]] = []
        for start in range(0, len(prompts), _GROUP):
            group = [prompt.ids for prompt in prompts[start : start + _GROUP]]
            drawn = step_seed(seed_of(config.seed, side, i), start)
            found.append(_answer(roles, cast, role, group, config, drawn))
            yield Progress(f"answers of {role}", len(prompts) * i + start + len(group), len(prompts) * best_of)
        ids, scores, kl = zip(*found, strict=True)
        rounds.append(([each for part in ids for each in part], _joined(scores), torch.cat(kl).mean().item()))
    ids, scores, kl = rounds[0]
    if best_of > 1:
        scores, best = torch.stack([scored for _, scored, _ in rounds]).max(0)
        ids, kl = [rounds[one][0][row] for row, one in enumerate(best.tolist())], losses.best_of_n_kl(best_of)
    stops = frozenset(roles.text.eos_ids)
    return Answers(ids, [roles.text.decode(i) for i in ids], [i[-1] in stops for i in ids], scores, kl)


def seed_of(seed: int, side: int, round_: int) -> int:
    """Another one for each side, 1 to 9, and round, 0 to 99: hundreds and ones count the round, tens the side."""
    return 1000 * (seed + 1) + 100 * (round_ // 10) + 10 * side + round_ % 10


def _joined(parts: Sequence[torch.Tensor | None]) -> torch.Tensor | None:
    return None if parts[0] is None else torch.cat(parts)


def _answer(
    roles: Roles, cast: Cast, role: str, group: list, config: Compare, seed: int
) -> tuple[list[list[int]], torch.Tensor | None, torch.Tensor]:
    """Responses, their scores [n] (None without a reward model) and exact KL [n] to the reference."""
    ids = sample(roles, role, group, tokens=config.tokens, temperature=config.temperature, seed=seed)
    rows = list(zip(group, ids, strict=True))
    parts, _ = in_parts(lambda some: _read(roles, cast, role, some, config), rows, _READ)
    scores, kl = zip(*parts, strict=True)
    return ids, _joined(scores), torch.cat(kl)


@torch.no_grad()
def _read(
    roles: Roles, cast: Cast, role: str, rows: Sequence, config: Compare
) -> tuple[torch.Tensor | None, torch.Tensor]:
    """Scores [n] and exact KL [n] of prompts with their responses."""
    batch = batch_of(*zip(*rows, strict=True), roles.text.pad_id).to(roles.device)
    policy, reference = (roles.hidden(each, batch)[:, :-1] for each in (role, cast.reference))
    read = logprobs.read(roles, policy, reference, batch.responses, batch.mask, config.temperature)
    kl = read[2].sum(1).cpu()
    if not cast.reward:
        return None, kl
    return cast.scale.of(roles.raw_scores(batch, cast.reward)).cpu(), kl


def win_rate(ours: Answers, theirs: Answers, prompts: Sequence[Asked], judge: Judge | None = None) -> dict[str, float]:
    """Share of prompts on which the judge prefers ours, ties a half, with its 95 % interval.

    The interval is evaluate's, as for a reward model's accuracy: a bootstrap over prompts, among which one won and one
    lost stand, so that twenty of twenty still leave a doubt.
    """
    won = []
    for row, prompt in enumerate(prompts):
        if judge:
            a, b = (judge(prompt.text, each.texts[row], each.ended[row]) for each in (ours, theirs))
        else:
            a, b = ours.scores[row].item(), theirs.scores[row].item()
        won.append(0.5 if a == b else float(a > b))
    low, high = interval(list(torch.tensor(won).sub(0.5).split(1)))
    return {"win_rate": sum(won) / len(won), "low": low, "high": high}
