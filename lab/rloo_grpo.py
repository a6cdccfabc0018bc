"""RLOO and GRPO: several answers to each prompt judge one another, so that no value model is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from time import monotonic

import torch

from lab import allocator, logprobs, losses
from lab.config import Group
from lab.diagnose import Diagnosis, Setup
from lab.errors import NoRows, NotFound
from lab.events import Event, Finished, Progress, Sample, Started, Step
from lab.generate import sample
from lab.models import Roles
from lab.rollout import Cast, Part, check_same_as_reference, cut, parts_of
from lab.samples import of_rollout
from lab.state import State, new_state
from lab.steps import as_dict, changes, finite, peak_bytes, step_seed
from lab.text import Asked, Batch, batch_of

Live = Callable[[], Group]


@dataclass(frozen=True, slots=True)
class Answers:
    """A rollout of groups; [B, T] unless said, a prompt's answers in neighbouring rows."""

    batch: Batch
    parts: tuple[Part, ...]
    logp: torch.Tensor
    reference_logp: torch.Tensor
    kl_exact: torch.Tensor
    entropy: torch.Tensor
    score: torch.Tensor  # [B]
    ended: torch.Tensor  # [B]
    advantages: torch.Tensor | None  # none of answers that stand alone

    def by_token(self) -> dict[str, torch.Tensor]:
        """What each token cost, exact KL in nats, and its advantage, which is that of the whole answer in its group."""
        return {"kl": self.kl_exact} | ({} if self.advantages is None else {"advantage": self.advantages})


def begin(roles: Roles, cast: Cast, config: Group) -> State:
    """The policy as an exact copy of the reference; nothing else learns."""
    if cast.reward not in roles.heads:
        raise NotFound("There is no reward model yet, so there is nothing to follow. Train one on rankings first.")
    roles.add(cast.policy, like=cast.reference)
    state = new_state(roles, [(cast.policy, "")], config, eps=1e-5)
    state.beta = config.beta
    return state


def rloo_grpo(
    state: State,
    cast: Cast,
    prompts: Sequence[Asked],
    live: Live,
    pinned: Sequence[Asked] = (),
    past: Sequence[Step] = (),
) -> Iterator[Event]:
    """Steps from where the state stands; `live` is read once a step. Raises SelfCheck and FlatReward as PPO does.

    `past`: the run's earlier steps, which a warning compares with.
    """
    if not prompts:
        raise NoRows("There is no prompt to answer, so there is nothing to roll out. Give at least one.")
    config = live()
    if state.step and state.knob is not None:  # moved while the run stood still: told at the next step
        config = replace(config, beta=state.knob)
    diagnosis = Diagnosis(Setup(config.minibatch, 0.0, config.score_clip, cast.scale.highest))
    diagnosis.replay(step for step in past if step.step <= state.step)
    yield Started(config.method, config.steps, as_dict(config), state.step)
    if state.step == 0:
        yield from pinned_samples(state, cast, pinned, config)
    while state.step < config.steps:
        before, config = config, live()
        yield from changes(state.step, before, config)
        state.beta = state.knob = config.beta
        began = monotonic()
        asked, said = roll_out(state, cast, prompts, config)
        rolled = monotonic()
        yield Progress("rollout", 1, 2)
        answers = read(state, cast, [each.ids for each in asked], said, config)
        if state.step == 0:
            check_same_as_reference(answers.kl_exact)
        shown, scored = of_rollout(state, asked[:: config.group][:4], answers, every=config.group), monotonic()
        yield Progress("scored", 2, 2)
        learned = [_update(state, cast, answers, config) for _ in range(config.epochs)]
        yield from state.told_of_memory()
        state.step += 1
        timing = {"time/rollout": rolled - began, "time/score": scored - rolled, "time/update": monotonic() - scored}
        timing |= {"time/step": monotonic() - began, "memory/peak_bytes": peak_bytes()}
        metrics = metrics_of(answers, state.beta) | learned[0] | timing
        yield from shown
        if state.step % config.pinned_every == 0 or state.step == config.steps:
            yield from pinned_samples(state, cast, pinned, config)
        yield from diagnosis.warnings(state.step, metrics)
        yield Step(state.step, metrics)
        diagnosis.check_not_flat(state.step)
    state.roles.freeze()
    yield Finished(state.step, "done", {})


def roll_out(state: State, cast: Cast, prompts: Sequence[Asked], config: Group) -> tuple[list[Asked], list[list[int]]]:
    """The step's prompts, each as often as its group is large, and one sampled response to each."""
    seed = step_seed(config.seed, state.step)
    asked = _grouped(Random(seed).choices(prompts, k=config.prompts), config)
    ids = [each.ids for each in asked]
    with allocator.passing():
        said = state.answers(cast.policy, ids, config, seed)
    return asked, said


def read(
    state: State, cast: Cast, prompts: Sequence, responses: Sequence, config: Group, grouped: bool = True
) -> Answers:
    """The measured answers, in microbatches that memory suffices for: the updates go through the same ones."""

    def measured(size: int) -> Answers:
        return measure(state.roles, cast, prompts, responses, replace(config, microbatch=size), grouped)

    return state.fitting(measured, config.microbatch)


def pinned_samples(state: State, cast: Cast, pinned: Sequence[Asked], config: Group) -> list[Sample]:
    """An answer to each pinned prompt, which has no group, with the same luck each time: only learning changes it."""
    if not pinned:
        return []
    asked = [each.ids for each in pinned]
    said = sample(state.roles, cast.policy, asked, tokens=config.tokens, temperature=config.temperature, seed=1)
    return of_rollout(state, pinned, read(state, cast, asked, said, config, grouped=False), pinned=True)


def _grouped(prompts: Sequence[Asked], config: Group) -> list[Asked]:
    return [each for each in prompts for _ in range(config.group)]


@torch.no_grad()
def measure(
    roles: Roles,
    cast: Cast,
    prompts: Sequence[Sequence[int]],
    responses: Sequence[Sequence[int]],
    config: Group,
    grouped: bool = True,
) -> Answers:
    """Read the answers as policy, reference and reward model, and weigh each against its group where it has one."""
    batch = batch_of(prompts, responses, roles.text.pad_id).to(roles.device)
    stem = roles.stem(config.unfrozen, cast.policy, cast.reference, cast.reward)
    parts = tuple(part for minibatch in parts_of(batch, config, stem) for part in minibatch)
    columns = [torch.zeros(batch.mask.shape, device=roles.device) for _ in range(4)]
    raw = torch.zeros(len(prompts), device=roles.device)
    for part in parts:
        each = part.batch
        states = roles.hidden(cast.policy, each)[:, :-1]
        reference = roles.hidden(cast.reference, each)[:, :-1]
        read = logprobs.read(roles, states, reference, each.responses, each.mask, config.temperature)
        for whole, column in zip(columns, read, strict=True):
            whole[part.rows, : column.shape[1]] = column
        raw[part.rows] = roles.raw_scores(each, cast.reward)
    ended = losses.ended(batch.responses, batch.mask, roles.text.eos_ids)
    score = losses.shape_score(
        raw, cast.scale.gain, cast.scale.bias, ended, config.missing_eos, missing_value=-1.0, clip=config.score_clip
    )
    logp, ref, kl, entropy = columns
    answers = Answers(batch, parts, logp, ref, kl, entropy, score, ended, None)
    if not grouped:
        return answers
    advantages = advantages_of(score, losses.masked_sum(losses.k1(logp, ref), batch.mask, dim=1), config)
    return replace(answers, advantages=torch.where(batch.mask, advantages.unsqueeze(1), 0.0))


def advantages_of(score: torch.Tensor, kl: torch.Tensor, config: Group) -> torch.Tensor:
    """[B]; RLOO pays for the KL of the whole answer in its reward, GRPO in its loss."""
    if config.method == "rloo":
        return losses.rloo_advantages(score - config.beta * kl, config.group)
    return losses.grpo_advantages(score, config.group)


def _update(state: State, cast: Cast, answers: Answers, config: Group) -> dict[str, float]:
    """One optimizer step over the whole rollout; losses of microbatches add up."""
    totals = state.fitting(lambda size: _backward(state, cast, answers, config, size), config.microbatch)
    totals["policy/grad_norm"] = finite(state.clip_gradients(config.grad_clip), "gradient norm")
    state.apply(config.learning_rate)
    return totals


def _backward(state: State, cast: Cast, answers: Answers, config: Group, size: int) -> dict[str, float]:
    totals: dict[str, float] = {}
    count = int(answers.batch.mask.sum())
    for part in cut(answers.parts, size):
        mask, old = part.batch.mask, part.of(answers.logp)
        states = state.roles.hidden(cast.policy, part.batch)[:, :-1]
        logp = logprobs.of(state.roles, states, part.batch.responses, mask, config.temperature)
        loss, said = losses.policy_loss(logp, old, part.of(answers.advantages), mask, clip=config.clip, count=count)
        if config.method == "grpo":
            drift = losses.masked_sum(losses.k3(logp, part.of(answers.reference_logp)), mask)
            loss = loss + config.beta * drift / count
        loss.backward()
        found = {"loss/policy": finite(loss, "policy loss"), "kl/update": float(said["update_kl"])}
        found |= {"policy/clip_fraction": float(said["clip_fraction"]), "policy/ratio_mean": float(said["ratio_mean"])}
        for key, value in found.items():
            totals[key] = totals.get(key, 0.0) + value
        first = float(said["ratio_max_log_abs"])
        totals["policy/ratio_first"] = max(totals.get("policy/ratio_first", 0.0), first)
    return totals


def metrics_of(answers: Answers, beta: float) -> dict[str, float]:
    """What the charts show; every mean is over response tokens or responses."""
    mask, length = answers.batch.mask, answers.batch.mask.sum(1).float()
    k1 = losses.masked_sum(losses.k1(answers.logp, answers.reference_logp), mask, dim=1)
    texts = {tuple(row[kept].tolist()) for row, kept in zip(answers.batch.responses, mask, strict=True)}
    return {
        "reward/score": finite(answers.score.mean(), "score"),
        "reward/total": (answers.score - beta * k1).mean().item(),
        "reward/std": answers.score.std(correction=0).item(),
        "kl/reference": answers.kl_exact.sum(1).mean().item(),
        "kl/k1": k1.mean().item(),
        "kl/beta": beta,
        "policy/entropy": float(losses.masked_mean(answers.entropy, mask)),
        "response/length": length.mean().item(),
        "response/ended": answers.ended.float().mean().item(),
        "response/distinct": len(texts) / len(length),
    }
