"""Adapters as folders in PEFT's format with a manifest, so that one of another base is never loaded in silence."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lab.errors import Damaged, NotFinite, WrongBase, unwritten
from lab.folders import whole
from lab.journal import read_json
from lab.loading import fingerprints
from lab.models import Roles, copy_weights

WEIGHTS, HEAD, MANIFEST = "adapter_model.safetensors", "head.safetensors", "manifest.json"


def save_adapter(roles: Roles, role: str, folder: Path, **facts: Any) -> None:
    """The adapter (and head, if the role has one) for PEFT to load elsewhere, and a manifest with `facts` for us.

    The folder is whole or absent. Raises DiskFull or BadFile when it cannot be written; the one of before then
    stays. Raises NotFinite rather than keep broken weights.
    """
    check_finite(dict(roles.weights(role)), facts.get("step"))
    try:
        with whole(folder) as beside:
            _write(roles, role, beside, facts)
    except (OSError, SafetensorError) as problem:
        words = f"The adapter could not be written to {folder}, and the run's checkpoints are still there"
        raise unwritten(problem, words, "resume the run") from problem


def check_finite(tensors: Mapping[str, torch.Tensor], step: int | None) -> None:
    """NotFinite where one of them holds what is no number, with its name and the step."""
    broken = next((name for name, tensor in tensors.items() if not torch.isfinite(tensor).all()), None)
    if broken:
        raise NotFinite(f"{broken} is not finite at step {step}. It was not saved: resume an earlier checkpoint.")


def _write(roles: Roles, role: str, folder: Path, facts: dict[str, Any]) -> None:
    from peft import get_peft_model_state_dict

    weights = get_peft_model_state_dict(roles.model, adapter_name=role)
    save_file({name: weight.detach().cpu().contiguous() for name, weight in weights.items()}, folder / WEIGHTS)
    settings = roles.model.peft_config[role]
    settings.base_model_name_or_path = roles.name
    settings.save_pretrained(folder)
    files = [WEIGHTS]
    if role in roles.heads:
        save_file(
            {key: w.detach().cpu().contiguous() for key, w in roles.heads[role].state_dict().items()}, folder / HEAD
        )
        files.append(HEAD)
    manifest = {
        "base": roles.name,
        "fingerprint": roles.fingerprint,
        "rank": settings.r,
        "files": {name: _hash(folder / name) for name in files},
        "facts": facts,
    }
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1, allow_nan=False) + "\n")


def load_adapter(roles: Roles, role: str, folder: Path) -> dict[str, Any]:
    """Give a role the adapter (and head) of a folder; returns the facts of its manifest.

    Raises WrongBase and Damaged: PEFT itself would load both without a word.
    """
    manifest, weights, head = _read(folder)
    if manifest["fingerprint"] not in fingerprints(roles):
        raise WrongBase(
            f"The adapter in {folder} was made for the base {manifest['base']}, and the base loaded here is "
            f"{roles.name}, with other weights. Open the workspace with the base that the adapter belongs to."
        )
    roles.add(role, rank=int(manifest["rank"]))
    ours = roles.weights(role)
    missing = [name for name in ours if _short(name) not in weights]
    if missing:
        roles.remove(role)
        raise Damaged(f"The adapter in {folder} lacks {len(missing)} of {len(ours)} weights. Export or train it again.")
    copy_weights({name: weights[_short(name)] for name in ours}, ours)
    if head:
        roles.head(role).load_state_dict(head)
    return manifest["facts"]


def made_at(folder: Path) -> int | None:
    """The step that a run had reached when it wrote its adapter; None where its manifest does not say."""
    return (read_json(folder / MANIFEST) or {}).get("facts", {}).get("step")


def _read(folder: Path) -> tuple[dict[str, Any], dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        for name, expected in manifest["files"].items():
            if _hash(folder / name) != expected:
                raise Damaged(f"{folder / name} is not what was written there. Train it again, or restore a copy.")
        weights = load_file(folder / WEIGHTS)
        head = load_file(folder / HEAD) if HEAD in manifest["files"] else {}
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as problem:
        raise Damaged(
            f"The adapter in {folder} is incomplete ({problem}). Train it again, or restore a copy."
        ) from problem
    return manifest, {_short(name): weight for name, weight in weights.items()}, head


def _short(name: str) -> str:
    """A weight's name without the wrapper's prefix, which differs between PEFT's file and its model."""
    return name.removeprefix("base_model.model.")


def _hash(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
