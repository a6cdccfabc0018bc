"""A linear head on frozen states: where the reward model begins, and a quick stand-in for it in the learning curve."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from random import Random

import torch

from lab.config import RANKINGS_FOR_CURVE
from lab.evaluate import Scored, by_question, interval
from lab.events import Event, Progress
from lab.losses import Groups, bt_accuracy, pair_logprob
from lab.models import Roles
from lab.steps import part_by_part
from lab.text import batch_of

# Each part of the rankings is drawn anew DRAWS times, since a dozen rankings are luck; all of them are there only once.
SHARES, DRAWS = (0.25, 0.5, 0.75, 1.0), 4
MOST, TOGETHER = 2000, 8
# The pull towards 0 of a weight on a state of deviation 1, against a sum over pairs.
RIDGE, ROUNDS = 100.0, 60
CURVE = "learning curve"
Point = dict[str, float]
Read = tuple[torch.Tensor, Groups]


def learning_curve(
    roles: Roles, role: str, train: Sequence, test: Sequence, seed: int = 0
) -> Generator[Event, None, list[Point]]:
    """Accuracy on all test pairs with a 95 % interval, after learning from each share of the training rankings.

    `role` must not have learned from these rankings itself; [] where there are too few. `train` and `test` are
    reward.Ranked. Costs one reading of the rankings and a second of algebra, where training anew costs minutes.
    """
    if len(train) < RANKINGS_FOR_CURVE or not test:
        return []
    chosen = Random(f"probe {seed}").sample(list(train), min(len(train), MOST))
    known = yield from read(roles, role, chosen, CURVE)
    unseen = yield from read(roles, role, test, CURVE)
    spread = _spread(known)
    known, unseen = ([(states / spread, groups) for states, groups in part] for part in (known, unseen))
    about, points = [ranked.question for ranked in test], []
    for share in SHARES:
        points.append((yield from _point(known, unseen, about, round(share * len(known)), seed)))
    return points


def first_head(roles: Roles, role: str, train: Sequence, seed: int = 0) -> Generator[Event, None, torch.Tensor]:
    """The weights [h] of a reward head that orders the rankings as well as frozen states allow.

    Fitting the head before the adapter moves keeps a few rankings from bending states that serve all prompts (LP-FT,
    Kumar et al. 2022).
    """
    chosen = Random(f"head {seed}").sample(list(train), min(len(train), MOST))
    known = yield from read(roles, role, chosen, "first head")
    spread = _spread(known)
    return fit([(states / spread, groups) for states, groups in known]) / spread


def _spread(known: Sequence[Read]) -> torch.Tensor:
    """The deviation of each of the h numbers of a state."""
    return torch.cat([states for states, _ in known]).std(0) + 1e-4


def read(roles: Roles, role: str, rankings: Sequence, what: str) -> Generator[Event, None, list[Read]]:
    """The states [K, h] at each response's last token, where the reward head stands, and the person's groups."""
    return (yield from part_by_part(what, lambda some: _read(roles, role, some), rankings, TOGETHER))


@torch.no_grad()
def _read(roles: Roles, role: str, rankings: Sequence) -> list[Read]:
    prompts = [ranked.prompt for ranked in rankings for _ in ranked.responses]
    responses = [response for ranked in rankings for response in ranked.responses]
    batch = batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
    states = roles.at_end(role, batch).float().cpu()
    parts = states.split([len(ranked.responses) for ranked in rankings])
    return [(part, ranked.groups) for part, ranked in zip(parts, rankings, strict=True)]


def _point(
    known: Sequence[Read], unseen: Sequence[Read], about: Sequence, count: int, seed: int
) -> Generator[Event, None, Point]:
    draws = DRAWS if count < len(known) else 1
    heads = []
    for draw in range(draws):
        heads.append(fit(Random(f"{seed} {count} {draw}").sample(list(known), count)))
        yield Progress(CURVE, draw + 1, draws)
    deltas = [torch.cat([_deltas(head, states, groups) for head in heads]) for states, groups in unseen]
    low, high = interval(by_question(deltas, about))
    return {"rankings": count, "accuracy": float(bt_accuracy(torch.cat(deltas))), "low": low, "high": high}


def fit(known: Sequence[Read]) -> torch.Tensor:
    """The head [h] that makes the rankings likeliest under Bradley-Terry, held to 0 by a ridge."""
    head = torch.zeros(known[0][0].shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([head], max_iter=ROUNDS, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        deltas = torch.cat([_deltas(head, states, groups) for states, groups in known])
        value = RIDGE / 2 * head.square().sum() - pair_logprob(deltas).sum()
        value.backward()
        return value

    optimizer.step(loss)
    return head.detach()


def _deltas(head: torch.Tensor, states: torch.Tensor, groups: Groups) -> torch.Tensor:
    return Scored(states @ head, groups, ()).deltas
