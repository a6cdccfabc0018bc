"""Runs one measurement in a process of its own, so that its peak of memory is its own and nothing is warm."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from lab.errors import LabError

ROOT = Path(__file__).resolve().parent.parent.parent


def isolated(
    command: list[str], arguments: dict[str, Any], *, threads: int, limit: float = 7200, tidy: bool = False
) -> dict[str, Any]:
    """The JSON object in the last line that the command prints, given its arguments as JSON; LabError when it fails."""
    count, ours = str(threads), command[0] == sys.executable
    environment = os.environ | {"OMP_NUM_THREADS": count, "MKL_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"HF_HUB_OFFLINE": "1", "PYTHONPATH": _path(ours), "TQDM_DISABLE": "1"}
    # Freed memory goes back to the system, so that resident memory is what is in use (glibc; elsewhere without effect).
    environment |= {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"} if tidy else {}
    done = subprocess.run(
        [*command, json.dumps(arguments)], capture_output=True, text=True, env=environment, cwd=ROOT, timeout=limit
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["nothing on stderr"]
        raise LabError(
            f"The measurement {' '.join(command[-2:])} ended with status {done.returncode}: {said[-1]} "
            "Its figures are missing; run it alone to see more."
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def _path(ours: bool) -> str:
    """What a child finds: where it runs in this interpreter, all that this process was told of; TRL's own, nothing."""
    told = os.environ.get("PYTHONPATH", "").split(os.pathsep) if ours else []
    return os.pathsep.join([str(ROOT), *(os.path.abspath(each) for each in told if each)])


def job(name: str, arguments: dict[str, Any], *, threads: int, tidy: bool = False) -> dict[str, Any]:
    """One of the jobs of lab.bench.jobs."""
    command = [sys.executable, "-m", "lab.bench.jobs", name]
    return isolated(command, arguments | {"threads": threads}, threads=threads, tidy=tidy)
