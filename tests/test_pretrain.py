"""The script that trains the embedded models: what it begins with, and that it learns."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from assets import pretrain
from lab.loading import EMBEDDED

TOY = pretrain.Shape(hidden=64, layers=1, heads=2, feed_forward=64, steps=40, batch=4, learning_rate=2e-2)


@pytest.fixture(scope="module")
def tokenizer():
    return pretrain.saved_tokenizer(EMBEDDED / "tiny")


def test_a_deeper_model_begins_as_the_smaller_one(tokenizer):
    smaller = pretrain.new_model(replace(TOY, layers=2), tokenizer)
    deeper = pretrain.grown(smaller, replace(TOY, layers=6))
    ids = torch.randint(len(tokenizer), (2, 20), generator=torch.Generator().manual_seed(0))
    assert len(deeper.model.layers) == 6 and deeper.config._attn_implementation == "eager"
    assert torch.equal(deeper(ids).logits, smaller(ids).logits)
    deeper(ids).logits.square().mean().backward()
    assert all(layer.mlp.down_proj.weight.grad.abs().sum() > 0 for layer in deeper.model.layers)


def test_pages_of_a_seed_are_the_same_tokens_and_begin_each_with_the_begin_token(tokenizer):
    first, again = (pretrain.tokenise(tokenizer, pretrain.lessons(3), 2000) for _ in range(2))
    assert torch.equal(first, again) and first[0] == tokenizer.bos_token_id
    assert not torch.equal(first, pretrain.tokenise(tokenizer, pretrain.lessons(4), 2000))


def test_a_few_steps_lower_the_loss_and_the_saved_folder_is_the_model(tokenizer, tmp_path):
    torch.manual_seed(0)
    model = pretrain.new_model(TOY, tokenizer)
    tokens = pretrain.tokenise(tokenizer, pretrain.pages(5), TOY.steps * TOY.batch * 64).view(TOY.steps, TOY.batch, 64)
    losses = list(pretrain.train(model, tokens, TOY, pretrain.next_token_loss))
    assert losses[-1] < losses[0] - 0.5
    pretrain.save(model, tokenizer, tmp_path / "toy")
    again = pretrain.saved_model(tmp_path / "toy")
    assert torch.allclose(again(tokens[0]).logits, model(tokens[0]).logits, atol=0.05)


def test_the_rate_rises_stays_and_falls_to_nothing():
    factors = [pretrain.rate_factor(step, 1000) for step in range(1000)]
    assert factors[0] < 0.02 and factors[60] == factors[499] == 1.0 and 0 < factors[-1] < 0.01
