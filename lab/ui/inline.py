"""The worker on a thread of this process, for notebooks and hosts that allow one process only; looks like a Popen."""

from __future__ import annotations

import importlib
import os
import subprocess
import threading
from pathlib import Path

from lab.errors import LabError
from lab.workspace import Workspace

# The status of the command line for a refusal in words.
REFUSED = 2
LOST = "E_DEVICE_LOST: The GPU broke off, and this process can do no more with it. End the app and start it again."


class Inline:
    """Asked to end, it ends at its next event: a thread cannot be killed."""

    def __init__(self, root: Path) -> None:
        self.pid = os.getpid()
        self._root = root
        self._ended = threading.Event()
        self._status = 0
        self._thread = threading.Thread(target=self._work, name="worker", daemon=True)
        self._thread.start()

    def poll(self) -> int | None:
        return None if self._thread.is_alive() else self._status

    def terminate(self) -> None:
        self._ended.set()

    kill = terminate

    def wait(self, timeout: float | None = None) -> int:
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise subprocess.TimeoutExpired("worker", timeout or 0.0)
        return self._status

    def _work(self) -> None:
        """The module is found by name, since importing it brings torch, which a page's process has no use for."""
        self._status = 1
        try:
            importlib.import_module("lab.worker").work(Workspace(self._root), alive=lambda: not self._ended.is_set())
            self._status = 0
        except LabError as refusal:
            self._status = REFUSED
            with open(self._root / "worker.log", "a", encoding="utf-8") as log:
                log.write(f"{refusal.code}: {refusal}\n")
        except SystemExit as end:
            # The worker's way to say that it has been asked to end in the middle of a run.
            self._status = REFUSED if end.code else 0
            if end.code:
                # It has lost its device, and so would the next thread.
                with open(self._root / "worker.log", "a", encoding="utf-8") as log:
                    log.write(f"{LOST}\n")
