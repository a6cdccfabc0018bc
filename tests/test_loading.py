"""What a person is told of a base that cannot be loaded: memory that runs out is never called a broken folder."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from folders import make
from transformers import LlamaForCausalLM

from lab import loading
from lab.bench.shapes import llama, save
from lab.errors import ModelIncomplete, OutOfMemory, SelfCheck
from lab.loading import load

ROOT = Path(__file__).parent.parent
LIMITED = """if True:
    import psutil, resource, sys
    from lab.errors import LabError
    from lab.loading import load

    load("tiny", device="cpu")
    for room in sys.argv[2:]:
        limit = psutil.Process().memory_info().vms + int(room) * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
        try:
            load(sys.argv[1], device="cpu")
        except LabError as problem:
            print(problem.code, problem)
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
"""


def fails(*args, **options):
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of a process's own memory")
def test_a_base_that_finds_no_room_is_too_large_and_not_broken(tmp_path):
    folder = save(llama(32768, 1024, 2048, 2, 8, 8), tmp_path, dtype="bfloat16")
    # The file has 104 MiB: too little to read it at all, and too little to read it into.
    asked = [sys.executable, "-c", LIMITED, str(folder), "40", "150"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True)
    told = done.stdout.splitlines()
    assert len(told) == 2, done.stdout + done.stderr
    for line in told:
        assert line.startswith("E_OOM The model ") and "fewer bits" in line and "could not be loaded" not in line, told


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


@pytest.mark.parametrize("window", [{}, {"sliding_window": 4096}, {"sliding_window": None, "use_sliding_window": True}])
def test_layers_that_slide_over_the_text_by_no_width_are_named_with_what_to_write_into_the_config(tmp_path, window):
    file = make(tmp_path, "qwen3") / "config.json"
    given = json.loads(file.read_text()) | {"layer_types": ["full_attention", "sliding_attention"]}
    file.write_text(json.dumps(given | window))
    with pytest.raises(ModelIncomplete, match="1 of its layers sliding_attention.*Set sliding_window there"):
        load(str(file.parent), device="cpu")
    file.write_text(json.dumps(given | {"sliding_window": 8, "use_sliding_window": True}))
    load(str(file.parent), device="cpu")


def test_weights_that_are_pickles_are_not_read_and_called_what_they_are(tmp_path):
    folder = make(tmp_path, "llama")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(ModelIncomplete, match=r"are pickles \(\.bin\).*Save them as safetensors"):
        load(str(folder), device="cpu")
