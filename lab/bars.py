"""Progress on a terminal: one bar for each stage on stderr, its newest metrics beside it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from lab.errors import LabError, error_named
from lab.events import Event, Failed, Finished, Progress, Started, Step, Warned

SHOWN = ("loss/train", "pairs/accuracy", "pairs/train_accuracy", "reward/score", "kl/reference", "response/length")


def watch(events: Iterator[Event]) -> dict[str, Any]:
    """Draw until the events end; the last Finished event's result. A Failed event is raised with its code."""
    from tqdm import tqdm

    bar, result = tqdm(disable=True), {}
    try:
        for event in events:
            match event:
                case Started(stage=stage, total=total, step=step):
                    bar.close()
                    bar = tqdm(total=total, initial=step, desc=stage, file=sys.stderr)
                case Progress(what=what, done=done, total=total) if what.startswith(("rank", "answers", "loading")):
                    bar.set_postfix_str(f"{what} {done}/{total}")
                case Step(step=step, metrics=metrics):
                    bar.n = step
                    bar.set_postfix({key: f"{metrics[key]:.3g}" for key in SHOWN if metrics.get(key) is not None})
                case Warned(message=message, remedy=remedy):
                    tqdm.write(f"{message} {remedy}", file=sys.stderr)
                case Finished(result=found):
                    result = found
                case Failed():
                    raise failure(event)
    finally:
        bar.close()
    return result


def failure(event: Failed) -> LabError:
    """The refusal that ended a run, as it was raised there; one that the tree does not know keeps its code."""
    found = error_named(event.code)(event.message)
    found.code = event.code
    return found
