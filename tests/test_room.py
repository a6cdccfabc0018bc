"""The room that forecasts are held against: what is free, what PyTorch keeps to use again, what this process holds."""

from __future__ import annotations

import pytest
import torch

from lab.bench import gpu_job
from lab.bench.shapes import llama
from lab.facts import facts_from
from lab.fit import table
from lab.memory import CONTEXT, GIB, Knobs, held_here, room_of

SEVEN = llama(152064, 3584, 18944, 28, 28, 4, tie_word_embeddings=False)
CARD = 12 * GIB


@pytest.fixture
def card(monkeypatch):
    """Tells a GPU of 12 GiB what this process has of it: bytes of tensors, and of blocks that PyTorch keeps."""

    def has(allocated: int, reserved: int) -> None:
        taken = CONTEXT + reserved
        monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (CARD - taken, CARD))
        monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: allocated)
        monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: reserved)

    return has


def test_blocks_that_pytorch_keeps_after_a_run_are_room_for_the_next(card):
    card(allocated=2 * GIB, reserved=2 * GIB)
    before = room_of("cuda")
    card(allocated=2 * GIB, reserved=9 * GIB)
    assert room_of("cuda") == before == 10 * GIB - CONTEXT


def test_a_base_that_this_process_holds_is_not_counted_against_itself(card):
    knobs, found = Knobs(precision="4-bit"), []
    for base in (0, 6 * GIB):
        card(allocated=base, reserved=base)
        found.append(table(facts_from(SEVEN), knobs))
    assert found[0] == found[1] and found[0]["fits"] and found[0]["room"] == CARD


def test_the_bench_gives_back_what_pytorch_keeps_before_it_fills_the_card(monkeypatch):
    class Filling(Exception):
        pass

    def asked():
        done.append("asked")
        raise Filling

    done = []
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: done.append("given back"))
    monkeypatch.setattr(torch.cuda, "mem_get_info", asked)
    with pytest.raises(Filling):
        next(gpu_job._recovery(None))
    assert done == ["given back", "asked"]


def test_on_a_cpu_what_this_process_holds_grows_with_its_tensors(monkeypatch):
    monkeypatch.setattr("lab.memory.LIBRARIES", 0)
    before = held_here("cpu")
    block = torch.ones(150_000_000)
    assert held_here("cpu") - before == pytest.approx(block.nbytes, rel=0.05)
