"""Token rewards, advantages and the losses of PPO: brute force, corners by gradient, and numbers worked by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import pytest
import torch
from torch import Tensor

from lab.losses import (
    adaptive_beta,
    ended,
    explained_variance,
    gae,
    log_softmax_gather,
    mask_after_eos,
    masked_mean,
    masked_sum,
    masked_var,
    policy_loss,
    response_rewards,
    sft_loss,
    token_rewards,
    value_loss,
    whiten,
)


def ragged(batch: int, width: int, seed: int = 0) -> Tensor:
    """[B, T] bool: a contiguous mask whose rows have 1 to T tokens."""
    lengths = torch.randint(1, width + 1, (batch, 1), generator=torch.Generator().manual_seed(seed))
    return torch.arange(width) < lengths


def rollout(batch: int = 8, width: int = 6, seed: int = 0) -> dict[str, Tensor]:
    """Random float64 tensors of one rollout under the names of the legend."""
    generator = torch.Generator().manual_seed(seed)
    names = ("logp_new", "logp_old", "kl", "values", "values_new", "rewards", "advantages", "returns")
    made = {name: torch.randn(batch, width, dtype=torch.float64, generator=generator) for name in names}
    made["logp_new"] = made["logp_old"] + 0.3 * made["logp_new"]
    made["values_new"] = made["values"] + 0.3 * made["values_new"]
    made["score"] = torch.randn(batch, dtype=torch.float64, generator=generator)
    return made | {"mask": ragged(batch, width, seed)}


# Token rewards


@pytest.mark.parametrize("score_at", ["eos", "after_eos"])
@pytest.mark.parametrize("seed", range(3))
def test_the_rewards_of_a_response_add_up_to_score_minus_beta_times_kl(seed: int, score_at: str) -> None:
    r = rollout(seed=seed)
    rewards = token_rewards(r["score"], r["kl"], r["mask"], 0.3, score_at)
    total = response_rewards(r["score"], masked_sum(r["kl"], r["mask"], dim=1), 0.3)
    assert torch.allclose(rewards.sum(1), total, atol=1e-12)
    assert response_rewards(torch.tensor([2.0]), torch.tensor([3.0]), 0.5).tolist() == [0.5]


def test_the_score_stands_at_the_last_token_or_one_after_where_there_is_room() -> None:
    mask = torch.tensor([[True, False, False], [True, True, False], [True, True, True]])
    kl, score = torch.ones(3, 3), torch.tensor([10.0, 20.0, 30.0])
    assert token_rewards(score, kl, mask, 0.5).tolist() == [[9.5, 0, 0], [-0.5, 19.5, 0], [-0.5, -0.5, 29.5]]
    after = token_rewards(score, kl, mask, 0.5, "after_eos")
    assert after.tolist() == [[-0.5, 10, 0], [-0.5, -0.5, 20], [-0.5, -0.5, 29.5]]


def test_an_unknown_place_for_the_score_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'middle'.*'eos'"):
        token_rewards(torch.zeros(1), torch.zeros(1, 1), torch.ones(1, 1, dtype=torch.bool), 0.1, "middle")


# Generalised advantage estimation


def advantages_by_definition(
    rewards: list[float], values: list[float], length: int, gamma: float, lam: float
) -> list[float]:
    """The sum of discounted temporal differences, term by term, quadratic in the length."""
    values = values[:length] + [0.0]
    deltas = [rewards[t] + gamma * values[t + 1] - values[t] for t in range(length)]
    return [sum((gamma * lam) ** (s - t) * deltas[s] for s in range(t, length)) for t in range(length)]


@pytest.mark.parametrize(("gamma", "lam"), [(1.0, 0.95), (0.9, 0.5), (1.0, 1.0), (0.97, 0.0)])
def test_advantages_equal_the_definition_and_returns_add_the_value(gamma: float, lam: float) -> None:
    r = rollout(16, 9, seed=1)
    advantages, returns = gae(r["rewards"], r["values"], r["mask"], gamma, lam)
    for b, length in enumerate(r["mask"].sum(1).tolist()):
        expected = advantages_by_definition(r["rewards"][b].tolist(), r["values"][b].tolist(), length, gamma, lam)
        assert advantages[b].tolist() == pytest.approx(expected + [0.0] * (9 - length), abs=1e-12)
    assert torch.equal(returns, torch.where(r["mask"], advantages + r["values"], 0))


def test_lambda_one_gives_the_monte_carlo_return_minus_the_value() -> None:
    r = rollout(seed=2)
    _, returns = gae(r["rewards"], r["values"], r["mask"], 1.0, 1.0)
    kept = torch.where(r["mask"], r["rewards"], 0)
    to_go = kept.flip(1).cumsum(1).flip(1)
    assert torch.allclose(returns[r["mask"]], to_go[r["mask"]], atol=1e-12)


def test_lambda_zero_gives_the_one_step_error() -> None:
    rewards, values = torch.tensor([[1.0, 2.0, 4.0]]), torch.tensor([[0.5, 0.25, 3.0]])
    advantages, _ = gae(rewards, values, torch.ones(1, 3, dtype=torch.bool), 0.5, 0.0)
    assert advantages.tolist() == [[0.625, 3.25, 1.0]]  # 1 + .125 - .5, 2 + 1.5 - .25, 4 + 0 - 3


@pytest.mark.parametrize("lam", [0.0, 0.5, 0.95, 1.0])
def test_an_exact_value_and_certain_rewards_leave_no_advantage(lam: float) -> None:
    r = rollout(seed=3)
    values = torch.where(r["mask"], r["rewards"], 0).flip(1).cumsum(1).flip(1)
    advantages, returns = gae(r["rewards"], values, r["mask"], 1.0, lam)
    assert torch.allclose(advantages, torch.zeros_like(advantages), atol=1e-12)
    assert torch.allclose(returns[r["mask"]], values[r["mask"]], atol=1e-12)


def test_both_places_of_the_score_by_hand() -> None:
    mask = torch.tensor([[True, True, False]])
    kl, values = torch.tensor([[0.1, 0.2, 9.0]]), torch.tensor([[1.0, 2.0, 4.0]])
    score = torch.tensor([2.0])

    advantages, returns = gae(token_rewards(score, kl, mask, 0.5), values, mask, 1.0, 0.5)
    assert advantages.tolist()[0] == pytest.approx([0.9, -0.1, 0.0])
    assert returns.tolist()[0] == pytest.approx([1.9, 1.9, 0.0])

    # After EOS: errors 0.95, 1.9, -2, so 0.95 + 0.9 / 2, 1.9 - 2 / 2, -2; whitening sees 1.4 and 0.9, variance 0.125.
    longer = mask_after_eos(mask)
    advantages, returns = gae(token_rewards(score, kl, mask, 0.5, "after_eos"), values, longer, 1.0, 0.5)
    assert advantages.tolist()[0] == pytest.approx([1.4, 0.9, -2.0])
    assert returns.tolist()[0] == pytest.approx([2.4, 2.9, 2.0])
    assert whiten(advantages, mask, unbiased=True).tolist()[0] == pytest.approx([0.5**0.5, -(0.5**0.5), 0.0])


def test_a_score_after_eos_reaches_the_last_token_multiplied_by_lambda() -> None:
    mask, nothing = torch.tensor([[True, True, False]]), torch.zeros(1, 3)
    score = torch.tensor([-1.083])
    at_eos, _ = gae(token_rewards(score, nothing, mask, 0.0), nothing, mask)
    rewards = token_rewards(score, nothing, mask, 0.0, "after_eos")
    after, _ = gae(rewards, nothing, mask_after_eos(mask))
    assert float(at_eos[0, 1]) == pytest.approx(-1.083)
    assert float(after[0, 1]) == pytest.approx(-1.083 * 0.95)


# The policy's loss


def one_token(log_ratio: float, advantage: float) -> tuple[float, float]:
    """(loss, gradient of the new log-prob) of a single token."""
    new = torch.tensor([[log_ratio]], dtype=torch.float64, requires_grad=True)
    advantages, mask = torch.full((1, 1), advantage, dtype=torch.float64), torch.ones(1, 1, dtype=torch.bool)
    loss, _ = policy_loss(new, torch.zeros(1, 1, dtype=torch.float64), advantages, mask, 0.2)
    loss.backward()
    return float(loss.detach()), float(new.grad)


def test_the_policy_is_pulled_in_two_corners_and_left_alone_in_the_other_two() -> None:
    high, low = torch.tensor(1.5).double().log().item(), torch.tensor(0.5).double().log().item()
    assert one_token(high, 2.0) == pytest.approx((-2.4, 0.0))
    assert one_token(low, -2.0) == pytest.approx((1.6, 0.0))
    assert one_token(high, -2.0) == pytest.approx((3.0, 3.0))
    assert one_token(low, 2.0) == pytest.approx((-1.0, -1.0))


def test_at_ratio_one_the_gradient_is_that_of_the_policy_gradient() -> None:
    r = rollout()
    new = r["logp_old"].clone().requires_grad_()
    loss, stats = policy_loss(new, r["logp_old"], r["advantages"], r["mask"])
    (gradient,) = torch.autograd.grad(loss, new)
    expected = torch.where(r["mask"], -r["advantages"], 0) / r["mask"].sum()
    assert torch.allclose(gradient, expected, atol=1e-15)
    assert stats["ratio_mean"] == 1
    assert stats["ratio_max_log_abs"] == stats["update_kl"] == stats["clip_fraction"] == 0


def test_the_policys_stats_by_hand() -> None:
    ratios = torch.tensor([[1.5, 0.5, 1.5, 1.1, 7.0]], dtype=torch.float64)
    advantages = torch.tensor([[1.0, -1.0, -1.0, 1.0, 1.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, True, False]])
    loss, stats = policy_loss(ratios.log(), torch.zeros_like(ratios), advantages, mask, 0.2)
    assert float(loss) == pytest.approx((-1.2 + 0.8 + 1.5 - 1.1) / 4)
    assert stats["clip_fraction"] == 0.5
    assert float(stats["ratio_mean"]) == pytest.approx(4.6 / 4)
    assert float(stats["update_kl"]) == pytest.approx(float((ratios - 1 - ratios.log())[0, :4].mean()))
    assert float(stats["ratio_max_log_abs"]) == pytest.approx(0.693147, abs=1e-6)
    assert not any(value.requires_grad for value in stats.values())


def test_a_wild_update_gives_a_huge_loss_that_is_still_finite() -> None:
    new, mask = torch.full((2, 3), 500.0), torch.ones(2, 3, dtype=torch.bool)
    loss, stats = policy_loss(new, torch.zeros(2, 3), torch.full((2, 3), -1.0), mask)
    assert loss > 1e8 and loss.isfinite()
    assert all(value.isfinite() for value in stats.values())
    assert stats["ratio_max_log_abs"] == 500


# The value's loss


def test_the_value_loss_takes_the_worse_of_plain_and_clipped_by_hand() -> None:
    new = torch.tensor([[1.0, 1.0, 0.1, 5.0]], requires_grad=True)
    old, returns = torch.zeros(1, 4), torch.tensor([[2.0, 0.5, 1.0, 0.0]])
    mask = torch.tensor([[True, True, True, False]])
    loss, stats = value_loss(new, old, returns, mask, 0.2)
    # Clipped to 0.2, 0.2, 0.1: squares 1 and 3.24, 0.25 and 0.09, 0.81 and 0.81.
    assert loss.item() == pytest.approx(0.5 * (3.24 + 0.25 + 0.81) / 3)
    assert float(stats["clip_fraction"]) == pytest.approx(1 / 3)
    loss.backward()
    assert new.grad.tolist()[0] == pytest.approx([0.0, 0.5 / 3, -0.9 / 3, 0.0])


def test_explained_variance_is_one_when_perfect_zero_for_a_constant_and_negative_when_worse() -> None:
    returns, mask = torch.tensor([[1.0, 2.0, 3.0, 77.0]]), torch.tensor([[True, True, True, False]])
    assert explained_variance(returns.clone(), returns, mask) == 1
    assert float(explained_variance(torch.zeros(1, 4), returns, mask)) == pytest.approx(0)
    assert float(explained_variance(-returns, returns, mask)) == pytest.approx(-3)
    assert explained_variance(returns, torch.ones(1, 4), mask) == 0


# The price of a nat


def test_an_adaptive_beta_leaves_0() -> None:
    beta = 0.0
    for _ in range(50):
        beta = adaptive_beta(beta, 100.0, 6.0, 64, 6 * 64)
    assert beta > 0.002


def test_adaptive_beta_moves_by_the_clipped_error_by_hand() -> None:
    assert adaptive_beta(0.15, 6.0, 6.0, 64, 10_000) == 0.15
    assert adaptive_beta(0.15, 6.6, 6.0, 512, 10_000) == pytest.approx(0.15 * (1 + 0.1 * 0.0512))
    assert adaptive_beta(1.0, torch.tensor(60.0), 6.0, 64, 10_000) == pytest.approx(1.00128)
    assert adaptive_beta(1.0, -60.0, 6.0, 64, 10_000) == pytest.approx(0.99872)


def test_beta_stays_positive_and_doubles_in_about_twenty_updates_with_a_short_horizon() -> None:
    beta, updates = 0.05, 0
    while beta < 0.1:
        beta, updates = adaptive_beta(beta, 100.0, 6.0, 64, 6 * 64), updates + 1
    assert updates in range(18, 26)
    for _ in range(2000):
        beta = adaptive_beta(beta, 0.0, 6.0, 64, 6 * 64)
        assert beta > 0


# What holds for all of them

Compute = Callable[[dict[str, Tensor]], list[Tensor]]

BATCHED: Mapping[str, Compute] = MappingProxyType(
    {
        "mean": lambda r: [masked_mean(r["kl"], r["mask"]), masked_mean(r["kl"], r["mask"], dim=1)],
        "variance": lambda r: [masked_var(r["kl"], r["mask"]), masked_var(r["kl"], r["mask"], unbiased=True)],
        "whiten": lambda r: [whiten(r["kl"], r["mask"]), whiten(r["kl"], r["mask"], shift_mean=False)],
        "rewards": lambda r: [token_rewards(r["score"], r["kl"], r["mask"], 0.1)],
        "rewards after eos": lambda r: [token_rewards(r["score"], r["kl"], r["mask"], 0.1, "after_eos")],
        "gae": lambda r: [*gae(r["rewards"], r["values"], r["mask"])],
        "explained variance": lambda r: [explained_variance(r["values"], r["returns"], r["mask"])],
        "policy": lambda r: flat(policy_loss(r["logp_new"], r["logp_old"], r["advantages"], r["mask"])),
        "value": lambda r: flat(value_loss(r["values_new"], r["values"], r["returns"], r["mask"])),
    }
)


def flat(answer: tuple[Tensor, dict[str, Tensor]]) -> list[Tensor]:
    return [answer[0], *answer[1].values()]


def gradients(compute: Compute, r: dict[str, Tensor]) -> list[Tensor]:
    leaves = {name: x.clone().requires_grad_(x.is_floating_point()) for name, x in r.items()}
    outputs = [output.sum() for output in compute(leaves) if output.requires_grad]
    found = torch.autograd.grad(sum(outputs), [x for x in leaves.values() if x.requires_grad], allow_unused=True)
    return [g for g in found if g is not None]


@pytest.mark.parametrize("garbage", [float("nan"), float("inf"), 1e30])
@pytest.mark.parametrize("name", BATCHED)
def test_garbage_outside_the_mask_changes_no_output_and_no_gradient(name: str, garbage: float) -> None:
    clean = rollout()
    spoilt = {k: torch.where(clean["mask"], x, garbage) if k not in ("mask", "score") else x for k, x in clean.items()}
    for compute in (BATCHED[name], lambda r: gradients(BATCHED[name], r)):
        for expected, found in zip(compute(clean), compute(spoilt), strict=True):
            assert torch.equal(expected, found)


@pytest.mark.parametrize("name", BATCHED)
def test_permuting_the_batch_permutes_what_belongs_to_a_response_and_nothing_else(name: str) -> None:
    r, order = rollout(), torch.randperm(8, generator=torch.Generator().manual_seed(5))
    shuffled = {k: x[order] for k, x in r.items()}
    for expected, found in zip(BATCHED[name](r), BATCHED[name](shuffled), strict=True):
        assert torch.allclose(found, expected[order] if expected.ndim else expected, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in BATCHED if name != "variance"])
def test_a_batch_given_twice_has_the_same_means(name: str) -> None:
    r = rollout()
    twice = {k: torch.cat([x, x]) for k, x in r.items()}
    for expected, found in zip(BATCHED[name](r), BATCHED[name](twice), strict=True):
        assert torch.allclose(found[:8] if expected.ndim else found, expected, atol=1e-12)


@pytest.mark.parametrize("micro", [1, 2, 4])
def test_microbatches_add_up_to_the_minibatch_in_loss_gradient_and_stats(micro: int) -> None:
    r = rollout(seed=6)
    count = r["mask"].sum()
    cases = {
        "logp_new": lambda r, n: policy_loss(r["logp_new"], r["logp_old"], r["advantages"], r["mask"], count=n),
        "values_new": lambda r, n: value_loss(r["values_new"], r["values"], r["returns"], r["mask"], count=n),
    }
    for leaf, compute in cases.items():
        whole = {k: x.clone().requires_grad_(k == leaf) for k, x in r.items()}
        loss, stats = compute(whole, None)
        loss.backward()
        parts = {k: x.clone().requires_grad_(k == leaf) for k, x in r.items()}
        found = [compute({k: x[rows] for k, x in parts.items()}, count) for rows in torch.arange(8).split(micro)]
        for part, _ in found:
            part.backward(retain_graph=True)
        assert torch.allclose(parts[leaf].grad, whole[leaf].grad, atol=1e-12)
        assert torch.allclose(sum(part for part, _ in found), loss, atol=1e-12)
        for name, value in stats.items():
            together = torch.stack([part[name] for _, part in found])
            assert torch.allclose(together.max() if "max" in name else together.sum(), value, atol=1e-12)


def test_microbatches_of_supervised_tuning_add_up_too() -> None:
    generator = torch.Generator().manual_seed(7)
    logits = torch.randn(8, 6, 5, dtype=torch.float64, generator=generator, requires_grad=True)
    ids, mask = torch.randint(0, 5, (8, 6), generator=generator), ragged(8, 6)
    logp = log_softmax_gather(logits, ids)
    (whole,) = torch.autograd.grad(sft_loss(logp, mask), logits, retain_graph=True)
    parts = sum(sft_loss(logp[i : i + 2], mask[i : i + 2], mask.sum()) for i in range(0, 8, 2))
    (found,) = torch.autograd.grad(parts, logits)
    assert torch.allclose(found, whole, atol=1e-12)


def test_what_a_response_gets_does_not_depend_on_right_padding() -> None:
    ids = torch.tensor([[4, 4, 3], [3, 4, 4]])
    wide = torch.nn.functional.pad(ids, (0, 4), value=3)
    mask, wide_mask = (torch.arange(width) < torch.tensor([[3], [1]]) for width in (3, 7))
    assert ended(wide, wide_mask, [3]).tolist() == [True, True]
    score, kl = torch.tensor([1.0, 2.0]), torch.randn(2, 7)
    narrow = token_rewards(score, kl[:, :3], mask, 0.1)
    assert torch.equal(token_rewards(score, kl, wide_mask, 0.1)[:, :3], narrow)
