"""The measurements of docs/gpu.md: real shapes with random weights on a CUDA machine, each in a process of its own."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from lab.bench.isolated import job, reason
from lab.errors import BadInput, LabError, NotFound
from lab.journal import replace_bytes

# Those that say most come first, for who has little time.
CASES = (
    "0.5B:4-bit",
    "7B:4-bit",
    "7B:bfloat16",
    "0.5B:bfloat16",
    "1.5B:4-bit",
    "1.5B:bfloat16",
    "7B:8-bit",
    "0.5B:8-bit",
    "1.5B:8-bit",
)
LIMIT = 240  # seconds for one case
NONE = "-"
COLUMNS = (
    "model",
    "peak GiB",
    "foretold GiB",
    "off by",
    "held / peak",
    "CUDA itself GiB",
    "first ratio, max abs log",
    "decode tokens/s",
    "not recorded",
    "of ideal",
    "PPO samples/s",
    "in whole minibatches",
    "of ideal",
    "recovered at microbatch",
    "failed",
)


def run_gpu(quick: bool, models: str = "", out: Path | None = None) -> dict[str, Any]:
    """Each case in a process of its own; a Markdown table that can go into docs/gpu.md as it is.

    models: shapes or cases, with commas; empty for all. out: a file that has all figures as JSON after every case; what
    it had of other cases stays, and stands in the table too. A case that fails is a row that says why. Raises NotFound
    without CUDA, and BadInput or DiskFull where `out` can hold nothing.
    """
    cases = chosen(models or ("0.5B" if quick else ""))
    needs_card()
    found = _known(out)
    before = [case for case in found if case not in cases]
    try:
        _write(found, out)
    except OSError as problem:
        raise BadInput(f"Nothing can be written to {out} ({problem}). Name another file.") from problem
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        for number, case in enumerate(cases, 1):
            _say(f"{number} of {len(cases)}: making and measuring {case}, at most {LIMIT} s")
            found[case] = each = _measured(case, folder)
            try:
                _write(found, out)
            except (LabError, OSError) as problem:  # no reason to stop: the last line on stdout has the same
                _say(f"{out} was not written: {problem}")
            if number == 1:
                print(heading(each.get("machine", "A machine that the first case did not reach")))
                print(*(f"{line(known, found[known])}\n" for known in before), sep="", end="")
            print(line(case, each), flush=True)
    return found


def needs_card() -> None:
    """NotFound without CUDA."""
    if not torch.cuda.is_available():
        raise NotFound(
            "PyTorch sees 0 CUDA devices here, so nothing can be measured. Run this on a machine with one; "
            "python -m lab.bench measures this machine's processor."
        )


def chosen(models: str) -> list[str]:
    """The cases of some shapes (7B) or cases (7B:4-bit), in their order; BadInput for others."""
    wanted = models.split(",") if models else list(CASES)
    known = {case: (case, case.split(":")[0]) for case in CASES}
    strange = [each for each in wanted if not any(each in names for names in known.values())]
    if strange:
        raise BadInput(f"There is no case {strange[0]} to measure on a GPU. Choose among {', '.join(CASES)}.")
    return [case for case, names in known.items() if set(names) & set(wanted)]


def _measured(case: str, folder: str) -> dict[str, Any]:
    """What one case told, and under `error` why it broke off, if it did."""
    shape, precision = case.split(":")
    began = monotonic()
    arguments = {"shape": shape, "precision": precision, "folder": f"{folder}/{shape}"}
    try:
        found = job("gpu", arguments, threads=4, limit=LIMIT)
    except (LabError, OSError) as problem:
        found = getattr(problem, "told", {}) | {"error": str(problem)}
        _say(str(problem))
    for part, trace in found.get("failed", {}).items():
        _say(f"{case}, {part}:\n{trace}")
    return found | {"whole_seconds": round(monotonic() - began, 1)}


def _known(out: Path | None) -> dict[str, Any]:
    """What an earlier call left; BadInput where the file holds something else, which would be lost."""
    if out is None or not out.exists():
        return {}
    try:
        found = json.loads(out.read_bytes() or b"{}")
    except ValueError:
        found = None
    if not isinstance(found, dict) or set(found) - set(CASES):
        raise BadInput(f"{out} holds something else than figures of an earlier call. Name another file.")
    return found


def _write(found: dict[str, Any], out: Path | None) -> None:
    """Numbers that are not finite are figures too."""
    if out is not None:
        replace_bytes(out, json.dumps(found, indent=1).encode())


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)


def heading(machine: str) -> str:
    """Which machine and versions, and the table's head."""
    return f"{machine}\n\n| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}"


def line(case: str, each: dict[str, Any]) -> str:
    """One row of the table; what was not measured is a dash."""
    peak, foretold, held, context = (each.get(f"{what}_bytes") for what in ("peak", "foretold", "held", "context"))
    cells = (
        case,
        _gib(peak),
        _gib(foretold),
        f"{foretold / peak - 1:+.1%}" if foretold and peak else NONE,
        f"{held / peak:.3f}" if held and peak else NONE,
        _gib(context),
        _shown(each.get("ratio_first"), ".2g"),
        _shown(each.get("tokens_per_second"), ",.0f"),
        _shown(each.get("tokens_per_second_unrecorded"), ",.0f"),
        _shown(each.get("of_ideal"), ".0%"),
        _shown(each.get("samples_per_second"), ".2f"),
        _shown(each.get("samples_per_second_whole"), ".2f"),
        _shown(each.get("ppo_of_ideal"), ".0%"),
        _shown(each.get("recovered_at"), "d"),
        _why(each),
    )
    return f"| {' | '.join(cells)} |"


def _gib(count: int | None) -> str:
    return NONE if count is None else f"{count / 2**30:.2f}"


def _shown(number: float | None, form: str) -> str:
    return NONE if number is None else format(number, form)


def _why(each: dict[str, Any]) -> str:
    """What failed, short and without what would break a table."""
    told = [f"{part}: {reason(trace)}" for part, trace in each.get("failed", {}).items()]
    told += [each["error"]] if "error" in each else []
    return " ".join("; ".join(told).replace("|", "/").split())[:200]
