"""`python -m lab.bench`: the bench without the rest of the command line."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from lab.bench import run
from lab.errors import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description="Speed and memory of each part.")
    parser.add_argument("--quick", action="store_true", help="3M only, fewer steps: about two minutes")
    parser.add_argument(
        "--models", default="", help="what to measure, with commas: 3M,8M,135M; with --gpu 7B,0.5B:4-bit"
    )
    parser.add_argument("--against-trl", action="store_true", help="also TRL 1.12.0's PPOTrainer on the same shapes")
    parser.add_argument("--trl-env", type=Path, help="TRL's own virtual environment; made there if it is not there yet")
    parser.add_argument("--threads", type=int, default=0, help="threads of each measurement; 0: half of the cores")
    parser.add_argument("--gpu", action="store_true", help="the measurements of docs/gpu.md, which need CUDA")
    parser.add_argument("--out", type=Path, metavar="FILE", help="with --gpu: all figures as JSON, after every case")
    parser.add_argument("--page", type=int, default=0, metavar="N", help="instead: how long N browsers wait")
    parser.add_argument(
        "--json", action="store_true", help="one JSON object as the last line of stdout, as --gpu always has"
    )
    options = parser.parse_args()
    try:
        found = run(options)
    except LabError as problem:
        print(problem, file=sys.stderr)
        return 2
    if options.json or options.gpu:
        print(json.dumps(found))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
