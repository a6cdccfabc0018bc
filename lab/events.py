"""What a trainer may say: eight frozen records, each one line of JSON."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from types import MappingProxyType

from lab.errors import NotFinite


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all eight; never emitted itself."""


@dataclass(frozen=True, slots=True)
class Started(Event):
    """First event of a run, and first event of its every resumption; `step` is the one that it goes on from.

    After a resumption, earlier steps above `step` are history that a chart drops.
    """

    stage: str
    total: int
    config: dict
    step: int = 0


@dataclass(frozen=True, slots=True)
class Progress(Event):
    """Something slow inside a step is at `done` of `total`."""

    what: str
    done: int
    total: int


@dataclass(frozen=True, slots=True)
class Step(Event):
    """One step is complete: the only safe point for a checkpoint. None means: not defined at this step."""

    step: int
    metrics: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Sample(Event):
    """One response of the policy, to be read; `length` in tokens, `kl` in nats, `pinned` prompts return every time.

    `tokens`: lists over the response's tokens where the stage has them, see tokens.py.
    """

    step: int
    prompt: str
    response: str
    score: float | None
    kl: float | None
    length: int
    pinned: bool
    policy: str
    tokens: dict = field(default_factory=dict)

    @property
    def belongs_to(self) -> int:
        """The step that it is read with. `step` is how many the policy had learned when it said this, and what it says
        in a rollout is measured and learned from in the one that follows."""
        return self.step if self.pinned else self.step + 1


@dataclass(frozen=True, slots=True)
class Changed(Event):
    """A live knob moved, and who moved it; charts mark the step."""

    step: int
    key: str
    before: object
    after: object
    by: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """A measure left its healthy range, and what usually helps; `grave` where it is time to pause."""

    step: int
    code: str
    message: str
    remedy: str
    grave: bool = field(default_factory=bool)


@dataclass(frozen=True, slots=True)
class Finished(Event):
    """The run ended in order; `reason` is "done" or "stopped"."""

    step: int
    reason: str
    result: dict


@dataclass(frozen=True, slots=True)
class Failed(Event):
    """The run ended by an error; `code` is the error's."""

    step: int
    code: str
    message: str


KINDS = MappingProxyType(
    {kind.__name__: kind for kind in (Started, Progress, Step, Sample, Changed, Warned, Finished, Failed)}
)

# What `isinstance` accepts for the annotation of a field; bool is an int to Python, so it is refused by name below.
_ACCEPTS = MappingProxyType(
    {
        "str": (str,),
        "int": (int,),
        "bool": (bool,),
        "dict": (dict,),
        "dict[str, float | None]": (dict,),
        "float | None": (int, float, type(None)),
        "object": (object,),
    }
)


def standing(events: Iterable[Event]) -> list[Step]:
    """The steps of a run that were not undone, each as last taken: those beyond a point that it went back to are gone.

    events: any of the run's, in their order; those before the first are not missed.
    """
    found: dict[int, Step] = {}
    for event in events:
        if isinstance(event, Started):
            found = {number: step for number, step in found.items() if number <= event.step}
        elif isinstance(event, Step):
            found[event.step] = event
    return list(found.values())


def to_json(event: Event, at: float) -> str:
    """One line without its newline. Raises NotFinite naming the first field that JSON has no number for."""
    record = {"event": type(event).__name__, "at": at, **_fields(event)}
    where = _not_finite(record)
    if where:
        raise NotFinite(
            f"{record['event']} has a number that is not finite at {where}. JSON cannot hold it and the charts would "
            "break, so nothing was written. Give None where a measure is not defined; a loss that is not finite ends "
            "the run."
        )
    return json.dumps(record, allow_nan=False, ensure_ascii=False, separators=(",", ":"))


def from_json(line: str) -> tuple[Event, float]:
    """The event and its time. Raises ValueError on anything that `to_json` would not have written."""
    try:
        record = json.loads(line, parse_constant=_refuse_constant)
    except RecursionError:
        raise ValueError("nested too deep for an event") from None
    kind = KINDS.get(_text(record.get("event"))) if isinstance(record, dict) else None
    if kind is None:
        raise ValueError("not an event: the key 'event' names none that is known")
    at = record.get("at")
    if isinstance(at, bool) or not isinstance(at, (int, float)):
        raise ValueError("an event without a time in 'at'")
    return kind(**{field.name: _checked(record, field) for field in dataclasses.fields(kind)}), float(at)


def _fields(event: Event) -> dict:
    return {field.name: getattr(event, field.name) for field in dataclasses.fields(event)}


def _checked(record: dict, field: dataclasses.Field) -> object:
    if field.name not in record:
        if field.default_factory is not dataclasses.MISSING:
            return field.default_factory()
        raise ValueError(f"{record['event']} without {field.name!r}")
    value, accepts = record[field.name], _ACCEPTS[field.type]
    misplaced = isinstance(value, bool) and bool not in accepts and object not in accepts
    if misplaced or not isinstance(value, accepts):
        raise ValueError(f"{record['event']}.{field.name} is {type(value).__name__}, not {field.type}")
    if field.name == "metrics":
        _check_metrics(value)
    return value


def _check_metrics(metrics: dict) -> None:
    for key, value in metrics.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float))):
            raise ValueError(f"metric {key!r} is {type(value).__name__}, not a number")


def _not_finite(value: object, path: str = "") -> str:
    """The path of the first number that is not finite, or ''."""
    if isinstance(value, float):
        return "" if math.isfinite(value) else f"'{path}'"
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, (list, tuple)) else ()
    found = (_not_finite(inner, f"{path}.{key}" if path else str(key)) for key, inner in items)
    return next((where for where in found if where), "")


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""
