"""RLOO, GRPO and DPO: the same start as PPO, learning what is planted, and nothing else moved."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from lab import dpo, losses, material, on_policy, rloo_grpo
from lab.cast import Cast
from lab.dpo import Dpo
from lab.errors import FlatReward, NotFound, TooFewRankings
from lab.events import Changed, Finished, Progress, Sample, Step, Warned
from lab.glossary import measured
from lab.loading import load
from lab.reward import Ranked
from lab.rloo_grpo import Group
from lab.steps import result_of
from lab.text import Asked

TEXTS = ("What does a penguin eat?", "Say hello.", "Name a fruit.", "Why is the sky blue?")
SHORT = {"prompts": 4, "group": 8, "microbatch": 32, "tokens": 10, "missing_eos": "off"}


@pytest.fixture
def roles():
    """The embedded model, and a reward that is the share of even token ids."""
    found = load("tiny", device="cpu")
    found.add("reward", like="sft")
    found.head("reward")

    def planted(batch, role="reward"):
        even = (batch.responses % 2 == 0) & batch.mask
        return even.sum(1).float() / batch.mask.sum(1) * 4 - 2

    found.raw_scores = planted
    return found


def asked(roles):
    return [Asked(text, tuple(roles.text.prompt_ids(text))) for text in TEXTS]


def run(state, config, pinned=()):
    return list(rloo_grpo.rloo_grpo(state, Cast(), asked(state.roles), lambda: config, pinned))


def steps_of(roles, config):
    events = run(rloo_grpo.begin(roles, Cast(), config), config)
    assert isinstance(events[-1], Finished)
    return [event.metrics for event in events if isinstance(event, Step)]


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_planted_reward_rises_from_a_start_that_equals_the_reference(roles, method):
    steps = steps_of(roles, Group(method=method, steps=8, learning_rate=1e-2, beta=0.01, **SHORT))
    assert steps[0]["kl/reference"] == 0.0 and steps[0]["policy/ratio_first"] == 0.0
    assert steps[0]["policy/ratio_mean"] == pytest.approx(1.0)
    early, late = (sum(step["reward/score"] for step in some) / 2 for some in (steps[:2], steps[-2:]))
    assert late > early + 0.2
    assert steps[-1]["kl/reference"] > 0


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_pinned_prompts_are_answered_again_and_again_with_figures_by_token(roles, method):
    config = Group(method=method, steps=3, pinned_every=2, **SHORT)
    events = run(rloo_grpo.begin(roles, Cast(), config), config, asked(roles)[:2])
    samples = [event for event in events if isinstance(event, Sample)]
    watched = [each for each in samples if each.pinned]
    assert [(each.step, each.prompt) for each in watched] == [(s, text) for s in (0, 2, 3) for text in TEXTS[:2]]
    assert all(each.kl == 0 for each in watched if each.step == 0) and any(each.kl for each in watched)
    for each in samples:
        assert each.score is not None
        assert set(each.tokens) == {"text", "kl"} | (set() if each.pinned else {"advantage"})
        assert "".join(each.tokens["text"]) == each.response and len(each.tokens["kl"]) == each.length
    shown = [each for each in samples if not each.pinned]
    assert [each.belongs_to for each in shown] == [step for step in (1, 2, 3) for _ in range(min(4, config.prompts))]
    assert all(each.belongs_to == each.step for each in watched) and {each.prompt for each in shown} <= set(TEXTS)


def test_every_method_watches_three_prompts_where_none_is_given(roles):
    assert len(material.pinned(roles.text)) == len(material.for_ppo({}, [], 0)["pinned"]) == 3


def test_there_may_be_more_pinned_prompts_than_a_rollout_has_answers(roles):
    config = Group(steps=1, **SHORT | {"prompts": 2, "group": 2, "microbatch": 2})
    events = run(rloo_grpo.begin(roles, Cast(), config), config, asked(roles) * 2)
    assert sum(isinstance(each, Sample) and each.pinned for each in events) == 2 * 8


def test_a_run_that_leaves_what_is_healthy_is_warned_as_in_ppo(roles):
    config = Group(steps=4, learning_rate=0.1, **SHORT)
    events = run(rloo_grpo.begin(roles, Cast(), config), config)
    assert {event.code for event in events if isinstance(event, Warned)} & {"W_KL_HIGH", "W_COLLAPSE", "W_ENTROPY_LOW"}


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_every_pass_over_a_rollout_is_told_and_what_the_later_ones_move_is_measured(roles, method):
    config = Group(method=method, steps=4, epochs=4, learning_rate=3e-2, **SHORT)
    events = run(rloo_grpo.begin(roles, Cast(), config), config)
    passes = [(each.done, each.total) for each in events if isinstance(each, Progress) and each.what == "update"]
    assert passes == [(done, 4) for done in (1, 2, 3, 4)] * 4
    for step in (each.metrics for each in events if isinstance(each, Step)):
        assert step["kl/update"] > 0.02 and step["policy/clip_fraction"] > 0 and step["policy/ratio_mean"] != 1.0
        assert step["policy/ratio_first"] == 0.0 and step["policy/updates"] == 4
    assert "W_UPDATE_KL" in {each.code for each in events if isinstance(each, Warned)}


def test_a_pass_of_wild_ratios_is_not_learned_from(roles, monkeypatch):
    loss, seen = losses.policy_loss, []

    def wild_at_the_second_pass(*args, **options):
        seen.append({name: weight.detach().clone() for name, weight in roles.weights("policy").items()})
        found, said = loss(*args, **options)
        return found, said | ({"ratio_mean": torch.tensor(2 * on_policy.WILD)} if len(seen) == 2 else {})

    monkeypatch.setattr(losses, "policy_loss", wild_at_the_second_pass)
    steps_of(roles, Group(steps=1, epochs=3, **SHORT))
    same = [all(torch.equal(old[name], new[name]) for name in old) for old, new in zip(seen, seen[1:], strict=False)]
    assert same == [False, True]


@pytest.mark.parametrize("method", ["rloo", "grpo"])
def test_a_step_measures_what_the_glossary_says_of_its_stage(roles, method):
    [step] = steps_of(roles, Group(method=method, steps=1, **SHORT))
    assert set(step) == {metric.key for metric in measured(method)}


def test_groups_that_all_score_alike_for_three_steps_end_the_run(roles):
    roles.raw_scores = lambda batch, role: torch.ones(len(batch.ids))
    config = Group(steps=9, **SHORT | {"tokens": 40})
    with pytest.raises(FlatReward, match="Up to step 3"):
        run(rloo_grpo.begin(roles, Cast(), config), config)


def test_a_microbatch_that_is_larger_than_the_rollout_is_the_whole_of_it(roles):
    found = []
    for microbatch in (4, 99):
        config = Group(steps=1, prompts=2, group=2, tokens=8, missing_eos="off", microbatch=microbatch)
        state = rloo_grpo.begin(roles, Cast(), config)
        run(state, config)
        found.append([weight.clone() for weight in roles.weights("policy").values()])
    assert all(map(torch.equal, *found))


def test_a_beta_moved_while_the_run_stood_still_is_told(roles):
    config = Group(steps=2, **SHORT)
    state = rloo_grpo.begin(roles, Cast(), config)
    state.step, state.knobs = 1, {"beta": config.beta}
    [change] = [event for event in run(state, replace(config, beta=0.7)) if isinstance(event, Changed)]
    assert (change.step, change.key, change.before, change.after) == (1, "beta", config.beta, 0.7)
    assert state.beta == 0.7


def test_only_the_policy_moves(roles):
    before = {name: p.detach().clone() for name, p in roles.model.named_parameters()}
    steps_of(roles, Group(steps=1, **SHORT))
    moved = {name for name, p in roles.model.named_parameters() if name in before and not torch.equal(p, before[name])}
    assert not moved and not any(parameter.requires_grad for parameter in roles.model.parameters())


def test_answers_that_all_score_alike_teach_nothing(roles):
    roles.raw_scores = lambda batch, role: torch.ones(len(batch.ids))
    config = Group(method="grpo", steps=1, beta=0.0, **SHORT)
    assert steps_of(roles, config)[0]["policy/grad_norm"] == 0.0


def test_rloo_pays_for_the_kl_in_its_reward_and_grpo_does_not():
    score, kl = torch.tensor([1.0, 1.0]), torch.tensor([0.0, 2.0])
    paid = rloo_grpo.advantages_of(score, kl, 0.5, Group(method="rloo", group=2))
    assert paid.tolist() == [1.0, -1.0]
    assert rloo_grpo.advantages_of(score, kl, 0.5, Group(method="grpo", group=2)).tolist() == [0.0, 0.0]


def rankings_of(roles):
    """The longer answer is the better one."""
    long, short = (roles.text.response_ids(text) for text in ("A penguin eats fish and squid.", "No."))
    return [Ranked(each.ids, (tuple(short), tuple(long)), ((1,), (0,))) for each in asked(roles)]


def test_dpo_starts_at_the_log_of_two_and_its_loss_falls(roles):
    config = Dpo(epochs=6, batch=4, microbatch=2, learning_rate=2e-3)
    state = dpo.begin(roles, Cast(), config)
    events = list(dpo.dpo(state, Cast(), rankings_of(roles), lambda: config, ["Why?"]))
    said = [event for event in events if isinstance(event, Sample)]
    assert [(each.step, each.prompt, each.score) for each in said] == [
        (0, "Why?", None),
        (events[-1].step, "Why?", None),
    ]
    seen = [event.metrics for event in events if isinstance(event, Step)]
    assert seen[0]["loss/train"] == pytest.approx(math.log(2), abs=5e-3)
    assert seen[-1]["loss/train"] < 0.8 * math.log(2) and seen[-1]["pairs/train_accuracy"] == 1.0


def test_all_pairs_of_a_ranking_weigh_as_much_as_one_that_stands_alone(roles):
    answers = tuple(tuple(roles.text.response_ids(text)) for text in ("A penguin.", "No.", "Yes, it does."))
    rankings = [Ranked((5, 6), answers, ((0,), (1,), (2,))), Ranked((5, 7), answers[:2], ((0,), (1,)))]
    pairs = result_of(dpo.pairs_of(roles, Cast(), rankings))
    assert [pair.weight for pair in pairs] == [1 / 3, 1 / 3, 1 / 3, 1]


def test_dpo_without_a_pair_and_groups_without_a_reward_model_say_so(roles):
    config = Dpo()
    with pytest.raises(TooFewRankings, match="1 rankings give 0"):
        list(dpo.dpo(dpo.begin(roles, Cast(), config), Cast(), [Ranked((1,), ((2,), (3,)), ((0, 1),))], lambda: config))
    with pytest.raises(NotFound, match="no reward model"):
        rloo_grpo.begin(roles, Cast(reward="nobody"), Group())
