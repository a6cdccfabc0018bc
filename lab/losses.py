"""Every formula of the lab, once: pure functions of tensors, from masks and log-probs to the losses.

Legend. float32 unless said; B sequences, P prompt width, T response width, S = P + T, V vocabulary, K candidates.

    response_ids  [B, T] long  sampled tokens; anything may stand after the first EOS
    mask (M)      [B, T] bool  True up to and including the first EOS, all True without one; L = mask.sum(1) >= 1
    logits        [.., V]      for response token t they come from position P - 1 + t: logits[:, P-1:-1]
    logp, ref     [B, T]       log-prob of response_ids under the policy, under the reference
    values        [B, T]       value of the state before token t, from the same position as its logits
    score         [B]          shaped score of the reward model; raw before its scale (rollout.py) and shape_score
    rewards       [B, T]       per token: -beta * kl, plus the score once
    advantages, returns [B, T] from gae; returns are the targets of the value
    scores        [K]          scores of one prompt's candidates; groups: their indices best first, ties share one
    delta         [N]          score of the chosen minus score of the rejected, one per pair

What stands outside a mask is never read: it is replaced before any arithmetic (0 * NaN is NaN, in gradients too), so
NaN there changes nothing. Losses take `count`, the token count of the whole minibatch: each microbatch is divided by
it, so losses, their gradients and the `stats` that are means add up over microbatches to those of the minibatch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor

LEAST_BETA = 0.001  # from which a beta of 0 rises
Count = int | Tensor | None
Groups = Sequence[Sequence[int]]


# Masks and positions


def ended(response_ids: Tensor, mask: Tensor, eos_ids: Sequence[int] | Tensor) -> Tensor:
    """[B] bool: the response stopped by itself, it was not cut off."""
    stops = torch.as_tensor(eos_ids, dtype=response_ids.dtype, device=response_ids.device)
    return (torch.isin(response_ids, stops) & mask).any(1)


def mask_after_eos(mask: Tensor) -> Tensor:
    """[B, T] bool: the mask and one position more where there is room, the state after EOS (see token_rewards)."""
    return torch.cat([torch.ones_like(mask[:, :1]), mask[:, :-1]], dim=1)


def positions(attention_mask: Tensor) -> Tensor:
    """[B, S] long position ids that ignore left padding; padding itself gets 0 or a repeat, which nothing reads."""
    return (attention_mask.long().cumsum(1) - 1).clamp(min=0)


# Sums over a mask


def _kept(x: Tensor, mask: Tensor) -> Tensor:
    return torch.where(mask, x, 0)


def _per_token(x: Tensor, mask: Tensor, count: Count) -> Tensor:
    return masked_sum(x, mask) / (mask.sum().clamp(min=1) if count is None else count)


def masked_sum(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Over the whole batch; dim=1 gives one number per response."""
    return _kept(x, mask).sum(dim)


def masked_mean(x: Tensor, mask: Tensor, dim: int | None = None) -> Tensor:
    """Mean over the tokens of the mask, 0 where it is empty; dim=1 gives one number per response."""
    return masked_sum(x, mask, dim) / mask.sum(dim).clamp(min=1)


def masked_var(x: Tensor, mask: Tensor, unbiased: bool = False) -> Tensor:
    """Variance over the mask, divided by n (OpenAI 2019) or by n - 1 (TRL, verl)."""
    squares = masked_sum((_kept(x, mask) - masked_mean(x, mask)) ** 2, mask)
    return squares / (mask.sum() - int(unbiased)).clamp(min=1)


def whiten(x: Tensor, mask: Tensor, shift_mean: bool = True, unbiased: bool = False) -> Tensor:
    """Variance 1 over the mask and mean 0; shift_mean=False keeps the mean. Zero outside the mask.

    For advantages over the whole rollout, before it is cut into minibatches.
    """
    mean = masked_mean(x, mask)
    centred = (_kept(x, mask) - mean) * torch.rsqrt(masked_var(x, mask, unbiased) + 1e-8)
    return _kept(centred if shift_mean else centred + mean, mask)


# Log-probs, entropy, distances between two policies


def _scaled(logits: Tensor, temperature: float) -> Tensor:
    """In float32 at least: a softmax in bfloat16 is off by more than a step of PPO moves it."""
    return (logits if logits.dtype == torch.float64 else logits.float()) / temperature


def log_softmax_gather(logits: Tensor, ids: Tensor, temperature: float = 1.0) -> Tensor:
    """[...] log-prob of ids under logits [..., V] divided by the temperature that they were sampled at."""
    z = _scaled(logits, temperature)
    return z.gather(-1, ids.unsqueeze(-1)).squeeze(-1) - z.logsumexp(-1)


def entropy(logits: Tensor, temperature: float = 1.0) -> Tensor:
    """[...] nats per token."""
    z = _scaled(logits, temperature)
    return z.logsumexp(-1) - (z.softmax(-1) * z).sum(-1)


def exact_kl(logits: Tensor, reference_logits: Tensor, temperature: float = 1.0) -> Tensor:
    """[...] KL(policy || reference) at each visited state, summed over the vocabulary, in nats."""
    logp = _scaled(logits, temperature).log_softmax(-1)
    ref = _scaled(reference_logits, temperature).log_softmax(-1)
    return (logp.exp() * (logp - ref)).sum(-1)


def k1(logp: Tensor, ref: Tensor) -> Tensor:
    """Unbiased and may be negative: the estimate of the reward (Schulman 2020, 'Approximating KL divergence')."""
    return logp - ref


def k3(logp: Tensor, ref: Tensor) -> Tensor:
    """Never negative and unbiased; expm1, because exp(-r) - 1 + r rounds below 0 for small r."""
    log_ratio = logp - ref
    return torch.expm1(-log_ratio) + log_ratio


# From raw scores to advantages


def shape_score(
    score: Tensor, ended: Tensor, missing_eos: str, missing_value: float = -1.0, clip: float = 5.0
) -> Tensor:
    """[B] score, on the reward model's scale: the rule for responses that never ended, then clipped to +-clip.

    missing_eos: 'replace' puts missing_value in the score's place (OpenAI 2019), 'subtract' takes its size away (TRL),
    'off' does nothing.
    """
    if missing_eos == "replace":
        score = torch.where(ended, score, missing_value)
    elif missing_eos == "subtract":
        score = torch.where(ended, score, score - abs(missing_value))
    elif missing_eos != "off":
        raise ValueError(f"missing_eos is {missing_eos!r}, which names no rule; use 'replace', 'subtract' or 'off'")
    return score.clamp(-clip, clip)


def token_rewards(score: Tensor, kl: Tensor, mask: Tensor, beta: float, score_at: str = "eos") -> Tensor:
    """[B, T] rewards: -beta * kl at every token, plus the score once per response. kl is k1.

    'eos': the score stands at the last token of the response. 'after_eos': one later where there is room (L < T), as in
    TRL's PPO. Then the state after EOS has a value of its own: gae and value_loss take mask_after_eos(mask), whiten and
    policy_loss the plain mask.
    """
    if score_at not in ("eos", "after_eos"):
        raise ValueError(f"score_at is {score_at!r}, which names no position; use 'eos' or 'after_eos'")
    reach = mask if score_at == "eos" else mask_after_eos(mask)
    column = torch.arange(mask.shape[1], device=mask.device)
    is_last = column == reach.sum(1, keepdim=True) - 1  # [B, T]
    return _kept(-beta * kl, mask) + _kept(score.unsqueeze(1), is_last)


def response_rewards(score: Tensor, kl: Tensor, beta: float) -> Tensor:
    """[B] the score minus beta times the response's KL [B]: what its token_rewards add up to."""
    return score - beta * kl


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float = 1.0, lam: float = 0.95) -> tuple[Tensor, Tensor]:
    """(advantages, returns), zero outside the mask (Schulman 2016, equation 16); the mask has no holes.

    The value after the last token is 0, also where the response was cut off. Returns use the unwhitened advantages.
    """
    values = _kept(values, mask)
    next_values = F.pad(values[:, 1:], (0, 1))
    deltas = _kept(rewards, mask) + gamma * next_values - values
    advantages = torch.zeros_like(deltas)
    running = torch.zeros_like(deltas[:, 0])
    for t in reversed(range(deltas.shape[1])):
        running = deltas[:, t] + gamma * lam * running
        advantages[:, t] = running
    return advantages, advantages + values


# Proximal policy optimisation


def policy_loss(
    logp_new: Tensor, logp_old: Tensor, advantages: Tensor, mask: Tensor, clip: float = 0.2, count: Count = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, stats): the clipped surrogate (Schulman 2017, equation 7), with the sign of a loss.

    stats: clip_fraction, tokens where the clipped term rules; update_kl, k3 of KL(old || new); ratio_mean;
    ratio_max_log_abs, which over microbatches is a maximum, not a sum. The log-ratio is held to +-20, so that a wild
    update shows as a huge finite number.
    """
    log_ratio = _kept(logp_new - logp_old, mask)
    held = log_ratio.clamp(-20, 20)
    ratio = held.exp()
    gains = _kept(advantages, mask)
    plain, clipped = -gains * ratio, -gains * ratio.clamp(1 - clip, 1 + clip)
    with torch.no_grad():
        stats = {
            "clip_fraction": _per_token((clipped > plain).to(ratio.dtype), mask, count),
            "update_kl": _per_token(k3(torch.zeros_like(held), held), mask, count),
            "ratio_mean": _per_token(ratio, mask, count),
            "ratio_max_log_abs": log_ratio.abs().max(),
        }
    return _per_token(torch.maximum(plain, clipped), mask, count), stats


def value_loss(
    values_new: Tensor, values_old: Tensor, returns: Tensor, mask: Tensor, clip: float = 0.2, count: Count = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """(loss, stats): half the squared error, the worse of plain and clipped to within clip of the rollout's value."""
    new, old, target = (_kept(x, mask) for x in (values_new, values_old, returns))
    plain = (new - target) ** 2
    clipped = (old + (new - old).clamp(-clip, clip) - target) ** 2
    with torch.no_grad():
        stats = {"clip_fraction": _per_token((clipped > plain).to(new.dtype), mask, count)}
    return 0.5 * _per_token(torch.maximum(plain, clipped), mask, count), stats


def explained_variance(values: Tensor, returns: Tensor, mask: Tensor) -> Tensor:
    """1 - Var(returns - values) / Var(returns): 1 is perfect, 0 no better than a constant. 0 if nothing varies."""
    spread = masked_var(returns, mask)
    left = masked_var(returns - values, mask)
    return torch.where(spread > 1e-8, 1 - left / spread.clamp(min=1e-8), 0)


def adaptive_beta(beta: float, kl: float | Tensor, target: float, batch: int, horizon: float) -> float:
    """The next beta (Ziegler 2019, section 2.2); kl in nats per response. A short run needs horizon near 6 * batch.

    Nothing makes 0 larger, so it goes on from LEAST_BETA.
    """
    error = min(max(float(kl) / target - 1, -0.2), 0.2)
    return (beta or LEAST_BETA) * (1 + error * batch / horizon)


# Supervised tuning and learning from rankings


def sft_loss(logp: Tensor, mask: Tensor, count: Count = None) -> Tensor:
    """Nats per completion token, of the log-probs that are to rise."""
    return -_per_token(logp, mask, count)


def pairs_of(groups: Groups) -> list[tuple[int, int]]:
    """Every (better, worse) of an ordered partition, best group first; ties and skips make none."""
    return [(i, j) for better, worse in combinations(groups, 2) for i in better for j in worse]


def pair_logprob(delta: Tensor, noise: float = 0.0) -> Tensor:
    """[N] log-prob that the chosen one wins (Bradley-Terry).

    noise in [0, 1) is the share of answers taken to be random: p becomes (1 - noise) * p + noise / 2 (Christiano 2017).
    """
    logp = F.logsigmoid(delta)
    if noise == 0:
        return logp
    return torch.logaddexp(logp + math.log1p(-noise), logp.new_tensor(math.log(noise / 2)))


def ranking_batch_loss(
    batch: Sequence[tuple[Tensor, Groups]],
    margin: float | Tensor | None = None,
    centering: float = 0.0,
    noise: float = 0.0,
    count: int | None = None,
) -> Tensor:
    """Mean over prompts of the mean over each prompt's pairs (InstructGPT, equation 1): a long ranking weighs no more.

    A prompt without a pair adds nothing and is not counted; count overrides the number of prompts, for microbatches.
    margin: one number, or one per pair in the order of pairs_of, prompt after prompt. centering: the price of the
    squared sum of a pair's scores, which pulls the scores to mean 0.
    """
    better, worse, weights, offset, ranked = [], [], [], 0, 0
    for scores, groups in batch:
        pairs = pairs_of(groups)
        better += [offset + i for i, _ in pairs]
        worse += [offset + j for _, j in pairs]
        weights += [1 / len(pairs) for _ in pairs]
        offset += len(scores)
        ranked += bool(pairs)
    together = torch.cat([scores for scores, _ in batch])
    index = torch.tensor([better, worse], dtype=torch.long, device=together.device)
    chosen, rejected = together[index[0]], together[index[1]]  # [pairs]
    terms = -pair_logprob(chosen - rejected - (0.0 if margin is None else margin), noise)
    terms = terms + centering * (chosen + rejected) ** 2
    return (terms * together.new_tensor(weights)).sum() / (max(ranked, 1) if count is None else count)


def ranking_loss(
    scores: Tensor, groups: Groups, margin: float | Tensor | None = None, centering: float = 0.0, noise: float = 0.0
) -> Tensor:
    """The loss of one prompt's ranking, the mean over its pairs; 0 where it has none."""
    return ranking_batch_loss([(scores, groups)], margin, centering, noise)


def plackett_luce_loss(scores: Tensor, order: Sequence[int] | Tensor) -> Tensor:
    """Negative log-prob of a full ranking, candidate indices best first: pick the best, then the best of the rest."""
    ranked = scores[torch.as_tensor(order, dtype=torch.long, device=scores.device)]
    rest = ranked.flip(0).logcumsumexp(0).flip(0)
    return (rest - ranked)[:-1].sum()


def bt_accuracy(delta: Tensor) -> Tensor:
    """Share of pairs that the scores order as the person did; equal scores count one half."""
    return _wins(delta).mean()


def _wins(delta: Tensor) -> Tensor:
    return (delta > 0).to(delta.dtype) + 0.5 * (delta == 0)


def calibration(delta: Tensor) -> dict[str, float]:
    """How far the probabilities of at least one pair can be trusted: ece, brier, nll, temperature.

    ece: gap between confidence and accuracy over 10 equal bins on [0.5, 1]. temperature: the T that minimises the nll
    of delta / T, within 0.01 to 100; above 1 the scores are too sure of themselves.
    """
    if not len(delta):
        raise ValueError("calibration got 0 pairs, and a mean needs at least 1; rank more held-out prompts")
    delta = delta.detach().double()
    p = delta.sigmoid()
    confidence = torch.maximum(p, 1 - p)
    which = ((confidence - 0.5) * 20).long().clamp(max=9)
    gaps = delta.new_zeros(10).index_add(0, which, _wins(delta) - confidence)
    return {
        "ece": float(gaps.abs().sum() / len(delta)),
        "brier": float(((1 - p) ** 2).mean()),
        "nll": float(-pair_logprob(delta).mean()),
        "temperature": _best_temperature(delta),
    }


def _best_temperature(delta: Tensor) -> float:
    """Bisection: the nll is convex in 1 / T, and the sign of its slope there says which way to go."""
    low, high = 0.01, 100.0
    for _ in range(50):
        middle = math.sqrt(low * high)
        too_flat = (delta * (-delta / middle).sigmoid()).mean() > 0
        low, high = (low, middle) if too_flat else (middle, high)
    return math.sqrt(low * high)


# Other ways to learn from the same scores and pairs


def _grouped(scores: Tensor, group: int) -> Tensor:
    if group < 2 or len(scores) % group:
        raise ValueError(
            f"{len(scores)} scores do not make groups of {group}, and responses are compared within a group; "
            "sample the same number, 2 or more, for each prompt"
        )
    return scores.view(-1, group)


def rloo_advantages(scores: Tensor, group: int) -> Tensor:
    """[B] each score minus the mean of the others of its prompt (Ahmadian 2024); a prompt's responses lie together."""
    grouped = _grouped(scores, group)
    return ((grouped - grouped.mean(1, keepdim=True)) * group / (group - 1)).flatten()


def grpo_advantages(scores: Tensor, group: int, eps: float = 1e-4) -> Tensor:
    """[B] scores standardised within each prompt (Shao 2024), unbiased deviation as in TRL."""
    grouped = _grouped(scores, group)
    return ((grouped - grouped.mean(1, keepdim=True)) / (grouped.std(1, keepdim=True) + eps)).flatten()


def grpo_kl(logp: Tensor, ref: Tensor, mask: Tensor, beta: float, count: Count = None) -> Tensor:
    """What GRPO's loss pays for the KL: beta times the mean k3, over all tokens of the minibatch.

    As in policy_loss, so every token weighs alike. Shao 2024 averages within each response first, and then over the
    responses: there a token of a long one weighs less.
    """
    return beta * masked_sum(k3(logp, ref), mask) / (mask.sum().clamp(min=1) if count is None else count)


def dpo_loss(
    chosen: Tensor, rejected: Tensor, ref_chosen: Tensor, ref_rejected: Tensor, beta: float, worth: Tensor | None = None
) -> Tensor:
    """Mean over pairs (Rafailov 2023, equation 7), by their worth [N]; each log-prob [N] is summed over a response."""
    loss = -pair_logprob(beta * (k1(chosen, ref_chosen) - k1(rejected, ref_rejected)))
    return loss.mean() if worth is None else (worth * loss).sum() / worth.sum()


def best_of_n_kl(n: int) -> float:
    """Nats between the best of n samples and one sample: exact without ties, a bound with them (Stiennon 2020)."""
    return math.log(n) - (n - 1) / n
