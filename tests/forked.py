"""A process that a test forks, to be killed in the middle of its work."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable


def fork(work: Callable[[], object]) -> int:
    """The number of a child that does the work and ends, with status 1 after an error.

    It never goes on as a second pytest, and nothing of the parent's is ended by it: not by an error, not by what is
    tidied away meanwhile.
    """
    child = os.fork()
    if child:
        return child
    gc.disable()
    status = 1
    try:
        work()
        status = 0
    finally:
        os._exit(status)
