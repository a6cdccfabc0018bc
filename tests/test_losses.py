"""Masks, log-probs, distances between policies and masked statistics, against brute force and hand-worked numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor

from lab.losses import (
    ended,
    entropy,
    exact_kl,
    k1,
    k3,
    log_softmax_gather,
    mask_after_eos,
    masked_mean,
    masked_sum,
    masked_var,
    positions,
    shape_score,
    whiten,
)

EOS_IDS = (3, 5)


def ragged(batch: int, width: int, seed: int = 0) -> Tensor:
    """[B, T] bool: a contiguous mask whose rows have 1 to T tokens."""
    lengths = torch.randint(1, width + 1, (batch, 1), generator=torch.Generator().manual_seed(seed))
    return torch.arange(width) < lengths


# Masks


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("eos_ids", [EOS_IDS, torch.tensor([3]), ()])
def test_a_response_has_ended_where_a_stop_token_stands_in_it(seed: int, eos_ids: Sequence[int] | Tensor) -> None:
    ids = torch.randint(0, 12, (64, 7), generator=torch.Generator().manual_seed(seed))
    stops = [int(i) for i in eos_ids]
    expected_mask, expected_ended = [], []
    for row in ids.tolist():
        first = next((t for t, token in enumerate(row) if token in stops), None)
        expected_ended.append(first is not None)
        expected_mask.append([first is None or t <= first for t in range(len(row))])
    assert ended(ids, torch.tensor(expected_mask), eos_ids).tolist() == expected_ended


def test_stop_tokens_at_the_first_and_last_place_and_twice() -> None:
    ids = torch.tensor([[3, 1, 1], [1, 1, 5], [1, 3, 5], [1, 1, 1]])
    mask = torch.arange(3) < torch.tensor([[1], [3], [2], [3]])
    assert ended(ids, mask, EOS_IDS).tolist() == [True, True, True, False]
    assert mask_after_eos(mask).sum(1).tolist() == [2, 3, 3, 3]


def test_a_stop_token_outside_the_mask_does_not_end_a_response() -> None:
    ids = torch.tensor([[1, 3], [3, 3]])
    assert ended(ids, torch.tensor([[True, False], [True, False]]), EOS_IDS).tolist() == [False, True]


def test_positions_ignore_left_padding_and_count_real_tokens_from_zero() -> None:
    attention = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 0]])
    counted = positions(attention)
    assert counted[0, 2:].tolist() == [0, 1, 2]
    assert counted[1, :4].tolist() == [0, 1, 2, 3]
    assert counted.min() == 0
    assert torch.equal(counted, positions(attention.bool()))


# Log-probs and entropy


@pytest.mark.parametrize("temperature", [1.0, 0.7, 2.5])
def test_log_probs_and_entropy_equal_a_distribution_written_out_in_python(temperature: float) -> None:
    logits = 3 * torch.randn(4, 5, 9, generator=torch.Generator().manual_seed(1))
    ids = torch.randint(0, 9, (4, 5), generator=torch.Generator().manual_seed(2))
    logp, nats = log_softmax_gather(logits, ids, temperature), entropy(logits, temperature)
    for b in range(4):
        for t in range(5):
            weights = [math.exp(z / temperature) for z in logits[b, t].tolist()]
            p = [w / sum(weights) for w in weights]
            assert float(logp[b, t]) == pytest.approx(math.log(p[ids[b, t]]), abs=2e-6)
            assert float(nats[b, t]) == pytest.approx(-sum(q * math.log(q) for q in p), abs=2e-6)


def test_entropy_is_the_log_of_the_vocabulary_for_equal_logits_and_zero_for_a_sure_token() -> None:
    assert float(entropy(torch.zeros(16))) == pytest.approx(math.log(16), abs=1e-6)
    assert float(entropy(torch.tensor([1e4, 0.0, 0.0]))) == 0


def test_half_precision_logits_are_raised_to_float32_and_float64_is_kept() -> None:
    logits, ids = torch.randn(2, 3, 8), torch.zeros(2, 3, dtype=torch.long)
    half = logits.bfloat16()
    assert log_softmax_gather(half, ids).dtype == torch.float32
    assert torch.equal(log_softmax_gather(half, ids), log_softmax_gather(half.float(), ids))
    assert log_softmax_gather(logits.double(), ids).dtype == torch.float64


def test_huge_logits_stay_finite() -> None:
    logp = log_softmax_gather(torch.tensor([[1e30, 0.0], [500.0, 500.0]]), torch.tensor([0, 1]))
    assert logp.tolist() == pytest.approx([0.0, -math.log(2)], abs=1e-4)


# Distances


def test_equal_policies_are_at_distance_exactly_zero() -> None:
    logits = torch.randn(3, 4, 11)
    logp = log_softmax_gather(logits, torch.zeros(3, 4, dtype=torch.long))
    for distance in (exact_kl(logits, logits.clone()), k1(logp, logp), k3(logp, logp)):
        assert (distance == 0).all()


def test_k1_and_k3_are_unbiased_by_enumeration() -> None:
    generator = torch.Generator().manual_seed(3)
    logits, other = (torch.randn(50, dtype=torch.float64, generator=generator) for _ in range(2))
    logp, ref = logits.log_softmax(0), other.log_softmax(0)
    truth, pair = float(exact_kl(logits, other)), (logp.tolist(), ref.tolist())
    assert truth == pytest.approx(sum(math.exp(a) * (a - b) for a, b in zip(*pair, strict=True)), abs=1e-12)
    assert float((logp.exp() * k1(logp, ref)).sum()) == pytest.approx(truth, abs=1e-12)
    assert float((logp.exp() * k3(logp, ref)).sum()) == pytest.approx(truth, abs=1e-12)


def test_exact_kl_divides_by_the_temperature_as_sampling_does() -> None:
    logits, other = torch.randn(6), torch.randn(6)
    assert torch.allclose(exact_kl(logits, other, 0.5), exact_kl(2 * logits, 2 * other), atol=1e-6)


# John Schulman, 'Approximating KL Divergence' (2020): two unit normals, the bias and the standard deviation of each
# estimator divided by the true KL.
SCHULMAN = (
    (0.1, k1, 0.0, 20.0),
    (0.1, k3, 0.0, 1.42),
    (1.0, k1, 0.0, 2.0),
    (1.0, k3, 0.0, 1.7),
)


@pytest.mark.parametrize(("mean", "estimator", "bias", "deviation"), SCHULMAN)
def test_each_estimator_reproduces_its_row_of_schulmans_table(
    mean: float, estimator: Callable[[Tensor, Tensor], Tensor], bias: float, deviation: float
) -> None:
    x = torch.linspace(-12, 12, 200_001, dtype=torch.float64)
    logp, ref = -(x**2) / 2, -((x - mean) ** 2) / 2
    density = logp.softmax(0)  # the expectation by quadrature: no sampling noise
    truth = mean**2 / 2
    value = estimator(logp, ref)
    average = (density * value).sum()
    assert float(average - truth) / truth == pytest.approx(bias, abs=1e-3)
    assert float((density * (value - average) ** 2).sum().sqrt()) / truth == pytest.approx(deviation, rel=0.02)


def test_k3_is_never_negative_even_where_float32_rounds() -> None:
    generator = torch.Generator().manual_seed(4)
    sizes = 10 ** (-9 + 9.5 * torch.rand(1_000_000, generator=generator))
    log_ratio = sizes * torch.randn(1_000_000, generator=generator).sign()
    assert (k3(log_ratio, torch.zeros(())) >= 0).all()
    assert ((torch.exp(-log_ratio) - 1) + log_ratio).min() < 0  # what expm1 is there for


def test_k3_has_not_the_gradient_of_the_kl_under_samples_that_carry_none() -> None:
    reference = torch.tensor([0.5, -1.0, 0.3], dtype=torch.float64).log_softmax(0)
    logits = torch.tensor([1.0, 0.2, -0.7], dtype=torch.float64, requires_grad=True)
    p = logits.detach().softmax(0)  # the samples' weights carry no gradient
    (truth,) = torch.autograd.grad(exact_kl(logits, reference), logits)
    (of_k3,) = torch.autograd.grad((p * k3(logits.log_softmax(0), reference)).sum(), logits)
    assert not torch.allclose(of_k3, truth, atol=1e-2)


# Masked statistics


def test_sums_means_and_variances_of_a_ragged_batch_by_hand() -> None:
    x = torch.tensor([[1.0, 2.0, 99.0], [3.0, 4.0, 99.0], [99.0, 99.0, 99.0]])
    mask = torch.tensor([[True, True, False], [True, True, False], [False, False, False]])
    assert masked_sum(x, mask) == 10
    assert masked_mean(x, mask) == 2.5
    assert masked_sum(x, mask, dim=1).tolist() == [3, 7, 0]
    assert masked_mean(x, mask, dim=1).tolist() == [1.5, 3.5, 0]
    assert masked_var(x, mask) == 1.25
    assert float(masked_var(x, mask, unbiased=True)) == pytest.approx(5 / 3)


def test_whitening_by_hand() -> None:
    x = torch.tensor([[1.0, 3.0, 50.0]])
    mask = torch.tensor([[True, True, False]])
    assert whiten(x, mask).tolist()[0] == pytest.approx([-1, 1, 0])
    assert whiten(x, mask, unbiased=True).tolist()[0] == pytest.approx([-(0.5**0.5), 0.5**0.5, 0])
    assert whiten(x, mask, shift_mean=False).tolist()[0] == pytest.approx([1, 3, 0])


@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("seed", range(3))
def test_whitened_values_have_mean_zero_and_variance_one_and_are_zero_outside(seed: int, unbiased: bool) -> None:
    mask = ragged(16, 9, seed)
    x = 5 + 3 * torch.randn(16, 9, generator=torch.Generator().manual_seed(seed))
    white = whiten(x, mask, unbiased=unbiased)
    kept = whiten(x, mask, shift_mean=False, unbiased=unbiased)
    assert float(white[mask].mean()) == pytest.approx(0, abs=1e-5)
    assert float(white[mask].var(unbiased=unbiased)) == pytest.approx(1, abs=1e-4)
    assert float(kept[mask].mean()) == pytest.approx(float(x[mask].mean()), abs=1e-4)
    assert float(kept[mask].var(unbiased=unbiased)) == pytest.approx(1, abs=1e-4)
    assert (white[~mask] == 0).all() and (kept[~mask] == 0).all()


def test_whitening_does_not_see_the_scale_or_the_zero_of_the_reward() -> None:
    mask, x = ragged(8, 6), torch.randn(8, 6)
    assert torch.allclose(whiten(x, mask), whiten(40 * x - 7, mask), atol=1e-4)


def test_equal_advantages_whiten_to_zero_and_not_to_noise() -> None:
    assert (whiten(torch.full((4, 3), 2.0), torch.ones(4, 3, dtype=torch.bool)) == 0).all()


# Shaped scores


def test_a_response_without_a_stop_token_gets_exactly_the_missing_value() -> None:
    score, stopped = torch.tensor([0.75, 0.75, float("nan")]), torch.tensor([True, False, False])
    assert shape_score(score, stopped, "replace", -1.0).tolist() == [0.75, -1.0, -1.0]


def test_the_missing_value_can_be_subtracted_or_left_off() -> None:
    score, stopped = torch.tensor([0.75, 0.75]), torch.tensor([True, False])
    assert shape_score(score, stopped, "subtract", -1.0).tolist() == [0.75, -0.25]
    assert shape_score(score, stopped, "subtract", 1.0).tolist() == [0.75, -0.25]
    assert shape_score(score, stopped, "off", -1.0).tolist() == [0.75, 0.75]


def test_the_clip_comes_last() -> None:
    score, stopped = torch.tensor([100.0, -100.0, 0.0]), torch.tensor([True, True, False])
    assert shape_score(score, stopped, "replace", -9.0).tolist() == [5, -5, -5]
    assert shape_score(score, stopped, "off", clip=2.0).tolist() == [2, -2, 0]


def test_an_unknown_rule_for_missing_stop_tokens_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="'punish'.*'replace'"):
        shape_score(torch.zeros(1), torch.ones(1, dtype=torch.bool), "punish")
