"""`python -m lab.bench`: the bench without the rest of the command line."""

from __future__ import annotations

import argparse
import json
import sys

from lab.__main__ import add_bench
from lab.bench import run
from lab.errors import LabError


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m lab.bench", description="Speed and memory of each part.")
    add_bench(parser)
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
