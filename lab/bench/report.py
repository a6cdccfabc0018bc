"""The figures of a run as a table for a terminal."""

from __future__ import annotations

from typing import Any


def table(found: dict[str, Any]) -> str:
    """One line per measurement: what, speed, parts, peak, and how far from the ideal and from others."""
    machine = found["machine"]
    lines = [
        f"{found['threads']} threads: {machine['flops_float32'] / 1e9:.0f} GFLOP/s float32, "
        f"{machine['flops_bfloat16'] / 1e9:.0f} bfloat16, {machine['bytes'] / 1e9:.1f} GB/s",
        "",
    ]
    lines += [f"{'what':<14}{'speed':>22}{'peak':>10}  notes"]
    for model, each in found.get("decode", {}).items():
        for batch in (8, 64):
            speed = each[f"batch_{batch}"]
            ratio = each[f"batch_{batch}_ratio_to_generate"]
            lines.append(
                _line(f"decode {model}", f"{speed:,.0f} tokens/s", "", f"batch {batch}, {ratio:.2f} x generate")
            )
    for stage in ("sft", "reward"):
        for model, each in found.get(stage, {}).items():
            lines.append(_line(f"{stage} {model}", _rate(each), _size(each["peak_bytes"]), ""))
    for model, each in found.get("ppo", {}).items():
        lines += rows_of_ppo(model, each)
    return "\n".join(lines)


def rows_of_ppo(model: str, each: dict[str, float]) -> list[str]:
    """Ours, and TRL's below it where that was measured."""
    parts = [f"{name} {each[f'time/{name}']:.2f} s" for name in ("rollout", "score", "update")]
    if "ideal_seconds" in each:
        parts.append(f"{each['ideal_seconds'] / each['time/step']:.0%} of ideal")
    rows = [_line(f"ppo {model}", _rate(each), _size(each["peak_bytes"]), ", ".join(parts))]
    if "trl_samples_per_second" not in each:
        return rows
    times, share = (each[key] / each[f"trl_{key}"] for key in ("samples_per_second", "peak_bytes"))
    rate = f"{each['trl_samples_per_second']:.3g} samples/s"
    notes = f"ours is {times:.2f} x as fast with {share:.2f} of its memory"
    return [*rows, _line(f"  TRL {model}", rate, _size(each["trl_peak_bytes"]), notes)]


def _line(what: str, speed: str, peak: str, notes: str) -> str:
    return f"{what:<14}{speed:>22}{peak:>10}  {notes}".rstrip()


def _rate(each: dict[str, float]) -> str:
    return f"{each['samples_per_second']:.3g} samples/s"


def _size(count: float) -> str:
    return f"{count / 1e9:.2f} GB"
