"""The one thread that writes: jobs that wait together share one commit, and an answer means saved."""

from __future__ import annotations

import queue
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.errors import BadInput, LabError
from lab.store.schema import connect, refusal

TOGETHER = 64
Job = Callable[[sqlite3.Connection], Any]
# What a job may raise about its own values; anything else is a mistake in the code and stops the writer aloud.
OF_THE_JOB = (LabError, ValueError, TypeError, OverflowError)


@dataclass(frozen=True, slots=True)
class Waiting:
    """A job and the place where its caller waits for the answer."""

    job: Job
    answer: Future = field(default_factory=Future)


class Writer:
    """Owns the only connection that writes; any thread may call `do`."""

    def __init__(self, path: Path, after: Callable[[int], None]):
        """`after` is called in the thread behind each commit, its answers being out, with the rows written so far."""
        self._path, self._after = path, after
        self._link = connect(path, write=True)
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._guard, self._open = threading.Lock(), True
        self._thread = threading.Thread(target=self._run, name="store-writer", daemon=True)
        self._thread.start()

    def do(self, job: Job) -> Any:
        """What the job returned, once it is on the disk; what it raised, and then nothing of it is."""
        waiting = Waiting(job)
        with self._guard:
            if not self._open:
                raise BadInput("The store is closed, so this was NOT saved. Open the workspace and send it again.")
            self._queue.put(waiting)
        return waiting.answer.result()

    def close(self) -> None:
        """Saves what still waits, then ends the thread and the connection."""
        with self._guard:
            was_open, self._open = self._open, False
            if was_open:
                self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        batch: list[Waiting] = []
        try:
            going = True
            while going:
                batch, going = self._next()
                self._save(batch)
                self._after(self._link.total_changes)
        finally:
            self._stop(batch)

    def _stop(self, batch: list[Waiting]) -> None:
        """Nobody waits for ever, also when a mistake in the code has ended the thread."""
        with self._guard:
            self._open = False
        while not self._queue.empty():
            batch += [waiting for waiting in [self._queue.get()] if waiting]
        for waiting in batch:
            if not waiting.answer.done():
                waiting.answer.set_exception(BadInput("The writer stopped: this is NOT saved. Start the lab again."))
        self._link.close()

    def _next(self) -> tuple[list[Waiting], bool]:
        """The jobs that wait now, at least one, and False once the store is closing."""
        batch = [self._queue.get()]
        while batch[-1] and len(batch) < TOGETHER and not self._queue.empty():
            batch.append(self._queue.get())
        return [waiting for waiting in batch if waiting], batch[-1] is not None

    def _save(self, batch: list[Waiting]) -> None:
        """One commit for all; when that fails, each alone, so that nobody's ranking falls with another's import."""
        try:
            outcomes = self._committed(batch) if batch else []
        except sqlite3.Error as problem:
            if len(batch) > 1:
                for waiting in batch:
                    self._save([waiting])
            else:
                batch[0].answer.set_exception(refusal(problem, self._path))
            return
        for waiting, (result, problem) in zip(batch, outcomes, strict=True):
            if problem:
                waiting.answer.set_exception(problem)
            else:
                waiting.answer.set_result(result)

    def _committed(self, batch: list[Waiting]) -> list[tuple[Any, BaseException | None]]:
        try:
            self._link.execute("BEGIN IMMEDIATE")
            outcomes = [self._tried(waiting.job) for waiting in batch]
            self._link.execute("COMMIT")
            return outcomes
        finally:
            if self._link.in_transaction:
                self._link.execute("ROLLBACK")

    def _tried(self, job: Job) -> tuple[Any, BaseException | None]:
        """A job that refuses takes back its own rows and nobody else's."""
        self._link.execute("SAVEPOINT job")
        try:
            outcome = job(self._link), None
        except OF_THE_JOB as problem:
            self._link.execute("ROLLBACK TO job")
            outcome = None, problem
        self._link.execute("RELEASE job")
        return outcome
