"""Runs one measurement in a process of its own, so that its peak of memory is its own and nothing is warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from lab.errors import LabError

ROOT = Path(__file__).resolve().parent.parent.parent
TAIL = 30  # lines of a failed measurement's stderr that are shown


class Unfinished(LabError):
    """A measurement that broke off; `told`: the last object that it had printed by then, {} where there was none."""

    told: dict[str, Any]


def isolated(
    command: list[str], arguments: dict[str, Any], *, threads: int, limit: float = 7200, tidy: bool = False
) -> dict[str, Any]:
    """The last JSON object that the command prints, given its arguments as JSON.

    limit: seconds. Raises Unfinished when it fails or takes longer; the end of its stderr then goes on to ours.
    """
    count, ours = str(threads), command[0] == sys.executable
    environment = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": _path(ours), "TQDM_DISABLE": "1"}
    # Freed memory goes back to the system, so that resident memory is what is in use (glibc; elsewhere without effect).
    environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"} if tidy else {}
    try:
        done = subprocess.run(
            [*command, json.dumps(arguments)], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=limit
        )
    except subprocess.TimeoutExpired as problem:
        raise _unfinished(
            command, f"took longer than {limit:g} s and was stopped", problem.stdout, problem.stderr
        ) from None
    told = _last_object(done.stdout)
    if done.returncode or told is None:
        how = f"ended with status {done.returncode}: {reason(done.stderr)}"
        raise _unfinished(command, how, done.stdout, done.stderr)
    return told


def _unfinished(command: list[str], how: str, out: str | bytes | None, err: str | bytes | None) -> Unfinished:
    """What is raised; a run that was stopped leaves bytes."""
    out, err = (each.decode(errors="replace") if isinstance(each, bytes) else each or "" for each in (out, err))
    print(*err.strip().splitlines()[-TAIL:], sep="\n", file=sys.stderr, flush=True)
    problem = Unfinished(f"The measurement {' '.join(command[-2:])} {how.rstrip(' .')}. Its figures are missing.")
    problem.told = _last_object(out) or {}
    return problem


def _last_object(out: str) -> dict[str, Any] | None:
    for line in reversed(out.splitlines()):
        with suppress(json.JSONDecodeError):
            found = json.loads(line)
            if isinstance(found, dict):
                return found
    return None


def reason(err: str) -> str:
    """Why a process ended, in one line of its stderr: the last traceback's own, or the last of all.

    What PyTorch adds to an error of CUDA is the same for all of them, and stands below that line.
    """
    lines = err.strip().splitlines() or ["nothing on stderr"]
    starts = [
        place
        for place, line in enumerate(lines)
        if line.startswith("Traceback (") and not (place and lines[place - 1].startswith("Exception ignored"))
    ]
    after = lines[starts[-1] + 1 :] if starts else []
    return next((line for line in after if line.strip() and not line.startswith(" ")), lines[-1])


def _path(ours: bool) -> str:
    """What a child finds: where it runs in this interpreter, all that this process was told of; TRL's own, nothing."""
    told = os.environ.get("PYTHONPATH", "").split(os.pathsep) if ours else []
    return os.pathsep.join([str(ROOT), *(os.path.abspath(each) for each in told if each)])


def job(
    name: str, arguments: dict[str, Any], *, threads: int, limit: float = 7200, tidy: bool = False
) -> dict[str, Any]:
    """One of the jobs of lab.bench.jobs."""
    command = [sys.executable, "-m", "lab.bench.jobs", name]
    return isolated(command, arguments | {"threads": threads}, threads=threads, limit=limit, tidy=tidy)
