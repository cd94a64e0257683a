"""PURE: OpenCV's want of memory as Python's own, so that no image is blamed for it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import cv2


@contextmanager
def memory_errors() -> Iterator[None]:
    """Raise MemoryError for OpenCV's failure to allocate, which is ours and not the image's."""
    try:
        yield
    except cv2.error as error:
        if error.code == cv2.Error.StsNoMem:
            raise MemoryError from error
        raise
