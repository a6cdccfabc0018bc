"""Figures by token: they add up to what the sample says as a whole, and the pieces of text to the response."""

from __future__ import annotations

import pytest
from folders import make
from hypothesis import given
from hypothesis import strategies as st

from lab import losses, ppo, reward
from lab.cast import Cast, Scale
from lab.config import Ppo, Reward
from lab.events import Sample, from_json, to_json
from lab.loading import load
from lab.rollout import measure
from lab.text import Text
from lab.tokens import figures, pieces

BETA = 0.5


@pytest.fixture(scope="module")
def roles(tmp_path_factory):
    found = load(str(make(tmp_path_factory.mktemp("tokens"), "llama")), device="cpu")
    reward.begin(found, Reward())
    return found


@pytest.fixture(scope="module")
def text(roles) -> Text:
    return roles.text


def test_the_figures_add_up_to_the_whole_response(roles):
    config, cast = Ppo(batch=8, minibatch=8, microbatch=8), Cast(scale=Scale(2.0, 0.5))
    ppo.begin(roles, cast, config)
    responses = [[5, 6, 7, roles.text.eos_ids[0]], [9, 8]]
    rollout = ppo.weigh(measure(roles, cast, BETA, [[4, 4], [5]], responses, config), config)
    k1 = losses.k1(rollout.logp, rollout.reference_logp)
    for row, response in enumerate(responses):
        found = figures(rollout.by_token(), rollout.batch, row, roles.text)
        assert {len(column) for column in found.values()} == {len(response)}
        assert "".join(found["text"]) == roles.text.decode(response)
        assert sum(found["kl"]) == pytest.approx(rollout.kl_exact[row].sum().item(), abs=1e-2)
        total = (rollout.score[row] - BETA * k1[row].sum()).item()
        assert sum(found["reward"]) == pytest.approx(total, rel=2e-2, abs=1e-2)


@given(st.text(max_size=20))
def test_the_pieces_add_up_to_the_text_whatever_tokens_spell_its_letters(text, said):
    ids = text.response_ids(said)
    found = pieces(text, ids)
    assert len(found) == len(ids)
    assert "".join(found) == text.decode(ids)


def test_a_letter_of_several_tokens_stands_with_the_last_of_them(text):
    ids = text.response_ids("aé")
    assert len(ids) == 4 and pieces(text, ids) == ["a", "", "é", ""]


def test_a_sample_that_was_written_before_there_were_figures_is_read():
    sample = Sample(1, "Why?", "So.", 0.5, 0.1, 2, False, "policy", {"kl": [0.1, 0.0]})
    assert from_json(to_json(sample, 1.0)) == (sample, 1.0)
    old = to_json(sample, 1.0).replace(',"tokens":{"kl":[0.1,0.0]}', "")
    assert from_json(old)[0].tokens == {}
