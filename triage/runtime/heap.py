"""Freed memory: kept by a process that needs it again for each large image, given back by one that has only started.

glibc maps an array of a few megabytes anew and gives it back when it is freed; the kernel clears each page at its
first touch. In a decode process that was 2,300 pages and a third of the processor time of a 1024 x 1024 image.
"""

from __future__ import annotations

import ctypes

_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
"""malloc.h of glibc."""

LARGEST_KEPT = 32 << 20
"""Bytes: the most that glibc takes as a threshold. A float32 image of 2544 x 3056 pixels has 31.1 million."""
MOST_KEPT = 192 << 20
"""Bytes of freed memory at the end of the heap beyond which it goes back to the system."""


def keep_freed_memory() -> bool:
    """Keep freed memory in this process, up to MOST_KEPT. Return False if the C library cannot (musl)."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    options = ((_M_MMAP_THRESHOLD, LARGEST_KEPT), (_M_TRIM_THRESHOLD, MOST_KEPT), (_M_TOP_PAD, LARGEST_KEPT))
    return all(mallopt(parameter, value) == 1 for parameter, value in options)


def return_freed_memory() -> bool:
    """Return to the system what was freed, as after loading a model. Return False if the C library cannot (musl)."""
    try:
        malloc_trim = ctypes.CDLL(None).malloc_trim
    except (OSError, AttributeError):
        return False
    return bool(malloc_trim(0) == 1)
