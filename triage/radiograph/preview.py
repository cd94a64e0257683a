"""PURE: a radiograph at half, a quarter, ... of its size, by averages of the pixels that count."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from triage.radiograph.display import DisplayImage
from triage.radiograph.types import Mask

_Sums = npt.NDArray[np.uint32]


def preview_of(image: DisplayImage, longest: int) -> tuple[DisplayImage, int]:
    """Return the image with at most ``longest`` pixels on its longer side, and how often it was halved.

    A page halves in the same way (shared/pyramid.js), so that a preview is what it would show of the whole image at
    that size. An image that is small enough is returned itself, and 0.
    """
    values, valid, level = image.values, image.valid, 0
    while max(values.shape) > longest:
        values, valid = _halved(values, valid)
        level += 1
    return replace(image, values=values, valid=valid), level


def _halved(values: npt.NDArray[np.uint16], valid: Mask) -> tuple[npt.NDArray[np.uint16], Mask]:
    """Return the averages of every two by two pixels; those that are not valid are left out."""
    if valid.all():
        fours = (_sums(values.astype(np.uint32)) + 2) >> 2
        return fours.astype(np.uint16), np.ones(fours.shape, dtype=bool)
    counts = _sums(valid.astype(np.uint32))
    sums = _sums(np.where(valid, values, 0).astype(np.uint32))
    mean = (2 * sums + counts) // np.maximum(2 * counts, 1)
    return mean.astype(np.uint16), counts > 0


def _sums(values: _Sums) -> _Sums:
    """Return the sums of every two by two values; the last row or column of an odd number counts twice."""
    rows, columns = values.shape
    even = np.pad(values, ((0, rows % 2), (0, columns % 2)), mode="edge")
    return np.asarray(even[::2, ::2] + even[1::2, ::2] + even[::2, 1::2] + even[1::2, 1::2], dtype=np.uint32)
