"""The measurements of docs/gpu.md: real shapes with random weights on a CUDA machine, in bfloat16 and NF4."""

from __future__ import annotations

import sys
import tempfile
from itertools import islice
from random import Random
from time import monotonic
from typing import Any

import torch

from lab import memory, ppo
from lab.bench.isolated import job
from lab.bench.shapes import config_of, save
from lab.config import Ppo
from lab.errors import NotFound
from lab.events import Step
from lab.generate import sample
from lab.loading import load
from lab.models import Roles
from lab.rollout import Cast
from lab.shortage import with_smaller_microbatches
from lab.text import Asked

SHAPES = ("0.5B", "1.5B", "7B")
SETTINGS = {"batch": 32, "minibatch": 16, "microbatch": 4, "prompt": 256, "tokens": 128}


def run_gpu(quick: bool) -> dict[str, Any]:
    """Every shape twice, each in a process of its own; a Markdown table that can go into docs/gpu.md as it is."""
    if not torch.cuda.is_available():
        raise NotFound(
            "PyTorch sees 0 CUDA devices here, so nothing can be measured. Run this on a machine with one; "
            "python -m lab.bench measures this machine's processor."
        )
    found: dict[str, dict[str, Any]] = {}
    print(heading())
    for shape in SHAPES[:1] if quick else SHAPES:
        with tempfile.TemporaryDirectory() as folder:
            save(config_of(shape), folder, dtype="bfloat16")
            for precision in ("bfloat16", "8-bit", "4-bit"):
                name = f"{shape} {precision}"
                found[name] = job("gpu", {"model": folder, "precision": precision}, threads=4)
                print(line(name, found[name]), flush=True)
    return found


def heading() -> str:
    """Which machine and versions, and the table's head."""
    card = torch.cuda.get_device_properties(0)
    versions = f"torch {torch.__version__}, CUDA {torch.version.cuda}, Python {sys.version.split()[0]}"
    return (
        f"{card.name}, {card.total_memory / 2**30:.1f} GiB; {versions}\n\n"
        "| model | peak GiB | foretold GiB | first ratio, max abs log | decode tokens/s | of ideal | PPO samples/s | "
        "recovered at |\n"
        "|---|---|---|---|---|---|---|---|"
    )


def line(name: str, each: dict[str, Any]) -> str:
    """One row of the table."""
    return (
        f"| {name} | {each['peak_bytes'] / 2**30:.2f} | {each['foretold_bytes'] / 2**30:.2f} "
        f"| {each['ratio_first']:.2g} | {each['tokens_per_second']:,.0f} | {each['of_ideal']:.0%} "
        f"| {each['samples_per_second']:.2f} | microbatch {each['recovered_at']} |"
    )


def measure_gpu(model: str, precision: str, steps: int = 2) -> dict[str, Any]:
    """One model: PPO, its peak beside the foretold one, decoding beside the bandwidth's limit, an OOM survived."""
    roles = load(model, device="cuda", precision=precision)
    roles.add("reward", like="sft")
    roles.head("reward")
    knobs = memory.Knobs(precision=precision, **SETTINGS)
    facts = memory.facts_of(model)
    torch.cuda.reset_peak_memory_stats()
    metrics = list(islice(_steps(roles, steps + 1), steps + 1))
    peak = torch.cuda.max_memory_allocated()
    speed = _decode(roles)
    weights = memory.foretell(facts, "ppo", knobs, "cuda")[0].bytes
    return {
        "peak_bytes": peak,
        "foretold_bytes": memory.total(memory.foretell(facts, "ppo", knobs, "cuda"), "cuda") - memory.CONTEXT,
        "ratio_first": metrics[0]["policy/ratio_first"],
        "samples_per_second": SETTINGS["batch"] / metrics[-1]["time/step"],
        "tokens_per_second": speed,
        "of_ideal": speed / (SETTINGS["batch"] * _bandwidth() / weights),
        "recovered_at": _recovers(roles),
    }


def _steps(roles: Roles, steps: int) -> Any:
    config = Ppo(
        steps=steps,
        epochs=2,
        batch=SETTINGS["batch"],
        minibatch=SETTINGS["minibatch"],
        microbatch=SETTINGS["microbatch"],
        tokens=SETTINGS["tokens"],
        learning_rate=1e-5,
        update_kl=1e9,
    )
    asked = [Asked("", tuple(ids)) for ids in _prompts(64)]
    events = ppo.ppo(ppo.begin(roles, Cast(), config), Cast(), asked, ppo.still(config))
    return (event.metrics for event in events if isinstance(event, Step))


def _prompts(count: int) -> list[list[int]]:
    rng = Random(0)
    return [[rng.randrange(8, 4000) for _ in range(SETTINGS["prompt"])] for _ in range(count)]


def _decode(roles: Roles) -> float:
    """Tokens a second of a rollout; random weights hardly ever say the end token."""
    prompts = _prompts(SETTINGS["batch"])
    sample(roles, "policy", prompts, tokens=8)
    torch.cuda.synchronize()
    began = monotonic()
    said = sample(roles, "policy", prompts, tokens=SETTINGS["tokens"], seed=1)
    torch.cuda.synchronize()
    return sum(map(len, said)) / (monotonic() - began)


def _bandwidth() -> float:
    """Bytes a second of a copy on the device."""
    source = torch.zeros(2**28, device="cuda")
    target = torch.empty_like(source)
    target.copy_(source)
    torch.cuda.synchronize()
    began = monotonic()
    for _ in range(10):
        target.copy_(source)
    torch.cuda.synchronize()
    return 10 * 2 * 4 * 2**28 / (monotonic() - began)


def _recovers(roles: Roles) -> int:
    """Fills the card but for 1 GiB and reads a large batch: the micro-batch at which it goes on.

    What PyTorch keeps of the measurements before goes back first, or it would be room beside that GiB.
    """
    torch.cuda.empty_cache()
    free = torch.cuda.mem_get_info()[0] - 2**30
    filler = torch.empty(max(1, free), dtype=torch.uint8, device="cuda")
    ids = torch.randint(8, 4000, (64, 384), device="cuda")

    @torch.no_grad()
    def work(microbatch: int) -> float:
        total = 0.0
        for rows in ids.split(microbatch):
            with roles.using("policy") as model, roles.autocast():
                total += float(model(rows, use_cache=False).logits.float().logsumexp(-1).sum())
        return total

    _, size = with_smaller_microbatches(work, 64)
    del filler
    return size
