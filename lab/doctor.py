"""What this machine can run, and what is wrong with it: checks that each say what was found and what to do."""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil

from lab import arithmetic, container
from lab.barred import bar
from lab.errors import LabError
from lab.facts import facts_from
from lab.fit import table
from lab.loading import EMBEDDED, default_device
from lab.memory import Knobs

PACKAGES = ("torch", "transformers", "peft", "bitsandbytes", "gradio", "plotly")
LEAST_DISK, LEAST_MEMORY = 2**30, 2 * 2**30
_FOUR_BIT = """
import torch, bitsandbytes as bnb
layer = bnb.nn.Linear4bit(64, 64, quant_type="nf4", compute_dtype=torch.bfloat16)
device = "cuda" if torch.cuda.is_available() else "cpu"
print(bool(torch.isfinite(layer.to(device)(torch.ones(2, 64, dtype=torch.bfloat16, device=device))).all()))
"""


def examine(workspace: Path) -> list[dict[str, Any]]:
    """Every check as {what, ok, found, do}."""
    return [
        _python(),
        *map(_package, PACKAGES),
        _memory(),
        _disk(workspace),
        _device(),
        _products(),
        _embedded(),
        _sqlite(),
        _four_bit(),
    ]


def _row(what: str, ok: bool, found: str, do: str = "") -> dict[str, Any]:
    return {"what": what, "ok": ok, "found": found, "do": "" if ok else do}


def _python() -> dict[str, Any]:
    ok = sys.version_info >= (3, 11)
    return _row("Python", ok, platform.python_version(), "The lab needs Python 3.11 or later.")


def _package(name: str) -> dict[str, Any]:
    try:
        return _row(name, True, importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return _row(name, False, "missing", "pip install -r requirements.txt")


def _memory() -> dict[str, Any]:
    memory = psutil.virtual_memory()
    free = min(memory.available, container.left())
    found = f"{free / 2**30:.1f} of {memory.total / 2**30:.1f} GiB free, {os.cpu_count()} cores"
    remedy = "Close other programs, or give this container more; the embedded model needs 2 GiB."
    return _row("memory", free > LEAST_MEMORY, found, remedy)


def _disk(workspace: Path) -> dict[str, Any]:
    """Its disk, and whether the lab may write there: one of a newer lab can only be looked at."""
    try:
        barred = bar(workspace)
    except LabError as problem:
        return _row("workspace", False, str(problem))
    if barred:
        return _row("workspace", False, barred.why)
    there = next(folder for folder in (workspace.absolute(), *workspace.absolute().parents) if folder.exists())
    free = shutil.disk_usage(there).free
    wrong = ", not writable" if not os.access(there, os.W_OK) else "" if there.is_dir() else f", {there} is no folder"
    found = f"{free / 2**30:.1f} GiB free{wrong}"
    return _row(
        "workspace", not wrong and free > LEAST_DISK, found, "Choose another folder with -w, or free some space."
    )


def _device() -> dict[str, Any]:
    import torch

    device = default_device()
    if device != "cuda":
        return _row("device", True, device)
    free, total = torch.cuda.mem_get_info()
    return _row("device", True, f"{torch.cuda.get_device_name()}, {free / 2**30:.1f} of {total / 2**30:.1f} GiB free")


def _products() -> dict[str, Any]:
    import torch

    if default_device() == "cuda" and not torch.cuda.is_bf16_supported(including_emulation=False):
        return _row("products", True, "bfloat16, which this GPU imitates: slow; float32 bases are computed in float32")
    if default_device() != "cpu":
        return _row("products", True, "bfloat16")
    name = str(arithmetic.fastest()).removeprefix("torch.")
    return _row("products", True, f"{name}; bfloat16 is {arithmetic.gain():.1f} times as fast as float32")


def _embedded() -> dict[str, Any]:
    missing = [
        name
        for name in ("config.json", "model.safetensors", "tokenizer.json")
        if not (EMBEDDED / "tiny" / name).exists()
    ]
    return _row(
        "embedded model", not missing, "assets/tiny" if not missing else f"lacks {', '.join(missing)}", "Install again."
    )


def _sqlite() -> dict[str, Any]:
    return _row(
        "SQLite", sqlite3.sqlite_version_info >= (3, 35), sqlite3.sqlite_version, "SQLite 3.35 or later is needed."
    )


def _four_bit() -> dict[str, Any]:
    """In a process of its own, since a broken bitsandbytes can end the process that imports it."""
    try:
        done = subprocess.run([sys.executable, "-c", _FOUR_BIT], capture_output=True, text=True, timeout=60)
        ok = done.stdout.strip().endswith("True")
        found = "works" if ok else (done.stderr.strip().splitlines() or ["no answer"])[-1][:100]
    except subprocess.TimeoutExpired:
        ok, found = False, "no answer in 60 s"
    return _row("4-bit", ok, found, "4-bit bases cannot be used here; bf16 can. Everything else works.")


def known_bases() -> list[dict[str, Any]]:
    """The embedded models and some open ones, with their parameters and whether PPO fits here, by `fit.table`."""
    from transformers import AutoConfig

    rows = []
    for folder in sorted(path.parent for path in EMBEDDED.glob("*/training.json")):
        parameters = json.loads((folder / "training.json").read_text())["parameters"]
        rows.append({"name": folder.name, "parameters": parameters, "fits": "embedded, fits everywhere"})
    for name, (kind, *sizes) in OPEN_BASES.items():
        facts = facts_from(AutoConfig.for_model(kind, **dict(zip(SHAPE, sizes, strict=True))), name)
        rows.append({"name": name, "parameters": facts.parameters, "fits": table(facts, Knobs())["words"]})
    return rows


# What their config.json says, so that the list needs no network.
SHAPE = (
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "vocab_size",
    "tie_word_embeddings",
)
OPEN_BASES = {
    "HuggingFaceTB/SmolLM2-135M": ("llama", 576, 1536, 30, 9, 3, 49152, True),
    "Qwen/Qwen2.5-0.5B": ("qwen2", 896, 4864, 24, 14, 2, 151936, True),
    "Qwen/Qwen2.5-1.5B": ("qwen2", 1536, 8960, 28, 12, 2, 151936, True),
    "Qwen/Qwen2.5-3B": ("qwen2", 2048, 11008, 36, 16, 2, 151936, True),
    "Qwen/Qwen2.5-7B": ("qwen2", 3584, 18944, 28, 28, 4, 152064, False),
}
