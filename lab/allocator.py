"""Memory: freed pieces kept for the next step, a bounded number of compiled products, few searches for garbage."""

from __future__ import annotations

import ctypes
import gc
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)
KEPT, LARGEST = 2**29, 2**25  # bytes: what may stay free at the heap's end; larger pieces than that are mapped alone
LARGEST_OF_LIBRARY = 2**22  # the same for the library's pass, whose many sizes would leave gaps in the heap
OF_CUDA = ("PYTORCH_ALLOC_CONF", "PYTORCH_CUDA_ALLOC_CONF")
COMPILED = "256"  # products that oneDNN keeps compiled: its own 1,024 come to hundreds of MB where lengths vary
NEW_OBJECTS = 20_000
OWN_CHOICE = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")


def extend_segments() -> None:
    """Lets PyTorch's allocator for CUDA grow its pieces, unless the environment says what it is to do.

    It reads that before it first gives out memory. Otherwise it holds a fifth more than is asked for (docs/gpu.md).
    """
    if not any(name in os.environ for name in OF_CUDA):
        os.environ[OF_CUDA[0]] = "expandable_segments:True"


def bound_compiled() -> None:
    """Holds oneDNN to COMPILED, unless the environment says another number; it asks before its first product only."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", COMPILED)


def keep_freed(largest: int = LARGEST) -> bool:
    """Whether glibc was told to give freed memory back later, so that it is not fetched again page by page.

    Pieces over `largest` bytes are mapped alone and go back when they are freed. Other C libraries, and whoever has
    chosen otherwise by environment, are left alone.
    """
    library = _glibc()
    if library is None:
        return False
    return bool(library.mallopt(TRIM_THRESHOLD, KEPT)) and bool(library.mallopt(MMAP_THRESHOLD, largest))


@contextmanager
def passing() -> Iterator[None]:
    """For a phase that takes much memory for a while: what is free goes back to the system before it and after it.

    Else the pieces that one phase leaves, of the wrong size for the next, add to its peak.
    """
    _trim()
    try:
        yield
    finally:
        _trim()


def _trim() -> None:
    library = _glibc()
    if library is not None:
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    """The C library, where it is glibc and nobody has told it by environment what to do."""
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_CHOICE):
        return None
    return ctypes.CDLL(None)


def search_rarely() -> None:
    """Lets Python look for unreachable objects every NEW_OBJECTS new ones: a start makes many, and nearly all stay."""
    gc.set_threshold(NEW_OBJECTS, *gc.get_threshold()[1:])
