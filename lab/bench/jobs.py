"""What is measured, each job run as `python -m lab.bench.jobs NAME JSON` and answering with one line of JSON."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from random import Random
from statistics import median
from time import monotonic
from typing import Any

import torch

from lab import memory, peak, ppo, reward, sft
from lab.bench.gpu_job import measure_gpu
from lab.bench.shapes import config_of, save
from lab.cast import Cast
from lab.config import Ppo, Reward, Sft
from lab.events import Event, Step
from lab.facts import facts_of
from lab.generate import sample
from lab.loading import load
from lab.models import Roles
from lab.speakers import left_padded
from lab.steps import peak_bytes
from lab.text import Asked
from lab.world import corpus


def main() -> None:
    name, arguments = sys.argv[1], json.loads(sys.argv[2])
    jobs: dict[str, Callable[..., dict[str, Any]]] = {
        "machine": machine,
        "shape": shape,
        "decode": decode,
        "sft": measure_sft,
        "reward": measure_reward,
        "ppo": measure_ppo,
        "memory": measure_memory,
        "gpu": measure_gpu,
    }
    torch.set_num_threads(int(arguments.pop("threads", 1)))
    print(json.dumps(jobs[name](**arguments)))


def machine() -> dict[str, float]:
    """Floating point operations and bytes a second of one large product and one large copy, best of five."""
    found = {}
    for name, dtype in (("flops_float32", torch.float32), ("flops_bfloat16", torch.bfloat16)):
        a, b = torch.randn(512, 1024).to(dtype), torch.randn(1024, 1024).to(dtype)
        found[name] = 2 * 512 * 1024 * 1024 / min(_seconds(lambda a=a, b=b: a @ b.t()) for _ in range(5))
    source = torch.zeros(2**26)
    target = torch.empty_like(source)
    found["bytes"] = 2 * 4 * 2**26 / min(_seconds(lambda: target.copy_(source)) for _ in range(5))
    return found


def shape(name: str, folder: str, dtype: str = "float32") -> dict[str, str]:
    """A model of a shape with random weights, in a folder that every later measurement loads."""
    return {"model": str(save(config_of(name), Path(folder), dtype=dtype))}


def _seconds(work: Callable[[], Any]) -> float:
    began = monotonic()
    work()
    return monotonic() - began


def decode(model: str, batch: int, tokens: int = 64, repeats: int = 3) -> dict[str, float]:
    """Tokens a second of our sampling and of the model's own `generate`, in turns, nobody stopping early."""
    roles = load(model, device="cpu")
    roles.text = replace(roles.text, eos_ids=(-1,))
    prompts = [roles.text.prompt_ids(text) for text in corpus.prompts(batch, 0)]
    ours, theirs = [], []
    for repeat in range(repeats + 1):
        ours.append(_seconds(lambda seed=repeat: sample(roles, "sft", prompts, tokens=tokens, seed=seed)))
        theirs.append(_seconds(lambda: _generate(roles, prompts, tokens)))
    fast, plain = (batch * tokens / median(seconds[1:]) for seconds in (ours, theirs))
    ratio = median(b / a for a, b in zip(ours[1:], theirs[1:], strict=True))
    return {"tokens_per_second": fast, "generate_tokens_per_second": plain, "ratio_to_generate": ratio}


@torch.no_grad()
def _generate(roles: Roles, prompts: list[list[int]], tokens: int) -> None:
    from transformers import GenerationConfig

    ids, attention = left_padded(prompts, roles.text.pad_id, roles.device)
    settings = GenerationConfig(
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        max_new_tokens=tokens,
        min_new_tokens=tokens,
        pad_token_id=0,
    )
    with roles.using("sft") as model:
        model.generate(input_ids=ids, attention_mask=attention, generation_config=settings)


def measure_sft(model: str, batch: int, steps: int) -> dict[str, float]:
    """Pairs a second of SFT on the built-in pairs."""
    roles = load(model, device="cpu")
    config = Sft(steps=steps, batch=batch, microbatch=batch)
    pairs = [(pair.prompt, pair.response) for pair in corpus.pairs(256, 0)]
    return _told(sft.sft(sft.begin(roles, config), pairs, lambda: config), batch, steps)


def measure_reward(model: str, batch: int, steps: int, prompt: int = 16, tokens: int = 32) -> dict[str, float]:
    """Rankings of four responses a second of the reward stage."""
    roles = load(model, device="cpu")
    config = Reward(epochs=steps, batch=batch)
    rankings = [
        reward.Ranked(tuple(ids[0]), tuple(map(tuple, ids[1:])), ((0,), (1,), (2,), (3,)))
        for ids in (_random_ids(5, prompt, seed=row) + _random_ids(0, tokens, seed=row) for row in range(40))
    ]
    prompts = [ranked.prompt for ranked in rankings]
    return _told(reward.reward(reward.begin(roles, config), rankings, prompts, lambda: config), batch, steps)


def measure_ppo(
    model: str,
    batch: int,
    minibatch: int,
    epochs: int,
    steps: int,
    prompt: int = 16,
    tokens: int = 32,
    device: str = "cpu",
    **knobs: Any,
) -> dict[str, float]:
    """Responses a second of PPO with a value head on the policy, and the seconds of each part."""
    roles = load(model, device=device)
    roles.add("reward", like="sft")
    roles.head("reward")
    knobs = {"microbatch": minibatch, "learning_rate": 1e-5, "update_kl": 1e9} | knobs
    config = Ppo(steps=steps + 1, batch=batch, minibatch=minibatch, epochs=epochs, tokens=tokens, **knobs)
    asked = [Asked("", tuple(ids)) for ids in _random_ids(64, prompt)]
    state = ppo.begin(roles, Cast(), config)
    return _told(ppo.ppo(state, Cast(), asked, ppo.still(config)), batch, steps)


def measure_memory(model: str, **knobs: Any) -> dict[str, Any]:
    """Each phase's measured and foretold bytes above the loaded model."""
    roles = load(model, device="cpu")
    rows = memory.foretell(facts_of(model), "ppo", memory.Knobs(**knobs))
    foretold = peak.foretold(rows, memory.Knobs(**knobs))
    peak.rehearse(roles, "sft", memory.Knobs(batch=2, minibatch=2, microbatch=2, prompt=8, tokens=8))
    return {"measured": peak.rehearse(roles, "sft", memory.Knobs(**knobs)), "foretold": foretold}


def _random_ids(count: int, length: int, seed: int = 0) -> list[list[int]]:
    rng = Random(seed)
    return [[rng.randrange(8, 4000) for _ in range(length)] for _ in range(count)]


def _told(events: Iterator[Event], batch: int, steps: int) -> dict[str, float]:
    """Samples a second and medians of the parts' seconds, from the steps after the first, and the process's peak."""
    seen = list(islice((event.metrics for event in events if isinstance(event, Step)), steps + 1))[1:]
    keys = [key for key in seen[0] if key.startswith("time/")]
    parts = {key: median(each[key] for each in seen) for key in keys}
    return {"samples_per_second": batch / parts["time/step"], "peak_bytes": peak_bytes()} | parts


if __name__ == "__main__":
    main()
