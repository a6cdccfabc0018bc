"""The fields of a start form, made from a config dataclass: label, help and range; what comes back is checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import Field, asdict, fields
from types import MappingProxyType
from typing import Any

from lab.config import WITHIN
from lab.errors import BadInput, BadNumber

VISIBLE = 8

# Names that do not read as words when their underscores are taken out.
_LABELS: Mapping[str, str] = MappingProxyType(
    {
        "rank": "LoRA rank",
        "batch": "Batch",
        "minibatch": "Minibatch",
        "microbatch": "Microbatch",
        "held_out": "Kept for testing",
        "half": "Part of the rankings",
        "loss": "Ranking loss",
        "normalise_over": "Answers that set the scale",
        "tokens": "Longest answer",
        "target_kl": "Target KL",
        "update_kl": "KL limit of a step",
        "unfrozen": "Share of layers that learn",
        "clip": "Clip",
        "prompts": "Prompts in a rollout",
        "group": "Answers to each prompt",
        "value_model": "Value model",
        "gamma": "Discount (gamma)",
        "lam": "GAE lambda",
        "grad_clip": "Gradient limit",
        "missing_eos": "Answers that do not end",
        "score_clip": "Score limit",
        "refresh": "Rankings for a new reward model",
        "reward": "Reward model",
        "pinned_every": "Steps between pinned answers",
        "best_of": "Best of",
        "count": "Prompts",
    }
)
_CHOICES: Mapping[str, str] = MappingProxyType(
    {
        "pairs": "pair by pair",
        "plackett_luce": "whole ranking (Plackett-Luce)",
        "first": "first half",
        "second": "second half",
    }
)


def label(name: str) -> str:
    """A knob's name in words."""
    return _LABELS.get(name) or name.replace("_", " ").capitalize()


def schema(config: type, skip: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    """One record a field, in the order of the class; `shown` ones stand in the open, at most eight."""
    made = [_record(each) for each in fields(config) if each.name not in skip]
    for late in [record for record in made if record["shown"]][VISIBLE:]:
        late["shown"] = False
    return made


def live_schema(config: type) -> list[dict[str, Any]]:
    """The knobs that may move while a run goes on."""
    return [record for record in schema(config) if record["live"]]


def _record(each: Field) -> dict[str, Any]:
    meta = each.metadata
    help_text = str(meta.get("help", ""))
    choices = [{"value": value, "label": _CHOICES.get(value, value)} for value in meta.get("choices", ())]
    return {
        "name": each.name,
        "label": label(each.name),
        "help": help_text[:1].upper() + help_text[1:],
        "kind": "choice" if choices else _kind(each.default),
        "default": None if meta.get("sized") else each.default,
        "low": meta.get("low"),
        "high": meta.get("high"),
        "live": bool(meta.get("live")),
        "shown": bool(meta.get("shown")),
        "within": WITHIN.get(each.name),
        "choices": choices,
    }


def _kind(default: Any) -> str:
    kinds = {bool: "switch", int: "whole", float: "number", str: "text"}
    return kinds[type(default)]


def read(config: type, values: Any) -> dict[str, Any]:
    """What a form sent, laid over the defaults and checked by the dataclass. Raises BadInput or BadNumber.

    A field that was left empty to be chosen for the base is left out.
    """
    known = {each.name: each for each in fields(config)}
    if not isinstance(values, dict) or set(values) - set(known):
        raise BadInput("These settings are not those of this stage. Reload the page and try again.")
    left = {each.name for each in known.values() if each.metadata["sized"] and values.get(each.name) is None}
    typed = {name: _typed(known[name], value) for name, value in values.items() if name not in left}
    return {name: value for name, value in asdict(config(**typed)).items() if name not in left}


def read_one(config: type, current: Mapping[str, Any], name: Any, value: Any) -> Any:
    """One live knob, checked together with the settings in force."""
    knob = next((each for each in fields(config) if each.name == name and each.metadata.get("live")), None)
    if knob is None:
        raise BadInput(f"{str(name)[:40]!r} cannot be moved while a run goes on.")
    kept = {each.name: current[each.name] for each in fields(config) if each.name in current}
    return asdict(config(**kept | {knob.name: _typed(knob, value)}))[knob.name]


def _typed(each: Field, value: Any) -> Any:
    kind, name = type(each.default), label(each.name)
    if kind is bool or kind is str:
        return _chosen(each, value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise BadNumber(f"{name} is empty or not a number. Give one; the usual value is {each.default:,g}.")
    if kind is int and value != int(value):
        raise BadNumber(f"{name} must be a whole number, not {value}.")
    _check_range(each, value)
    return kind(value)


def _chosen(each: Field, value: Any) -> Any:
    choices = each.metadata.get("choices") or ()
    if type(value) is not type(each.default) or (choices and value not in choices):
        raise BadInput(f"{label(each.name)} cannot be {str(value)[:40]!r}.")
    return value


def _check_range(each: Field, value: float) -> None:
    """The dataclass checks it too, but speaks of it by its name in the code."""
    low, high = each.metadata.get("low"), each.metadata.get("high")
    if (low is not None and value < low) or (high is not None and value > high):
        least = f"at least {in_digits(low)}" if low is not None else ""
        most = f"at most {in_digits(high)}" if high is not None else ""
        raise BadNumber(
            f"{label(each.name)} is {in_digits(value)}; it must be {' and '.join(filter(None, (least, most)))}."
        )


def in_digits(value: float) -> str:
    """A setting as a person writes it: 0, 0.25, 10,000."""
    return f"{value:,.0f}" if value == int(value) and abs(value) < 1e15 else f"{value:,g}"
