"""Locks of the system on files: one process at a time works in a workspace or run, and all may see whether one does."""

from __future__ import annotations

import os
from pathlib import Path
from weakref import WeakValueDictionary

import filelock

from lab.errors import BadFile, Busy

PATIENCE = 0.5
HERE, ELSEWHERE = "this process", "another process"


class Lock(filelock.FileLock):
    """A lock of the system, freed when its holder dies; `acquire` and `with` raise Busy when another holds it."""

    def acquire(self, timeout: float | None = None, poll_interval: float = 0.01, **more) -> filelock.AcquireReturnProxy:
        """Tries for at least half a second: whoever looks whether the lock is held holds it for that moment."""
        try:
            found = super().acquire(max(PATIENCE, timeout or 0.0), poll_interval, **more)
        except filelock.Timeout:
            whose = self.whose()
            do = "Wait for it or end it." if whose != HERE else "Wait for its run, or close() what lab.launch returned."
            raise Busy(f"{self.lock_file} is held by {whose}, and only one may work there. {do}") from None
        except OSError as problem:
            raise BadFile(
                f"{self.lock_file} could not be opened ({problem.strerror}), so nothing can be written there. Choose "
                "another folder with -w, or make this one writable."
            ) from problem
        _HELD[os.path.realpath(self.lock_file)] = self
        return found

    def whose(self) -> str:
        """HERE where a lock of this process holds the file, else ELSEWHERE."""
        mine = _HELD.get(os.path.realpath(self.lock_file))
        return HERE if mine is not None and mine.is_locked else ELSEWHERE


# The lock by which this process last held a file.
_HELD: WeakValueDictionary[str, Lock] = WeakValueDictionary()


def taken(lock: Lock, what: str) -> Lock:
    """The lock, held from now on; raises Busy when another has it."""
    try:
        lock.acquire()
    except Busy:
        raise Busy(f"{what} is in use by {lock.whose()}, and only one may. Wait for it or end it.") from None
    return lock


def held(path: Path) -> bool:
    """Whether a living process holds this lock. Looking takes it for a moment where it is free."""
    try:
        # Not by FileLock, which would make the file and its folder anew if they are deleted at this moment.
        handle = os.open(path, os.O_RDWR if os.access(path, os.W_OK) else os.O_RDONLY)
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return False
    try:
        return not filelock.lock_descriptor(handle, blocking=False)
    finally:
        os.close(handle)
