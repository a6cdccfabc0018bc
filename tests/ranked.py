"""Rankings of four short answers for tests, longest first, and a reward model that learned from them."""

from __future__ import annotations

import shutil
from pathlib import Path

from lab.loading import load
from lab.runner import drive
from lab.store import Candidate
from lab.studio import Studio
from lab.workspace import Workspace


def rank(workspace: Workspace, count: int, first: int = 0, rater: str = "ana") -> None:
    """So many, each of a question of its own, which `first` tells from those before."""
    with workspace.store() as store:
        for number in range(first, first + count):
            [prompt] = store.add_prompts([f"Question {number}?"], "own")
            found = [Candidate("a" * (1 + (i * 3 + number) % 7), "sft") for i in range(4)]
            order = sorted(range(4), key=lambda i: -len(found[i].text))
            store.rank(f"{rater} {number}", store.add_comparison(prompt, found), [[i] for i in order], rater=rater)


def with_reward(root: Path, folder: Path, count: int, knobs: dict) -> Path:
    """A workspace with so many rankings and a reward model of the base in that folder, trained once."""
    workspace = Workspace(root)
    rank(workspace, count)
    list(drive(Studio(workspace, load(str(folder), device="cpu")).start("reward", knobs, {})))
    return workspace.root


def copy_of(root: Path, folder: Path, where: Path) -> Studio:
    """A test's own copy of such a workspace, under a studio that reads it from the disk."""
    shutil.copytree(root, where)
    return Studio(Workspace(where), load(str(folder), device="cpu"))
