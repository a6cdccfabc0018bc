"""Sampling: what is drawn has the probabilities that were asked for, and a row does not depend on its neighbours."""

from __future__ import annotations

import pytest
import torch
from folders import GROUPED, make, put
from transformers import Lfm2Config

from lab.errors import NotFinite, NotFound
from lab.generate import Plain, draw, sample, stream, survivors
from lab.loading import load


@pytest.fixture(scope="module")
def roles():
    return load("tiny", device="cpu", precision="float32")


@pytest.fixture(scope="module")
def prompts(roles):
    texts = ("What does a penguin eat?", "Say hello.", "Name a fruit.", "Why is the sky blue?", "Count to three.", "Hi")
    return [roles.text.prompt_ids(text) for text in texts]


def test_drawn_ids_have_the_softmax_probabilities_of_the_temperature():
    logits = torch.tensor([2.0, 0.0, -1.0, float("-inf"), 1.0] + [float("-inf")] * 120 + [0.5])
    for temperature in (1.0, 0.5):
        chances = [(i + 0.5) / 20000 for i in range(20000)]
        drawn = torch.cat(
            [draw(logits.repeat(500, 1), temperature, chances[i : i + 500]) for i in range(0, 20000, 500)]
        )
        share = torch.bincount(drawn, minlength=126) / 20000
        assert torch.allclose(share, (logits / temperature).softmax(-1), atol=1.5e-4)


def test_every_chance_in_its_range_gives_an_id_of_the_vocabulary():
    logits = torch.randn(4, 67, generator=torch.Generator().manual_seed(0))
    for chance in (0.0, 0.5, 1 - 2**-53):
        ids = draw(logits, 1.0, [chance] * 4)
        assert bool(((ids >= 0) & (ids < 67)).all())


def test_no_token_without_a_chance_is_drawn_where_rounded_sums_leave_a_gap():
    logits = torch.randn(500, 67, generator=torch.Generator().manual_seed(0))
    logits[:, [20, 63, 66]] = -torch.inf
    whole = logits.double().softmax(-1)[:, :64].sum(-1)
    for chance in (whole, whole - 1e-9, whole + 1e-9, torch.full((500,), 1 - 2**-53, dtype=torch.float64)):
        ids = draw(logits, 1.0, chance.tolist())
        assert logits.gather(1, ids[:, None]).isfinite().all()


def test_temperature_zero_takes_the_likeliest():
    logits = torch.randn(5, 4096, generator=torch.Generator().manual_seed(0))
    assert torch.equal(draw(logits, 0, [0.9] * 5), logits.argmax(-1))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_logits_that_are_not_finite_are_refused(bad):
    logits = torch.zeros(2, 8)
    logits[1, 3] = bad
    with pytest.raises(NotFinite):
        draw(logits, 1.0, [0.5, 0.5])


def test_an_answer_does_not_depend_on_what_else_is_in_the_batch(roles, prompts):
    together = sample(roles, "base", prompts, tokens=20, seed=3)
    for count in (1, 4):
        assert sample(roles, "base", prompts[:count], tokens=20, seed=3) == together[:count]


def test_the_same_seed_says_the_same_and_another_seed_does_not(roles, prompts):
    first = sample(roles, "base", prompts, tokens=20, seed=3)
    assert sample(roles, "base", prompts, tokens=20, seed=3) == first
    assert sample(roles, "base", prompts, tokens=20, seed=4) != first


def test_equal_prompts_get_different_answers(roles, prompts):
    assert len({tuple(response) for response in sample(roles, "base", prompts[:1] * 8, tokens=16)}) > 1


def test_a_response_ends_with_its_first_stop_token_or_at_the_limit(roles, prompts):
    for response in sample(roles, "base", prompts * 4, tokens=24, seed=1):
        stops = [place for place, token in enumerate(response) if token in roles.text.eos_ids]
        assert stops == [len(response) - 1] or (not stops and len(response) == 24)


def test_the_fast_loop_and_the_models_forward_say_the_same(roles, prompts, monkeypatch):
    monkeypatch.setattr(roles, "products", torch.float32)
    fast = [sample(roles, "base", prompts, tokens=16, temperature=t, seed=5) for t in (0, 1.0)]
    monkeypatch.setattr("lab.generate._speaker", lambda roles, role, prompts, _: Plain(roles, role, prompts))
    assert [sample(roles, "base", prompts, tokens=16, temperature=t, seed=5) for t in (0, 1.0)] == fast


def test_rows_leave_the_models_own_loop_too(roles, prompts, monkeypatch):
    monkeypatch.setattr("lab.generate._speaker", lambda roles, role, prompts, _: Plain(roles, role, prompts))
    sizes = [len(rows) for rows, _ in stream(roles, "base", prompts * 3, tokens=40, seed=1)]
    assert sizes == sorted(sizes, reverse=True)
    speaker = Plain(roles, "base", prompts)
    with torch.no_grad():
        speaker.start()
        speaker.keep([5, 1])
        logits = speaker.say(torch.tensor([7, 8]))
        alone = Plain(roles, "base", [prompts[1] + [8]]).start()
    assert (logits[1].softmax(-1) - alone[0].softmax(-1)).abs().max() < 0.02


def test_rows_that_a_cache_cannot_let_go_of_are_passed_over(tmp_path, prompts, in_float32):
    kinds = ["conv", "full_attention"]
    sizes = {key: size for key, size in GROUPED.items() if key != "head_dim"}
    config = Lfm2Config(**sizes, vocab_size=260, eos_token_id=2, pad_token_id=0, layer_types=kinds)
    config.initializer_range = 0.1
    roles = load(str(put(tmp_path, config)), device="cpu", precision="float32")
    asked = [roles.text.prompt_ids(text) for text in ("Hi", "What is it?", "Why not, then?", "Yes")]
    alone = [torch.tensor(sample(roles, "base", [ids], tokens=6, temperature=0)[0]) for ids in asked]
    speaker = Plain(roles, "base", asked)
    with torch.no_grad():
        assert torch.equal(speaker.start().argmax(-1), torch.stack([said[0] for said in alone]))
        speaker.keep([3, 1, 2])
        said = torch.stack([alone[row][0] for row in (3, 1, 2)])
        speaker.say(said)
        speaker.keep([0, 2])
        after = speaker.say(torch.stack([alone[row][1] for row in (3, 2)])).argmax(-1)
    assert torch.equal(after, torch.stack([alone[row][2] for row in (3, 2)]))


def test_survivors_stay_and_fill_holes_from_the_end():
    assert survivors([True, False, True, False, True]) == [0, 4, 2]
    assert survivors([True, True]) == [0, 1]
    assert survivors([False, False]) == []


HOSTILE = {"top_k": 20, "top_p": 0.8, "repetition_penalty": 1.5, "temperature": 0.7, "no_repeat_ngram_size": 1}


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_share_of_each_first_token_is_the_models_softmax_whatever_settings_ship_with_it(tmp_path, name):
    roles = load(str(make(tmp_path, name, spread=0.3)), device="cpu", precision="float32")
    model, prompt = roles.model.base_model.model, [72, 105, 63, 72]
    for key, value in HOSTILE.items():
        setattr(model.generation_config, key, value)
    with torch.no_grad(), roles.using("base"):
        logits = model(torch.tensor([prompt])).logits[0, -1].float()
        library = model.generate(
            torch.tensor([prompt]), do_sample=True, max_new_tokens=1, output_scores=True, return_dict_in_generate=True
        ).scores[0][0]
    assert library.isinf().any()  # the settings do bite where they are consulted
    for temperature in (1.0, 0.7):
        drawn = [sample(roles, "base", [prompt] * 1000, tokens=1, temperature=temperature, seed=n) for n in range(20)]
        count = torch.tensor([response[0] for part in drawn for response in part]).bincount(minlength=len(logits))
        expected = (logits / temperature).softmax(-1).double() * 20_000
        common = expected >= 5
        seen, wanted = (torch.cat([x[common], x[~common].sum()[None]]).double() for x in (count, expected))
        statistic = ((seen - wanted).square() / wanted).sum()
        # The chi-square distribution's upper tail with one degree of freedom less than there are cells.
        p_value = torch.special.gammaincc(torch.tensor((len(seen) - 1) / 2).double(), statistic / 2)
        assert p_value > 1e-3
    said = sample(roles, "base", [prompt] * 8, tokens=24, seed=1)
    assert any(len(set(response)) < len(response) for response in said)


def test_nobody_to_ask_says_nothing_and_an_unknown_role_is_refused(roles, prompts):
    assert sample(roles, "base", [], tokens=4) == []
    with pytest.raises(NotFound):
        sample(roles, "nobody", prompts, tokens=4)
