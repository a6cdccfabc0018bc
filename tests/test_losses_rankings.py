"""Supervised tuning, rankings, pairs and their calibration, group advantages, DPO and best of n."""

from __future__ import annotations

import math
from itertools import permutations

import pytest
import torch
from torch import Tensor

from lab.losses import (
    best_of_n_kl,
    bt_accuracy,
    calibration,
    dpo_loss,
    grpo_advantages,
    grpo_kl,
    log_softmax_gather,
    pair_logprob,
    pairs_of,
    plackett_luce_loss,
    ranking_batch_loss,
    ranking_loss,
    rloo_advantages,
    sft_loss,
)

# Supervised tuning


def test_the_supervised_loss_is_the_mean_over_completion_tokens_by_hand() -> None:
    logits = torch.tensor([[[0.0, 0.0], [math.log(3), 0.0], [5.0, 1.0]], [[0.0, 0.0], [9.0, 9.0], [9.0, 9.0]]])
    logp = log_softmax_gather(logits, torch.tensor([[0, 1, 0], [1, 0, 0]]))
    mask = torch.tensor([[True, True, False], [True, False, False]])
    assert float(sft_loss(logp, mask)) == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 3)
    assert float(sft_loss(logp, mask, count=8)) == pytest.approx((math.log(2) + math.log(4) + math.log(2)) / 8)


def test_prompt_and_padding_get_no_gradient_even_where_their_log_probs_are_not_numbers() -> None:
    mask = torch.tensor([[False, True, True, False]])
    logp = torch.tensor([[float("nan"), -1.0, -2.0, float("nan")]], requires_grad=True)
    sft_loss(logp, mask).backward()
    assert logp.grad.tolist() == [[0.0, -0.5, -0.5, 0.0]]


# Rankings and their pairs


def test_a_partition_gives_every_pair_across_its_groups_and_none_within() -> None:
    assert pairs_of([[3], [1, 4], [2]]) == [(3, 1), (3, 4), (3, 2), (1, 2), (4, 2)]
    assert pairs_of([[0, 1, 2]]) == []
    assert pairs_of([]) == []
    assert len(pairs_of([[i] for i in range(9)])) == 36


def test_the_ranking_loss_is_the_mean_over_its_pairs_by_hand() -> None:
    scores = torch.tensor([0.0, math.log(3), 0.0])
    # Pairs (1, 0) and (1, 2) win with probability 3/4; 0 and 2 are tied.
    assert float(ranking_loss(scores, [[1], [0, 2]])) == pytest.approx(math.log(4 / 3))
    assert float(ranking_loss(scores, [[0], [1]])) == pytest.approx(math.log(4))
    assert float(ranking_loss(scores, [[1], [0]], margin=math.log(3))) == pytest.approx(math.log(2))
    assert float(ranking_loss(scores, [[1], [0]], noise=0.1)) == pytest.approx(-math.log(0.9 * 0.75 + 0.05))
    centred = math.log(4 / 3) + 0.01 * math.log(3) ** 2
    assert float(ranking_loss(scores, [[1], [0]], centering=0.01)) == pytest.approx(centred)


def test_a_margin_may_differ_from_pair_to_pair() -> None:
    scores = torch.tensor([2.0, 1.0, 0.0])
    margin = torch.tensor([1.0, 2.0, 1.0])
    assert float(ranking_loss(scores, [[0], [1], [2]], margin)) == pytest.approx(math.log(2))


def test_the_order_in_which_the_responses_are_listed_changes_nothing() -> None:
    scores = torch.randn(5, dtype=torch.float64, requires_grad=True)
    groups = [[3], [0, 4], [1], [2]]
    loss = ranking_loss(scores, groups, centering=0.01)
    (gradient,) = torch.autograd.grad(loss, scores)
    order = [2, 4, 1, 0, 3]  # the response at place i was at place order[i]
    moved = [[order.index(i) for i in group] for group in groups]
    shuffled = scores.detach()[order].requires_grad_()
    again = ranking_loss(shuffled, moved, centering=0.01)
    again.backward()
    assert torch.allclose(again, loss, atol=1e-12)
    assert torch.allclose(shuffled.grad, gradient[order], atol=1e-12)


def test_adding_a_constant_to_all_scores_changes_nothing() -> None:
    scores, groups = torch.randn(6, dtype=torch.float64), [[0], [1, 2], [3], [5, 4]]
    assert torch.allclose(ranking_loss(scores + 17, groups), ranking_loss(scores, groups), atol=1e-12)


def test_centering_brings_the_mean_of_the_scores_to_zero() -> None:
    scores = torch.tensor([5.0, 6.0, 4.0, 7.0], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [scores], max_iter=500, tolerance_grad=1e-12, tolerance_change=0, line_search_fn="strong_wolfe"
    )

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = ranking_loss(scores, [[0], [1], [2], [3]], centering=0.01)
        loss.backward()
        return loss

    optimizer.step(closure)
    assert float(scores.detach().mean()) == pytest.approx(0, abs=1e-6)
    assert (scores.detach().diff() < 0).all()


def test_each_prompt_weighs_the_same_however_many_it_ranks() -> None:
    short, long = torch.randn(2), torch.randn(9)
    pair, full = [[0], [1]], [[i] for i in range(9)]
    both = ranking_batch_loss([(short, pair), (long, full)])
    assert torch.allclose(both, (ranking_loss(short, pair) + ranking_loss(long, full)) / 2, atol=1e-6)


def test_a_skipped_prompt_adds_nothing_and_a_batch_of_skips_still_has_a_gradient() -> None:
    scores = torch.randn(3, requires_grad=True)
    ranked = ranking_batch_loss([(scores, [[0], [1, 2]])])
    assert torch.equal(ranking_batch_loss([(torch.randn(4), []), (scores, [[0], [1, 2]])]), ranked)
    nothing = ranking_batch_loss([(scores, [[0, 1, 2]])])
    nothing.backward()
    assert nothing.item() == 0
    assert scores.grad.tolist() == [0, 0, 0]


def test_microbatches_of_rankings_add_up() -> None:
    batch = [(torch.randn(4), [[0], [1], [2, 3]]) for _ in range(6)]
    parts = sum(ranking_batch_loss(batch[i : i + 2], count=6) for i in range(0, 6, 2))
    assert torch.allclose(parts, ranking_batch_loss(batch), atol=1e-6)


def test_a_candidate_that_is_in_no_group_is_never_read() -> None:
    scores = torch.tensor([1.0, float("nan"), 0.0], requires_grad=True)
    loss = ranking_loss(scores, [[0], [2]], centering=0.01)
    loss.backward()
    assert loss.isfinite()
    assert scores.grad[1] == 0 and scores.grad.isfinite().all()


# Plackett-Luce


def test_a_full_ranking_of_two_is_a_pair() -> None:
    scores = torch.randn(2, dtype=torch.float64)
    assert torch.allclose(plackett_luce_loss(scores, [1, 0]), ranking_loss(scores, [[1], [0]]), atol=1e-12)


def test_the_probabilities_of_all_120_rankings_of_five_add_up_to_one() -> None:
    scores = 2 * torch.randn(5, dtype=torch.float64)
    total = sum(float((-plackett_luce_loss(scores, order)).exp()) for order in permutations(range(5)))
    assert total == pytest.approx(1, abs=1e-12)


def test_a_ranking_of_three_by_hand() -> None:
    scores = torch.tensor([1.0, 2.0, 3.0]).log()
    assert float(plackett_luce_loss(scores, torch.tensor([2, 0, 1]))) == pytest.approx(-math.log(3 / 6 * 1 / 3))


# Accuracy and calibration


def test_equal_scores_count_one_half() -> None:
    assert bt_accuracy(torch.tensor([1.0, -1.0, 0.0, 2.0])) == 0.625


def test_calibration_by_hand() -> None:
    # Probabilities 0.75 twice and 0.25 twice: every confidence is 0.75, and half of them are right.
    found = calibration(math.log(3) * torch.tensor([1.0, 1.0, -1.0, -1.0]))
    assert found["ece"] == pytest.approx(0.25, abs=1e-6)
    assert found["brier"] == pytest.approx((0.0625 + 0.5625) / 2, abs=1e-6)
    assert found["nll"] == pytest.approx((math.log(4 / 3) + math.log(4)) / 2, abs=1e-6)
    assert found["temperature"] == pytest.approx(100, rel=1e-3)  # nothing is known: as flat as it goes


def test_bins_one_twentieth_wide_keep_errors_of_opposite_sign_apart() -> None:
    # Confidence 0.62, always right, and confidence 0.68, right once in two: in one bin the gaps would partly cancel.
    low, high = math.log(0.62 / 0.38), math.log(0.68 / 0.32)
    found = calibration(torch.tensor([low, -high, low, high]))
    assert found["ece"] == pytest.approx((0.38 + 0.18) / 2, abs=1e-6)


def test_the_temperature_undoes_a_scale_by_hand() -> None:
    # Right three times in four asks for a difference of log 3; the scores say 5 log 3.
    delta = 5 * math.log(3) * torch.tensor([1.0, 1.0, 1.0, -1.0])
    assert calibration(delta)["temperature"] == pytest.approx(5, rel=1e-6)


def test_calibration_without_pairs_says_so() -> None:
    with pytest.raises(ValueError, match="0 pairs"):
        calibration(torch.zeros(0))


@pytest.mark.parametrize("delta", [-1000.0, -1.0, 0.0, 1.0, 1000.0])
def test_a_pair_is_won_by_one_of_its_two_and_noise_bounds_the_price_of_a_mistake(delta: float) -> None:
    both = torch.tensor([delta, -delta], dtype=torch.float64)
    assert float(pair_logprob(both).exp().sum()) == pytest.approx(1)
    assert float(pair_logprob(both, 0.1).exp().sum()) == pytest.approx(1)
    assert (pair_logprob(both, 0.1) >= math.log(0.05) - 1e-12).all()


# Group advantages


def test_leave_one_out_is_the_score_minus_the_mean_of_the_others() -> None:
    scores = torch.randn(12, dtype=torch.float64)
    found = rloo_advantages(scores, 4)
    for i in range(12):
        others = [float(scores[j]) for j in range(i // 4 * 4, i // 4 * 4 + 4) if j != i]
        assert float(found[i]) == pytest.approx(float(scores[i]) - sum(others) / 3, abs=1e-12)
    assert torch.allclose(found.view(3, 4).sum(1), torch.zeros(3, dtype=torch.float64), atol=1e-12)


def test_group_relative_advantages_by_hand() -> None:
    found = grpo_advantages(torch.tensor([1.0, 3.0, 7.0, 7.0]), 2)
    unit = 1 / (math.sqrt(2) + 1e-4)
    assert found.tolist() == pytest.approx([-unit, unit, 0, 0])


def test_the_kl_of_grpo_weighs_every_token_alike_and_adds_up_over_microbatches() -> None:
    logp, mask = torch.tensor([[0.0, math.log(2)], [0.0, 0.0]]), torch.tensor([[True, False], [True, True]])
    ref = torch.tensor([[math.log(2), 0.0], [0.0, 0.0]])
    # k3 is exp(-r) - 1 + r with r = -log 2: 1 - log 2 at one of three tokens; the token outside the mask costs nothing.
    whole = grpo_kl(logp, ref, mask, 0.5)
    assert float(whole) == pytest.approx(0.5 * (1 - math.log(2)) / 3)
    parts = [grpo_kl(logp[i : i + 1], ref[i : i + 1], mask[i : i + 1], 0.5, count=3) for i in range(2)]
    assert float(sum(parts)) == pytest.approx(float(whole))


@pytest.mark.parametrize("group", [1, 3])
def test_scores_that_do_not_make_groups_are_refused_with_both_numbers(group: int) -> None:
    for advantages in (rloo_advantages, grpo_advantages):
        with pytest.raises(ValueError, match=f"8 scores.*{group}"):
            advantages(torch.zeros(8), group)


# Direct preference optimisation and best of n


def test_dpo_starts_at_log_two_with_gradients_of_half_beta() -> None:
    chosen, rejected = torch.randn(4, requires_grad=True), torch.randn(4, requires_grad=True)
    loss = dpo_loss(chosen, rejected, chosen.detach(), rejected.detach(), 0.1)
    loss.backward()
    assert loss.item() == pytest.approx(0.693147, abs=1e-6)
    assert chosen.grad.tolist() == pytest.approx([-0.1 / 2 / 4] * 4)
    assert rejected.grad.tolist() == pytest.approx([0.1 / 2 / 4] * 4)


def test_dpo_by_hand() -> None:
    loss = dpo_loss(torch.tensor([-1.0]), torch.tensor([-5.0]), torch.tensor([-2.0]), torch.tensor([-3.0]), 0.5)
    assert float(loss) == pytest.approx(math.log(1 + math.exp(-0.5 * 3)))


@pytest.mark.parametrize(("n", "nats"), [(1, 0.0), (2, 0.1931), (4, 0.6363), (16, 1.8351), (64, 3.1745)])
def test_the_distance_of_best_of_n_equals_that_of_a_fine_uniform_space(n: int, nats: float) -> None:
    size = 200_000
    ranks = torch.arange(size + 1, dtype=torch.float64) / size
    chance = (ranks**n).diff()  # that the best of n uniform draws has this rank
    assert float(torch.special.xlogy(chance, chance * size).sum()) == pytest.approx(best_of_n_kl(n), abs=1e-3)
    assert best_of_n_kl(n) == pytest.approx(nats, abs=1e-4)
