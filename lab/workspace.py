"""The folder that holds everything: the database, the runs, what the worker answered, and who may write now."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

import filelock

from lab import disk
from lab.barred import bar
from lab.config import TUNING
from lab.errors import BadFile, BadName, Damaged, NotFound
from lab.events import Event, Failed, Finished, Started, from_json
from lab.folders import sync_folder
from lab.journal import Tail, read_json, replace_json, tail
from lab.locks import Lock, held, taken
from lab.served import Served
from lab.store import Store

RUN_NAME = re.compile(r"(\d{4,9})-([a-z][a-z0-9]{0,31})")
EMBEDDED = Path(__file__).resolve().parent.parent / "assets"
SHIPPED = "shipped"  # the SFT that came with the base, whatever SFT runs there are
STAGE_NAME = re.compile(r"[a-z][a-z0-9]{0,31}")
STATES = ("running", "paused", "interrupted", "done", "stopped", "failed", "damaged")
STEP_FOLDER = re.compile(r"step-(\d+)")
# `moved` says when each knob of `live` was last moved, so that an order to set one to what it is counts as one.
DEFAULT_CONTROL = MappingProxyType({"order": "run", "until": None, "live": {}, "moved": {}, "by": "", "reward": ""})
NO_FILES: Mapping[str, dict] = MappingProxyType({})
TITLE_CHARACTERS = 120
# Enough of the end of an event file to hold its last lines.
_END = 1 << 16
_EVENT = b'{"event":"'
_TURNS = tuple(b'{"event":"%b"' % kind.__name__.encode() for kind in (Started, Finished, Failed))
_STARTED = _TURNS[0]


class Workspace:
    """One folder; making one of these creates the folder and nothing else.

    `barred` says why nothing may be written into it, where that is so; only who is `looking` is then let in.
    """

    def __init__(self, root: Path, *, looking: bool = False):
        self.root = Path(root)
        self.barred = bar(self.root)
        if self.barred and not looking:
            raise self.barred.error()
        self.db, self.served = self.root / "lab.db", self.root / "served.jsonl"
        self._runs, self._trash = self.root / "runs", self.root / "trash"
        self._answers = Served(self.served)
        if not self.barred:
            self._make()

    def _make(self) -> None:
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._runs.mkdir(exist_ok=True)
        except OSError as problem:
            raise BadFile(
                f"The workspace {self.root} cannot be made ({problem.strerror}). Name a folder that you may write to."
            ) from problem

    def store(self, *, read_only: bool = False) -> Store:
        return Store(self.db, read_only=read_only, barred=self.barred)

    def base(self) -> dict | None:
        return read_json(self.root / "base.json")

    def set_base(self, facts: dict) -> None:
        replace_json(self.root / "base.json", facts)

    def ships_sft(self) -> bool:
        """Whether the base came with an SFT of its own."""
        return (EMBEDDED / str((self.base() or {}).get("base") or "tiny") / "sft").is_dir()

    def runs(self) -> list[Run]:
        """Every run, damaged ones included, by number."""
        return _runs_in(self._runs)

    def run(self, name: str) -> Run:
        """Raises BadName for what can be no run's name, NotFound for one that is not here."""
        folder = self._runs / _checked_name(name)
        if not folder.is_dir():
            if (self._trash / name).is_dir():
                raise NotFound(f"Run {name} was deleted. Bring it back on the Runs page, under Deleted runs.")
            known = ", ".join(run.name for run in self.runs()) or "none yet"
            raise NotFound(f"There is no run {name!r} in this workspace. Runs here: {known}.")
        return Run(folder)

    def new_run(self, stage: str, config: dict, *, files: Mapping[str, dict] = NO_FILES, **facts) -> Run:
        """A folder with the next number, its config.json and other JSON files by name, which appear together.

        `facts` are base, inputs, by. Raises DiskFull where the disk has no room for what a run writes.
        """
        disk.check(self.root, "a new run")
        if not STAGE_NAME.fullmatch(stage):
            raise BadName(f"{stage!r} cannot be a stage: lower-case letters and digits only, a letter first.")
        record = {"stage": stage, "config": config, "base": self.base() or {}, "inputs": {}, "by": ""}
        draft = self._runs / f".new-{uuid.uuid4().hex}"
        draft.mkdir()
        try:
            for name, content in files.items():
                replace_json(draft / name, content)
            replace_json(draft / "config.json", record | facts | {"created": time.time()})
            with filelock.FileLock(self.root / "runs.lock", timeout=10):
                return Run(self._claim(draft, stage))
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _claim(self, draft: Path, stage: str) -> Path:
        """Numbers are never used twice, so that a name in a ranking or a chart means one run for ever."""
        taken = [run.number for run in (*self.runs(), *_runs_in(self._trash))]
        number = max(taken, default=0) + 1
        folder = self._runs / f"{number:04d}-{stage}"
        draft.rename(folder)
        sync_folder(self._runs)
        return folder

    def newest(self, stage: str, status: str = "done", base: Mapping | None = None) -> Run | None:
        """The one that began last; with `base`, of those that were made with it."""
        runs = (run for run in reversed(self.runs()) if run.stage == stage and run.made_with(base or {}))
        return next((run for run in runs if run.status() == status), None)

    def deleted(self) -> list[Run]:
        """Runs in the trash, which `restore` brings back."""
        return _runs_in(self._trash)

    def lock(self) -> Lock:
        """The worker's lock, not yet taken; `acquire`, `with` and `taken` raise Busy when another holds it."""
        return Lock(self.root / "worker.lock", thread_local=False)

    def worker(self) -> dict | None:
        """What the worker says of itself, or None when no worker lives."""
        return read_json(self.root / "worker.json") if held(self.root / "worker.lock") else None

    def say(self, record: dict) -> None:
        """The worker's own word, worker.json; only the holder of the lock calls this."""
        replace_json(self.root / "worker.json", record)

    def answer(self, request_id: str) -> dict | None:
        """The newest answer to a request, read up to the present."""
        self._answers.refresh()
        return self._answers.get(request_id)


class Run:
    """One folder of `runs/`: what was asked, what happened, and what the state must therefore be."""

    def __init__(self, folder: Path):
        self.folder, self.name = Path(folder), Path(folder).name
        number, self.stage = RUN_NAME.fullmatch(_checked_name(self.name)).groups()
        self.number = int(number)
        self.adapter = self.folder / "adapter"

    def __repr__(self) -> str:
        return f"Run({self.name})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Run) and self.folder == other.folder

    def __hash__(self) -> int:
        return hash(self.folder)

    def facts(self) -> dict:
        """config.json; raises Damaged when it cannot be read, for it was written whole before the first event."""
        facts = read_json(self.folder / "config.json")
        if facts is None:
            raise Damaged(
                f"config.json of run {self.name} is missing or cannot be read, so nobody knows what was run. "
                "The other runs are not touched by this; delete the run or put its file back."
            )
        if self.stage in ("sft", "reward", *TUNING) and isinstance(facts.get("config"), dict):
            facts["config"] = {"unfrozen": 1.0} | facts["config"]  # of old, all layers learned
        return facts

    def base(self) -> dict:
        """The base that it was made with: name, precision, fingerprint; {} where that cannot be read."""
        found = (read_json(self.folder / "config.json") or {}).get("base")
        return found if isinstance(found, dict) else {}

    def made_with(self, base: Mapping) -> bool:
        """Whether what it learned belongs to this base, which has a name and, where it is loaded, `fingerprints`.

        Its weights decide where both are known, else its name; of what is not known the best is hoped.
        """
        own, marks = self.base(), base.get("fingerprints")
        if marks and own.get("fingerprint"):
            return own["fingerprint"] in marks
        return not own.get("base") or not base.get("base") or own["base"] == base["base"]

    def title(self) -> str:
        return (read_json(self.folder / "title.json") or {}).get("title") or self.name

    def rename(self, title: str) -> None:
        """A title beside the name, which stays; an empty one takes the title away."""
        title = " ".join(str(title).split())
        if len(title) > TITLE_CHARACTERS or not title.isprintable():
            raise BadName(f"A title has at most {TITLE_CHARACTERS} visible characters; this one has {len(title)}.")
        replace_json(self.folder / "title.json", {"title": title})

    def delete(self) -> Path:
        """Moves the folder to the trash; raises Busy while a process works in it."""
        lock = taken(self.lock(), f"Run {self.name}")
        try:
            trash = self.folder.parent.parent / "trash"
            trash.mkdir(exist_ok=True)
            return self.folder.rename(trash / self.name)
        finally:
            lock.release()

    def discard(self) -> None:
        """The folder goes for good: of a run that was never begun."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def restore(self) -> Run:
        """Moves the folder back from the trash."""
        return Run(self.folder.rename(self.folder.parent.parent / "runs" / self.name))

    def status(self) -> str:
        """One of STATES, derived from the events and the lock at this moment."""
        if read_json(self.folder / "config.json") is None:
            return "damaged"
        # The lock first: a run that ends between the two looks has its last event written by then.
        alive = self.locked()
        end = self.last_turn()
        if isinstance(end, Finished):
            return "stopped" if end.reason == "stopped" else "done"
        if isinstance(end, Failed):
            return "failed"
        if not alive:
            return "interrupted"
        return "paused" if self.control()["order"] == "pause" else "running"

    def last_turn(self) -> Event | None:
        """The newest Started, Finished or Failed: what decides the status. Reads only the end of the event file."""
        path = self.folder / "events.jsonl"
        size = _size(path)
        block = _END
        while size:
            lines = _last_lines(path, size, block)
            turn = next((event for event in map(_turn, reversed(lines)) if event), None)
            # Nothing follows a Finished or Failed but a Started, so any other event at the end means: under way.
            if turn or block >= size or any(line.startswith(_EVENT) and not line.startswith(_TURNS) for line in lines):
                return turn
            block *= 8
        return None

    def events(self, offset: int = 0, limit: int = 20_000) -> Tail:
        return tail(self.folder / "events.jsonl", offset, limit)

    def begun(self) -> int:
        """How often it has begun or gone on: the Started events that it has."""
        try:
            with (self.folder / "events.jsonl").open("rb") as file:
                return sum(line.startswith(_STARTED) and line.endswith(b"\n") for line in file)
        except FileNotFoundError:
            return 0

    def samples(self, offset: int = 0, limit: int = 20_000) -> Tail:
        return tail(self.folder / "samples.jsonl", offset, limit)

    def control(self) -> dict:
        return {**DEFAULT_CONTROL, "live": {}, "moved": {}, **(read_json(self.folder / "control.json") or {})}

    def set_control(self, **changes) -> None:
        """Changes these keys and keeps the others; `live` knobs are laid over those already moved."""
        unknown = set(changes) - set(DEFAULT_CONTROL)
        if unknown:
            raise TypeError(f"no such key of control.json: {', '.join(sorted(unknown))}")
        # Two people may move two sliders at once, and neither may undo the other's.
        with filelock.FileLock(self.folder / "control.lock", timeout=10):
            before = self.control()
            given = changes.get("live", {})
            live, moved = before["live"] | given, before["moved"] | dict.fromkeys(given, time.time())
            replace_json(self.folder / "control.json", before | changes | {"live": live, "moved": moved})

    def checkpoints(self) -> list[int]:
        return steps_in(self.folder / "checkpoint")

    def checkpoint(self, step: int) -> Path:
        return step_folder(self.folder / "checkpoint", step)

    def lock(self) -> Lock:
        return Lock(self.folder / "lock", thread_local=False)

    def locked(self) -> bool:
        return held(self.folder / "lock")


def step_folder(root: Path, step: int) -> Path:
    """Where the checkpoint of a step stands among a run's."""
    return root / f"step-{step:06d}"


def steps_in(root: Path) -> list[int]:
    """Steps of the checkpoints there that are whole, ascending: their manifest is written last."""
    found = (STEP_FOLDER.fullmatch(path.parent.name) for path in root.glob("step-*/manifest.json"))
    return sorted(int(each[1]) for each in found if each)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def _last_lines(path: Path, size: int, block: int) -> list[bytes]:
    """The whole lines among the last bytes; none where one line is longer than that."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, size - block))
            lines = file.read(block).split(b"\n")
    except FileNotFoundError:
        return []
    return lines[1 if size > block else 0 : -1]


def _turn(line: bytes) -> Event | None:
    if not line.startswith(_TURNS):
        return None
    try:
        return from_json(line.decode())[0]
    except ValueError:
        return None


def recorded(name: str) -> str:
    """The policy that a run's record names: what it calls sft came with the base, for a newer SFT is named as a run."""
    return SHIPPED if name == "sft" else name


def _checked_name(name: str) -> str:
    if not isinstance(name, str) or not RUN_NAME.fullmatch(name):
        raise BadName(f"{str(name)[:80]!r} is no name of a run. Names look like 0004-ppo: a number, a dash, a stage.")
    return name


def _runs_in(folder: Path) -> list[Run]:
    if not folder.is_dir():
        return []
    names = (entry.name for entry in os.scandir(folder) if entry.is_dir())
    return sorted((Run(folder / name) for name in names if RUN_NAME.fullmatch(name)), key=lambda run: run.number)
