"""One case of the GPU's table, part by part: learning, its memory by phase, decoding, and going on without memory."""

from __future__ import annotations

import gc
import json
import sys
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import PackageNotFoundError, version
from itertools import islice
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import torch

from lab import allocator, memory, peak, ppo
from lab.bench.ideal import ppo_seconds
from lab.bench.shapes import config_of, save
from lab.cast import Cast
from lab.config import Ppo
from lab.errors import LabError
from lab.events import Step, Warned
from lab.facts import Facts, facts_from
from lab.generate import stream
from lab.loading import REFUSALS, load
from lab.memory import Knobs
from lab.models import Roles
from lab.shortage import with_smaller_microbatches
from lab.speakers import recordable
from lab.text import Asked

SETTINGS = {"batch": 32, "minibatch": 16, "microbatch": 4, "prompt": 256, "tokens": 128}
EPOCHS = 2
BEFORE, TIMED = 8, 32  # tokens of each answer that are said before the clock starts, and while it runs


def measure_gpu(shape: str, precision: str, folder: str, steps: int = 1) -> dict[str, Any]:
    """All figures of a case; told after each part too, so that a part that ends the process takes none with it.

    folder: of the shape's weights, made where it is not there yet. steps: of PPO that are timed, after one that is
    not. A part that fails has its traceback under `failed`, and the next one begins.
    """
    allocator.extend_segments()  # before the first weight is drawn
    began = monotonic()
    model = _made(shape, Path(folder))
    found: dict[str, Any] = {"machine": machine(), "made_seconds": monotonic() - began}
    began = monotonic()
    roles = load(str(model), device="cuda", precision=precision)
    roles.add("reward", like="sft")
    roles.head("reward")
    found["load_seconds"] = monotonic() - began
    facts, knobs = facts_from(config_of(shape), shape), Knobs(precision=precision, **SETTINGS)
    read = _read_at_each_token(facts, knobs, roles.model.config)
    parts: dict[str, Callable[[], Iterator[dict[str, Any]]]] = {
        "learning": lambda: _learning(roles, facts, knobs, steps),
        "speed": lambda: _whole_minibatches(roles),
        "decoding": lambda: _decoding(roles),
        "ideal": lambda: _ideal(found, facts, read),
        "phases": lambda: _phases(roles, facts, knobs),
        "recovery": lambda: _recovery(roles),
    }
    for name, part in parts.items():
        try:
            for figures in part():
                found |= figures
        except (LabError, *REFUSALS):  # the other parts have their own figures
            found.setdefault("failed", {})[name] = traceback.format_exc()
        print(json.dumps(found), flush=True)
    return found


def _made(shape: str, folder: Path) -> Path:
    """The shape's weights, drawn on the GPU: a processor takes minutes over 7B. The folder is whole or absent."""
    if not folder.exists():
        beside = folder.with_name(f"{folder.name}.part")
        save(config_of(shape), beside, dtype="bfloat16", device="cuda")
        beside.rename(folder)
        gc.collect()
        torch.cuda.empty_cache()
    return folder


def machine() -> str:
    """The card, its memory, and what computes on it."""
    card = torch.cuda.get_device_properties(0)
    versions = [f"{name} {_version(name)}" for name in ("transformers", "peft", "bitsandbytes")]
    versions = [f"torch {torch.__version__}, CUDA {torch.version.cuda}", *versions, f"Python {sys.version.split()[0]}"]
    return f"{card.name}, {card.total_memory / 2**30:.1f} GiB; {', '.join(versions)}"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "missing"


def _learning(roles: Roles, facts: Facts, knobs: Knobs, steps: int) -> Iterator[dict[str, Any]]:
    """PPO, told after every step: the most that was asked of the allocator beside what is foretold to be.

    foretold: without SPARE and CONTEXT, which are for what lies around: held is what the allocator kept at most, and
    context what is neither free nor the allocator's. Another process on the card would count in it.
    """
    rows = [row for row in memory.foretell(facts, "ppo", knobs, "cuda") if row.role != "CUDA itself"]
    yield {"foretold_bytes": memory.total(rows), "foretold": {f"{row.phase} {row.role}": row.bytes for row in rows}}
    gc.collect()
    torch.cuda.empty_cache()  # of what loading left, which PyTorch would give back too where memory is short
    torch.cuda.reset_peak_memory_stats()
    warned: list[str] = []
    for event in _events(roles, steps + 1):
        if isinstance(event, Warned) and event.code == "W_MEMORY":  # random weights are warned of in other ways too
            warned.append(event.message)
        if isinstance(event, Step):
            free, whole = torch.cuda.mem_get_info()
            yield {
                "peak_bytes": torch.cuda.max_memory_allocated(),
                "held_bytes": torch.cuda.max_memory_reserved(),
                "context_bytes": whole - free - torch.cuda.memory_reserved(),
                "warned": warned,
            }
            seconds = {key: value for key, value in event.metrics.items() if key.startswith("time/")}
            yield (
                {"ratio_first": event.metrics["policy/ratio_first"]}
                if event.step == 1
                else {"samples_per_second": SETTINGS["batch"] / seconds["time/step"], "step_seconds": seconds}
            )


def _whole_minibatches(roles: Roles) -> Iterator[dict[str, Any]]:
    """The second of two steps whose micro-batches are whole minibatches, as a card with room for them takes them."""
    for event in _events(roles, 2, SETTINGS["minibatch"]):
        if isinstance(event, Step):
            seconds = {key: value for key, value in event.metrics.items() if key.startswith("time/")}
    yield {"samples_per_second_whole": SETTINGS["batch"] / seconds["time/step"], "step_seconds_whole": seconds}


def _events(roles: Roles, steps: int, microbatch: int = 0) -> Iterator[Any]:
    config = Ppo(
        steps=steps,
        epochs=EPOCHS,
        batch=SETTINGS["batch"],
        minibatch=SETTINGS["minibatch"],
        microbatch=microbatch or SETTINGS["microbatch"],
        tokens=SETTINGS["tokens"],
        learning_rate=1e-5,
        update_kl=1e9,
    )
    asked = [Asked("", tuple(ids)) for ids in _prompts(64)]
    return ppo.ppo(ppo.begin(roles, Cast(), config), Cast(), asked, ppo.still(config))


def _prompts(count: int) -> list[list[int]]:
    rng = Random(0)
    return [[rng.randrange(8, 4000) for _ in range(SETTINGS["prompt"])] for _ in range(count)]


def _decoding(roles: Roles) -> Iterator[dict[str, Any]]:
    """Tokens a second after the pass over the prompts, as recorded graphs and without; none says the end token."""
    speed, recorded = _speed(roles), recordable(roles, SETTINGS["prompt"] + BEFORE + TIMED)
    yield {"tokens_per_second": speed, "recorded": recorded}
    roles.recorded = False
    yield {"tokens_per_second_unrecorded": _speed(roles)}
    roles.recorded = recorded


def _speed(roles: Roles) -> float:
    speaking = stream(roles, "sft", _prompts(SETTINGS["batch"]), tokens=BEFORE + TIMED, seed=1)
    for _ in islice(speaking, BEFORE):
        pass
    torch.cuda.synchronize()
    began = monotonic()
    said = sum(len(drawn) for _, drawn in speaking)
    torch.cuda.synchronize()
    return said / (monotonic() - began)


def _ideal(found: dict[str, Any], facts: Facts, read: int) -> Iterator[dict[str, float]]:
    """What a perfect loop would reach on this card, and the share of it that decoding and the timed step of PPO do.

    read: bytes that the weights of one token take to read.
    """
    rates = {"bytes": _bandwidth(), "flops_bfloat16": _flops()}
    yield {"bytes_per_second": rates["bytes"], "flops_per_second": rates["flops_bfloat16"]}
    batch, prompt, tokens = (SETTINGS[name] for name in ("batch", "prompt", "tokens"))
    if "tokens_per_second" in found:
        yield {"of_ideal": found["tokens_per_second"] / (batch * rates["bytes"] / read)}
    if "samples_per_second_whole" in found:
        least = ppo_seconds(facts, batch, EPOCHS, rates, prompt, tokens, read)
        yield {"ppo_of_ideal": least * found["samples_per_second_whole"] / batch}


def _read_at_each_token(facts: Facts, knobs: Knobs, config: Any) -> int:
    """Bytes of the base without embeddings that are not the output layer too: of those a token needs one row."""
    base = next(row.bytes for row in memory.foretell(facts, "ppo", knobs, "cuda") if row.role == "base")
    return base - (0 if config.tie_word_embeddings else 2 * facts.vocabulary * facts.hidden)


def _bandwidth() -> float:
    """Bytes a second of a copy on the device, read and written."""
    torch.cuda.empty_cache()
    source = torch.zeros(2**28, device="cuda")
    target = torch.empty_like(source)
    return 2 * 4 * 2**28 / _seconds(lambda: target.copy_(source))


def _flops() -> float:
    """Operations a second of a large product in bfloat16, of random numbers: zeros would take less."""
    size = 8192
    left, right = (torch.randn(size, size, device="cuda").bfloat16() for _ in range(2))
    return 2 * size**3 / _seconds(lambda: left @ right)


def _seconds(work: Callable[[], Any], times: int = 10) -> float:
    """Of one time among so many in a row, after one that does not count."""
    work()
    torch.cuda.synchronize()
    began = monotonic()
    for _ in range(times):
        work()
    torch.cuda.synchronize()
    return (monotonic() - began) / times


def _phases(roles: Roles, facts: Facts, knobs: Knobs) -> Iterator[dict[str, Any]]:
    """What a run's trial of one micro-batch measures beside what is foretold: which phase is off, if one is."""
    rows, measured = memory.foretell(facts, "ppo", knobs, "cuda"), peak.rehearse(roles, "sft", knobs)
    foretold = peak.foretold(rows, knobs)
    yield {"phases": {phase: {"measured": measured[phase], "foretold": foretold[phase]} for phase in measured}}


def _recovery(roles: Roles) -> Iterator[dict[str, int]]:
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
            with roles.using("sft") as model, roles.autocast():
                total += float(model(rows, use_cache=False).logits.float().logsumexp(-1).sum())
        return total

    _, size = with_smaller_microbatches(work, 64)
    del filler
    yield {"recovered_at": size}
