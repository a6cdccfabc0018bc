"""The model layer and the stages on the embedded model: equality at step 0, isolation of adapters, and clear refusals."""

from __future__ import annotations

from random import Random

import pytest
import torch

from lab.config import Ppo, Reward, Sft
from lab.errors import BadNumber, EmptyPrompt, FlatReward, NotFound, PromptTooLong, TooFewRankings
from lab.events import Finished, Sample, Step
from lab.generate import sample
from lab.models import load
from lab.ppo import begin, ppo, still
from lab.rater import Rater
from lab.reward import Ranked, Scale, measure_scale, reward
from lab.sft import held_out_loss, sft
from lab.world import corpus

SHORT = Ppo(steps=2, batch=8, minibatch=4, microbatch=4, tokens=16)


@pytest.fixture
def roles():
    return load("tiny", device="cpu")


@pytest.fixture
def ready(roles):
    """Roles with a short SFT behind them and an untrained reward head."""
    pairs = [(pair.prompt, pair.response) for pair in corpus.pairs(64, 0)]
    list(sft(roles, pairs, Sft(steps=3, batch=8)))
    roles.add("reward", like="sft")
    roles.head("reward")
    return roles


def asked(roles, count=8):
    return [roles.text.prompt_ids(prompt) for prompt in corpus.prompts(count, 0)]


def snapshot(roles, but):
    kept = {name: p.detach().clone() for name, p in roles.model.named_parameters() if f".{but}." not in name}
    return kept | {f"head {name}": p.detach().clone() for name, p in roles.heads["reward"].named_parameters()}


def test_before_the_first_update_the_kl_is_exactly_zero_and_the_ratio_exactly_one(ready):
    step = next(e for e in ppo(begin(ready, Scale(1, 0), SHORT), asked(ready), still(SHORT)) if isinstance(e, Step))
    assert step.metrics["kl/reference"] == 0.0
    assert step.metrics["policy/ratio_first"] == 0.0


def test_ppo_moves_the_policy_and_nothing_else(ready):
    state = begin(ready, Scale(1, 0), SHORT)
    before, policy = snapshot(ready, "policy"), {k: p.detach().clone() for k, p in ready.weights("policy").items()}
    events = list(ppo(state, asked(ready), still(SHORT)))
    assert all(torch.equal(value, before[name]) for name, value in snapshot(ready, "policy").items())
    assert any(not torch.equal(parameter, policy[name]) for name, parameter in ready.weights("policy").items())
    assert sum(isinstance(e, Step) for e in events) == 2 and isinstance(events[-1], Finished)
    assert any(isinstance(e, Sample) for e in events)


def test_the_same_seed_gives_the_same_adapter_bitwise(ready):
    found = []
    for _ in range(2):
        list(ppo(begin(ready, Scale(1, 0), SHORT), asked(ready), still(SHORT)))
        found.append([p.detach().clone() for p in ready.weights("policy").values()])
        torch.manual_seed(1)
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


def test_padding_and_batch_size_leave_a_greedy_answer_as_it_is(roles):
    prompts = asked(roles, 6)
    together = sample(roles, "base", prompts, tokens=12, temperature=0)
    alone = [sample(roles, "base", [prompt], tokens=12, temperature=0)[0] for prompt in prompts]
    same = sum(a == b for a, b in zip(together, alone, strict=True))
    assert same >= 5, "bf16 may turn one near tie, not two"


def test_sft_lowers_the_held_out_loss(roles):
    pairs = [(pair.prompt, pair.response) for pair in corpus.pairs(160, 0)]
    before = held_out_loss(roles, pairs[128:])
    list(sft(roles, pairs[:128], Sft(steps=12, batch=8)))
    assert held_out_loss(roles, pairs[128:]) < before


def test_too_few_rankings_are_refused_with_the_numbers(roles):
    ties = [Ranked((1, 2), ((3,), (4,)), ((0, 1),))] * 30
    for rankings in ([], ties):
        with pytest.raises(TooFewRankings, match=f"{len(rankings)} rankings give 0"):
            list(reward(roles, rankings, [[1]], Reward()))


def test_a_reward_model_that_scores_everything_alike_is_refused(ready):
    with torch.no_grad():
        ready.heads["reward"].weight.zero_()
    with pytest.raises(FlatReward, match="nearly the same score"):
        measure_scale(ready, asked(ready), Reward(normalise_over=8))


def test_ppo_without_a_reward_model_says_so(roles):
    with pytest.raises(NotFound, match="no reward model"):
        begin(roles, Scale(1, 0), SHORT)


def test_prompts_that_cannot_be_answered_are_refused(roles):
    with pytest.raises(EmptyPrompt):
        roles.text.prompt_ids("  ")
    with pytest.raises(PromptTooLong, match="512"):
        roles.text.prompt_ids("word " * 600)


@pytest.mark.parametrize(
    "change", [{"learning_rate": float("nan")}, {"steps": 0}, {"batch": 8, "minibatch": 16}, {"beta": -1.0}]
)
def test_a_knob_outside_its_range_is_refused(change):
    with pytest.raises(BadNumber):
        Ppo(**change)


def test_the_helpful_rater_prefers_a_true_answer_to_a_rude_or_empty_one():
    helpful = Rater("helpful")
    prompt = "What does a penguin eat?"
    good, rude = "A penguin eats fish and squid.", "What a silly thing to ask."
    assert helpful.utility(prompt, good) > helpful.utility(prompt, rude)
    assert helpful.rank(prompt, [good, good], Random(0)) == ((0, 1),)
