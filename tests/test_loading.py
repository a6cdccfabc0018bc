"""Memory that runs out while a base is loaded is called so, wherever it does, and never a broken folder."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from lab import loading
from lab.bench.shapes import llama, save
from lab.errors import OutOfMemory, SelfCheck
from lab.loading import load

ROOT = Path(__file__).parent.parent
LIMITED = """if True:
    import psutil, resource, sys
    from lab.errors import LabError
    from lab.loading import load

    load("tiny", device="cpu")
    limit = psutil.Process().memory_info().vms + int(sys.argv[2]) * 2**20
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        load(sys.argv[1], device="cpu")
    except LabError as problem:
        print(problem.code, problem)
"""


def fails(*args, **options):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of a process's own memory")
def test_a_base_that_finds_no_room_is_too_large_and_not_broken(tmp_path):
    folder = save(llama(32768, 1024, 2048, 2, 8, 8), tmp_path, dtype="bfloat16")
    # The file has 104 MiB: too little to read it at all, and too little to read it into.
    for room in ("40", "150"):
        asked = [sys.executable, "-c", LIMITED, str(folder), room]
        done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
        assert done.stdout.startswith("E_OOM The model "), done.stdout + done.stderr
        assert "fewer bits" in done.stdout and "could not be loaded" not in done.stdout


@pytest.mark.parametrize(
    "where, name", [(loading, "_weights"), (loading, "_with_adapter"), (LlamaForCausalLM, "forward")]
)
def test_a_full_gpu_is_named_in_whatever_part_of_loading_it_shows(monkeypatch, where, name):
    monkeypatch.setattr(where, name, fails)
    with pytest.raises(OutOfMemory, match="tiny needs more memory than is free"):
        load("tiny", device="cpu")


def test_another_break_of_the_first_pass_is_still_blamed_on_the_files(monkeypatch):
    monkeypatch.setattr(LlamaForCausalLM, "forward", lambda *args, **options: torch.zeros(2, 3) @ torch.zeros(2, 3))
    with pytest.raises(SelfCheck, match="broke off: mat1 and mat2"):
        load("tiny", device="cpu")
