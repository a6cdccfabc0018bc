"""The least time that a machine of a measured FLOP rate and bandwidth could take: products alone, all perfect."""

from __future__ import annotations

from lab.bench.shapes import TINY
from lab.config import Ppo
from lab.facts import Facts, facts_of
from lab.stem import learning


def ppo_seconds(
    facts: Facts,
    batch: int,
    epochs: int,
    machine: dict[str, float],
    prompt: int = 16,
    tokens: int = 32,
    read: int | None = None,
) -> float:
    """One PPO step with a value head on the policy: sample, three readings, and the updates.

    A reading costs 2 operations per weight and token, an update 4 (no gradient for frozen weights), of the layers that
    learn; the others are read once. The output layer counts on response tokens only. Sampling reads all weights once a
    token (`read` bytes, those of float32 unless given), or computes, whichever is slower.
    """
    seen, said = batch * (prompt + tokens), batch * tokens
    head = facts.vocabulary * facts.hidden
    upper = facts.linear * learning(facts.layers, Ppo().unfrozen) / facts.layers
    reading = 2 * (facts.linear - upper) * seen + 3 * 2 * upper * seen + 2 * 2 * head * said
    updates = epochs * (4 * upper * seen + 4 * head * said)
    rate = max(machine.get("flops_float32", 0), machine["flops_bfloat16"])
    sampling = 2 * facts.linear * batch * prompt / rate + tokens * batch / _decode(facts, batch, machine, read)
    return (reading + updates) / rate + sampling


def decode_tokens_per_second(model: str, batch: int, machine: dict[str, float]) -> float:
    """Of float32 weights; the cache's bytes are left out, as they are few for short answers."""
    return _decode(facts_of(str(TINY) if model == "tiny" else model), batch, machine)


def _decode(facts: Facts, batch: int, machine: dict[str, float], read: int | None = None) -> float:
    weights = facts.linear + facts.vocabulary * facts.hidden
    rate = machine["flops_bfloat16" if read else "flops_float32"]
    return batch / max((read or 4 * weights) / machine["bytes"], 2 * weights * batch / rate)
