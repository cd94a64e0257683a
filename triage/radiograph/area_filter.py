"""PURE: OpenCV's area filter over a large image, its halves at once, to the bit what it makes of the whole.

OpenCV itself divides the work by the size of the result, and does not divide that of a model input. It adds one pixel
after the other: two threads take half the time, also on two threads of one core.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache

import cv2
import numpy as np
import numpy.typing as npt

_LARGE = 3_000_000  # pixels; of fewer a thread would save less than a millisecond
_COLUMNS = 10
_NEGLIGIBLE = 1e-3  # the part of a row that OpenCV leaves out

_Image = npt.NDArray[np.float32]


def shrink(image: _Image, shape: tuple[int, int]) -> _Image:
    """Return ``image`` (rows, columns), averaged to ``shape``, which is no larger along either axis."""
    if image.size < _LARGE or not halves_are_exact(len(image), shape[0]):
        return _shrunk(image, shape)
    middle, half = len(image) // 2, (shape[0] // 2, shape[1])
    try:
        with ThreadPoolExecutor(1) as other:
            lower = other.submit(_shrunk, image[middle:], half)
            upper = _shrunk(image[:middle], half)
            return np.concatenate([upper, lower.result()])
    except RuntimeError:  # no thread can be started here
        return _shrunk(image, shape)


def _shrunk(image: _Image, shape: tuple[int, int]) -> _Image:
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)


@lru_cache(4096)
def halves_are_exact(rows: int, result: int) -> bool:
    """Return whether each half of ``rows`` has the weights in its half of ``result`` rows that it has in the whole.

    The positions are products of fractions, which are rounded otherwise further down; the weights, of fewer digits,
    hardly ever. That OpenCV has these weights here is tried with a few columns.
    """
    if rows % 2 or result % 2:
        return False
    whole, half = list(_weights(rows, result)), list(_weights(rows // 2, result // 2))
    below = [(row + result // 2, source + rows // 2, weight) for row, source, weight in half]
    return whole == half + below and _agrees(rows, result)


def _agrees(rows: int, result: int) -> bool:
    """Return whether OpenCV makes the same of the halves of a few columns as of the whole."""
    probe = np.sin(np.arange(rows * _COLUMNS, dtype=np.float32)).reshape(rows, _COLUMNS)
    halves = (_shrunk(each, (result // 2, _COLUMNS // 4)) for each in (probe[: rows // 2], probe[rows // 2 :]))
    return bool(np.array_equal(_shrunk(probe, (result, _COLUMNS // 4)), np.concatenate(list(halves))))


def _weights(rows: int, result: int) -> Iterator[tuple[int, int, np.float32]]:
    """Yield row of the result, row of the image, and its weight: computeResizeAreaTab of OpenCV's resize.cpp."""
    scale = 1.0 / (result / rows)
    for row in range(result):
        start = row * scale
        end, width = start + scale, min(scale, rows - start)
        last = min(math.floor(end), rows - 1)
        first = min(math.ceil(start), last)
        if first - start > _NEGLIGIBLE:
            yield row, first - 1, np.float32((first - start) / width)
        for source in range(first, last):
            yield row, source, np.float32(1.0 / width)
        if end - last > _NEGLIGIBLE:
            yield row, last, np.float32(min(min(end - last, 1.0), width) / width)
