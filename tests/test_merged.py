"""A merged model, loaded by transformers alone, says and scores what the lab does with base and adapter apart."""

from __future__ import annotations

import json

import pytest
import torch
from folders import GROUPED, configs, make, put
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    CodeGenConfig,
    MixtralConfig,
)

from lab import merged
from lab.errors import BadFile, BadInput, DiskFull, Unsupported
from lab.loading import load
from lab.reward import raw_scores
from lab.text import batch_of

NAMES = sorted(configs(300))
SAID = [("What is bread?", "Food, from an oven."), ("Hi", "No."), ("Why do birds sing in spring?", "To be heard.")]


@pytest.fixture(params=NAMES)
def roles(request, in_float32, tmp_path):
    """A base with a policy and a reward model, stirred so that each adapter and the head matter."""
    found = load(str(make(tmp_path, request.param)), device="cpu")
    generator = torch.Generator().manual_seed(3)
    for role in ("policy", "reward"):
        found.add(role)
    found.head("reward").bias.data.fill_(0.25)
    with torch.no_grad():
        for name, parameter in found.model.named_parameters():
            if "lora" in name:
                parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return found


def encoded(roles):
    return zip(*((roles.text.prompt_ids(p), roles.text.response_ids(r)) for p, r in SAID), strict=True)


def test_a_merged_reward_model_gives_the_raw_scores_of_the_lab(roles, tmp_path):
    facts = merged.save_merged(roles, "reward", tmp_path / "out")
    prompts, responses = encoded(roles)
    ours = raw_scores(roles, "reward", prompts, responses)
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    assert model.config.num_labels == 1 and model.config.pad_token_id not in roles.text.eos_ids
    with torch.no_grad():
        alone = [model(torch.tensor([p + r])).logits.item() for p, r in zip(prompts, responses, strict=True)]
    assert facts["bias"] == 0.25
    assert torch.allclose(ours, torch.tensor(alone) + facts["bias"], atol=1e-5 * max(1.0, ours.abs().max().item()))
    with_base = raw_scores_of_base(roles, prompts, responses)
    assert (ours - with_base).abs().max() > 1e-3, "the adapter must matter, or nothing was tested"


def test_a_merged_reward_model_scores_batches_as_their_tokenizer_pads_them(tmp_path, in_float32):
    """Qwen's chat models pad with a token that also stops them, though another one ends their answers."""
    folder = make(tmp_path, "qwen2")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "pad_token_id": 0}))
    roles = load(str(folder), device="cpu")
    assert roles.text.tokenizer.pad_token_id == 0 != roles.text.pad_id
    roles.head("sft")
    merged.save_merged(roles, "sft", tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    words = AutoTokenizer.from_pretrained(tmp_path / "out")
    rows = [[prompt + response for prompt, response in zip(*encoded(roles), strict=True)][i] for i in (0, 1)]
    both = words.pad({"input_ids": rows}, return_tensors="pt", padding_side="right")
    with torch.no_grad():
        alone = [model(torch.tensor([row])).logits.item() for row in rows]
        together = model(**both).logits.flatten().tolist()
    assert together == pytest.approx(alone, abs=1e-5)


@pytest.mark.parametrize("end", [2, 0])
def test_a_merged_reward_model_judges_an_answer_at_its_last_token_whichever_of_them_ends_it(end, tmp_path, in_float32):
    folder = make(tmp_path, "qwen2")
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [2, 0], "pad_token_id": 0}))
    roles = load(str(folder), device="cpu")
    roles.head("sft")
    merged.save_merged(roles, "sft", tmp_path / "out")
    model = AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    prompt, answer = roles.text.prompt_ids("Hi"), [*roles.text.response_ids("No.", ended=False), end]
    ours = raw_scores(roles, "sft", [prompt], [answer]).item()
    with torch.no_grad():
        theirs = model(torch.tensor([prompt + answer])).logits.item()
    assert theirs == pytest.approx(ours - roles.heads["sft"].bias.item(), abs=1e-5)


def raw_scores_of_base(roles, prompts, responses):
    roles.heads["base"] = roles.heads["reward"]
    found = raw_scores(roles, "base", prompts, responses)
    del roles.heads["base"]
    return found


def test_a_merged_policy_gives_the_logits_of_the_lab_and_asks_with_its_template(roles, tmp_path):
    merged.save_merged(roles, "policy", tmp_path / "out")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "out").eval()
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "out")
    prompts, responses = encoded(roles)
    for (words, _), prompt, response in zip(SAID, prompts, responses, strict=True):
        asked = [{"role": "user", "content": words}]
        text = tokenizer.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
        assert tokenizer(text, add_special_tokens=False)["input_ids"] == prompt
        with torch.no_grad():
            theirs = model(torch.tensor([prompt + response])).logits[0, len(prompt) - 1 :].float()
            ours = roles.logits(roles.hidden("policy", batch_of([prompt], [response], roles.text.pad_id)))[0]
        assert torch.allclose(ours, theirs, atol=1e-4 * max(1.0, theirs.abs().max().item()))


def test_what_is_there_is_not_overwritten_and_what_fails_leaves_nothing(tmp_path, monkeypatch):
    roles = load("tiny", device="cpu")
    (tmp_path / "mine").mkdir()
    with pytest.raises(BadInput, match="nothing is overwritten"):
        merged.save_merged(roles, "sft", tmp_path / "mine")
    full = OSError(28, "No space left on device")
    monkeypatch.setattr(type(roles.text.tokenizer), "save_pretrained", lambda *_: (_ for _ in ()).throw(full))
    with pytest.raises(DiskFull, match="No space left"):
        merged.save_merged(roles, "sft", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mine"]


def test_only_a_disk_without_room_is_said_to_need_space(tmp_path, monkeypatch):
    roles = load("tiny", device="cpu")
    (tmp_path / "file").write_text("mine")
    with pytest.raises(BadFile, match="Not a directory.*name another folder"):
        merged.save_merged(roles, "sft", tmp_path / "file" / "out")
    sealed = OSError(30, "Read-only file system")
    monkeypatch.setattr(type(roles.text.tokenizer), "save_pretrained", lambda *_: (_ for _ in ()).throw(sealed))
    with pytest.raises(BadFile, match="Read-only file system.*name another folder") as found:
        merged.save_merged(roles, "sft", tmp_path / "out")
    assert "space" not in str(found.value) and [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_merge_changes_nothing_in_memory(tmp_path):
    roles = load("tiny", device="cpu")
    before = {name: weight.clone() for name, weight in roles.model.state_dict().items()}
    facts = merged.save_merged(roles, "sft", tmp_path / "out", {"mine": 1})
    assert all(torch.equal(weight, before[name]) for name, weight in roles.model.state_dict().items())
    assert json.loads((tmp_path / "out" / merged.FACTS).read_text()) == facts | {
        "kind": "policy",
        "base": "tiny",
        "mine": 1,
    }


def test_a_mixture_of_experts_and_a_classifier_that_the_library_lacks_are_refused_and_nothing_is_left(tmp_path):
    mixture = load(
        str(put(tmp_path / "a", MixtralConfig(**GROUPED, vocab_size=260, num_local_experts=2))), device="cpu"
    )
    with pytest.raises(Unsupported, match="mixture of experts"):
        merged.save_merged(mixture, "sft", tmp_path / "out")
    config = CodeGenConfig(n_embd=64, n_layer=1, n_head=4, rotary_dim=8, vocab_size=260)
    judge = load(str(put(tmp_path / "b", config)), device="cpu")
    judge.head("sft")
    with pytest.raises(Unsupported, match="no SequenceClassification for codegen"):
        merged.save_merged(judge, "sft", tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]
