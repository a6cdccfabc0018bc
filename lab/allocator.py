"""What libraries keep of memory: freed pieces for the next step, and compiled products in bounded number."""

from __future__ import annotations

import ctypes
import os
import platform

TRIM_THRESHOLD, MMAP_THRESHOLD = -1, -3  # mallopt(3)
KEPT, LARGEST = 2**29, 2**25  # bytes: what may stay free at the heap's end; larger pieces than that are mapped alone
COMPILED = "256"  # products that oneDNN keeps compiled: its own 1,024 come to hundreds of MB where lengths vary
OWN_CHOICE = ("MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TOP_PAD_", "LD_PRELOAD")


def bound_compiled() -> None:
    """Holds oneDNN to COMPILED, unless the environment says another number; it asks before its first product only."""
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", COMPILED)


def keep_freed() -> bool:
    """Whether glibc was told to give freed memory back later, so that it is not fetched again page by page.

    Other C libraries, and whoever has chosen otherwise by environment, are left alone.
    """
    if platform.libc_ver()[0] != "glibc" or any(name in os.environ for name in OWN_CHOICE):
        return False
    library = ctypes.CDLL(None)
    return bool(library.mallopt(TRIM_THRESHOLD, KEPT)) and bool(library.mallopt(MMAP_THRESHOLD, LARGEST))
