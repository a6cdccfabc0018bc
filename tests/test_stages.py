"""The stages on a small model: equality at step 0, isolation of adapters, honest gradients, and clear refusals."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace
from random import Random

import pytest
import torch
from folders import make

from lab import losses, on_policy, ppo, reward, sft
from lab.cast import Cast, Scale
from lab.config import Ppo, Reward, Sft
from lab.errors import BadNumber, EmptyPrompt, FlatReward, NotFinite, NotFound, PromptTooLong, TooFewRankings
from lab.events import Changed, Finished, Sample, Step
from lab.generate import sample
from lab.loading import load
from lab.models import BASE
from lab.rater import Rater
from lab.reward import Ranked, measure_scale, raw_scores
from lab.rollout import PHRASE, common_phrase, measure, parts_of
from lab.steps import result_of
from lab.text import batch_of

SHORT = Ppo(steps=2, batch=8, minibatch=4, microbatch=2, tokens=12, beta=0.1)
CAST = Cast()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make(tmp_path_factory.mktemp("stages"), "llama")


@pytest.fixture
def ready(folder):
    """Roles with a short SFT behind them and an untrained reward model."""
    roles = load(str(folder), device="cpu")
    config = Sft(steps=3, batch=4)
    pairs = [("Hi", "Hello."), ("Why?", "Because."), ("What is it?", "A cat."), ("Where", "Here, I think.")]
    list(sft.sft(sft.begin(roles, config), pairs, lambda: config))
    reward.begin(roles, Reward())
    roles.freeze()
    return roles


def asked(roles, room=12):
    return roles.text.asked(["Hi", "Why is it so?", "What?", "Where are you now?"], room=room)


def run(roles, config=SHORT, cast=CAST, live=None):
    state = ppo.begin(roles, cast, config)
    return state, list(ppo.ppo(state, cast, asked(roles), live or (lambda: config), asked(roles)[:1]))


def weights(roles, role):
    return {name: parameter.detach().clone() for name, parameter in roles.weights(role).items()}


def every_parameter(roles):
    named = [*roles.model.named_parameters(), *roles.heads.named_parameters(prefix="heads")]
    return {name: parameter.detach().clone() for name, parameter in named}


@pytest.mark.parametrize("value_model", ["head", "adapter"])
def test_before_the_first_update_the_kl_is_exactly_zero_and_the_ratio_exactly_one(ready, value_model):
    _, events = run(ready, replace(SHORT, value_model=value_model))
    step = next(event for event in events if isinstance(event, Step))
    assert step.metrics["kl/reference"] == 0.0 and step.metrics["kl/k1"] == 0.0
    assert step.metrics["policy/ratio_first"] == 0.0


@pytest.mark.parametrize("off, learns", [(0.0, True), (3.0, False)])
def test_a_minibatch_of_wild_ratios_is_not_learned_from(ready, off, learns):
    config = replace(SHORT, beta=0.1, score_clip=5.0)
    state = ppo.begin(ready, CAST, config)
    prompts, responses = on_policy.roll_out(state, CAST, asked(ready), config)
    rollout = ppo.weigh(measure(ready, CAST, 0.1, [each.ids for each in prompts], responses, config), config)
    rollout = replace(rollout, logp=rollout.logp - off)
    before = weights(ready, "policy")
    method = on_policy.Method(ppo.weigh, ppo._backward)
    seen = on_policy.update(method, state, CAST, rollout.minibatches[0], rollout, config)
    assert seen["policy/ratio_mean"] == pytest.approx(math.exp(off), rel=1e-3)
    same = all(torch.equal(value, before[name]) for name, value in weights(ready, "policy").items())
    assert same is not learns
    assert all(parameter.grad is None for parameter in ready.weights("policy").values())


@pytest.mark.parametrize("value_model", ["head", "adapter"])
def test_ppo_moves_the_policy_and_the_value_and_nothing_else(ready, value_model):
    state = ppo.begin(ready, CAST, replace(SHORT, value_model=value_model))
    before = every_parameter(ready)
    list(ppo.ppo(state, CAST, asked(ready), lambda: replace(SHORT, value_model=value_model)))
    moved = {name for name, value in every_parameter(ready).items() if not torch.equal(value, before[name])}
    allowed = (".policy.", "heads.value") + ((".value.",) if value_model == "adapter" else ())
    assert moved and all(any(mark in name for mark in allowed) for name in moved)
    assert any(".policy." in name for name in moved) and any("heads.value" in name for name in moved)


def test_the_value_adapter_starts_as_the_reward_model_at_the_score(ready):
    cast = replace(CAST, scale=Scale(2.0, -0.5))
    config = replace(SHORT, value_model="adapter")
    ppo.begin(ready, cast, config)
    batch = batch_of([[5, 6], [7]], [[8, 9, 2], [10, 2]], 0)
    with torch.no_grad():
        value = ready.heads["value"](ready.hidden("value", batch).float()).squeeze(-1)
        raw = ready.raw_scores(batch)
    assert torch.allclose(value[torch.arange(2), batch.mask.sum(1)], 2.0 * raw - 0.5, atol=1e-5)


def test_gradients_of_a_value_adapter_that_are_no_numbers_move_nothing(ready):
    state = ppo.begin(ready, CAST, replace(SHORT, value_model="adapter"))
    learning = [parameter for group in state.optimizer.param_groups for parameter in group["params"]]
    before = [parameter.detach().clone() for parameter in learning]
    next(each for each in ready.weights("value").values() if each.requires_grad).register_hook(
        lambda gradient: gradient * torch.inf
    )
    with pytest.raises(NotFinite, match="gradient norm"):
        list(ppo.ppo(state, CAST, asked(ready), lambda: replace(SHORT, value_model="adapter")))
    assert all(map(torch.equal, before, learning))


@pytest.mark.parametrize("way", ["pairs", "plackett_luce"])
def test_a_ranking_weighs_alike_however_long_it_is_and_whether_some_are_tied(way):
    strict, tied, long = [[0], [1], [2], [3]], [[0], [1, 2], [3]], [[each] for each in range(8)]
    found = [float(reward.loss_of(torch.zeros(8), groups, way)) for groups in (strict, tied, long)]
    assert max(found) < 2.5 * min(found)
    assert float(reward.loss_of(torch.zeros(2), [[1], [0]], way)) == pytest.approx(math.log(2))


def test_the_same_seed_gives_the_same_adapter_bitwise_and_another_seed_does_not(ready):
    found = []
    for seed in (0, 0, 1):
        run(ready, replace(SHORT, seed=seed))
        found.append(torch.cat([value.flatten() for value in weights(ready, "policy").values()]))
        torch.manual_seed(1)
    assert torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_resumed_from_any_step_equals_uninterrupted_bitwise(ready):
    config = replace(SHORT, steps=4, target_kl=0.5, beta=0.2)
    state, packed = ppo.begin(ready, CAST, config), {}
    for event in ppo.ppo(state, CAST, asked(ready), lambda: config):
        if isinstance(event, Step):
            packed[event.step] = state.pack()
    end = packed[4]
    for step in (1, 2, 3):
        again = ppo.begin(ready, CAST, config)
        again.unpack(*packed[step])
        list(ppo.ppo(again, CAST, asked(ready), lambda: config))
        tensors, numbers = again.pack()
        assert numbers == end[1]
        assert all(torch.equal(tensor, end[0][name]) for name, tensor in tensors.items())


@pytest.mark.parametrize("microbatch", [1, 2, 4])
def test_microbatches_leave_the_gradient_of_a_minibatch_as_it_is(ready, microbatch):
    def gradient(size):
        ready.model.float()
        ready.products = torch.float32
        config = replace(SHORT, microbatch=size, minibatch=4, epochs=1, learning_rate=1e-8)
        state = ppo.begin(ready, CAST, config)
        prompts, responses = on_policy.roll_out(state, CAST, asked(ready), config)
        rollout = ppo.weigh(measure(ready, CAST, 0.1, [each.ids for each in prompts], responses, config), config)
        count = int(sum(part.batch.mask.sum() for part in rollout.minibatches[0]))
        for part in rollout.minibatches[0]:
            ppo._backward(ready, CAST, part, rollout, count, config)
        return torch.cat([p.grad.flatten() for p in ready.weights("policy").values() if p.requires_grad])

    assert torch.allclose(gradient(microbatch), gradient(4), atol=1e-6)


def test_memory_that_runs_out_halves_the_microbatch_and_changes_nothing_else(ready, monkeypatch):
    config = replace(SHORT, microbatch=4)
    whole = next(event for event in run(ready, config)[1] if isinstance(event, Step))
    backward, tried = ppo._backward, []

    def short_of_memory(roles, cast, part, *rest):
        tried.append(len(part.rows))
        if len(part.rows) > 2:
            raise torch.OutOfMemoryError("injected")
        return backward(roles, cast, part, *rest)

    monkeypatch.setattr(ppo, "_backward", short_of_memory)
    state, events = run(ready, config)
    warned = [event.code for event in events if getattr(event, "code", "").startswith("W_MEMORY")]
    assert warned == ["W_MEMORY"] and state.microbatch == 2 and tried.count(4) == 1
    halved = next(event for event in events if isinstance(event, Step))
    assert isinstance(events[-1], Finished)
    for key in ("loss/value", "policy/grad_norm", "kl/update"):
        assert halved.metrics[key] == pytest.approx(whole.metrics[key], rel=0.05)


def test_parts_cover_every_row_once_and_lose_no_token():
    batch = batch_of([[1], [1, 2, 3], [4, 5], [6]], [[7, 2], [8, 9, 9, 2], [2], [5, 5, 5]], 0)
    parts = [part for minibatch in parts_of(batch, replace(SHORT, batch=8)) for part in minibatch]
    assert sorted(int(row) for part in parts for row in part.rows) == [0, 1, 2, 3]
    assert sum(int(part.batch.mask.sum()) for part in parts) == int(batch.mask.sum())
    assert sum(int(part.batch.attention.sum()) for part in parts) == int(batch.attention.sum())


def test_exactly_what_learns_takes_gradients_after_any_switching(ready):
    state = ppo.begin(ready, CAST, replace(SHORT, value_model="adapter"))
    wanted = {id(p) for group in state.optimizer.param_groups for p in group["params"]}
    with ready.using("reward"), ready.using(BASE), ready.using("policy"):
        pass
    ready.add("guest", like="sft")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for role in ("guest", "sft"):
            ready.remove(role)
    named = [*ready.model.parameters(), *ready.heads["value"].parameters()]
    assert {id(p) for p in named if p.requires_grad} == wanted


def test_train_and_eval_give_equal_log_probs_because_nothing_drops_out(ready):
    batch = batch_of([[5, 6], [7]], [[8, 9, 2], [10, 2]], 0)
    with torch.no_grad():
        ready.model.eval()
        quiet = ready.logits(ready.hidden("sft", batch))
        ready.model.train()
        loud = ready.logits(ready.hidden("sft", batch))
        ready.model.eval()
    assert torch.equal(quiet, loud)
    assert all(module.p == 0 for module in ready.model.modules() if isinstance(module, torch.nn.Dropout))


def test_a_response_that_never_ends_gets_the_missing_end_score(ready):
    config = replace(SHORT, batch=8)
    ppo.begin(ready, CAST, config)
    rollout = measure(ready, CAST, 0.1, [[5]] * 8, [[6, 7, 8]] * 8, config)
    assert rollout.score.tolist() == [-1.0] * 8


def test_a_moved_knob_takes_effect_at_the_next_step_and_leaves_a_mark(ready):
    readings = iter([SHORT, SHORT, replace(SHORT, beta=0.7), replace(SHORT, beta=0.7)])
    _, events = run(ready, live=lambda: next(readings))
    [changed] = [event for event in events if isinstance(event, Changed)]
    assert (changed.step, changed.key, changed.after) == (1, "beta", 0.7)
    assert [event.metrics["kl/beta"] for event in events if isinstance(event, Step)] == [0.1, 0.7]


def test_a_knob_moved_before_the_first_step_is_told_and_obeyed_there(ready):
    _, events = run(ready, live=lambda: replace(SHORT, beta=0.7))
    [changed] = [event for event in events if isinstance(event, Changed)]
    assert (changed.step, changed.key, changed.before, changed.after) == (0, "beta", 0.1, 0.7)
    assert [event.metrics["kl/beta"] for event in events if isinstance(event, Step)] == [0.7, 0.7]


def test_pinned_prompts_return_with_the_same_luck(ready):
    _, events = run(ready, replace(SHORT, learning_rate=1e-8, pinned_every=1))
    pinned = [event for event in events if isinstance(event, Sample) and event.pinned]
    assert len(pinned) == 3 and len({event.response for event in pinned}) == 1
    assert {event.prompt for event in pinned} == {"Hi"}


def rankings(roles, count, better):
    """Rankings of two responses in which `better` picks the winner's ids."""
    rng, found = Random(0), []
    for number in range(count):
        answers = [tuple(rng.choices(range(10, 40), k=5)) + (2,) for _ in range(4)]
        order = sorted(range(4), key=lambda i: -better(answers[i]))
        found.append(Ranked((5, 6, 7 + number % 50, number // 50 + 5), tuple(answers), tuple((i,) for i in order)))
    return found


@pytest.mark.parametrize("head", ["fitted", "random"])
def test_a_reward_model_learns_a_taste_that_can_be_seen_in_the_words(ready, head):
    config = Reward(epochs=10, learning_rate=3e-3, head=head, normalise_over=16, tokens=8, unfrozen=1.0)
    found = rankings(ready, 100, lambda ids: sum(i >= 25 for i in ids))
    events = list(reward.reward(reward.begin(ready, config), found, asked(ready), lambda: config))
    result = events[-1].result
    assert result["pairs/accuracy"] > 0.8 and result["pairs/accuracy_low"] > 0.5
    raw = raw_scores(ready, "reward", [each.prompt for each in found[:4]], [each.responses[0] for each in found[:4]])
    assert raw.isfinite().all() and len(result["quantiles"]) == 21


def test_a_ranking_that_costs_k_answers_is_read_in_one_pass_of_k_rows(ready, monkeypatch):
    rows = []
    whole = ready.raw_scores
    monkeypatch.setattr(
        type(ready), "raw_scores", lambda self, batch, role: rows.append(len(batch.ids)) or whole(batch, role)
    )
    reward.score_rankings(ready, rankings(ready, 2, sum))
    assert rows == [8]


def test_rankings_by_chance_end_with_a_warning_in_words(ready):
    config = Reward(epochs=1, normalise_over=16, tokens=8)
    noise = Random(3)
    found = rankings(ready, 60, lambda ids: noise.random())
    events = list(reward.reward(reward.begin(ready, config), found, asked(ready), lambda: config))
    warned = [event for event in events if getattr(event, "code", "") == "W_CHANCE"]
    assert events[-1].result["pairs/accuracy_low"] > 0.5 or "better than chance" in warned[0].message


def test_too_few_rankings_are_refused_with_the_numbers(ready):
    ties = [Ranked((1, 2), ((3,), (4,)), ((0, 1),))] * 30
    for found in ([], ties):
        with pytest.raises(TooFewRankings, match=f"{len(found)} rankings give 0"):
            list(reward.reward(reward.begin(ready, Reward()), found, asked(ready), Reward))


def test_a_reward_model_that_scores_everything_alike_is_refused(ready):
    with torch.no_grad():
        ready.heads["reward"].weight.zero_()
    with pytest.raises(FlatReward, match="nearly the same score"):
        result_of(measure_scale(ready, asked(ready), Reward(normalise_over=8, tokens=8)))


def test_three_rollouts_that_all_score_alike_end_the_run_with_a_reason(ready):
    long = replace(SHORT, steps=6, tokens=150, missing_eos="off")
    state, steps = ppo.begin(ready, CAST, long), []
    with torch.no_grad():
        ready.heads["reward"].weight.zero_()
    with pytest.raises(FlatReward, match="three rollouts in a row got the same score"):
        for event in ppo.ppo(state, CAST, asked(ready), lambda: long):
            steps += [event.step] if isinstance(event, Step) else []
    assert steps == [1, 2, 3]


def test_weights_that_are_not_numbers_end_the_run_with_a_reason(ready):
    state = ppo.begin(ready, CAST, SHORT)
    with torch.no_grad():
        next(iter(ready.weights("policy").values())).fill_(float("nan"))
    with pytest.raises(NotFinite):
        list(ppo.ppo(state, CAST, asked(ready), lambda: replace(SHORT, steps=3)))


def test_a_phrase_counts_once_for_each_prompt_that_is_answered_with_it():
    phrase, asked = tuple(range(PHRASE)), [(number,) for number in range(10)]
    said = [(*range(100 * number, 100 * number + 20),) for number in range(1, 11)]
    assert common_phrase(asked, said) == 0.1 and common_phrase(asked, [phrase[1:]] * 10) == 0.0
    said[2:4] = [(50, *phrase), (*phrase, 60)]
    assert common_phrase(asked, said) == 0.2
    assert common_phrase([*asked, asked[2], asked[2]], [*said, phrase, (70, *phrase)]) == 0.2
    assert common_phrase([*asked, asked[5]], [*said, phrase]) == 0.3
    assert common_phrase(asked[:9], said[:9]) is None


def test_a_rollout_measures_the_commonest_phrase_without_what_pads_it(ready):
    ppo.begin(ready, CAST, SHORT)
    prompts = [[5 + number] * (1 + number % 3) for number in range(10)]
    said = [[*range(20 * number, 20 * number + 9 + number), 2] for number in range(1, 11)]
    assert measure(ready, CAST, 0.1, prompts, said, SHORT).metrics()["response/phrase"] == 0.1
    said[3:6] = [[number, *said[2], 2] for number in (7, 8, 9)]
    assert measure(ready, CAST, 0.1, prompts, said, SHORT).metrics()["response/phrase"] == 0.4


def test_ppo_without_a_reward_model_or_prompts_says_so(ready):
    with pytest.raises(NotFound, match="no reward model"):
        ppo.begin(ready, replace(CAST, reward="other"), SHORT)
    with pytest.raises(Exception, match="no prompt"):
        list(ppo.ppo(ppo.begin(ready, CAST, SHORT), CAST, [], lambda: SHORT))


def test_prompts_that_cannot_be_answered_are_refused(ready):
    with pytest.raises(EmptyPrompt):
        ready.text.prompt_ids("  ")
    with pytest.raises(PromptTooLong, match="256 in all. Shorten the prompt."):
        ready.text.prompt_ids("word " * 600)
    with pytest.raises(PromptTooLong, match="256 in all. Shorten the answer, or allow fewer tokens for it."):
        ready.text.prompt_ids("word", room=600)


@pytest.mark.parametrize(
    "change",
    [
        {"learning_rate": float("nan")},
        {"steps": 0},
        {"batch": 8, "minibatch": 16},
        {"beta": -1.0},
        {"value_model": "x"},
    ],
)
def test_a_knob_outside_its_range_is_refused(change):
    with pytest.raises(BadNumber):
        Ppo(**change)


def test_the_supervised_loss_is_that_of_responses_alone(ready):
    batch = batch_of([[5, 6, 7], [8]], [[9, 2], [10, 11, 2]], 0)
    other = batch_of([[12, 6, 7], [8]], [[9, 2], [10, 11, 2]], 0)
    with torch.no_grad():
        logits = ready.logits(ready.hidden("sft", batch)[:, :-1])
        by_hand = -losses.log_softmax_gather(logits, batch.responses)[batch.mask].mean()
        assert torch.allclose(sft.response_loss(ready, batch), by_hand)
        assert not torch.equal(sft.response_loss(ready, batch), sft.response_loss(ready, other))


@pytest.mark.parametrize("stage, first, last", [(sft, 0.1, 2 / 60), (reward, 0.2, 0.1)])
def test_the_rate_rises_over_a_warm_up_to_the_whole_of_it_and_falls_until_the_last_step(stage, first, last):
    shares = [stage.share_of_rate(step, 60) for step in range(1, 61)]
    assert shares[0] == pytest.approx(first) and shares[-1] == pytest.approx(last)
    top = shares.index(1.0)
    assert shares[: top + 1] == sorted(shares[: top + 1]) and shares[top:] == sorted(shares[top:], reverse=True)
    assert stage.WARM_UP == top + 1


def test_sft_resumed_equals_uninterrupted_bitwise(ready):
    config, pairs = Sft(steps=6, batch=2), [("a", "b c"), ("d", "e"), ("f g", "h"), ("i", "j k l"), ("m", "n")]
    state, packed = sft.begin(ready, config, "x"), {}
    for event in sft.sft(state, pairs, lambda: config):
        if isinstance(event, Step):
            packed[event.step] = state.pack()
    again = sft.begin(ready, config, "x")
    again.unpack(*packed[3])
    list(sft.sft(again, pairs, lambda: config))
    assert all(torch.equal(tensor, packed[6][0][name]) for name, tensor in again.pack()[0].items())


def test_a_greedy_answer_does_not_depend_on_what_else_is_in_the_batch(ready):
    prompts = [each.ids for each in asked(ready)]
    together = sample(ready, "sft", prompts, tokens=10, temperature=0)
    assert together == [sample(ready, "sft", [prompt], tokens=10, temperature=0)[0] for prompt in prompts]


def test_the_helpful_rater_prefers_a_true_answer_to_a_rude_or_empty_one():
    helpful = Rater("helpful")
    prompt = "What does a penguin eat?"
    good, rude = "A penguin eats fish and squid.", "What a silly thing to ask."
    assert helpful.utility(prompt, good) > helpful.utility(prompt, rude)
    assert helpful.rank(prompt, [good, good], Random(0)) == ((0, 1),)
