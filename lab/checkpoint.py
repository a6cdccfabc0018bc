"""Checkpoints as folders that are whole or absent, with hashes of what is in them; the newest good one is resumed.

checkpoint/step-000012/   weights.safetensors  numbers.json  manifest.json (SHA-256 of the other two)
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lab.adapters import check_finite
from lab.errors import Damaged, NotFound, unwritten
from lab.folders import whole
from lab.state import State
from lab.workspace import step_folder, steps_in

WEIGHTS, NUMBERS, MANIFEST = "weights.safetensors", "numbers.json", "manifest.json"
MILESTONES = 10  # with its optimizer each is hundreds of megabytes for a base of 7 billion parameters


def save(root: Path, state: State, *, keep: int = 2, prune: bool = True) -> Path:
    """Write the state under root; the `keep` newest stay whole, and milestones.

    prune: whether others may go now; not while a person waits to go back to one. Those of later steps go first: they
    were damaged, so the run went on from an earlier one, and they would be kept in the place of what it writes now.

    Raises NotFinite rather than keep broken weights, DiskFull when there is no room, and BadFile where it cannot be
    written for another reason; older checkpoints stay.
    """
    tensors, numbers = state.pack()
    check_finite(tensors, state.step)
    folder = step_folder(root, state.step)
    write_folder(folder, tensors, numbers)
    if prune:
        forget_after(root, state.step)
        _prune(root, keep)
    return folder


def write_folder(folder: Path, tensors: Mapping[str, torch.Tensor], numbers: dict[str, Any]) -> None:
    """Tensors, numbers and their hashes; whole or as it was before."""
    try:
        with whole(folder) as beside:
            save_file(dict(tensors), beside / WEIGHTS)
            (beside / NUMBERS).write_text(json.dumps(numbers, allow_nan=False))
            hashes = {name: _hash(beside / name) for name in (WEIGHTS, NUMBERS)}
            (beside / MANIFEST).write_text(json.dumps(hashes))
    except (OSError, SafetensorError) as problem:
        words = "The checkpoint could not be written, and the one before it is still there"
        raise unwritten(problem, words, "resume the run") from problem


def read_folder(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Tensors and numbers; Damaged when a hash differs or a file is missing."""
    try:
        hashes = json.loads((folder / MANIFEST).read_text())
        wrong = [name for name in (WEIGHTS, NUMBERS) if hashes[name] != _hash(folder / name)]
        if wrong:
            raise Damaged(
                f"{folder.name}: {wrong[0]} is not what was written there. An earlier checkpoint may be whole."
            )
        return load_file(folder / WEIGHTS), json.loads((folder / NUMBERS).read_text())
    except (OSError, ValueError, KeyError, SafetensorError) as problem:
        raise Damaged(f"{folder.name} is incomplete ({problem}). An earlier checkpoint may be whole.") from problem


def restore(root: Path, state: State, step: int | None = None) -> list[str]:
    """Bring the state to a step, or to the newest checkpoint that verifies; returns what was skipped and why.

    Raises NotFound when none verifies.
    """
    skipped = []
    for found in sorted(steps_in(root), reverse=True):
        if step is not None and found != step:
            continue
        try:
            state.unpack(*read_folder(step_folder(root, found)))
            return skipped
        except Damaged as damage:
            skipped.append(str(damage))
    wanted = f"of step {step}" if step is not None else "that is whole"
    raise NotFound(f"There is no checkpoint {wanted} in this run. {' '.join(skipped)} Start a new run.")


def forget_after(root: Path, step: int) -> None:
    """Checkpoints of later steps go: the run went back, and what it does from there is what counts."""
    for found in steps_in(root):
        if found > step:
            shutil.rmtree(step_folder(root, found), ignore_errors=True)


def is_milestone(step: int, newest: int) -> bool:
    """Whether a step stays when `newest` is reached: of a short run every one, so that there is always a way back to
    before something went wrong, and of a longer one at most MILESTONES, evenly spread."""
    apart = 1
    while newest > MILESTONES * apart:
        apart *= 2
    return step % apart == 0


def _prune(root: Path, keep: int) -> None:
    """Older checkpoints go, milestones stay; a checkpoint goes only after a newer one is whole."""
    *older, newest = steps_in(root)
    for step in [*older, newest][:-keep]:
        if not is_milestone(step, newest):
            shutil.rmtree(step_folder(root, step), ignore_errors=True)


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
