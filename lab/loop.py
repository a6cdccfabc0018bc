"""The whole loop with a simulated rater: sft, rankings, reward model, PPO, and a comparison of what came out."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass, replace
from random import Random
from time import monotonic
from typing import Any

from lab.cast import Cast
from lab.compare import Answers, answers, win_rate
from lab.config import TEMPERATURE, Compare, Ppo, Sft
from lab.events import Event, Finished, Progress, Started
from lab.generate import sample
from lab.loading import folder_of, load
from lab.losses import pairs_of
from lab.models import BASE
from lab.rater import MARK, Rater, rater
from lab.reward import Ranked, score_all
from lab.runner import drive
from lab.steps import peak_bytes, result_of, step_seed
from lab.store import Candidate
from lab.studio import Studio
from lab.text import Asked
from lab.world import corpus

TEST_PROMPTS, TEST_RANKINGS, TOGETHER = 200, 60, 8
# Added to the run's seed, so that no two of its draws are alike: prompts to rank, prompts to test the reward model
# on, the answers to these, and prompts to compare on.
RANKED, TESTED, ANSWERED, COMPARED = 1000, 50, 77_000, 90
Watch = Callable[[Iterator[Event]], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run of the loop does; every stage takes the seed of PPO, and the reward model its share of layers.

    `chosen` names knobs of PPO that are left to the size of the base; `larger` another base, which answers the last
    prompts untuned.
    """

    ppo: Ppo
    rater: str = MARK + "helpful"
    rankings: int = 60
    candidates: int = 4
    sft_steps: int = Sft().steps
    larger: str = ""
    chosen: tuple[str, ...] = ()


def run_loop(studio: Studio, plan: Plan, watch: Watch) -> dict[str, Any]:
    """Every stage in turn, each a run of the workspace; the result is what --json prints."""
    began, seed, judge = monotonic(), plan.ppo.seed, rater(plan.rater)
    if plan.larger:
        folder_of(plan.larger)  # refused before the time goes into everything else
    knobs = {name: getattr(plan.ppo, name) for name in Ppo.__dataclass_fields__ if name not in plan.chosen}
    watch(drive(studio.start("sft", {"seed": seed, "steps": plan.sft_steps}, {})))
    watch(rank_prompts(studio, judge, "sft", plan.rankings, plan.candidates, seed))
    same = {"seed": seed, "tokens": plan.ppo.tokens, "unfrozen": plan.ppo.unfrozen}
    watch(drive(studio.start("reward", same, {"raters": plan.rater})))
    accuracy = pair_accuracy(studio, judge, plan)
    watch(drive(studio.start("ppo", knobs, {"anyway": True})))
    policies = watch(compare_all(studio, judge, plan))
    return {
        "pair_accuracy": accuracy,
        "seconds": monotonic() - began,
        "peak_bytes": peak_bytes(),
        "policies": policies,
    }


def rank_prompts(studio: Studio, judge: Rater, policy: str, count: int, candidates: int, seed: int) -> Iterator[Event]:
    """New prompts, candidates by a policy, and a simulated rater's rankings of them, stored and marked as simulated."""
    yield Started("rank", count, {})
    prompts = studio.roles.text.asked(corpus.prompts(count, RANKED + seed), room=Ppo().tokens)
    store = studio.workspace.store()
    try:
        for start in range(0, count, TOGETHER):
            group = prompts[start : start + TOGETHER]
            for prompt, found, order in ranked_by(studio, judge, policy, group, candidates, step_seed(seed, start)):
                [prompt_id] = store.add_prompts([prompt.text], "built-in")
                comparison = store.add_comparison(prompt_id, found)
                store.rank(uuid.uuid4().hex, comparison, order, rater=MARK + judge.name, shown=range(candidates))
            yield Progress("rankings", start + len(group), count)
    finally:
        store.close()
    yield Finished(count, "done", {})


def ranked_by(
    studio: Studio, judge: Rater, policy: str, prompts: Sequence[Asked], candidates: int, seed: int
) -> Iterator[tuple[Asked, list[Candidate], tuple[tuple[int, ...], ...]]]:
    """Each prompt with its candidates and the order in which the rater puts them."""
    roles, role = studio.roles, studio.policies.role(policy)
    asked = [prompt.ids for prompt in prompts for _ in range(candidates)]
    drawn = iter(sample(roles, role, asked, tokens=Ppo().tokens, temperature=TEMPERATURE, seed=seed))
    for number, prompt in enumerate(prompts):
        ids = [next(drawn) for _ in range(candidates)]
        ended = [each[-1] in roles.text.eos_ids for each in ids]
        texts = [roles.text.decode(each) for each in ids]
        found = [
            Candidate(text, role, 0, tuple(each), done, seed, TEMPERATURE)
            for text, each, done in zip(texts, ids, ended, strict=True)
        ]
        yield prompt, found, judge.rank(prompt.text, texts, Random(f"clicks {seed} {number}"), ended)


def pair_accuracy(studio: Studio, judge: Rater, plan: Plan) -> float:
    """How often the newest reward model orders two unseen answers as the rater's utility does, noise left out."""
    cast = studio.policies.cast()
    prompts = studio.roles.text.asked(
        corpus.prompts(TEST_RANKINGS, TESTED + plan.ppo.seed, held_out=True), room=plan.ppo.tokens
    )
    ranked = []
    for prompt, found, _ in ranked_by(studio, judge, "sft", prompts, plan.candidates, ANSWERED + plan.ppo.seed):
        worth = [judge.utility(prompt.text, each.text, each.ended) for each in found]
        values = sorted(set(worth), reverse=True)
        groups = tuple(tuple(i for i, w in enumerate(worth) if w == value) for value in values)
        ranked.append(Ranked(prompt.ids, tuple(each.ids for each in found), groups))
    useful = [each for each in ranked if pairs_of(each.groups)]
    scored = result_of(score_all(studio.roles, useful, cast.reward))
    deltas = [delta for each in scored for delta in each.deltas.tolist()]
    return sum(0.5 if delta == 0 else float(delta > 0) for delta in deltas) / len(deltas)


def compare_all(studio: Studio, judge: Rater, plan: Plan) -> Iterator[Event]:
    """Base, SFT, best of 4 and PPO against SFT on unseen prompts, judged by the rater's noise-free utility."""
    policy = studio.workspace.newest("ppo").name
    cast, reference = studio.policies.cast(policy=policy), studio.policies.reference()
    config = Compare(tokens=plan.ppo.tokens, seed=plan.ppo.seed)
    prompts = studio.roles.text.asked(
        corpus.prompts(TEST_PROMPTS, COMPARED + plan.ppo.seed, held_out=True), room=plan.ppo.tokens
    )
    yield Started("compare", 5, {})
    theirs = yield from answers(studio.roles, cast, reference, prompts, config, side=1)
    rows: dict[str, dict[str, float]] = {}
    for number, (name, role, best_of) in enumerate(
        (("base", BASE, 1), ("sft", reference, 1), ("best_of_4", reference, 4), ("ppo", policy, 1)), 2
    ):
        settings = replace(config, best_of=best_of)
        ours: Answers = yield from answers(studio.roles, cast, role, prompts, settings, side=number, best_of=best_of)
        rows[name] = win_rate(ours, theirs, prompts, judge.utility) | {
            "kl": ours.kl,
            "score": ours.score(),
        }
    if plan.larger:
        rows[f"untuned {plan.larger}"] = yield from untuned(plan.larger, judge, prompts, theirs, config)
    yield Finished(5, "done", rows)


def untuned(
    larger: str, judge: Rater, prompts: Sequence[Asked], theirs: Answers, config: Compare
) -> Generator[Event, None, dict[str, float | None]]:
    """How another base does on the same prompts with no tuning at all; KL and score mean nothing between two models."""
    roles = load(larger)
    asked = roles.text.asked([prompt.text for prompt in prompts], room=config.tokens)
    ours = yield from answers(roles, Cast(BASE, BASE, ""), BASE, asked, config, side=6)
    return win_rate(ours, theirs, prompts, judge.utility) | {"kl": None, "score": None}
