"""Memory is foretold within 15 %, knobs are turned in order of harm, and running out of memory is survived."""

from __future__ import annotations

import gc
import re
from argparse import Namespace
from contextlib import suppress
from dataclasses import replace
from itertools import accumulate
from pathlib import Path

import pytest
import torch

from lab import calibrate, folding, generate, logprobs, material, reward
from lab.bench.gpu_job import SETTINGS
from lab.bench.isolated import job
from lab.bench.shapes import config_of, llama, save
from lab.config import Ppo, Reward, Sft
from lab.errors import BadInput, FlatReward, ModelIncomplete
from lab.events import Warned
from lab.facts import facts_from, facts_of
from lab.fit import Turn, fit, foretell_request, knobs_of, on_card, turned
from lab.loading import load
from lab.memory import COMPARED, GIB, Knobs, Row, foretell, total
from lab.models import Roles
from lab.peak import foretold, measured, rehearse
from lab.rollout import cut, parts_of
from lab.shortage import with_smaller_microbatches
from lab.steps import result_of
from lab.studio import Studio
from lab.text import batch_of
from lab.workspace import Workspace
from lab.world import corpus
from tests.folders import configs, deeper, make, put, tokenizer

SEVEN = llama(152064, 3584, 18944, 28, 28, 4, tie_word_embeddings=False)
PAIRS = [(each.prompt, each.response) for each in corpus.pairs(40, 0)]


@pytest.mark.parametrize(
    "shape, knobs",
    [  # the last one at each change: it has the most layers and the largest vocabulary
        pytest.param(
            (4096, 256, 384, 4, 4, 2),
            {"batch": 64, "minibatch": 32, "microbatch": 32, "prompt": 32, "tokens": 48},
            marks=pytest.mark.slow,
        ),
        pytest.param(
            (4096, 256, 512, 3, 4, 2),
            {"batch": 96, "minibatch": 8, "microbatch": 8, "prompt": 100, "tokens": 100},
            marks=pytest.mark.slow,
        ),
        ((8192, 192, 512, 6, 3, 3), {"batch": 32, "minibatch": 16, "microbatch": 16, "prompt": 40, "tokens": 60}),
    ],
)
@pytest.mark.parametrize("products", [pytest.param("bfloat16", marks=pytest.mark.slow), "float32"])
def test_the_foretold_peak_is_within_fifteen_percent_of_the_measured_one(shape, knobs, products, tmp_path, monkeypatch):
    monkeypatch.setenv("LAB_PRODUCTS", products)
    model = str(save(llama(*shape), tmp_path, dtype="bfloat16"))
    found = job("memory", {"model": model, **knobs}, threads=1, tidy=True)
    peak, foretold = max(found["measured"].values()), max(found["foretold"].values())
    assert abs(foretold / peak - 1) < 0.15, found


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma", "gemma2", "qwen3"])
@pytest.mark.parametrize("prompt, tokens, unfrozen", [(24, 48, 1.0), (80, 80, 1.0), (80, 80, 0.5)])
def test_what_is_kept_for_the_backward_pass_is_foretold_for_each_architecture(
    name, prompt, tokens, unfrozen, tmp_path, monkeypatch
):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
    config = deeper(configs(len(tokenizer()))[name], round(2 / unfrozen))
    roles = load(str(put(tmp_path, config)), device="cpu")
    roles.add("policy")
    roles.trainable("policy", unfrozen)
    batch = batch_of([[5] * prompt] * 16, [[6] * tokens] * 16, 0)
    rows = foretell(facts_from(roles.model.config), "sft", Knobs(prompt=prompt, read=tokens, unfrozen=unfrozen))
    foretold = next(row.bytes for row in rows if row.role == "activations")
    assert foretold == pytest.approx(kept(roles.model, lambda: roles.hidden("policy", batch)), rel=0.05)


@pytest.mark.parametrize("products", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("name", ["llama", "qwen3"])
def test_what_the_lean_pass_keeps_is_foretold_where_heads_are_wider_than_the_states(
    name, products, tmp_path, monkeypatch
):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: products)
    config = configs(len(tokenizer()))[name]
    config.head_dim = 48
    roles = load(str(put(tmp_path, config)), device="cpu")
    facts, batch = facts_from(roles.model.config), batch_of([[5] * 80] * 16, [[6] * 80] * 16, 0)
    roles.trainable("sft")
    rows = foretell(facts, "sft", Knobs(prompt=80, read=80, unfrozen=1.0))
    foretold = next(row.bytes for row in rows if row.role == "activations")
    assert facts.lean and facts.size * facts.heads == 3 * facts.hidden
    assert foretold == pytest.approx(kept(roles.model, lambda: roles.hidden("sft", batch)), rel=0.05)


def kept(model, work):
    """Bytes that a pass saves for its backward pass, each memory counted once and the model's own not at all."""
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
    found = {}

    def note(tensor):
        found[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        states = work()
    return sum(each.nbytes() for place, each in found.items() if place not in own) if states.requires_grad else 0


@pytest.mark.parametrize("products", [torch.bfloat16, torch.float32])
@pytest.mark.parametrize("precision", ["auto", "bfloat16", "float32"])
@pytest.mark.parametrize("large", [False, True])
def test_the_cache_of_a_base_too_large_to_copy_is_foretold_in_its_dtype(
    products, precision, large, tmp_path, monkeypatch
):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: products)
    monkeypatch.setattr("lab.memory.LARGEST", 10)
    monkeypatch.setattr(folding.suits, "__defaults__", (10, False))
    if large:
        monkeypatch.setattr("lab.arithmetic.WIDEST", 10)
    roles = load(str(make(tmp_path, "llama")), device="cpu", precision=precision)
    speaker = generate._speaker(roles, "sft", [[5, 6, 7]] * 2, 4)
    knobs = Knobs(precision=precision, batch=2, minibatch=2, microbatch=2, prompt=3, tokens=4)
    rows = foretell(facts_from(roles.model.config), "ppo", knobs)
    foretold = next(row.bytes for row in rows if row.role == "cache")
    assert foretold == sum(each.nbytes for each in speaker.cache)


def test_logits_that_are_more_than_one_product_are_foretold_whole(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
    roles = load(str(make(tmp_path, "gemma2")), device="cpu")
    facts, mask = facts_from(roles.model.config), torch.ones(16, 300, dtype=torch.bool)
    states, ids = torch.randn(16, 300, facts.hidden, requires_grad=True), torch.ones(16, 300, dtype=torch.long)
    learned = allocated(lambda: logprobs.of(roles, states, ids, mask).sum().backward())
    compared = allocated(lambda: logprobs.read(roles, states, states, ids, mask))
    size = 4 * ids.numel() * facts.vocabulary
    assert (learned / size, compared / size) == pytest.approx((facts.copies, COMPARED), rel=0.1)
    assert facts_of("tiny").copies == 0


def allocated(work):
    """The most bytes of tensors at a time, as PyTorch's own allocator counts them: the same wherever it runs."""
    gc.collect()  # what an earlier measurement left behind would be counted as given back in this one
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as found:
        work()
    events = (each for each in found.profiler.kineto_results.events() if each.name() == "[memory]")
    return max(accumulate(each.nbytes() for each in sorted(events, key=lambda each: each.start_ns())))


def test_parameters_are_counted_from_the_config_without_memory():
    facts = facts_from(SEVEN)
    norms, embeddings = (2 * 28 + 1) * 3584, 2 * 152064 * 3584
    assert facts.linear == 28 * (2 * 3584 * 3584 + 2 * 3584 * 512 + 3 * 3584 * 18944)
    assert facts.parameters == facts.linear + norms + embeddings
    assert 16 * facts.lora == 40_370_176


def test_the_table_of_the_reference_is_met_for_known_sizes():
    facts = facts_from(SEVEN)
    rows = {row.role: row.bytes for row in foretell(facts, "ppo", Knobs(precision="4-bit", rank=16), "cuda")}
    assert rows["base"] / GIB == pytest.approx(5.17, abs=0.02)
    cache = foretell(facts, "ppo", Knobs(batch=1, prompt=1, tokens=0), "cuda")
    assert next(row.bytes for row in cache if row.role == "cache") == 56 * 1024


def test_the_peak_is_what_stays_and_the_largest_phase():
    rows = [
        Row("a", 10, "always", ""),
        Row("b", 5, "rollout", ""),
        Row("c", 3, "update", ""),
        Row("d", 4, "update", ""),
    ]
    assert total(rows) == 17


def test_more_of_anything_needs_more_memory():
    facts = facts_of("tiny")
    plain = total(foretell(facts, "ppo", Knobs()))
    for more in (
        {"microbatch": 32},
        {"tokens": 144},
        {"prompt": 256},
        {"rank": 64},
        {"value_model": "adapter"},
        {"unfrozen": 1.0},
    ):
        assert total(foretell(facts, "ppo", Knobs(**more))) > plain, more
    stages = [total(foretell(facts, stage, Knobs())) for stage in ("sft", "ppo")]
    assert stages[0] < stages[1]


def test_knobs_are_turned_least_harm_first_and_only_as_far_as_needed():
    facts, knobs = facts_from(SEVEN), Knobs(prompt=256, tokens=128)
    before = total(foretell(facts, "ppo", knobs, "cuda"), "cuda")
    assert fit(facts, "ppo", knobs, "cuda", before) == (knobs, [], True)
    smaller, turns, fits = fit(facts, "ppo", knobs, "cuda", before - 1)
    assert fits and [turn.words for turn in turns] == ["microbatch 8 (slower, the same mathematics)"]
    assert smaller.microbatch == 8
    assert not fit(facts, "ppo", knobs, "cuda", GIB)[2]


@pytest.mark.parametrize("size", [12, 16, 24])
def test_a_knob_that_went_further_than_it_had_to_goes_back(size):
    facts, knobs = facts_from(SEVEN), Knobs(prompt=256, tokens=128)
    found, turns, fits = fit(facts, "ppo", knobs, "cuda", size * GIB)
    assert fits and found == turned(knobs, turns)
    assert found.batch == 64 and found.tokens == 128 and found.rank == 8, "time and precision go before what is learned"
    for turn in turns:
        without = turned(knobs, [each for each in turns if each is not turn])
        assert total(foretell(facts, "ppo", without, "cuda"), "cuda") > size * GIB, f"{turn.words} was not needed"


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_layers_are_computed_twice_before_anything_is_learned_otherwise(device):
    _, turns, fits = fit(facts_of("tiny"), "ppo", Knobs(), device, 1)
    assert not fits and [turn.knob for turn in turns][:3] == ["microbatch", "checkpointing", "optimizer"], turns


def test_turned_knobs_make_a_config_that_its_stage_accepts():
    config = turned(
        Ppo(batch=64, minibatch=32), [Turn("batch", 16, ""), Turn("rank", 4, ""), Turn("microbatch", 2, "")]
    )
    assert (config.batch, config.minibatch, config.microbatch) == (16, 16, 2)
    known = knobs_of(config)
    assert (known.batch, known.minibatch, known.microbatch, known.tokens) == (16, 16, 2, config.tokens)
    assert knobs_of(Sft(batch=8, rank=4)).rank == 4


def test_usual_cards_are_answered_in_words():
    small, large = facts_of("tiny"), facts_from(SEVEN)
    assert on_card(small, "ppo", Knobs(), 8) == "fits"
    assert "precision 4-bit" in on_card(large, "ppo", Knobs(), 12)
    assert "precision 4-bit" in on_card(large, "ppo", Knobs(), 8)
    assert on_card(facts_from(llama(152064, 8192, 29568, 80, 64, 8)), "ppo", Knobs(), 8) == "does not fit"


def test_a_request_is_answered_with_rows_cards_and_a_sentence():
    answer = foretell_request({"base": "tiny", "precision": "auto", "rank": 8})
    roles = [row["role"] for row in answer["rows"]]
    assert {"base", "adapters", "optimizer", "cache", "activations", "on a card of 8 GB"} <= set(roles)
    assert "fits" in answer["sentence"] and answer["peak"] > 0 and answer["turns"] == []


def test_a_request_to_make_it_fit_answers_with_the_rows_after_the_turns(monkeypatch):
    plain = foretell_request({"base": "tiny", "fit": False})
    room = round(0.9 * plain["peak"])
    monkeypatch.setattr("lab.fit.room_of", lambda device: room - 30_000_000)
    monkeypatch.setattr("lab.fit.held_here", lambda device: 30_000_000)
    fitted = foretell_request({"base": "tiny", "fit": True})
    assert fitted["peak"] <= room and fitted["turns"]
    assert all(f"{turn['knob']} {turn['value']}" in fitted["sentence"] for turn in fitted["turns"])
    with pytest.raises(BadInput, match="precision"):
        foretell_request({"base": "tiny", "precision": "3-bit"})


def test_a_model_that_is_not_there_is_named():
    with pytest.raises(ModelIncomplete, match="nowhere"):
        facts_of("/nowhere/at/all")
    with pytest.raises(ModelIncomplete, match="There is no folder models/of/mine"):
        facts_of("models/of/mine")


def test_a_folder_that_is_no_models_is_told_in_words(tmp_path):
    with pytest.raises(ModelIncomplete, match=r"There is no model in .*: it holds no config.json"):
        facts_of(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelIncomplete, match="names no kind of model"):
        facts_of(str(tmp_path))


def test_running_out_of_memory_halves_the_microbatch_and_computes_the_same():
    rows, tried, undone = torch.arange(12.0), [], []

    def work(microbatch):
        tried.append(microbatch)
        found = 0.0
        for part in rows.split(microbatch):
            if len(part) > 3:
                raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
            found += float(part.sum())
        return found

    assert with_smaller_microbatches(work, 12, lambda: undone.append(1)) == (66.0, 3)
    assert tried == [12, 6, 3] and len(undone) == 2


def test_a_cpu_says_in_words_that_memory_ran_out_and_other_errors_pass():
    def cpu(microbatch):
        if microbatch > 1:
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory")
        return microbatch

    def broken(microbatch):
        raise RuntimeError("shapes do not match")

    assert with_smaller_microbatches(cpu, 4) == (1, 1)
    with pytest.raises(RuntimeError, match="shapes"):
        with_smaller_microbatches(broken, 4)


def test_smaller_parts_are_the_same_rows_and_give_the_same_gradient(monkeypatch):
    monkeypatch.setattr("lab.arithmetic.fastest", lambda: torch.float32)
    roles = load("tiny", device="cpu", precision="float32")
    batch = batch_of([[5, 6, 7], [9] * 6, [40]] * 2, [[10, 2], [11, 12, 2], [13, 14, 15, 16]] * 2, 0)
    (parts,) = parts_of(batch, Namespace(minibatch=6, microbatch=4))
    parameters, count = roles.trainable("sft"), int(batch.mask.sum())

    def gradient(microbatch):
        for part in cut(parts, microbatch):
            if len(part.rows) > 2:
                raise torch.OutOfMemoryError("no room")
            states = roles.hidden("sft", part.batch)[:, :-1]
            (logprobs.of(roles, states, part.batch.responses, part.batch.mask).sum() / count).backward()
        return torch.cat([parameter.grad.flatten() for parameter in parameters])

    def forget():
        for parameter in parameters:
            parameter.grad = None

    found, size = with_smaller_microbatches(gradient, 4, forget)
    assert size == 2 and sorted(torch.cat([part.rows for part in cut(parts, 2)]).tolist()) == list(range(6))
    forget()
    again = gradient(1)
    assert (found - again).norm() < 1e-4 * again.norm(), float((found - again).norm() / again.norm())


def test_a_single_row_that_does_not_fit_is_an_error():
    def work(microbatch):
        raise torch.OutOfMemoryError("no room")

    with pytest.raises(torch.OutOfMemoryError):
        with_smaller_microbatches(work, 4)


def test_the_measured_peak_sees_what_is_freed_again():
    with measured() as peak:
        block = torch.ones(50_000_000)
        del block
    assert peak.bytes > 150_000_000


def test_a_run_that_is_to_fit_says_what_was_turned_and_keeps_it(tmp_path, monkeypatch):
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 120_000_000)
    studio = Studio(Workspace(tmp_path), load("tiny", device="cpu"))
    job = studio.start("sft", {"steps": 1, "batch": 64, "microbatch": 64}, {"pairs": PAIRS}, fit=True)
    events = list(job.events)
    kept = job.run.facts()["config"]
    assert events[0].code == "W_FIT" and f"microbatch {kept['microbatch']} (" in events[0].message
    assert kept["microbatch"] < 64 and kept["batch"] == 64
    again = studio.start("sft", {"steps": 1}, {"pairs": PAIRS})
    assert "W_FIT" not in {event.code for event in again.events if isinstance(event, Warned)}


def test_where_layers_cannot_be_told_apart_all_learn_and_the_run_says_so(tmp_path, monkeypatch):
    studio = Studio(Workspace(tmp_path), load("tiny", device="cpu"))
    halves = studio.start("sft", {"steps": 1, "unfrozen": 0.5}, {"pairs": PAIRS})
    assert halves.run.facts()["config"]["unfrozen"] == 0.5
    assert "W_LAYERS" not in {event.code for event in halves.events if isinstance(event, Warned)}
    monkeypatch.setitem(studio.roles.__dict__, "_stack", ("", ()))
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 0)  # so every knob is turned that can be
    whole = studio.start("sft", {"steps": 1, "unfrozen": 0.5}, {"pairs": PAIRS}, fit=True)
    warned = {event.code: event.message for event in whole.events if isinstance(event, Warned)}
    assert "all of them learn" in warned["W_LAYERS"] and "microbatch" in warned["W_FIT"]
    assert whole.run.facts()["config"]["unfrozen"] == 1.0


def test_a_long_row_makes_the_forecast_grow_and_is_made_to_fit(tmp_path, monkeypatch):
    studio, knobs = Studio(Workspace(tmp_path), load("tiny", device="cpu")), {"steps": 1, "batch": 16, "microbatch": 16}
    short, grown = ([("Say it.", "again and " * times)] + [("Say it.", "again and " * 3)] * 20 for times in (3, 60))
    lengths = [
        material.lengths(studio.roles.text, material.for_sft(studio.roles.text, each, 0)) for each in (short, grown)
    ]
    assert lengths[1]["read"] > 10 * lengths[0]["read"] and lengths[1]["prompt"] == lengths[0]["prompt"]
    facts = facts_of("tiny")
    foretold = [total(foretell(facts, "sft", Knobs(**each))) for each in lengths]
    assert foretold[1] > 2 * foretold[0]
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: foretold[0])
    jobs = [studio.start("sft", knobs, {"pairs": each}, fit=True) for each in (short, grown)]
    first, second = (job.run.facts()["config"]["microbatch"] for job in jobs)
    assert first == 16 > second and next(iter(jobs[1].events)).code == "W_FIT"


def test_on_a_gpu_a_float32_base_is_computed_in_float32_and_any_other_in_bfloat16():
    """In float16 by the library's pass, which keeps more than the lean one."""
    facts, kept = facts_of("tiny"), {}
    for precision in ("auto", "bfloat16", "float16", "float32"):
        rows = foretell(facts, "ppo", Knobs(precision=precision), "cuda")
        kept[precision] = next(row.bytes for row in rows if row.role == "activations")
    assert kept["auto"] == kept["bfloat16"] < kept["float16"] < kept["float32"]


def test_the_table_of_what_a_gpu_took_says_what_is_foretold_today():
    """Of every row in docs/gpu.md that was measured: the figure of the forecast, and how far the peak is from it."""
    text = (Path(__file__).parent.parent / "docs" / "gpu.md").read_text()
    rows = re.findall(r"^\| ([\d.]+B):([\w-]+) \| ([\d.]+) \| ([\d.]+) \| ([+-][\d.]+)% \|", text, re.MULTILINE)
    assert len(rows) >= 6
    for size, precision, peak, told, off in rows:
        knobs = Knobs(precision=precision, **SETTINGS)
        table = foretell(facts_from(config_of(size)), "ppo", knobs, "cuda")
        found = total([row for row in table if row.role != "CUDA itself"]) / GIB
        assert found == pytest.approx(float(told), abs=0.006)
        assert 100 * (found / float(peak) - 1) == pytest.approx(float(off), abs=0.5) and abs(float(off)) < 15


def test_a_ranking_of_many_long_answers_is_foretold_with_all_of_them():
    rows = [
        [[5] * 9, [[6] * 4, [6] * 30, [6] * 8], [[0], [1], [2]], "", 1],
        [[5] * 20, [[6] * 3] * 2, [[0], [1]], "", 2],
    ]
    assert material.lengths(None, {"rankings": rows}) == {"prompt": 20, "read": 30, "answers": 3}
    facts, knobs = facts_of("tiny"), Knobs(microbatch=8, prompt=20, read=30)
    four, six = (
        next(r.bytes for r in foretell(facts, "reward", replace(knobs, answers=n)) if r.role == "activations")
        for n in (4, 6)
    )
    assert six == pytest.approx(1.5 * four)


def test_the_reward_stage_is_foretold_with_the_answers_that_it_samples_for_its_scale(monkeypatch):
    roles, config, sampled = load("tiny", device="cpu"), Reward(normalise_over=80, tokens=4), []
    roles.add("reward", like="sft")
    roles.head("reward")
    monkeypatch.setattr(reward, "sample", lambda _, __, some, **___: sampled.append(len(some)) or [[5, 2]] * len(some))
    with suppress(FlatReward):
        result_of(reward.measure_scale(roles, roles.text.asked(["Why?"], room=4), config))
    cache = next(row for row in foretell(facts_of("tiny"), "reward", knobs_of(config)) if row.role == "cache")
    assert cache.why == f"keys and values of {max(sampled)} answers of 68 tokens"


def roles_with_reward():
    roles = load("tiny", device="cpu")
    roles.add("reward", like="sft")
    roles.head("reward")
    return roles


def test_a_forecast_that_one_micro_batch_proves_wrong_is_reported_with_both_numbers(monkeypatch):
    roles, config = roles_with_reward(), Ppo(batch=8, minibatch=8, microbatch=4)
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 2 * 10**8)
    true = foretell(facts_of("tiny"), "ppo", knobs_of(config))
    phases = foretold(true, knobs_of(config))
    found = phases
    monkeypatch.setattr("lab.peak.rehearse", lambda roles, role, knobs: found)
    assert list(calibrate.check(roles, "sft", "ppo", config, {"prompt": 64})) == []
    found = phases | {"update": phases["update"] + 2 * calibrate.LEAST}
    (event,) = calibrate.check(roles, "sft", "ppo", config, {"prompt": 64})
    assert event.code == "W_FORECAST" and "update" in event.message and "rollout" not in event.message
    assert f"{found['update'] / 1e6:,.0f} MB instead of {phases['update'] / 1e6:,.0f} MB" in event.message


def test_a_run_that_is_foretold_not_to_fit_is_warned_of_and_a_small_one_is_not_rehearsed(monkeypatch):
    roles, config = roles_with_reward(), Ppo()
    monkeypatch.setattr("lab.peak.rehearse", lambda roles, role, knobs: 1 / 0)
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 10**12)
    assert list(calibrate.check(roles, "sft", "ppo", config, {"prompt": 64})) == []
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 8 * 10**7)
    assert next(calibrate.check(roles, "sft", "ppo", config, {"prompt": 64})).code == "W_MEMORY_SHORT"


def test_a_rehearsal_that_runs_out_of_memory_names_the_micro_batch_that_fits(monkeypatch):
    def rehearse(roles, role, knobs):
        if knobs.microbatch > 4:
            raise torch.OutOfMemoryError("no room")
        return {}

    monkeypatch.setattr("lab.peak.rehearse", rehearse)
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 5 * 10**8)
    (event,) = calibrate.check(roles_with_reward(), "sft", "ppo", Ppo(), {"prompt": 64})
    assert event.code == "W_MEMORY_SHORT" and event.remedy == "Start again with microbatch 4."


@pytest.mark.parametrize("what, word", [("_speaker", "a trial of 64 answers"), ("hidden", "a single response")])
def test_a_rehearsal_that_does_not_fit_at_all_is_a_warning_and_no_end(what, word, monkeypatch):
    def none_left(*_, **__):
        raise torch.OutOfMemoryError("no room")

    roles = roles_with_reward()
    monkeypatch.setattr(*((Roles, what) if what == "hidden" else (generate, what)), none_left)
    monkeypatch.setattr("lab.calibrate.room_of", lambda device: 5 * 10**8)
    codes = {event.code: event.message for event in calibrate.check(roles, "sft", "ppo", Ppo(), {"prompt": 64})}
    assert word in codes["W_MEMORY_SHORT"]


def test_a_rehearsal_of_answers_of_one_token_is_measured_too():
    found = rehearse(roles_with_reward(), "sft", Knobs(batch=2, minibatch=2, microbatch=2, prompt=8, tokens=1))
    assert set(found) == {"rollout", "score", "update"}


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma2"])
def test_a_rehearsal_tries_the_cache_at_its_longest_and_the_prompts_at_their_own_length(name, tmp_path, monkeypatch):
    monkeypatch.setattr("lab.folding.suits", lambda *_, **__: False)
    monkeypatch.setattr(Roles, "lean", lambda self, role: False)
    roles, passes, forward = (
        load(str(put(tmp_path / name, configs(512)[name])), device="cpu"),
        [],
        generate.Plain._forward,
    )

    def seen(self, ids, positions, mask):
        logits = forward(self, ids, positions, mask)
        held = [layer.keys.shape[-2] for layer in self.cache.layers]
        passes.append((ids.shape[1], max(held), int(positions.max())))
        return logits

    monkeypatch.setattr(generate.Plain, "_forward", seen)
    rehearse(roles, "sft", Knobs(batch=2, minibatch=2, microbatch=2, prompt=9, tokens=20))
    assert passes == [(9, 9, 8), (1, 28, 27)]


@pytest.mark.parametrize("device", ["cpu", "cuda"])
@pytest.mark.parametrize("knobs", [{}, {"tokens": 256}, {"batch": 128, "tokens": 128}, {"prompt": 256}])
@pytest.mark.parametrize("batch_of_logits", [1, 20])
def test_the_librarys_rollout_is_foretold_at_the_largest_of_its_peaks(knobs, batch_of_logits, device):
    facts, knobs = facts_from(SEVEN), Knobs(precision="4-bit", **knobs)
    facts = replace(facts, vocabulary=facts.vocabulary * batch_of_logits)

    def bytes_of(knobs):
        rows = [row for row in foretell(facts, "ppo", knobs, device) if row.phase == "rollout"]
        return {row.role: row.bytes for row in rows if row.role != "turned weights"}  # which are so at every moment

    rows, at_first = bytes_of(knobs), bytes_of(replace(knobs, tokens=0))
    held = rows if device == "cuda" else at_first  # a GPU's cache has its whole size from the start
    shared = (
        rows["cache"] // facts.layers * facts.heads // facts.groups
    )  # keys and values, by every head that reads them
    at_last = rows["cache"] + max(12 * knobs.batch * facts.vocabulary, 0 if device == "cuda" else shared)
    assert sum(rows.values()) == pytest.approx(max(held["cache"] + at_first["reading"], at_last), rel=1e-6)


@pytest.mark.parametrize(("vocabulary", "bytes_of_each"), [(4096, 4), (4100, 8)])  # padded to blocks of 64, or not
def test_drawing_a_token_holds_its_chances_once_and_once_more_where_they_are_padded(vocabulary, bytes_of_each):
    logits = torch.randn(64, vocabulary)
    held = allocated(lambda: generate.draw(logits, 0.7, [0.3] * 64))
    assert held == pytest.approx(bytes_of_each * logits.numel(), rel=0.1)


def test_a_rehearsal_leaves_weights_flags_and_chance_as_they_were():
    roles = roles_with_reward()
    learning = {id(parameter) for parameter in roles.trainable("reward")}
    before = {name: weight.clone() for name, weight in roles.model.state_dict().items()}
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    found = rehearse(roles, "sft", Knobs(batch=2, minibatch=2, microbatch=2, prompt=8, tokens=8))
    assert set(found) == {"rollout", "score", "update"} and torch.equal(torch.rand(1), expected)
    assert {id(p) for p in roles.model.parameters() if p.requires_grad} == learning
    assert all(torch.equal(weight, before[name]) for name, weight in roles.model.state_dict().items())
    assert all(parameter.grad is None for parameter in roles.model.parameters())
