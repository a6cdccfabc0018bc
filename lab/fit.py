"""Makes a stage fit the memory: turns knobs in order of harm, no further than needed, and says which."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Any

import torch

from lab.config import PRECISIONS
from lab.errors import BadInput
from lab.facts import Facts, facts_of
from lab.memory import GIB, Knobs, foretell, held_here, room_of, total

CARDS = (8, 12, 16, 24)
# Of the layers. `lab loop --seed 2 --unfrozen 0.25` prefers PPO in 0.89 of the prompts, as `--unfrozen 1` does.
UNFROZEN = (0.75, 0.5, 0.25)
RUN = ("microbatch", "checkpointing", "unfrozen", "optimizer", "value_model", "batch", "minibatch", "tokens")


@dataclass(frozen=True, slots=True)
class Turn:
    """One knob made smaller, and what that costs."""

    knob: str
    value: Any
    cost: str

    @property
    def words(self) -> str:
        return f"{self.knob} {self.value} ({self.cost})"


def fit(
    facts: Facts, stage: str, knobs: Knobs, device: str, limit: int, only: frozenset[str] | None = None
) -> tuple[Knobs, list[Turn], bool]:
    """Knobs with a peak under the limit: (knobs, what was turned, whether it fits).

    Knobs are turned in order of harm until it fits; then each that turns out not to be needed, the most harmful first,
    goes back. `only` are the knobs that may be turned; all unless said.
    """

    def peak(turns: list[Turn]) -> int:
        return total(foretell(facts, stage, turned(knobs, turns), device), device)

    turns: list[Turn] = []
    for turn in (each for each in _turns(facts, stage, knobs, device) if only is None or each.knob in only):
        if peak(turns) <= limit:
            break
        turns.append(turn)
    fits = peak(turns) <= limit
    for turn in reversed(turns) if fits else ():
        without = [each for each in turns if each is not turn]
        turns = without if peak(without) <= limit else turns
    last = {turn.knob: turn for turn in turns}
    return turned(knobs, turns), list(last.values()), fits


def turned(knobs: Any, turns: list[Turn]) -> Any:
    """The knobs (or a stage's config) after the turns; an optimizer's batch is never larger than the rollout's."""
    known = {each.name for each in fields(knobs)}
    values = {turn.knob: turn.value for turn in turns if turn.knob in known}
    if "batch" in values and "minibatch" in known:
        values["minibatch"] = min(knobs.minibatch, values["batch"])
    return replace(knobs, **values)


def _turns(facts: Facts, stage: str, knobs: Knobs, device: str) -> Iterator[Turn]:
    """First what costs time only, then a little precision, then what makes the run noisier or shorter."""
    small = (each for each in _halves(min(knobs.microbatch, knobs.minibatch), 4))
    yield from (Turn("microbatch", each, "slower, the same mathematics") for each in small)
    if knobs.checkpointing == "off":
        yield Turn("checkpointing", "on", "a third slower, the same mathematics")
    smallest = min(knobs.microbatch, knobs.minibatch, 4)
    yield from (Turn("microbatch", each, "slower, the same mathematics") for each in _halves(smallest, 1))
    if knobs.optimizer == "adamw":
        yield Turn("optimizer", "adamw_8bit", "its moments are rounded")
    if facts.layered:
        yield from (Turn("unfrozen", each, "fewer layers learn") for each in UNFROZEN if each < knobs.unfrozen)
    if stage == "ppo" and knobs.value_model != "head":
        yield Turn("value_model", "head", "value and policy share a trunk")
    if device != "cpu" and knobs.precision != "4-bit":
        # Not in 8 bits: those take more memory and several times as long (docs/gpu.md).
        yield Turn("precision", "4-bit", "weights are rounded")
    yield from (Turn("batch", each, "noisier steps") for each in _halves(knobs.batch, 8))
    yield from (Turn("rank", each, "the adapter can change less") for each in _halves(knobs.rank, 4))
    yield from (Turn("tokens", each, "shorter answers") for each in _halves(knobs.tokens, 16))


def _halves(number: int, least: int) -> Iterator[int]:
    while number > least:
        number = max(least, number // 2)
        yield number


def knobs_of(config: Any, precision: str = "auto", rank: int = 8) -> Knobs:
    """What decides about memory, from a stage's config; knobs that it has not stay at their defaults."""
    known = {each.name: getattr(config, each.name) for each in fields(config) if each.name in RUN}
    batch = getattr(config, "minibatch", getattr(config, "batch", Knobs().batch))
    known |= {"batch": known.get("batch", batch), "minibatch": min(batch, known.get("batch", batch))}
    known["microbatch"] = min(known.get("microbatch", batch), known["minibatch"])
    return Knobs(**known, precision=precision, rank=getattr(config, "rank", rank))


def foretell_request(payload: dict[str, Any]) -> dict[str, Any]:
    """The answer to a request of the page: rows by role for PPO here, a line per usual card, a sentence, and the turns.

    With `fit` in the payload the rows are those after the turns. Raises BadInput and ModelIncomplete.
    """
    precision = str(payload.get("precision") or "auto")
    if precision not in PRECISIONS:
        raise BadInput(f"A precision is one of {', '.join(PRECISIONS)}, not {precision!r}.")
    facts, knobs = facts_of(str(payload.get("base") or "tiny")), Knobs(precision=precision)
    knobs = replace(knobs, rank=int(payload.get("rank") or knobs.rank))
    return table(facts, knobs, bool(payload.get("fit")))


def table(facts: Facts, knobs: Knobs, fitted: bool = False) -> dict[str, Any]:
    """Rows, peak, room, sentence, turns and whether it fits, also in words, of PPO on this machine.

    The rows count a base and CUDA itself, so the room is what is free and what this process holds: the worker answers
    with its base loaded, the one that is asked about or one that makes way for it.
    """
    device = "cuda" if torch.cuda.is_available() else "cpu"
    room = room_of(device) + held_here(device)
    before = total(foretell(facts, "ppo", knobs, device), device)
    found, turns, fits = fit(facts, "ppo", knobs, device, room)
    rows = foretell(facts, "ppo", found if fitted else knobs, device)
    shown = [{"role": row.role, "bytes": row.bytes, "phase": row.phase, "why": row.why} for row in rows]
    shown.append({"role": "peak here", "bytes": total(rows, device)})
    shown += [{"role": f"on a card of {size} GB", "value": on_card(facts, "ppo", knobs, size)} for size in CARDS]
    told = [{"knob": turn.knob, "value": turn.value, "cost": turn.cost} for turn in turns]
    sentence = _sentence(facts, before, room, turns, fits)
    here = {"peak": total(rows, device), "room": room, "fits": fits, "words": _words(turns, fits)}
    return {"rows": shown, "sentence": sentence, "turns": told} | here


def on_card(facts: Facts, stage: str, knobs: Knobs, size: int) -> str:
    """Fits, or what to turn, or that nothing helps; size in GB as on the box."""
    _, turns, fits = fit(facts, stage, knobs, "cuda", size * GIB)
    return _words(turns, fits)


def _words(turns: list[Turn], fits: bool) -> str:
    if not fits:
        return "does not fit"
    return "fits" if not turns else "fits with " + ", ".join(f"{turn.knob} {turn.value}" for turn in turns)


def _sentence(facts: Facts, peak: int, room: int, turns: list[Turn], fits: bool) -> str:
    words = f"PPO with {facts.name} needs about {peak / GIB:.1f} GiB; {room / GIB:.1f} GiB are there for it"
    if not turns:
        return f"{words}: it fits."
    if not fits:
        return f"{words}: it does not fit, whatever is turned. Choose a smaller model."
    return f"{words}: it fits with {', '.join(turn.words for turn in turns)}."
