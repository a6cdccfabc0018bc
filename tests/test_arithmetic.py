"""Products are in the dtype that is faster here, and the whole lab follows: weights, passes, sampling and forecast."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lab import allocator, arithmetic, ppo, sft
from lab.bench.shapes import llama, save
from lab.cast import Cast
from lab.config import Ppo, Sft
from lab.errors import BadInput
from lab.events import Step
from lab.facts import facts_of
from lab.loading import load
from lab.memory import Knobs, foretell
from lab.text import Asked

ROOT = Path(__file__).parent.parent
DTYPES = [torch.bfloat16, torch.float32]


@pytest.fixture
def unasked(monkeypatch):
    """As on a processor that has bfloat16 but no matrix units: there the two are timed."""
    monkeypatch.delenv("LAB_PRODUCTS", raising=False)
    monkeypatch.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: False)
    arithmetic.fastest.cache_clear()
    yield monkeypatch
    arithmetic.fastest.cache_clear()


@pytest.mark.parametrize("gain, expected", [(0.5, torch.float32), (1.2, torch.float32), (1.8, torch.bfloat16)])
def test_bfloat16_is_taken_where_it_is_clearly_faster(unasked, gain, expected):
    unasked.setattr(arithmetic, "gain", lambda: gain)
    assert arithmetic.fastest() == expected


def test_matrix_units_need_no_timing_and_a_processor_without_bfloat16_neither(unasked):
    unasked.delattr(arithmetic, "gain")
    unasked.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    assert arithmetic.fastest() == torch.bfloat16
    arithmetic.fastest.cache_clear()
    unasked.setattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", lambda: False, raising=False)
    assert arithmetic.fastest() == torch.float32


@pytest.mark.parametrize("dtype", DTYPES)
def test_the_environment_decides_where_it_says_so(unasked, dtype):
    unasked.setenv("LAB_PRODUCTS", str(dtype).removeprefix("torch."))
    assert arithmetic.fastest() == dtype


def test_another_word_in_the_environment_is_refused_with_what_to_do(unasked):
    unasked.setenv("LAB_PRODUCTS", "float16")
    with pytest.raises(BadInput, match="Set it to bfloat16 or float32"):
        arithmetic.fastest()


@pytest.mark.parametrize("busy", [range(0), range(25), range(25, 50), range(1, 49), range(0, 48, 2), range(1, 48, 2)])
def test_what_else_the_machine_does_changes_nothing(monkeypatch, busy):
    """On a clock of the test's own: a product takes twice as long in float32, and ten times that while others work."""
    now, products = 0.0, 0

    def linear(a, b):
        nonlocal now, products
        now += (2.0 if a.dtype == torch.float32 else 1.0) * (10 if products in busy else 1)
        products += 1

    monkeypatch.setattr(torch.nn.functional, "linear", linear)
    monkeypatch.setattr(arithmetic, "perf_counter", lambda: now)
    assert arithmetic.gain() == 2.0 and products == 50


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_base_is_kept_as_products_want_it_and_its_adapters_in_float32(monkeypatch, dtype):
    monkeypatch.setattr(arithmetic, "fastest", lambda: dtype)
    roles = load("tiny", device="cpu")
    assert roles.products == dtype and roles.autocast()._enabled == (dtype == torch.bfloat16)
    assert roles.model.get_input_embeddings().weight.dtype == dtype
    assert {weight.dtype for weight in roles.weights("sft").values()} == {torch.float32}
    base = next(row for row in foretell(facts_of("tiny"), "ppo", Knobs()) if row.role == "base")
    assert base.bytes == sum(p.numel() * p.element_size() for n, p in roles.model.named_parameters() if "lora" not in n)


def test_a_base_too_large_for_wide_weights_keeps_bfloat16_and_learns_as_well(monkeypatch, tmp_path, in_float32):
    folder = str(save(llama(4096, 64, 96, 2, 4, 2), tmp_path, dtype="bfloat16"))
    wide = learned(folder)
    monkeypatch.setattr(arithmetic, "WIDEST", 1000)
    roles = load(folder, device="cpu")
    assert roles.products == torch.float32 and roles.model.get_input_embeddings().weight.dtype == torch.bfloat16
    narrow = learned(folder)
    assert all(torch.allclose(narrow[name], wide[name], atol=1e-6) for name in wide), "the same numbers, stored apart"


def learned(folder: str) -> dict[str, torch.Tensor]:
    """An adapter after a few steps of SFT."""
    roles, config = load(folder, device="cpu"), Sft(steps=3, batch=2, microbatch=2, learning_rate=1e-2)
    state = sft.begin(roles, config)
    list(sft.sft(state, [("What is red?", "A rose."), ("And blue?", "The sky, often.")], lambda: config))
    return {name: weight.detach().clone() for name, weight in roles.weights("sft").items()}


@pytest.mark.parametrize("dtype", DTYPES)
def test_in_either_dtype_the_first_ratio_is_one_and_the_first_kl_zero(monkeypatch, dtype):
    monkeypatch.setattr(arithmetic, "fastest", lambda: dtype)
    roles = load("tiny", device="cpu")
    roles.add("reward", like="sft")
    roles.head("reward")
    config = Ppo(steps=2, batch=8, minibatch=4, microbatch=2, tokens=12)
    asked = [Asked("", tuple(roles.text.prompt_ids(text))) for text in ("What is bread?", "Name three birds.")]
    state = ppo.begin(roles, Cast(), config)
    steps = [each for each in ppo.ppo(state, Cast(), asked, ppo.still(config)) if isinstance(each, Step)]
    assert steps[0].metrics["kl/reference"] == 0
    assert [step.metrics["policy/ratio_first"] for step in steps] == [0, 0]


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept_unless_the_user_has_chosen():
    code = "from lab.allocator import keep_freed; print(keep_freed())"
    plain = {name: value for name, value in os.environ.items() if name not in allocator.OWN_CHOICE}
    for environment, expected in ((plain, "True"), (plain | {"MALLOC_TRIM_THRESHOLD_": "131072"}, "False")):
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT)
        assert done.stdout.strip() == expected, done.stderr


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_a_phase_begins_and_ends_without_what_others_have_left_free():
    code = """if True:
        from pathlib import Path
        from lab import allocator

        def resident():
            return int(Path("/proc/self/statm").read_text().split()[1]) * 4096

        def litter():
            pieces = [bytearray(2**20) for _ in range(64)]
            del pieces[::2]
            return pieces

        assert allocator.keep_freed()
        kept, before = litter(), resident()
        with allocator.passing():
            print(before - resident())
            more, before = litter(), resident()
        print(before - resident())
    """
    plain = {name: value for name, value in os.environ.items() if name not in allocator.OWN_CHOICE}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=plain, cwd=ROOT)
    before, after = map(int, done.stdout.split())
    assert before > 2**24 and after > 2**24, done.stderr


@pytest.mark.parametrize("own, expected", [(None, allocator.COMPILED), ("16", "16")])
def test_compiled_products_are_bounded_unless_the_user_has_chosen(monkeypatch, own, expected):
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.delenv(name, raising=False)
    if own:
        monkeypatch.setenv(name, own)
    arithmetic.gain()
    assert os.environ[name] == expected


@pytest.mark.parametrize("own, expected", [(None, "expandable_segments:True"), ("max_split_size_mb:64", None)])
def test_cudas_allocator_grows_its_pieces_unless_the_user_has_chosen(monkeypatch, own, expected):
    ours, former = allocator.OF_CUDA
    monkeypatch.setenv(ours, "")  # so that it is as it was afterwards
    monkeypatch.delenv(ours)
    monkeypatch.delenv(former, raising=False)
    if own:
        monkeypatch.setenv(former, own)
    allocator.extend_segments()
    assert os.environ.get(ours) == expected
