"""How the answers change: pinned prompts step by step against their first answer, and a table of the newest samples."""

from __future__ import annotations

import json
import re
import threading
import time
import zlib
from bisect import bisect_right
from collections import OrderedDict, deque
from dataclasses import replace
from difflib import SequenceMatcher
from typing import Any

from lab.events import Sample
from lab.ui.live import Live
from lab.ui.office import Office
from lab.ui.pages import newest
from lab.ui.points import run_or_none
from lab.ui.tracks import Tracks, birth
from lab.workspace import Run

NEWEST, KEPT, LOOK_EVERY = 100, 16, 0.2
_WORD = re.compile(r"\S+\s*|\s+")
Pieces = list[tuple[str, str]]
HEAT = (
    (
        "kl",
        "KL",
        "How far the policy is from SFT where it chose this token, in nats: what the token costs.",
    ),
    (
        "reward",
        "Reward",
        "What it earned: minus beta times its KL, and at the end the score of the whole answer.",
    ),
    ("value", "Value", "What the policy expected still to come, just before it chose this token."),
    (
        "advantage",
        "Advantage",
        "Better or worse than expected. By this PPO makes the token likelier or less likely.",
    ),
)


class Timeline(Live):
    """A slider over the steps of a run, and what each pinned prompt was answered there."""

    def __init__(self, stage: str = "ppo", **more: Any) -> None:
        super().__init__(("timeline.js",), stage=stage, **more)


class Samples(Live):
    """The newest samples of a run; a click on a column's name sorts by it."""

    def __init__(self, stage: str = "ppo", **more: Any) -> None:
        super().__init__(("samples.js",), stage=stage, **more)


class Heat(Live):
    """One answer token by token, coloured by KL, reward, value or advantage."""

    def __init__(self, stage: str = "ppo", **more: Any) -> None:
        metrics = [{"name": name, "label": label, "help": meaning} for name, label, meaning in HEAT]
        super().__init__(("heat.js",), stage=stage, metrics=metrics, **more)


class SampleLog:
    """A run's samples, read as they are written; what was rolled back is forgotten.

    A run that went back says nothing here before its next step, so that only its events tell: `standing` is the last of
    its steps that was not undone, and what belongs to a later one is kept, but not shown.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.guard = threading.RLock()
        self.pinned: dict[str, dict[int, Sample]] = {}
        # A long run answers its pinned prompts thousands of times, so their figures are kept packed.
        self.packed: dict[tuple[str, int], bytes] = {}
        self.newest: deque[Sample] = deque(maxlen=NEWEST)
        self.count = 0
        self.standing = 0
        self._last = 0
        self._offset, self._looked = 0, 0.0

    def refresh(self, standing: int) -> SampleLog:
        with self.guard:
            self.standing = standing
            if time.monotonic() - self._looked > LOOK_EVERY:
                while (found := self.run.samples(self._offset)).offset > self._offset:
                    self._offset = found.offset
                    for event, _ in found.events:
                        if isinstance(event, Sample):
                            self._take(event)
                self._looked = time.monotonic()
        return self

    def answers(self) -> list[dict[int, Sample]]:
        """Of each pinned prompt, its answers by their steps."""
        return [{step: each for step, each in said.items() if step <= self.standing} for said in self.pinned.values()]

    def steps(self) -> list[int]:
        """Every step at which a pinned prompt was answered."""
        return sorted({step for answers in self.answers() for step in answers})

    def table(self) -> list[Sample]:
        """The newest samples, the last one first."""
        return [each for each in reversed(self.newest) if each.belongs_to <= self.standing]

    def _take(self, sample: Sample) -> None:
        if sample.step < self._last:
            self._go_back(sample.step)
        self._last = sample.step
        self.count += 1
        if sample.pinned:
            self.packed[sample.prompt, sample.step] = zlib.compress(json.dumps(sample.tokens).encode())
            self.pinned.setdefault(sample.prompt, {})[sample.step] = replace(sample, tokens={})
        elif not any(_same(each, sample) for each in self.newest):  # a resumed run draws its first answers once more
            self.newest.append(sample)

    def tokens(self, prompt: str, step: int, response: str | None) -> dict[str, Any]:
        """One sample's figures: of the pinned answer of a step, or of the newest with this response; {} without."""
        if response is None:
            packed = self.packed.get((prompt, step)) if step in self.pinned.get(prompt, {}) else None
            return json.loads(zlib.decompress(packed)) if packed else {}
        meant = (
            each for each in self.newest if (each.belongs_to, each.prompt, each.response) == (step, prompt, response)
        )
        return next((each.tokens for each in meant), {})

    def _go_back(self, step: int) -> None:
        for answers in self.pinned.values():
            for late in [each for each in answers if each > step]:
                del answers[late]
        # Answers of the table are drawn in the step after the checkpoint, and carry its number: they come once more.
        self.newest = deque((each for each in self.newest if each.step < step), NEWEST)


def _same(one: Sample, other: Sample) -> bool:
    return (one.step, one.prompt, one.response) == (other.step, other.prompt, other.response)


class SampleLogs:
    """The logs that somebody looks at, for the whole app."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._found: OrderedDict[tuple[str, int], SampleLog] = OrderedDict()

    def of(self, run: Run, standing: int) -> SampleLog:
        with self._guard:
            key = birth(run)
            log = self._found.pop(key, None) or SampleLog(run)
            self._found[key] = log
            while len(self._found) > KEPT:
                self._found.popitem(last=False)
        return log.refresh(standing)


def serve(office: Office, tracks: Tracks) -> None:
    """The actions of both parts, for every stage that uses them."""
    if "timeline" in office.actions:
        return
    logs = SampleLogs()
    office.action("timeline", lambda body, _: timeline(office, logs, tracks, body))
    office.action("samples", lambda body, _: samples(office, logs, tracks, body))
    office.action("tokens", lambda body, _: tokens(office, logs, tracks, body))


def timeline(office: Office, logs: SampleLogs, tracks: Tracks, body: dict[str, Any]) -> dict[str, Any]:
    """The pinned answers at a step, or at the newest; each beside the first answer, cut where the words differ."""
    run = _run(office, body)
    if run is None:
        return {"run": None, "steps": [], "rows": []}
    log = logs.of(run, tracks.of(run).step)
    with log.guard:
        steps = log.steps()
        step = _at(steps, body.get("step"))
        rows = [row for answers in log.answers() if (row := _row(answers, step))]
    return {
        "run": run.name,
        "stage": run.stage,
        "status": tracks.of(run).status(),
        "steps": steps,
        "step": step,
        "rows": rows,
    }


def _at(steps: list[int], wanted: Any) -> int:
    """The step that was asked for, or the one before it; the newest without a wish."""
    if not steps:
        return 0
    return steps[-1] if type(wanted) is not int else steps[max(0, bisect_right(steps, wanted) - 1)]


def _row(answers: dict[int, Sample], step: int) -> dict[str, Any] | None:
    """None while the prompt was not answered yet at that step."""
    reached = [each for each in answers if each <= step]
    if not reached:
        return None
    first, now = answers[min(answers)], answers[max(reached)]
    before, after = differences(first.response, now.response)
    return {"prompt": now.prompt, "first": _said(first, before), "now": _said(now, after)}


def _said(sample: Sample, pieces: Pieces) -> dict[str, Any]:
    facts = {"step": sample.step, "score": sample.score, "kl": sample.kl, "length": sample.length}
    return {"pieces": pieces, **facts}


def differences(before: str, after: str) -> tuple[Pieces, Pieces]:
    """Both texts in pieces ("same", "del" or "ins", text), compared word by word; the pieces add up to the texts.

    >>> differences("the sky is red", "the sky is blue")
    ([('same', 'the sky is '), ('del', 'red')], [('same', 'the sky is '), ('ins', 'blue')])
    """
    old, new = _WORD.findall(before), _WORD.findall(after)
    match = SequenceMatcher(None, [word.strip() for word in old], [word.strip() for word in new], autojunk=False)
    left: Pieces = []
    right: Pieces = []
    for what, a, b, c, d in match.get_opcodes():
        same = what == "equal"
        if b > a:
            left.append(("same" if same else "del", "".join(old[a:b])))
        if d > c:
            right.append(("same" if same else "ins", "".join(new[c:d])))
    return left, right


def samples(office: Office, logs: SampleLogs, tracks: Tracks, body: dict[str, Any]) -> dict[str, Any]:
    """The newest samples; no rows when the page has them already, which says so by what it was told with them."""
    run = _run(office, body)
    if run is None:
        return {"run": None, "have": [], "rows": []}
    log = logs.of(run, tracks.of(run).step)
    with log.guard:
        found = {"run": run.name, "have": [run.name, log.count, log.standing]}
        return found if body.get("have") == found["have"] else found | {"rows": [_sample(each) for each in log.table()]}


def tokens(office: Office, logs: SampleLogs, tracks: Tracks, body: dict[str, Any]) -> dict[str, Any]:
    """The figures of one answer, for the heat map, by the step that stands beside it; none for a run that was made
    before there were any."""
    run, step, response = _run(office, body), body.get("step"), body.get("response")
    if run is None or type(step) is not int:
        return {"tokens": {}}
    log = logs.of(run, tracks.of(run).step)
    with log.guard:
        return {"tokens": log.tokens(str(body.get("prompt")), step, response if isinstance(response, str) else None)}


def _sample(each: Sample) -> dict[str, Any]:
    return {
        "step": each.belongs_to,
        "prompt": each.prompt,
        "response": each.response,
        "score": each.score,
        "kl": each.kl,
        "length": each.length,
    }


def _run(office: Office, body: dict[str, Any]) -> Run | None:
    name, stage = body.get("run"), str(body.get("stage") or "ppo")
    run = run_or_none(office.workspace.run, name) if name else None
    return run or newest(office, stage)
