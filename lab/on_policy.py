"""What PPO, RLOO and GRPO share: each step rolls out, reads what was said, weighs it, learns, warns and reports."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from random import Random
from time import monotonic
from typing import Any

from torch import Tensor, float32

from lab import allocator, losses
from lab.cast import Cast
from lab.config import Group, Ppo
from lab.diagnose import Diagnosis, Setup
from lab.errors import NoRows, NotFinite, NotFound
from lab.events import Changed, Event, Finished, Progress, Sample, Started, Step
from lab.generate import sample
from lab.models import Roles
from lab.rollout import Part, Rollout, check_same_as_reference, cut, measure, stem_of
from lab.samples import of_rollout
from lab.state import State, new_state
from lab.stem import Stem
from lab.steps import as_dict, changes, finite, last_read, live_knobs, peak_bytes, step_seed
from lab.text import Asked

Live = Callable[[], Ppo | Group]
Moved = Callable[[], float | None]
Recast = Callable[[], Cast]
_MAXIMUM = "policy/ratio_first"
# A minibatch over this mean ratio says nothing about the policy that sampled it, and is not learned from (TRL 0.x).
WILD = 10.0
SHOWN = 4  # responses of each step that are there to be read


def never() -> None:
    """When a knob was moved that nobody can move."""


@dataclass(frozen=True, slots=True)
class Method:
    """What a method does in its own way.

    weigh: a measured rollout and the config, to the rollout with its advantages.

    backward: gradients of one microbatch's share of the loss, where the minibatch has so many tokens; returns measures
    that add up over microbatches, but for policy/ratio_first, whose largest counts.
    """

    weigh: Callable[[Rollout, Any], Rollout]
    backward: Callable[[Roles, Cast, Part, Rollout, int, Any], dict[str, float]]


def add_policy(roles: Roles, cast: Cast) -> None:
    """The policy, an exact copy of the reference. NotFound where there is no reward model to follow."""
    if cast.reward not in roles.heads:
        raise NotFound("There is no reward model yet, so there is nothing to follow. Train one on rankings first.")
    roles.add(cast.policy, like=cast.reference)


def state_of(roles: Roles, groups: Sequence[tuple[str, str]], config: Ppo | Group) -> State:
    """The state before step 1, in which these (adapter, head) pairs learn."""
    state = new_state(roles, groups, config, eps=1e-5)
    state.beta, state.knobs = config.beta, live_knobs(config)
    return state


def follow(
    method: Method,
    state: State,
    cast: Cast,
    prompts: Sequence[Asked],
    live: Live,
    pinned: Sequence[Asked] = (),
    past: Sequence[Step] = (),
    beta_moved: Moved = never,
    recast: Recast | None = None,
) -> Iterator[Event]:
    """Steps from where the state stands; `live` is read once a step, so a moved knob takes effect there.

    `recast` says before each step who plays which part: a reward model that was trained meanwhile is followed from
    there. `past`: the run's earlier steps, which a warning compares with. `beta_moved` says when somebody last set
    beta: one that adapts is set anew then, though it be to the number that `live` had before. Raises SelfCheck when
    policy and reference differ before anything was learned, FlatReward when all responses have scored alike for three
    steps.
    """
    if not prompts:
        raise NoRows("There is no prompt to answer, so there is nothing to roll out. Give at least one.")
    config = last_read(live(), state.knobs)  # what was moved while the run stood still is obeyed at the next step
    diagnosis = Diagnosis(_setup(state.roles, cast, config))
    diagnosis.replay(step for step in past if step.step <= state.step)
    yield Started(config.method, config.steps, as_dict(config), state.step)
    if state.step == 0:
        yield from pinned_samples(method, state, cast, pinned, config)
    while state.step < config.steps:
        at = beta_moved()  # before the knob itself, so that no order between the two is missed
        before, config = config, live()
        yield from _heard(state, before, config, at)
        cast = recast() if recast else cast
        if state.reward not in ("", cast.reward):
            yield Changed(state.step, "reward", state.reward, cast.reward, "")
        state.reward = cast.reward
        diagnosis.setup = _setup(state.roles, cast, config)
        metrics = yield from _step(method, state, cast, prompts, config)
        rolled = "kl/k1" in metrics
        if rolled and (state.step % config.pinned_every == 0 or state.step == config.steps):
            yield from pinned_samples(method, state, cast, pinned, config)
        yield from diagnosis.warnings(state.step, metrics)
        if rolled and config.target_kl:
            state.beta = losses.adaptive_beta(
                state.beta, metrics["kl/k1"], config.target_kl, config.batch, 6 * config.batch
            )
        yield Step(state.step, metrics)
        diagnosis.check_not_flat(state.step)
    state.roles.freeze()
    yield Finished(state.step, "done", {})


def _heard(state: State, before: Ppo | Group, config: Ppo | Group, at: float | None) -> list[Changed]:
    """What somebody has moved, and the beta in force with it."""
    told, came_to = changes(state.step, before, config), float(f"{state.beta:.4g}")
    if before.beta != config.beta or at != state.moved:
        if before.beta == config.beta != came_to:
            told.append(Changed(state.step, "beta", came_to, config.beta, ""))
        state.beta = config.beta
    state.knobs, state.moved = live_knobs(config), at
    return told


def _setup(roles: Roles, cast: Cast, config: Ppo | Group) -> Setup:
    exact = roles.products == float32
    return Setup(config.batch, config.target_kl, config.score_clip, cast.scale.highest, exact)


def _step(
    method: Method, state: State, cast: Cast, prompts: Sequence[Asked], config: Ppo | Group
) -> Generator[Event, None, dict[str, float | None]]:
    """One rollout and its updates; some of its responses, and the metrics.

    Where the model says or scores no numbers, there is nothing to learn from, and the step is one update left out.
    """
    began = monotonic()
    try:
        asked, rollout, metrics = yield from _rolled(method, state, cast, prompts, config)
    except NotFinite as problem:
        state.leave_out(problem)
        yield from state.warnings()
        state.step += 1
        return {"update/skipped": 1.0, "time/step": monotonic() - began}
    shown = of_rollout(state, asked[:: config.group][:SHOWN], rollout, every=config.group)
    yield from state.warnings()
    yield Progress("scored", 2, 2)
    learned = yield from _learn(method, state, cast, rollout, config)
    state.step += 1
    yield from shown
    return metrics | learned | {"time/step": monotonic() - began, "memory/peak_bytes": peak_bytes()}


def _rolled(
    method: Method, state: State, cast: Cast, prompts: Sequence[Asked], config: Ppo | Group
) -> Generator[Event, None, tuple[list[Asked], Rollout, dict[str, float | None]]]:
    """What was asked, the weighed rollout and what it measures; NotFinite where the score is no number, or a word's
    chance."""
    began = monotonic()
    stem = stem_of(state.roles, cast, config)
    asked, responses = roll_out(state, cast, prompts, config, stem)
    rolled = monotonic()
    yield Progress("rollout", 1, 2)
    rollout = method.weigh(read(state, cast, [each.ids for each in asked], responses, config, stem), config)
    if state.step == 0:
        check_same_as_reference(rollout.kl_exact)
    timing = {"time/rollout": rolled - began, "time/score": monotonic() - rolled}
    speed = sum(map(len, responses)) / (rolled - began)
    return asked, rollout, rollout.metrics() | timing | {"speed/tokens_per_second": speed}


def roll_out(
    state: State, cast: Cast, prompts: Sequence[Asked], config: Ppo | Group, stem: Stem | None = None
) -> tuple[list[Asked], list[list[int]]]:
    """The step's prompts, each as often as its group is large, and one sampled response to each.

    stem: what the sampler says on the way is kept there where it can be, so that nobody computes it again.
    """
    seed = step_seed(config.seed, state.step)
    chosen = Random(seed).choices(prompts, k=config.batch // config.group)
    asked = [each for each in chosen for _ in range(config.group)]
    ids = [each.ids for each in asked]
    with allocator.passing():
        said = state.answers(cast.policy, ids, config, seed, stem)
    return asked, said


def read(
    state: State, cast: Cast, prompts: Sequence, responses: Sequence, config: Ppo | Group, stem: Stem | None = None
) -> Rollout:
    """The measured rollout, in microbatches that memory suffices for: the updates go through the same ones."""

    def measured(size: int) -> Rollout:
        smaller = replace(config, microbatch=size)
        return measure(state.roles, cast, state.beta, prompts, responses, smaller, stem)

    return state.fitting(measured, config.microbatch)


def _learn(
    method: Method, state: State, cast: Cast, rollout: Rollout, config: Ppo | Group
) -> Generator[Event, None, dict[str, float]]:
    """All updates of one rollout, minibatches in a new order each epoch; returns the means of what they measured.

    One that is left out measures nothing, and where all are, there are no means.
    """
    began, seen = monotonic(), []
    rng = Random(step_seed(config.seed, state.step))
    count = len(rollout.minibatches)
    order = [index for _ in range(config.epochs) for index in rng.sample(range(count), count)]
    for done, index in enumerate(order, 1):
        found = update(method, state, cast, rollout.minibatches[index], rollout, config)
        yield from state.warnings()
        yield Progress("update", done, len(order))
        seen += [] if found is None else [found]
        if found and found["kl/update"] > 1.5 * config.update_kl:
            break
    mean = {key: sum(each[key] for each in seen) / len(seen) for key in (seen[0] if seen else ())}
    first = {_MAXIMUM: seen[0][_MAXIMUM]} if seen else {}
    counted = {"policy/updates": len(seen), "update/skipped": float(done - len(seen))}
    return mean | first | counted | {"time/update": monotonic() - began}


def update(
    method: Method, state: State, cast: Cast, minibatch: Sequence[Part], rollout: Rollout, config: Ppo | Group
) -> dict[str, float] | None:
    """One optimizer step; the losses of microbatches add up to the loss of the whole minibatch. None where it is left
    out.

    When memory runs out, the same minibatch goes through in smaller parts, and so do all later ones. A wild one teaches
    nothing.
    """
    count = sum(int(part.batch.mask.sum()) for part in minibatch)

    def summed(size: int) -> dict[str, float]:
        totals: dict[str, float] = {}
        for part in cut(minibatch, size):
            for key, value in method.backward(state.roles, cast, part, rollout, count, config).items():
                known = totals.get(key, 0.0)
                totals[key] = max(known, value) if key == _MAXIMUM else known + value
        return totals

    found = state.gradients(summed, config.microbatch, config.grad_clip)
    if found is None:
        return None
    totals, norm = found
    totals["policy/grad_norm"] = norm
    if totals["policy/ratio_mean"] > WILD:
        state.optimizer.zero_grad(set_to_none=True)
    else:
        state.apply(config.learning_rate)
    return totals


def measured(loss: Tensor, said: Mapping[str, Tensor]) -> dict[str, float]:
    """A microbatch's policy loss and what losses.policy_loss says of it, as a backward returns them."""
    return {
        "loss/policy": finite(loss, "policy loss"),
        "policy/clip_fraction": float(said["clip_fraction"]),
        "kl/update": finite(said["update_kl"], "KL of an update"),
        "policy/ratio_mean": finite(said["ratio_mean"], "mean ratio"),
        _MAXIMUM: float(said["ratio_max_log_abs"]),
    }


def pinned_samples(
    method: Method, state: State, cast: Cast, pinned: Sequence[Asked], config: Ppo | Group
) -> list[Sample]:
    """What the policy says to the pinned prompts now, with the same luck each time: only learning changes it.

    Each is answered once, so there is no group to weigh the answer in.
    """
    if not pinned:
        return []
    asked = [each.ids for each in pinned]
    said = sample(state.roles, cast.policy, asked, tokens=config.tokens, temperature=config.temperature, seed=1)
    rollout = read(state, cast, asked, said, config)
    rollout = method.weigh(rollout, config) if config.group == 1 else rollout
    return of_rollout(state, pinned, rollout, pinned=True)
