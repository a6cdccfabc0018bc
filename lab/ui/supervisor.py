"""Keeps one worker process alive beside the page, and says in words how it is."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import psutil

from lab.journal import read_json
from lab.ui.inline import REFUSED, Inline
from lab.ui.killed import BY_SYSTEM, KILLED, note
from lab.ui.naming import run_called, without_folder
from lab.workspace import Workspace

# A worker that dies at once, again and again, has a reason that a person must see.
QUICK_DEATHS, QUICK = 3, 60.0
# A refusal in words would be met again, unless it was that another process still holds the workspace, as the worker
# of an app that has just ended does until its step is over.
HELD, HELD_WAIT = "E_BUSY", 2.0


class Supervisor:
    """start, stop, restart, kill; a thread brings a dead worker back, up to three times a minute."""

    def __init__(self, root: Path, *, inline: bool = False, command: tuple[str, ...] | None = None) -> None:
        self.root = root
        self.inline = inline
        self._command = command
        self._process: subprocess.Popen[bytes] | Inline | None = None
        self._lock = threading.RLock()
        self._deaths: list[float] = []
        self._stopped = True
        self._restarting = False
        self._gave_up = False
        # The process that was killed from here, and whether the system killed the last one that died.
        self._ended: subprocess.Popen[bytes] | Inline | None = None
        self._killed = False

    def start(self) -> None:
        """The process at once, if none is kept alive already; whether it is ready stands in worker.json later."""
        with self._lock:
            if self.alive and not self._stopped:
                return
            self._stopped = self._gave_up = self._killed = False
            self._deaths.clear()
            self._spawn()
            threading.Thread(target=self._watch, args=(self._process,), name="worker-watch", daemon=True).start()

    def stop(self) -> None:
        """Ask the worker to end; kill it when it has not after five seconds."""
        with self._lock:
            self._stopped = True
            process = self._process
        if process is None or process.poll() is not None:
            return
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return
        process.kill()
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)

    def restart(self) -> None:
        """End it in order and begin again, for instance with another base. One at a time, or two would be left."""
        with self._lock:
            self._restarting = True
            self.stop()
            self._restarting = False
            self.start()

    def kill(self) -> None:
        """End the worker now, in the middle of whatever it does; the watching thread starts a new one."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                self._ended = self._process
                self._process.kill()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Of the living process; None between two."""
        return self._process.pid if self._process is not None and self.alive else None

    @property
    def given_up(self) -> bool:
        return not self.alive and not self._restarting and (self._stopped or self._gave_up)

    def sentence(self, whole: bool = True) -> str:
        """How the worker is, for a person; `whole`: with the cause and the folders that only a host may see."""
        facts = read_json(self.root / "worker.json") or {}
        mine = self.alive and self._process is not None and facts.get("pid") == self._process.pid
        if self.given_up:
            killed = f"{BY_SYSTEM.format('it')}. Choose a smaller model, or close what else takes memory."
            why = f": {killed if self._killed else facts.get('message') or self.last_words()}" if whole else "."
            return f"The model process has ended{why}"
        if self._held():
            return "Another process works in this workspace; waiting for it to end."
        if not self.alive or not mine:
            return "The model process is starting."
        if not facts.get("ready"):
            loading = f"{self._base() if whole else without_folder(self._base())} is loading."
            return str(whole and facts.get("message") or loading)
        if not facts.get("busy"):
            return "The model is ready."
        return f"The model is busy with {run_called(Workspace(self.root), facts['busy'])}."

    def _base(self) -> str:
        return str((read_json(self.root / "base.json") or {}).get("base") or "The model")

    def last_words(self) -> str:
        """The last line that the worker left in worker.log, which is where its reason stands."""
        try:
            lines = (self.root / "worker.log").read_bytes()[-4000:].decode("utf-8", "replace").strip().splitlines()
        except OSError:
            lines = []
        return lines[-1][:300] if lines else "it left no message."

    def _spawn(self) -> None:
        if self.inline:
            self._process = Inline(self.root)
            return
        parent = str(os.getpid())
        command = self._command or (sys.executable, "-m", "lab", "work", str(self.root), "--parent", parent)
        with open(self.root / "worker.log", "ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=Path(__file__).parent.parent.parent
            )
        _be_nice(self._process.pid)

    def _watch(self, mine: subprocess.Popen[bytes] | Inline) -> None:
        """Until stopped: a worker that has died is started again, unless it keeps dying."""
        while not self._stopped and self._process is mine:
            time.sleep(0.3)
            if self.alive or self._stopped:
                continue
            if self._held():
                time.sleep(HELD_WAIT)
            with self._lock:
                if self._stopped or self._process is not mine:
                    return
                self._killed = self._process.poll() == KILLED and self._process is not self._ended
                if self._killed:
                    note(self.root, self._process.pid)
                if not self._held():
                    self._deaths.append(time.monotonic())
                if self._too_many():
                    # For good, however long ago that was: nobody watches any more until it is started again.
                    self._gave_up = True
                    return
                self._spawn()
                mine = self._process

    def _held(self) -> bool:
        """Whether the worker ended because another process holds the workspace."""
        refused = self._process is not None and self._process.poll() == REFUSED
        return refused and self.last_words().startswith(HELD)

    def _too_many(self) -> bool:
        recent = [each for each in self._deaths if time.monotonic() - each < QUICK]
        refused = self._process is not None and self._process.poll() == REFUSED and not self._held()
        return len(recent) >= QUICK_DEATHS or refused


def _be_nice(pid: int) -> None:
    """The page answers first: the worker gets what is left of the machine."""
    try:
        process = psutil.Process(pid)
        process.nice(5 if os.name == "posix" else psutil.BELOW_NORMAL_PRIORITY_CLASS)
    except psutil.Error:
        pass
