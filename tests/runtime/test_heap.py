"""Freed memory is kept, and not without bounds."""

from __future__ import annotations

import os
import platform
import resource
from collections.abc import Iterator

import numpy as np
import pytest

from triage.runtime.child_pool import DecodePool
from triage.runtime.heap import MOST_KEPT, keep_freed_memory

pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc can be told to keep")

PIXELS = 1 << 20


@pytest.fixture
def pool() -> Iterator[DecodePool]:
    pool = DecodePool(1, timeout_s=60)
    yield pool
    pool.close()


def as_an_image_is_worked_on() -> int:
    """Pages that the kernel had to bring for arrays of the sizes of one image."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    raw = np.ones(PIXELS, np.uint16)
    levels = raw.astype(np.float32)
    assert (levels * np.float32(2) + raw).sum() > 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def given_back() -> int:
    """Bytes that leave this process when 300 arrays of a megabyte go.

    Nothing else is asked of malloc while they are there: a block above them would hold them all.
    """
    arrays: list[np.ndarray | None] = [None] * 300
    table = os.open("/proc/self/statm", os.O_RDONLY)
    resident(table)
    for place in range(len(arrays)):
        arrays[place] = np.ones(PIXELS, np.uint8)
    most = resident(table)
    for place in reversed(range(len(arrays))):
        arrays[place] = None
    left = resident(table)
    os.close(table)
    return most - left


def resident(table: int) -> int:
    return int(os.pread(table, 200, 0).split()[1]) * resource.getpagesize()


def test_a_child_does_not_ask_the_kernel_for_each_image(pool: DecodePool) -> None:
    first = pool.submit(as_an_image_is_worked_on).result()
    pages_of_an_image = 4 * PIXELS // resource.getpagesize()
    later = [pool.submit(as_an_image_is_worked_on).result() for _ in range(5)]
    assert first > pages_of_an_image
    assert max(later) < pages_of_an_image / 10


def test_what_is_kept_is_bounded(pool: DecodePool) -> None:
    assert pool.submit(given_back).result() > 300 * PIXELS - MOST_KEPT - (32 << 20)


def test_another_c_library_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ctypes.CDLL", lambda _: object())
    assert not keep_freed_memory()
