"""The losses at work on tables small enough for the right answer to be known in closed form."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from lab.losses import (
    bt_accuracy,
    calibration,
    dpo_loss,
    exact_kl,
    gae,
    k1,
    log_softmax_gather,
    pair_logprob,
    policy_loss,
    ranking_batch_loss,
    token_rewards,
    value_loss,
    whiten,
)

VOCABULARY, LUCKY = 32, 7


def tune(reference: Tensor, beta: float, updates: int, batch: int = 128, seed: int = 0, lam: float = 0.95) -> Tensor:
    """PPO on a table: reference [T, V] holds each position's logits; returns those of the tuned policy.

    The score is the share of lucky tokens in the response, given at its end.
    """
    generator = torch.Generator().manual_seed(seed)
    policy, value = reference.clone().requires_grad_(), torch.zeros(len(reference), requires_grad=True)
    optimizer = torch.optim.Adam([policy, value], lr=0.1)
    mask = torch.ones(batch, len(reference), dtype=torch.bool)
    for update in range(updates):
        with torch.no_grad():
            ids = torch.multinomial(policy.softmax(-1), batch, replacement=True, generator=generator).T  # [B, T]
            old, ref = (log_softmax_gather(z.expand(batch, -1, -1), ids) for z in (policy, reference))
            rewards = token_rewards((ids == LUCKY).float().mean(1), k1(old, ref), mask, beta)
            values = value.expand(batch, -1).clone()
            advantages, returns = gae(rewards, values, mask, lam=lam)
            advantages = whiten(advantages, mask)
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - update / updates)
        for rows in torch.cat([torch.randperm(batch, generator=generator) for _ in range(2)]).split(batch // 2):
            new = log_softmax_gather(policy.expand(len(rows), -1, -1), ids[rows])
            of_policy, _ = policy_loss(new, old[rows], advantages[rows], mask[rows])
            of_value, _ = value_loss(value.expand(len(rows), -1), values[rows], returns[rows], mask[rows])
            optimizer.zero_grad()
            (of_policy + of_value).backward()
            optimizer.step()
    return policy.detach()


def reference_logits(width: int, share: float) -> Tensor:
    """[T, V] random logits that give the lucky token the same share at every position."""
    others = torch.randn(width, VOCABULARY, generator=torch.Generator().manual_seed(11)).softmax(-1)
    others[:, LUCKY] = 0
    table = (1 - share) * others / others.sum(-1, keepdim=True)
    table[:, LUCKY] = share
    return table.log()


def optimum(reference: Tensor, reward: float | Tensor, beta: float) -> Tensor:
    """Logits of pi*, proportional to the reference times exp(reward / beta) on the lucky token."""
    best = reference.clone()
    best[:, LUCKY] += reward / beta
    return best.log_softmax(-1)


@pytest.mark.parametrize("seed", range(3))
def test_a_planted_token_is_found_within_25_updates(seed: int) -> None:
    tuned = tune(reference_logits(1, 0.016), beta=0.0, updates=25, batch=64, seed=seed)
    assert tuned.softmax(-1)[0, LUCKY] > 0.9


@pytest.mark.parametrize("beta", [0.3, 0.5, 1.0])
def test_ppo_ends_at_the_optimum_that_the_price_of_a_nat_defines(beta: float) -> None:
    reference = reference_logits(1, 0.03)
    tuned, best = tune(reference, beta, updates=60), optimum(reference, 1.0, beta)

    def objective(logits: Tensor) -> float:
        return float(logits.softmax(-1)[0, LUCKY] - beta * exact_kl(logits, reference)[0])

    assert abs(float((tuned.softmax(-1) - best.softmax(-1))[0, LUCKY])) < 0.02
    assert float(exact_kl(best, tuned)[0]) < 0.005
    assert objective(reference) < objective(tuned) <= objective(best) + 1e-6


@pytest.mark.parametrize(("lam", "first"), [(1.0, 0.418), (0.95, 0.253)])
def test_a_score_at_the_end_is_credited_to_each_token_and_fades_with_lambda(lam: float, first: float) -> None:
    reference = reference_logits(6, 0.025)
    tuned = tune(reference, beta=0.05, updates=100, batch=256, lam=lam).softmax(-1)[:, LUCKY]
    # This value knows the position but not the tokens so far, so what a token adds to the score reaches it only from
    # the last error, multiplied by lambda once for every step between.
    credit = lam ** torch.arange(5, -1, -1) / 6
    best = optimum(reference, credit, 0.05).softmax(-1)[:, LUCKY]
    assert float(best[0]) == pytest.approx(first, abs=1e-3)
    assert float(best[-1]) == pytest.approx(0.418, abs=1e-3)
    assert tuned.tolist() == pytest.approx(best.tolist(), abs=0.06)


def test_a_huge_beta_keeps_the_policy_at_its_reference() -> None:
    reference = reference_logits(1, 0.03)
    tuned = tune(reference, beta=100.0, updates=60)
    assert float(exact_kl(tuned, reference)[0]) < 0.05
    assert abs(float(tuned.softmax(-1)[0, LUCKY]) - 0.03) < 0.01


def minimise(parameter: Tensor, loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.LBFGS([parameter], max_iter=100, tolerance_change=1e-10, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        value = loss()
        value.backward()
        return value

    optimizer.step(closure)


def ranked_prompts(prompts: int, candidates: int, truth: Tensor, seed: int) -> tuple[Tensor, list[list[list[int]]]]:
    """(features [N, K, d], rankings): a person of Bradley-Terry ranks by utility plus Gumbel noise."""
    generator = torch.Generator().manual_seed(seed)
    features = torch.randn(prompts, candidates, len(truth), dtype=torch.float64, generator=generator)
    uniform = torch.rand(prompts, candidates, dtype=torch.float64, generator=generator)
    order = (features @ truth - (-uniform.log()).log()).argsort(dim=1, descending=True)
    return features, [[[i] for i in row] for row in order.tolist()]


def fitted(features: Tensor, rankings: list[list[list[int]]], noise: float = 0.0) -> Tensor:
    weights = torch.zeros(features.shape[-1], dtype=torch.float64, requires_grad=True)
    minimise(weights, lambda: ranking_batch_loss(list(zip(features @ weights, rankings, strict=True)), noise=noise))
    return weights.detach()


def differences(scores: Tensor, rankings: list[list[list[int]]]) -> Tensor:
    """[pairs] score of the better minus score of the worse, for full rankings."""
    sorted_scores = scores.gather(1, torch.tensor(rankings).squeeze(-1))
    above, below = torch.triu_indices(scores.shape[1], scores.shape[1], offset=1)
    return (sorted_scores[:, above] - sorted_scores[:, below]).flatten()


def test_the_ranking_loss_recovers_the_utility_behind_the_rankings() -> None:
    truth = 0.9 * torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    weights = fitted(*ranked_prompts(2000, 4, truth, seed=2))
    features, rankings = ranked_prompts(4000, 4, truth, seed=3)
    found, ideal = (differences(features @ w, rankings) for w in (weights, truth))
    assert abs(float(bt_accuracy(found) - bt_accuracy(ideal))) < 0.01
    assert float((found.sign() == ideal.sign()).double().mean()) > 0.98
    assert 0.9 < float(weights @ truth / (truth @ truth)) < 1.1
    report = calibration(found)
    assert report["ece"] < 0.02
    assert report["temperature"] == pytest.approx(1, abs=0.1)


def test_with_one_answer_in_ten_flipped_the_noise_aware_loss_is_better_calibrated() -> None:
    truth = torch.randn(8, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    features, rankings = ranked_prompts(4000, 2, truth, seed=5)
    flips = torch.rand(4000, generator=torch.Generator().manual_seed(6)) < 0.1
    answers = [ranking[::-1] if flip else ranking for ranking, flip in zip(rankings, flips.tolist(), strict=True)]
    clean, clean_rankings = ranked_prompts(4000, 2, truth, seed=7)
    # A random answer is wrong half of the time: one in ten flipped is two in ten random.
    plain, aware = (
        calibration(differences(clean @ fitted(features, answers, noise), clean_rankings)) for noise in (0.0, 0.2)
    )
    assert aware["ece"] < 0.02 < plain["ece"]
    assert plain["temperature"] < 0.9 < aware["temperature"] < 1.1


def test_dpo_on_ever_more_pairs_ends_at_the_optimum_of_the_reward_behind_them() -> None:
    generator, beta = torch.Generator().manual_seed(8), 0.5
    reference, reward = (torch.randn(VOCABULARY, dtype=torch.float64, generator=generator) for _ in range(2))
    ref, best = reference.log_softmax(-1), (reference + reward / beta).log_softmax(-1)
    distances = []
    for pairs in (2_000, 20_000, 200_000):
        first, second = torch.multinomial(reference.softmax(-1), 2 * pairs, True, generator=generator).view(2, -1)
        wins = torch.rand(pairs, generator=generator) < pair_logprob(reward[first] - reward[second]).exp()
        chosen, rejected = torch.where(wins, first, second), torch.where(wins, second, first)
        policy = reference.clone().requires_grad_()

        def loss(policy: Tensor = policy, chosen: Tensor = chosen, rejected: Tensor = rejected) -> Tensor:
            logp = policy.log_softmax(-1)
            return dpo_loss(logp[chosen], logp[rejected], ref[chosen], ref[rejected], beta)

        minimise(policy, loss)
        distances.append(float(exact_kl(best, policy.detach())))
    assert distances[0] > distances[1] > distances[2]
    assert distances[2] < 0.01
