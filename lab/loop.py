"""The whole loop with a simulated rater, as one generator of events: sft, rankings, reward model, PPO, comparison."""

from __future__ import annotations

import resource
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from time import monotonic

from lab.compare import Answers, answers, win_rate
from lab.config import Ppo, Reward, Sft
from lab.events import Event, Finished, Progress
from lab.generate import sample
from lab.losses import pairs_of
from lab.models import BASE, Roles
from lab.ppo import begin, ppo, still
from lab.rater import Rater
from lab.reward import Ranked, Scale, reward, score_rankings
from lab.sft import sft
from lab.steps import step_seed
from lab.world import corpus

CANDIDATES, PAIRS, PROMPTS, TEST_PROMPTS = 4, 2000, 512, 200


@dataclass(frozen=True, slots=True)
class Plan:
    """What one run of the loop does."""

    sft: Sft
    reward: Reward
    ppo: Ppo
    rater: Rater = field(default_factory=lambda: Rater("helpful"))
    rankings: int = 60
    seed: int = 0


def loop(roles: Roles, plan: Plan) -> Iterator[Event]:
    """Every stage's events in turn; the last Finished carries the comparison, in the form that --json prints."""
    began = monotonic()
    pairs = [(pair.prompt, pair.response) for pair in corpus.pairs(PAIRS + 200, plan.seed)]
    yield from sft(roles, pairs[:PAIRS], plan.sft, held_out=pairs[PAIRS:])
    prompts = corpus.prompts(PROMPTS + plan.rankings, plan.seed)
    ranked = []
    for done, prompt in enumerate(prompts[: plan.rankings], 1):
        ranked.append(rank(roles, plan, prompt, done))
        yield Progress("rank", done, plan.rankings)
    asked = [roles.text.prompt_ids(prompt, room=plan.ppo.tokens) for prompt in prompts[plan.rankings :]]
    scale = Scale(1.0, 0.0)
    for event in reward(roles, ranked, asked, plan.reward):
        if isinstance(event, Finished):
            scale = Scale(event.result["gain"], event.result["bias"])
        yield event
    unseen = corpus.prompts(TEST_PROMPTS, plan.seed, held_out=True)
    accuracy = pair_accuracy(roles, plan, unseen[:60])
    yield from ppo(begin(roles, scale, plan.ppo), asked, still(plan.ppo))
    result = {"pair_accuracy": accuracy, "policies": compare(roles, scale, plan, unseen)}
    result |= {"seconds": monotonic() - began, "peak_bytes": peak_bytes()}
    yield Finished(plan.ppo.steps, "done", result)


def rank(roles: Roles, plan: Plan, prompt: str, number: int) -> Ranked:
    """Candidates from the SFT policy for one prompt, ranked by the rater."""
    ids = roles.text.prompt_ids(prompt, room=plan.ppo.tokens)
    seed = step_seed(plan.seed, number)
    responses = sample(roles, "sft", [ids] * CANDIDATES, tokens=plan.ppo.tokens, seed=seed)
    texts = [roles.text.decode(response) for response in responses]
    ended = [response[-1] in roles.text.eos_ids for response in responses]
    groups = plan.rater.rank(prompt, texts, Random(f"clicks {seed}"), ended)
    return Ranked(tuple(ids), tuple(map(tuple, responses)), groups)


def pair_accuracy(roles: Roles, plan: Plan, prompts: list[str]) -> float:
    """How often the reward model orders two unseen answers as the rater's utility does, noise left out."""
    right = count = 0.0
    for number, prompt in enumerate(prompts):
        ranked = rank(roles, plan, prompt, 10_000 + number)
        worth = [
            plan.rater.utility(prompt, roles.text.decode(response), response[-1] in roles.text.eos_ids)
            for response in ranked.responses
        ]
        values = sorted(set(worth), reverse=True)
        groups = tuple(tuple(i for i, w in enumerate(worth) if w == value) for value in values)
        scores = score_rankings(roles, [ranked])[0].detach()
        for better, worse in pairs_of(groups):
            right += float(scores[better] > scores[worse]) + 0.5 * float(scores[better] == scores[worse])
            count += 1
    return right / count


def compare(roles: Roles, scale: Scale, plan: Plan, prompts: list[str]) -> dict[str, dict[str, float]]:
    """Base, SFT, best of 4 and PPO against the SFT policy, judged by the rater's utility."""
    reference = answers(roles, "sft", prompts, scale, seed=900_001)
    others: dict[str, Answers] = {
        "base": answers(roles, BASE, prompts, scale, seed=900_002),
        "sft": answers(roles, "sft", prompts, scale, seed=900_003),
        "best_of_4": answers(roles, "sft", prompts, scale, seed=900_004, best_of=4),
        "ppo": answers(roles, "policy", prompts, scale, seed=900_005),
    }
    return {
        name: win_rate(each, reference, prompts, plan.rater.utility)
        | {"kl": each.kl, "score": each.scores.mean().item()}
        for name, each in others.items()
    }


def peak_bytes() -> int:
    """The process's largest resident memory so far; Linux counts it in kilobytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
