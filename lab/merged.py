"""A role as a model of its own, base and adapter in one, in a folder that any library loads."""

from __future__ import annotations

import json
from copy import deepcopy
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import nn

from lab.arithmetic import WIDEST
from lab.errors import BadInput, Unsupported, unwritten
from lab.folders import whole
from lab.loading import folder_of, quiet
from lab.models import Roles
from lab.quantised import kept_in

FACTS = "lab.json"


def save_merged(roles: Roles, role: str, folder: Path, more: dict[str, Any] | None = None) -> dict[str, Any]:
    """Writes the model and returns what stands in its lab.json, `more` included.

    A policy becomes a causal LM, a reward model a sequence classifier with one label, whose raw score is its logit plus
    the `bias` in lab.json. The base is read again from its files, unquantised: what is in memory is shared and never
    merged into. It is rounded as it was for training, and the sum is written in float32 where it has at most WIDEST
    parameters. The folder is whole or absent. Raises BadInput when something is there already, DiskFull when no room is
    left and BadFile where it cannot be written for another reason, Unsupported where the library has no such model or
    an adapter stands on no weight of its own.
    """
    if folder.exists():
        raise BadInput(f"{folder} is there already, and nothing is overwritten. Name a new folder with --out.")
    head = roles.heads[role] if role in roles.heads else None
    facts = {"role": role, "base": roles.name, "kind": "policy" if head is None else "reward model"}
    facts |= (more or {}) | ({} if head is None else {"bias": head.bias.item()})
    model = _whole(roles, role, head)
    try:
        with whole(folder) as beside:
            model.save_pretrained(beside)
            _tokenizer(roles, model.config.pad_token_id if head is not None else None).save_pretrained(beside)
            (beside / FACTS).write_text(json.dumps(facts, indent=1) + "\n")
    except (OSError, SafetensorError) as problem:
        then = "try again, or name another folder with --out"
        raise unwritten(problem, f"No model could be written to {folder}", then) from problem
    return facts


@torch.no_grad()
def _whole(roles: Roles, role: str, head: nn.Linear | None) -> Any:
    """A fresh model of the base's files with the role's adapter added to its weights, and its head where it has one."""
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSequenceClassification

    kind = AutoModelForCausalLM if head is None else AutoModelForSequenceClassification
    where = folder_of(roles.name)
    kept = kept_in(AutoConfig.from_pretrained(where, local_files_only=True, trust_remote_code=False))
    if kept:
        raise Unsupported(
            f"The files of {roles.name} hold {kept} weights, and an adapter can be added to whole ones only. The "
            "adapter stands in its run's folder, for PEFT to load beside the base."
        )
    options: dict[str, Any] = {"dtype": _read_as(roles.precision)}
    if head is not None:
        # The last token that is no pad is the one that is judged, so pads must be told from the end token.
        options |= {"num_labels": 1, "id2label": {0: "score"}, "pad_token_id": _pad_of(roles)}
    try:
        with quiet():
            model = kind.from_pretrained(
                where, use_safetensors=True, trust_remote_code=False, local_files_only=True, **options
            )
    except ValueError as problem:
        raise Unsupported(
            f"The library has no {kind.__name__.removeprefix('AutoModelFor')} for {roles.model.config.model_type}. "
            "The adapter stands in its run's folder, for PEFT to load beside the base."
        ) from problem
    model = model.float() if model.num_parameters() <= WIDEST else model
    for name, layer in roles.model.get_base_model().named_modules():
        if role in getattr(layer, "lora_A", {}):
            weight = getattr(model.get_submodule(name), "weight", None)
            if weight is None:
                raise Unsupported(
                    f"The adapter stands on {name}, which holds several weights (a mixture of experts), and those are "
                    "not merged. The adapter stands in its run's folder, for PEFT to load beside the base."
                )
            weight.copy_(weight.float() + layer.get_delta_weight(role).float().to(weight.device))
    if head is not None:
        model.score.weight.copy_(head.weight)
    elif model.generation_config is not None:
        model.generation_config.eos_token_id = list(roles.text.eos_ids)
    return model


def _pad_of(roles: Roles) -> int:
    """What other tools are to pad with: a token that ends no answer, has a row and stands in no text.

    The tokenizer's own where it is such a one (Qwen's ends answers too), else another special token, else the lab's.
    """
    text, tokenizer = roles.text, roles.text.tokenizer
    special = [place for place, token in tokenizer.added_tokens_decoder.items() if token.special]
    taken = {*text.eos_ids, tokenizer.bos_token_id, *text.prompt_ids("a")}
    found = (each for each in (tokenizer.pad_token_id, *special) if each is not None and each < text.rows)
    return next((each for each in found if each not in taken), text.pad_id)


def _tokenizer(roles: Roles, pad: int | None) -> Any:
    """The tokenizer, which pads with this token if one is given."""
    if pad is None:
        return roles.text.tokenizer
    found = deepcopy(roles.text.tokenizer)
    found.pad_token = found.convert_ids_to_tokens(pad)
    return found


def _read_as(precision: str) -> torch.dtype:
    """What a base of a precision (config.PRECISIONS) was rounded to when it was loaded, quantising left aside."""
    return getattr(torch, precision) if precision in ("float16", "float32") else torch.bfloat16
