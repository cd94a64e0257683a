"""PURE: OpenCV's area filter over a large image, in parts at once, to the bit what it makes of the whole.

OpenCV adds one pixel of a row after the other, and each addition waits for the one before. So a large image is given to
it as the channels of smaller ones, which it adds next to each other, in two halves for two threads (ADR 94).
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial

import cv2
import numpy as np
import numpy.typing as npt

_MIDDLING = 500_000  # pixels; of fewer channels save nothing
_LARGE = 3_000_000  # of fewer a thread would save less than a millisecond
_PARTS = (8, 4, 2)  # two halves, of up to four channels: what OpenCV has a loop of its own for
_COLUMNS = 10
_NEGLIGIBLE = 1e-3  # the part of a row that OpenCV leaves out

_Image = npt.NDArray[np.float32]


def shrink(image: _Image, shape: tuple[int, int]) -> _Image:
    """Return ``image`` (rows, columns), averaged to ``shape``, which is no larger along either axis."""
    parts = parts_of(len(image), shape[0]) if image.size >= _MIDDLING else 1
    half = partial(_half, image, shape, parts)
    if parts > 1 and image.size >= _LARGE:
        with suppress(RuntimeError), ThreadPoolExecutor(1) as other:  # where no thread can be started
            lower = other.submit(half, 1)
            return np.concatenate([half(0), lower.result()])
    return np.concatenate([half(0), half(1)]) if parts > 2 else _shrunk(image, shape)


def _shrunk(image: _Image, shape: tuple[int, int]) -> _Image:
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=cv2.INTER_AREA), dtype=np.float32)


def _half(image: _Image, shape: tuple[int, int], parts: int, number: int) -> _Image:
    """Return one of the two halves of ``image`` averaged to half of ``shape``; half of the ``parts`` are channels."""
    channels = np.split(image, parts)[number * parts // 2 :][: parts // 2]
    part = (shape[0] // parts, shape[1])
    if len(channels) == 1:
        return _shrunk(channels[0], part)
    shrunk = _shrunk(np.asarray(cv2.merge(channels), dtype=np.float32), part)
    return np.concatenate(np.moveaxis(shrunk, 2, 0))


@lru_cache(4096)
def parts_of(rows: int, result: int) -> int:
    """Return in how many parts ``rows`` have the weights in their ``result`` that they have in the whole; 8 at most.

    The positions are products of fractions, which are rounded otherwise further down; the weights, of fewer digits,
    hardly ever. That OpenCV has these weights here is tried with a few columns. What it shrinks to a whole number of
    times less it adds in another order, which may depend on the channels: there are none.
    """
    possible = _PARTS if rows % result else _PARTS[-1:]
    return next((parts for parts in possible if _are_exact(rows, result, parts)), 1)


def _are_exact(rows: int, result: int, parts: int) -> bool:
    if rows % parts or result % parts:
        return False
    whole, part = list(_weights(rows, result)), list(_weights(rows // parts, result // parts))
    below = [
        (row + number * (result // parts), source + number * (rows // parts), weight)
        for number in range(parts)
        for row, source, weight in part
    ]
    return whole == below and _agrees(rows, result, parts)


def _agrees(rows: int, result: int, parts: int) -> bool:
    """Return whether OpenCV makes the same of the parts of a few columns as of the whole."""
    probe = np.sin(np.arange(rows * _COLUMNS, dtype=np.float32)).reshape(rows, _COLUMNS)
    shape = (result, _COLUMNS // 4)
    halves = [_half(probe, shape, parts, number) for number in range(2)]
    return bool(np.array_equal(_shrunk(probe, shape), np.concatenate(halves)))


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
