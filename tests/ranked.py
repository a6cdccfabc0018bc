"""Rankings of four short answers for tests, longest first."""

from __future__ import annotations

from lab.store import Candidate
from lab.workspace import Workspace


def rank(workspace: Workspace, count: int, first: int = 0, rater: str = "ana") -> None:
    """So many, each of a question of its own, which `first` tells from those before."""
    with workspace.store() as store:
        for number in range(first, first + count):
            [prompt] = store.add_prompts([f"Question {number}?"], "own")
            found = [Candidate("a" * (1 + (i * 3 + number) % 7), "sft") for i in range(4)]
            order = sorted(range(4), key=lambda i: -len(found[i].text))
            store.rank(f"{rater} {number}", store.add_comparison(prompt, found), [[i] for i in order], rater=rater)
