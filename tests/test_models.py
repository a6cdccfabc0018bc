"""Loading and playing roles on real architectures: what is scored is what the model says, in fp32, bf16 and NF4."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from folders import GROUPED, SMALL, configs, make, put, tokenizer
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from tokenizers.normalizers import Prepend
from tokenizers.processors import TemplateProcessing
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    FalconConfig,
    Gemma3Config,
    GenerationConfig,
    MambaConfig,
    OPTConfig,
    T5Config,
)

from lab import allocator, ppo, reward, sft
from lab.adapters import MANIFEST, load_adapter, save_adapter
from lab.cast import Cast
from lab.checkpoint import write_folder
from lab.config import Ppo, Reward, Sft
from lab.errors import (
    BadFile,
    BadInput,
    BadText,
    Damaged,
    DiskFull,
    ModelIncomplete,
    NoEndToken,
    NotFound,
    Unsupported,
    WrongBase,
)
from lab.events import Finished, Step
from lab.facts import facts_of
from lab.loading import EMBEDDED, _narrow, former_fingerprint, load
from lab.memory import Knobs, foretell
from lab.merged import save_merged
from lab.models import BASE
from lab.text import Text, batch_of

NAMES = sorted(configs(260))
SHORT = Ppo(steps=2, batch=8, minibatch=4, microbatch=2, tokens=8)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    top = tmp_path_factory.mktemp("models")
    return {name: make(top, name) for name in NAMES}


def batch(roles, rows=3):
    prompts = [roles.text.prompt_ids(text) for text in ("Hi", "What is it?", "Why not, then?")][:rows]
    return batch_of(prompts, [roles.text.response_ids("yes"), roles.text.response_ids("no, never"), [7]][:rows], 0)


@pytest.mark.parametrize("name", NAMES)
def test_states_and_output_layer_are_the_models_own_logits_whatever_the_padding(folders, name):
    roles = load(str(folders[name]), device="cpu", precision="float32")
    together = batch(roles)
    alone = together.rows(torch.tensor([0]))
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        roles.products = torch.float32
        ours = roles.logits(roles.hidden(BASE, together))[0, : alone.mask.shape[1] + 1]
        theirs = roles.logits(roles.hidden(BASE, alone))[0]
        whole = roles.model.base_model.model(alone.ids, attention_mask=alone.attention).logits[0, alone.width - 1 :]
    assert (ours - theirs).abs().max() < 2e-5
    assert (theirs - whole).abs().max() < 2e-5


@pytest.mark.parametrize("precision", ["bfloat16", "float16", "8-bit", "4-bit"])
@pytest.mark.parametrize("name", ["qwen2", "llama", "gpt2", "gemma"])
def test_the_whole_loop_runs_on_a_folder_that_is_not_ours(folders, name, precision):
    if (name, precision) == ("gpt2", "float16"):
        pytest.skip("refused on a CPU, see below")
    roles = load(str(folders[name]), device="cpu", precision=precision)
    check_kept_in(roles, precision)
    taught = Sft(steps=2, batch=4)
    list(sft.sft(sft.begin(roles, taught), [("a", "b"), ("c", "d e"), ("f", "g"), ("h", "i")], lambda: taught))
    state = reward.begin(roles, Reward())
    assert roles.raw_scores(batch(roles)).isfinite().all() and state.step == 0
    prompts = roles.text.asked(["Hi", "What?", "Why?"], room=8)
    events = list(ppo.ppo(ppo.begin(roles, Cast(), SHORT), Cast(), prompts, lambda: SHORT, prompts[:1]))
    steps = [event for event in events if isinstance(event, Step)]
    assert steps[0].metrics["kl/reference"] == 0.0 and steps[0].metrics["policy/ratio_first"] < 1e-3
    assert isinstance(events[-1], Finished) and len(steps) == 2


def test_layer_norms_in_float16_are_refused_on_a_cpu_which_has_none(folders):
    with pytest.raises(Unsupported, match="bfloat16"):
        load(str(folders["gpt2"]), device="cpu", precision="float16")


def check_kept_in(roles, precision):
    """Frozen weights of linear layers and all others are in what was asked for."""
    kept = {p.dtype for n, p in roles.model.named_parameters() if "lora" not in n}
    quantised = {"8-bit": torch.int8, "4-bit": torch.uint8}.get(precision)
    assert kept == ({quantised, torch.bfloat16} if quantised else {getattr(torch, precision)})


def test_the_gradient_of_a_four_bit_base_after_an_evaluation_is_that_of_a_fresh_one(folders):
    def gradient(looked_first):
        roles = load(str(folders["llama"]), device="cpu", precision="4-bit")
        sft.begin(roles, Sft())
        if looked_first:
            with torch.no_grad():
                roles.hidden("sft", batch(roles))
        sft.response_loss(roles, batch(roles)).backward()
        return torch.cat([p.grad.flatten() for p in roles.weights("sft").values()])

    fresh, after = gradient(False), gradient(True)
    assert fresh.norm() > 0
    assert torch.cosine_similarity(fresh, after, dim=0) > 0.9999


def test_the_pass_of_the_library_keeps_fewer_large_pieces_of_memory_than_our_own(folders, monkeypatch):
    told = []
    monkeypatch.setattr(allocator, "keep_freed", lambda largest=allocator.LARGEST: told.append(largest))
    load(str(folders["llama"]), device="cpu")
    assert told == [allocator.LARGEST]
    load(str(folders["gpt2"]), device="cpu")
    assert told[1:] == [allocator.LARGEST, allocator.LARGEST_OF_LIBRARY]


def test_a_role_that_nothing_plays_is_refused_by_name(folders):
    with pytest.raises(NotFound, match="no policy yet"), load(str(folders["llama"]), device="cpu").using("policy"):
        pass


def test_switching_leaves_no_adapter_active_and_no_flag_changed_even_after_an_error(folders):
    roles = load(str(folders["llama"]), device="cpu")
    learning = roles.trainable("sft")
    before = [layer._active_adapter for layer in roles._layers]
    with pytest.raises(ZeroDivisionError), roles.using(BASE):
        1 / 0  # noqa: B018
    roles.add("policy", like="sft")
    assert [layer._active_adapter for layer in roles._layers] == before
    assert {id(p) for p in roles.model.parameters() if p.requires_grad} == {id(p) for p in learning}


def test_one_copy_of_the_base_serves_every_role(folders):
    roles = load(str(folders["llama"]), device="cpu")
    base = sum(p.numel() for n, p in roles.model.named_parameters() if "lora" not in n)
    for role in ("policy", "reward", "value"):
        roles.add(role, like="sft")
    assert sum(p.numel() for n, p in roles.model.named_parameters() if "lora" not in n) == base


def test_a_roles_weights_are_those_that_its_passes_read_after_its_adapter_was_made_anew_or_went(folders):
    roles = load(str(folders["llama"]), device="cpu")
    assert roles.weights("policy") == {}, "which is asked before there is one"
    for rank in (8, 4):
        roles.add("policy", rank=rank)
        own = {id(parameter) for name, parameter in roles.model.named_parameters() if ".policy." in name}
        assert own and {id(parameter) for parameter in roles.weights("policy").values()} == own
    roles.weights("policy").clear()
    assert {id(parameter) for parameter in roles.weights("policy").values()} == own
    roles.remove("policy")
    assert roles.weights("policy") == {}


def test_an_adapter_comes_back_bitwise_with_its_head_and_facts(folders, tmp_path):
    roles = load(str(folders["llama"]), device="cpu")
    for parameter in roles.weights("sft").values():
        torch.nn.init.normal_(parameter)
    roles.head("sft", seed=3)
    save_adapter(roles, "sft", tmp_path / "a", gain=2.0)
    assert load_adapter(roles, "again", tmp_path / "a") == {"gain": 2.0}
    pairs = zip(roles.weights("sft").values(), roles.weights("again").values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
    assert torch.equal(roles.heads["sft"].weight, roles.heads["again"].weight)


def test_an_adapter_that_finds_no_room_leaves_the_one_before_it_and_says_so(folders, tmp_path, monkeypatch):
    roles = load(str(folders["llama"]), device="cpu")
    save_adapter(roles, "sft", tmp_path / "a", gain=2.0)

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("lab.adapters.save_file", full)
    with pytest.raises(DiskFull, match="Free some space"):
        save_adapter(roles, "sft", tmp_path / "a", gain=3.0)
    assert load_adapter(roles, "again", tmp_path / "a") == {"gain": 2.0}
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    ("problem", "kind", "then"),
    [
        (OSError(28, "No space left on device"), DiskFull, "Free some space, then resume"),
        (SafetensorError("I/O error: No space left on device (os error 28)"), DiskFull, "Free some space"),
        (PermissionError(13, "Permission denied"), BadFile, "See that the lab may write there, then resume"),
        (SafetensorError("I/O error: Read-only file system (os error 30)"), BadFile, "may write there"),
        (SafetensorError("something else"), BadFile, "may write there"),
    ],
)
def test_space_is_asked_for_only_where_none_is_left(problem, kind, then, folders, tmp_path, monkeypatch):
    def refused(*_):
        raise problem

    monkeypatch.setattr("lab.adapters.save_file", refused)
    monkeypatch.setattr("lab.checkpoint.save_file", refused)
    with pytest.raises(kind, match=then):
        save_adapter(load(str(folders["llama"]), device="cpu"), "sft", tmp_path / "a")
    with pytest.raises(kind, match=then):
        write_folder(tmp_path / "b", {}, {})
    assert not list(tmp_path.iterdir())


def test_an_adapter_of_another_base_of_the_same_shape_is_refused(folders, tmp_path):
    save_adapter(load(str(folders["llama"]), device="cpu"), "sft", tmp_path / "a")
    other = make(tmp_path, "llama", spread=0.2)
    with pytest.raises(WrongBase, match="other weights"):
        load_adapter(load(str(other), device="cpu"), "x", tmp_path / "a")


def stir(roles, role="sft", deviation=1.0):
    for parameter in roles.weights(role).values():
        torch.nn.init.normal_(parameter, std=deviation)


def test_an_adapter_of_a_base_is_refused_by_what_was_merged_from_it(folders, tmp_path):
    roles = load(str(folders["llama"]), device="cpu")
    stir(roles)
    save_adapter(roles, "sft", tmp_path / "a")
    save_merged(roles, "sft", tmp_path / "merged")
    with pytest.raises(WrongBase, match="other weights"):
        load_adapter(load(str(tmp_path / "merged"), device="cpu"), "x", tmp_path / "a")


@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16", "8-bit", "4-bit"])
def test_the_adapter_that_ships_fits_its_base_in_every_precision(precision):
    roles = load("tiny", device="cpu", precision=precision)
    assert load_adapter(roles, "x", EMBEDDED / "tiny" / "sft")["pairs"] > 0


def test_an_adapter_of_before_that_knows_its_base_by_its_embeddings_alone_still_loads(folders, tmp_path):
    roles = load(str(folders["llama"]), device="cpu")
    save_adapter(roles, "sft", tmp_path / "a", gain=2.0)
    manifest = json.loads((tmp_path / "a" / MANIFEST).read_text())
    assert manifest["fingerprint"] != former_fingerprint(roles)
    (tmp_path / "a" / MANIFEST).write_text(json.dumps(manifest | {"fingerprint": former_fingerprint(roles)}))
    assert load_adapter(roles, "again", tmp_path / "a") == {"gain": 2.0}


@pytest.mark.parametrize("harm", ["truncate", "zero", "lose", "manifest"])
def test_a_damaged_adapter_is_refused(folders, tmp_path, harm):
    roles = load(str(folders["llama"]), device="cpu")
    for parameter in roles.weights("sft").values():
        torch.nn.init.normal_(parameter)
    save_adapter(roles, "sft", tmp_path / "a")
    file = tmp_path / "a" / "adapter_model.safetensors"
    content = file.read_bytes()
    if harm == "lose":
        file.unlink()
    elif harm == "manifest":
        (tmp_path / "a" / "manifest.json").write_text("[]")
    else:
        file.write_bytes(content[:100] if harm == "truncate" else content[:-400] + bytes(400))
    with pytest.raises(Damaged):
        load_adapter(roles, "x", tmp_path / "a")


def test_a_folder_with_a_file_missing_or_cut_off_says_which_model_and_what_to_do(folders, tmp_path):
    for name, harm in (("gone", "lose"), ("half", "cut")):
        shutil.copytree(folders["llama"], tmp_path / name)
        weights = tmp_path / name / "model.safetensors"
        weights.unlink() if harm == "lose" else weights.write_bytes(weights.read_bytes()[:5000])
        with pytest.raises(ModelIncomplete, match=name):
            load(str(tmp_path / name), device="cpu")
    facts_of(str(tmp_path / "gone"))  # whose config says what it would take
    with pytest.raises(ModelIncomplete, match="half"):
        facts_of(str(tmp_path / "half"))
    (tmp_path / "gone" / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    with pytest.raises(ModelIncomplete, match="gone"):
        facts_of(str(tmp_path / "gone"))
    with pytest.raises(ModelIncomplete, match="nowhere"):
        load(str(tmp_path / "nowhere"), device="cpu")


@pytest.mark.parametrize("precision", ["auto", "8-bit", "4-bit"])
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({}, r"lack model.layers.1.mlp.up_proj.weight\."),
        ({"num_hidden_layers": 3}, r"lack model.layers.1.mlp.up_proj.weight and 9 more\."),
    ],
)
def test_a_base_whose_files_lack_a_weight_is_refused(folders, tmp_path, precision, changes, message):
    shutil.copytree(folders["llama"], tmp_path / "gap")
    amend(tmp_path / "gap", "config.json", changes)
    weights = load_file(tmp_path / "gap" / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, tmp_path / "gap" / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelIncomplete, match=message):
        load(str(tmp_path / "gap"), device="cpu", precision=precision)


def amend(folder, file, changes):
    known = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(known | changes))


def test_a_weight_of_another_shape_is_named_with_both_shapes(folders, tmp_path):
    shutil.copytree(folders["llama"], tmp_path / "odd")
    amend(tmp_path / "odd", "config.json", {"intermediate_size": 80})
    with pytest.raises(ModelIncomplete, match=r"down_proj.weight is \[64, 96\] in its files and \[64, 80\]"):
        load(str(tmp_path / "odd"), device="cpu")


def test_what_the_library_refuses_is_told_in_words(folders, tmp_path):
    for name in ("quantised", "list"):
        shutil.copytree(folders["llama"], tmp_path / name)
    amend(tmp_path / "quantised", "config.json", {"quantization_config": {"quant_method": "gptq", "bits": 4}})
    (tmp_path / "list" / "config.json").write_text("[]")
    with pytest.raises(Unsupported, match="not installed"):
        load(str(tmp_path / "quantised"), device="cpu")
    with pytest.raises(ModelIncomplete, match="list could not be loaded"):
        load(str(tmp_path / "list"), device="cpu")
    put(tmp_path / "mamba", MambaConfig(vocab_size=260, hidden_size=32, state_size=4, num_hidden_layers=1))
    with pytest.raises(Unsupported, match="take no adapter"):
        load(str(tmp_path / "mamba"), device="cpu")
    with pytest.raises(Unsupported, match="no attention heads"):
        facts_of(str(tmp_path / "mamba"))
    T5Config().save_pretrained(tmp_path / "t5")
    with pytest.raises(Unsupported, match="does not go on"):
        facts_of(str(tmp_path / "t5"))


def test_a_model_that_also_sees_is_counted_by_what_its_text_half_says(tmp_path):
    seeing = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    Gemma3Config(text_config=GROUPED | {"vocab_size": 260}, vision_config=seeing).save_pretrained(tmp_path)
    facts = facts_of(str(tmp_path))
    assert (facts.hidden, facts.heads, facts.groups, facts.vocabulary) == (64, 4, 2, 260)


def test_no_shape_drops_anything_out_even_where_a_layer_trains(tmp_path):
    config = OPTConfig(**SMALL, vocab_size=260, ffn_dim=96, word_embed_proj_dim=64, dropout=0.5, attention_dropout=0.5)
    roles = load(str(put(tmp_path, config)), device="cpu")
    roles.model.train()
    with torch.no_grad():
        assert torch.equal(roles.hidden(BASE, batch(roles)), roles.hidden(BASE, batch(roles)))


@pytest.mark.parametrize(
    ("file", "changes"),
    [
        ("config.json", {"model_type": "odd", "auto_map": {"AutoConfig": "own.C", "AutoModelForCausalLM": "own.M"}}),
        ("tokenizer_config.json", {"tokenizer_class": "T", "auto_map": {"AutoTokenizer": ["own.T", None]}}),
    ],
)
def test_code_that_comes_with_a_base_is_never_run_whatever_one_would_answer(
    folders, tmp_path, monkeypatch, file, changes
):
    shutil.copytree(folders["llama"], tmp_path / "own")
    amend(tmp_path / "own", file, changes)
    (tmp_path / "own" / "own.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    monkeypatch.setattr("builtins.input", lambda *_: "y")
    with pytest.raises(ModelIncomplete, match="code of its own"):
        load(str(tmp_path / "own"), device="cpu")
    if file == "config.json":
        with pytest.raises(ModelIncomplete, match="code of its own"):
            facts_of(str(tmp_path / "own"))
    assert not (tmp_path / "ran").exists()


def test_a_base_without_an_end_token_is_refused(folders, tmp_path):
    shutil.copytree(folders["llama"], tmp_path / "endless")
    settings = tmp_path / "endless" / "tokenizer_config.json"
    known = json.loads(settings.read_text())
    known.pop("eos_token")
    settings.write_text(json.dumps(known))
    with pytest.raises(NoEndToken, match="no end token"):
        load(str(tmp_path / "endless"), device="cpu")


def test_a_tokenizer_whose_pad_is_its_end_is_given_another_pad():
    words = tokenizer()
    words.pad_token = "<end>"
    text = Text.of(words, configs(len(words))["llama"])
    assert text.pad_id not in text.eos_ids


def test_a_pad_or_an_unused_special_token_beyond_the_table_does_no_harm_and_any_other_is_refused():
    config = configs(259)["llama"]
    words = tokenizer()
    words.add_special_tokens({"pad_token": "<new>", "extra_special_tokens": ["<image>"]})
    assert len(words) > 260 and Text.of(words, config).pad_id < 259
    words.chat_template = "{{ messages[0].content }}<image>"
    with pytest.raises(ModelIncomplete, match="1 tokens, '<image>' among them"):
        Text.of(words, config)
    words = tokenizer()
    words.add_tokens(["lost"])
    with pytest.raises(ModelIncomplete, match="'lost'"):
        Text.of(words, config)
    words = tokenizer()
    words.add_special_tokens({"eos_token": "<over>"})
    with pytest.raises(ModelIncomplete, match="'<over>'"):
        Text.of(words, config)


def test_a_token_that_the_model_has_no_row_for_is_refused_in_a_text_by_name():
    words = tokenizer()
    words.add_special_tokens({"extra_special_tokens": ["<image>"]})
    text = Text.of(words, configs(len(words) - 1)["llama"])
    with pytest.raises(BadInput, match="special token <image>"):
        text.prompt_ids("What is on <image>?")
    with pytest.raises(BadInput, match="special token <image>"):
        text.response_ids("On <image> is a cow.")
    assert text.response_ids("On it is a cow.")


def test_text_that_is_no_unicode_is_refused_in_words_and_all_other_text_is_read():
    text = Text.of(tokenizer(), configs(260)["llama"])
    for use in (text.prompt_ids, text.response_ids):
        for half in ("a \ud800 b", "\udfff"):
            with pytest.raises(BadText, match="half of a surrogate pair"):
                use(half)
        assert use("caf\xe9 \ud7ff\ue000 \U0001f600")


def test_without_a_template_a_prompt_begins_as_the_tokenizer_would_begin_it():
    words = tokenizer()
    plain = Text.of(words, configs(260)["gemma"]).prompt_ids("Why?")
    assert words.bos_token_id not in plain
    words = tokenizer()
    words.backend_tokenizer.post_processor = TemplateProcessing(
        single="<begin> $A", special_tokens=[("<begin>", words.bos_token_id)]
    )
    text = Text.of(words, configs(260)["gemma"])
    assert text.prompt_ids("Why?") == [words.bos_token_id, *plain]
    assert words.bos_token_id not in text.response_ids("So.")


def of_turns(ending, opening="<turn>", asked="", said=""):
    """A template as chat models have it: a role behind an opening token, and each turn closed by an ending token.

    `asked` stands before an answer that is to be given, `said` before one that was.
    """
    return (
        f"{{% for m in messages %}}{opening}{{{{ m.role }}}}\n"
        + f"{{% if m.role == 'assistant' %}}{said}{{% endif %}}{{{{ m.content }}}}{ending}\n{{% endfor %}}"
        + f"{{% if add_generation_prompt %}}{opening}assistant\n{asked}{{% endif %}}"
    )


@pytest.mark.parametrize("stops", [2, [2, 260], None])
def test_an_answer_ends_as_the_template_ends_it_even_where_that_is_not_the_end_token(stops):
    """Gemma's and Phi 3's chat models, and Qwen's bases."""
    words = tokenizer(template=of_turns("<close>"))
    words.add_special_tokens({"extra_special_tokens": ["<turn>", "<close>"]})
    close = words.convert_tokens_to_ids("<close>")
    text = Text.of(words, configs(len(words))["gemma"], GenerationConfig(eos_token_id=stops))
    assert text.eos_ids[0] == close and words.eos_token_id in text.eos_ids and len(set(text.eos_ids)) >= 2
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    whole = words(words.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    said = text.prompt_ids("Why?") + text.response_ids("So.")
    assert said == whole[: len(said)] and whole[len(said) :] == words("\n", add_special_tokens=False)["input_ids"]
    assert text.decode(text.response_ids("So.")) == "So."


@pytest.mark.parametrize("switch", ["enable_thinking", "thinking"])
def test_a_template_that_thinks_aloud_is_told_not_to(switch):
    quiet = f"{{% if {switch} is defined and not {switch} %}}[no thought]\n{{% endif %}}"
    words = tokenizer(template=of_turns("<end>", asked=quiet, said=quiet))
    text = Text.of(words, configs(len(words))["qwen3"])
    assert words.decode(text.prompt_ids("Why?")).endswith("assistant\n[no thought]\n")
    assert text.eos_ids == (words.eos_token_id,)


@pytest.mark.parametrize(
    "asked, said, begun",
    [
        ("<think>\n", "", "<think>\n\n</think>\n\n"),
        ("<think>", "<think>\n\n</think>\n\n", "<think>\n\n</think>\n\n"),
        ("", "<way>final<say>", "<way>final<say>"),
        ("<way>analysis<say>", "<way>final<say>", "<way>final<say>"),
        ("<think>\n\n</think>\n", "", "<think>\n\n</think>\n"),
        ("So:", "So: ", "So:"),
    ],
)
def test_a_prompt_goes_on_to_where_the_answer_begins_and_no_thought(asked, said, begun):
    """DeepSeek-R1's templates open a thought; gpt-oss's models name a channel before they answer."""
    words = tokenizer(template=of_turns("<end>", asked=asked, said=said))
    words.add_tokens(["<think>", "</think>", "<way>", "<say>"])
    text = Text.of(words, configs(len(words))["llama"])
    turns = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Yes?"},
        {"role": "user", "content": "Why?"},
    ]
    before = words.apply_chat_template(turns, tokenize=False)
    assert words.decode(text.prompt_ids(turns)) == f"{before}<turn>assistant\n{begun}"
    whole = words(f"{before}<turn>assistant\n{begun}So.<end>", add_special_tokens=False)["input_ids"]
    assert text.prompt_ids(turns) + text.response_ids("So.") == whole


def test_a_thought_that_nothing_is_known_to_close_is_refused_and_a_tag_of_another_name_is_none(tmp_path):
    folder = make(tmp_path, "llama", template=of_turns("<end>", asked="[THINK]"))
    with pytest.raises(Unsupported, match=r"inside a thought, \[THINK\], .* knows \[/THINK\]: the model thinks aloud"):
        load(str(folder), device="cpu")
    words = tokenizer(template=of_turns("<end>", asked="<answer>\n"))
    ids = Text.of(words, configs(len(words))["llama"]).prompt_ids("Why?")
    assert words.decode(ids).endswith("<turn>assistant\n<answer>\n")


def test_a_response_is_cut_in_tokens_as_it_is_behind_a_prompt():
    """Tokenizers of the first Llamas put a space before a text, but not before one that goes on."""
    words = tokenizer(template=of_turns("<end>", opening=""))
    words.backend_tokenizer.normalizer = Prepend("_")
    text = Text.of(words, configs(len(words))["llama"])
    turns = [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]
    whole = words(words.apply_chat_template(turns, tokenize=False), add_special_tokens=False)["input_ids"]
    said = text.prompt_ids("Why?") + text.response_ids("So.")
    assert said == whole[: len(said)]
    assert words("So.", add_special_tokens=False)["input_ids"] + [text.eos_ids[0]] != text.response_ids("So.")


@pytest.mark.parametrize(
    "template",
    [
        "{% if messages | length > 1 %}{{ raise_exception('one turn') }}{% endif %}{{ messages[0].content }}:",
        "<begin>{{ messages | length }} turns<end>",
    ],
)
def test_a_template_that_refuses_or_does_not_show_the_turns_leaves_the_tokenizers_end_token(template):
    words = tokenizer(template=template)
    text = Text.of(words, configs(len(words))["llama"])
    assert text.eos_ids == (words.eos_token_id,) and text.response_ids("a")[-1] == words.eos_token_id


def test_a_head_fits_states_that_are_not_of_the_hidden_size(tmp_path):
    """OPT-350m's go through one more layer before they become logits."""
    config = OPTConfig(hidden_size=64, ffn_dim=96, num_hidden_layers=2, num_attention_heads=4, vocab_size=260)
    config.word_embed_proj_dim, config.do_layer_norm_before = 32, False
    roles = load(str(put(tmp_path / "opt", config)), device="cpu")
    reward.begin(roles, Reward())
    assert roles.raw_scores(batch(roles), "reward").shape == (3,)


def test_a_falcon_that_tells_positions_by_a_bias_computes_what_the_library_does_by_itself(tmp_path):
    config = FalconConfig(
        hidden_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        vocab_size=260,
        alibi=True,
        new_decoder_architecture=False,
    )
    config.initializer_range = 0.2
    folder = put(tmp_path / "falcon", config)
    ours = load(str(folder), device="cpu", precision="float32").model.get_base_model()
    theirs = AutoModelForCausalLM.from_pretrained(folder).eval()
    ids = torch.arange(5, 25)[None]
    with torch.no_grad():
        assert torch.allclose(ours(ids).logits, theirs(ids).logits, atol=1e-5)


@pytest.mark.parametrize("precision", ["auto", "8-bit", "4-bit"])
def test_a_base_goes_to_its_device_as_it_is_read_whatever_else_the_machine_has(folders, precision, monkeypatch):
    given, real = [], AutoModelForCausalLM.from_pretrained
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *a, **options: given.append(options) or real(*a, **options)
    )
    load(str(folders["qwen2"]), device="cpu", precision=precision)
    assert given[0].get("device_map") == (None if precision == "auto" else {"": torch.device("cpu")})


@pytest.mark.parametrize("bits", [4, 8])
def test_a_base_whose_files_are_quantised_is_kept_so_and_learns_as_one_that_was_quantised_here(folders, tmp_path, bits):
    options = {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"} if bits == 4 else {"load_in_8bit": True}
    config = BitsAndBytesConfig(**options)
    model = AutoModelForCausalLM.from_pretrained(
        folders["llama"], quantization_config=config, device_map={"": "cpu"}, dtype=torch.bfloat16
    )
    folder, kept = tmp_path / "kept", f"{bits}-bit"
    model.save_pretrained(folder)
    tokenizer().save_pretrained(folder)
    gradients = []
    for name, precision in ((folder, "auto"), (folder, kept), (folders["llama"], kept)):
        roles = load(str(name), device="cpu", precision=precision)
        assert roles.precision == kept
        roles.hidden("sft", batch(roles))  # an evaluation first: it repacks weights on some processors
        learning = roles.trainable("sft")
        torch.manual_seed(0)
        stir(roles, deviation=0.05)
        states = roles.hidden("sft", batch(roles))
        (states * torch.randn(states.shape)).sum().backward()
        gradients.append(torch.cat([each.grad.flatten() for each in learning]))
    for each in gradients[:2]:
        assert torch.nn.functional.cosine_similarity(each, gradients[2], dim=0) > 0.999
    for precision in {"4-bit", "8-bit", "bfloat16"} - {kept}:
        with pytest.raises(Unsupported, match=f"hold {kept} weights, which cannot be read in {precision}"):
            load(str(folder), device="cpu", precision=precision)
    rows = {
        precision: foretell(facts_of(str(folder)), "ppo", Knobs(precision=precision)) for precision in ("auto", kept)
    }
    assert rows["auto"] == rows[kept] and rows["auto"] != foretell(facts_of(str(folders["llama"])), "ppo", Knobs())
    with pytest.raises(Unsupported, match=f"hold {kept} weights"):
        save_merged(load(str(folder), device="cpu"), "sft", tmp_path / "out")


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32])
@pytest.mark.parametrize(
    "options",
    [
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"},
        {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4", "bnb_4bit_quant_storage": torch.float16},
        {"load_in_8bit": True},
    ],
)
def test_what_quantised_files_hold_in_another_dtype_is_read_in_bfloat16(folders, tmp_path, options, dtype):
    model = AutoModelForCausalLM.from_pretrained(
        folders["qwen2"], quantization_config=BitsAndBytesConfig(**options), device_map={"": "cpu"}, dtype=dtype
    )
    model.save_pretrained(tmp_path)
    tokenizer().save_pretrained(tmp_path)
    roles = load(str(tmp_path), device="cpu")
    theirs = load(str(folders["qwen2"]), device="cpu", precision=roles.precision)
    norms = [each for name, each in roles.model.named_parameters() if "norm" in name or name.endswith("bias")]
    assert {each.dtype for each in (*norms, roles.model.get_input_embeddings().weight)} == {torch.bfloat16}
    with torch.no_grad():
        found, expected = (each.logits(each.hidden(BASE, batch(each))) for each in (roles, theirs))
    assert torch.nn.functional.cosine_similarity(found.flatten(), expected.flatten(), dim=0) > 0.99


def test_what_a_shape_wants_in_float32_stays_so_beside_quantised_layers():
    model = torch.nn.Sequential()
    model.norm, model.head = torch.nn.LayerNorm(4), torch.nn.Linear(4, 4)
    model._keep_in_fp32_modules_strict = {"norm"}
    _narrow(model)
    assert model.norm.weight.dtype == torch.float32 and model.head.weight.dtype == torch.bfloat16


def test_prompt_and_response_ids_are_those_of_the_whole_conversation(folders):
    for name in ("tiny", str(folders["qwen2"])):
        text = load(name, device="cpu").text
        turns = [{"role": "user", "content": "Why is it so?"}, {"role": "assistant", "content": "Because it is."}]
        whole = text.tokenizer(text.tokenizer.apply_chat_template(turns, tokenize=False), add_special_tokens=False)
        assert text.prompt_ids("Why is it so?") + text.response_ids("Because it is.") == whole["input_ids"]
