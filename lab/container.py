"""How much memory a container leaves to what runs in it: the system's own count is that of the whole computer."""

from __future__ import annotations

from math import inf
from pathlib import Path

GROUPS = Path("/sys/fs/cgroup")  # of this process, as a container sees them
# The limit, what is held, and what of that are files which go where memory is needed: cgroup v2, then v1 (Linux).
FILES = (
    ("memory.max", "memory.current", "memory.stat", "inactive_file"),
    ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes", "memory/memory.stat", "total_inactive_file"),
)


def left(groups: Path | None = None) -> float:
    """Bytes that may still be taken before the container's limit ends the process; infinite where it has none."""
    groups = groups or GROUPS
    for limit, held, facts, files in FILES:
        try:
            most, taken = (groups / limit).read_text().strip(), int((groups / held).read_text())
            known = dict(line.split() for line in (groups / facts).read_text().splitlines())
        except (OSError, ValueError):
            continue
        return max(0, int(most) - taken + int(known.get(files, 0))) if most.isdigit() else inf
    return inf
