"""Speed and memory of each part, each measured in a process of its own."""

from lab.bench.whole import run

__all__ = ["run"]
