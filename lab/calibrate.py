"""Before a run begins or goes on: its knobs turned until it fits, where so chosen, and the forecast held against one
micro-batch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

from lab import peak
from lab.events import Event, Warned
from lab.facts import Facts, facts_from
from lab.fit import Turn, fit, knobs_of, turned
from lab.memory import GIB, Knobs, foretell, room_of, total
from lab.models import Roles
from lab.shortage import ran_out, with_smaller_microbatches

WORTH_IT = 1 / 8  # of the free memory: a run that takes less cannot run out of it, whatever the forecast is worth
HELD = ("base", "CUDA itself", "workspace")  # rows of the table that are taken before a run begins
ANEW = "Stop, press Make it fit on the Model page, start anew."
OFF, LEAST = 0.15, 64 * 2**20  # what counts as another number than the one foretold


def make_fit(roles: Roles, forecast: str, config: Any, lengths: dict[str, int]) -> tuple[Any, list[Turn], bool]:
    """The config that fits what is free on this device, what was turned for it, and whether that was enough.

    forecast: whose formula of memory.py: sft, reward, dpo or ppo.
    lengths: the knobs that the material decides, from material.lengths.
    """
    facts, device = facts_from(roles.model.config, roles.name), roles.device.type
    knobs = _knobs(roles, config, lengths)
    of_config = frozenset(each.name for each in fields(config) if each.name != "unfrozen" or roles.layered)
    _, turns, fits = fit(facts, forecast, knobs, device, _limit(roles, facts, knobs), of_config)
    return turned(config, turns), turns, fits


def layered(roles: Roles, config: Any) -> tuple[Any, list[Event]]:
    """The config with all layers learning where the base's cannot be told apart, and the words for it."""
    if roles.layered or getattr(config, "unfrozen", 1.0) == 1.0:
        return config, []
    text = f"The layers of a {roles.model.config.model_type} model cannot be told apart here, so all of them learn."
    remedy = "Nothing needs to be done. A base of another shape takes less time and memory."
    return replace(config, unfrozen=1.0), [Warned(0, "W_LAYERS", text, remedy)]


def _knobs(roles: Roles, config: Any, lengths: dict[str, int]) -> Knobs:
    return replace(knobs_of(config, roles.precision), **lengths)


def _limit(roles: Roles, facts: Facts, knobs: Knobs) -> int:
    """What is free, and what is held already."""
    rows = foretell(facts, "sft", knobs, roles.device.type)
    return room_of(roles.device.type) + sum(row.bytes for row in rows if row.role in HELD)


def told(turns: list[Turn], fits: bool) -> Iterator[Event]:
    """What was turned, as the run's first event."""
    if turns:
        text = f"So that it fits the memory that is free: {', '.join(turn.words for turn in turns)}."
        text += "" if fits else " Even so it is foretold not to fit."
        yield Warned(0, "W_FIT", text, "Choose a smaller base or fewer bits, if the run should keep its own settings.")


def check(
    roles: Roles, role: str, forecast: str, config: Any, lengths: dict[str, int], tried: bool = False
) -> Iterator[Warned]:
    """Warns where the run is foretold not to fit, or where one micro-batch takes other memory than was foretold.

    The micro-batch is tried for stages that roll out, unless the run has steps behind it: `tried`. On a CPU memory that
    was freed before is used again unseen, so there only a larger peak says something.
    """
    facts, device = facts_from(roles.model.config, roles.name), roles.device.type
    knobs = _knobs(roles, config, lengths)
    rows, limit = foretell(facts, forecast, knobs, device), _limit(roles, facts, knobs)
    foretold = total(rows, device)
    if foretold < WORTH_IT * limit:
        return
    if foretold > limit:
        yield Warned(0, "W_MEMORY_SHORT", _short(foretold, limit), ANEW)
    if tried or forecast != "ppo":
        return
    phases = peak.foretold(rows, knobs)
    measured, size = _tried(roles, role, knobs)
    if size < knobs.microbatch:
        remedy = f"Start again with microbatch {size}." if size else ANEW
        yield Warned(0, "W_MEMORY_SHORT", _too_large(knobs.microbatch, size), remedy)
        return
    if "rollout" not in measured:
        text = f"Memory ran out in a trial of {knobs.batch} answers at a time: fewer will be sampled together."
        yield Warned(0, "W_MEMORY_SHORT", text, "A smaller batch saves the failed attempt.")
    apart = [phase for phase in measured if _differs(measured[phase], phases[phase], device)]
    if apart:
        yield Warned(0, "W_FORECAST", _off(apart, measured, phases), "Leave some room to the forecast for this model.")


def _tried(roles: Roles, role: str, knobs: Knobs) -> tuple[dict[str, int], int]:
    """The measured bytes of each phase, and the micro-batch that memory was enough for: 0 if not even for one."""
    try:
        return with_smaller_microbatches(
            lambda size: peak.rehearse(roles, role, replace(knobs, microbatch=size)), knobs.microbatch
        )
    except (RuntimeError, MemoryError) as problem:
        if not ran_out(problem):
            raise
        return {}, 0


def _differs(measured: int, foretold: int, device: str) -> bool:
    gap = measured - foretold if device == "cpu" else abs(measured - foretold)
    return gap > max(LEAST, OFF * foretold)


def _short(foretold: int, limit: int) -> str:
    return (
        f"This run is foretold to need {foretold / GIB:.2f} GiB, and {limit / GIB:.2f} GiB are there: it may break off."
    )


def _too_large(microbatch: int, fitted: int) -> str:
    if not fitted:
        return "Memory ran out in a trial with a single response: this run may break off."
    return f"Memory ran out in a trial with {microbatch} responses at a time, and was enough for {fitted}."


def _off(phases: list[str], measured: dict[str, int], foretold: dict[str, int]) -> str:
    each = (f"{phase} {measured[phase] / 1e6:,.0f} MB instead of {foretold[phase] / 1e6:,.0f} MB" for phase in phases)
    return f"One micro-batch took other memory than foretold: {', '.join(each)}."
