"""PURE: the part of an image that is the radiograph: inside the shutter, and inside a border of one grey.

A scan, an export or a shutter leaves a frame around the radiograph. It is not anatomy, and a network that was trained
without it, or with less of it, scores it as if it were (docs/adr/0027).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np
import numpy.typing as npt

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Edges = tuple[float, float, float, float]
"""Top, left, bottom and right of a part of an image, as fractions of its rows and columns."""
_Kind = TypeVar("_Kind", bound=np.generic)

WHOLE: Edges = (0.0, 0.0, 1.0, 1.0)
MOST_BORDER = 0.2
"""Share of an image that may be border for a model that was trained without a crop. Of 2,326 whole adult chests 20 have
more, of 1,464 children's none."""
LEAST_SIDE = 1 / 3
"""Share of an image's rows and of its columns that a crop has to leave: a side marker on black is no radiograph."""

_TOLERANCE = 0.03
"""Of the grey scale: what a lossy copy and an amplifier's noise change in one grey, once averaged along a line."""
_SHARE = 0.95
"""Of a line's averages have to be of one grey: a side marker or a line of text in the border does not hide it."""
_AVERAGES = 64
_LEAST_PIECE = 4
_FIRST = 4  # lines; most images have no border, and one line would be summed in another order than several
_AT_ONCE = 32


@dataclass(frozen=True)
class Rectangle:
    """A part of an image, in pixels; ``bottom`` and ``right`` are the first row and column beyond it."""

    top: int
    left: int
    bottom: int
    right: int

    def of(self, image: npt.NDArray[_Kind]) -> npt.NDArray[_Kind]:
        """Return this part of ``image`` (rows, columns), as a view."""
        return image[self.top : self.bottom, self.left : self.right]

    def edges(self, image: npt.NDArray[np.generic]) -> Edges:
        """Return the edges of this part in ``image`` (rows, columns)."""
        rows, columns = image.shape
        return self.top / rows, self.left / columns, self.bottom / rows, self.right / columns


def content(pixels: FloatImage, valid: Mask) -> Rectangle:
    """Return the part of an image inside padding, shutter and a border of one grey; all of an image of one grey.

    ``pixels``: float32 (rows, columns), 0 to 1; ``valid``: bool (rows, columns). The first step is the smallest
    rectangle around the valid pixels. Then lines are removed from each edge whose averages over a 64th of their length
    are within 3 % of the grey scale of the line's median, except for 5 % of them. Each line may have a grey of its own,
    so that several frames are removed one after the other. Uniformly black air next to the patient is removed, too:
    black added to it must change nothing.
    """
    rows, columns = pixels.shape
    whole = Rectangle(0, 0, rows, columns)
    mask = None if valid.all() else valid
    part = whole if mask is None else _around(mask)
    while True:
        inner = _without_border(pixels, mask, part)
        if inner is None:
            return whole
        if inner == part:
            return part
        part = inner


def is_mostly_border(edges: Edges, *, cropped: bool) -> bool:
    """Return whether an image whose content lies within ``edges`` has more border than a model takes."""
    rows, columns = edges[2] - edges[0], edges[3] - edges[1]
    return min(rows, columns) < LEAST_SIDE if cropped else rows * columns < 1 - MOST_BORDER


def _around(valid: Mask) -> Rectangle:
    rows, columns = np.flatnonzero(valid.any(axis=1)), np.flatnonzero(valid.any(axis=0))
    if not len(rows):
        return Rectangle(0, 0, valid.shape[0], valid.shape[1])
    return Rectangle(int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1)


def _without_border(pixels: FloatImage, mask: Mask | None, part: Rectangle) -> Rectangle | None:
    """Return ``part`` without the lines of one grey at its edges; None if there are no others."""
    inside, known = part.of(pixels), None if mask is None else part.of(mask)
    top = _lines(inside, known)
    if top == len(inside):
        return None
    bottom = len(inside) - _lines(inside[::-1], None if known is None else known[::-1])
    across, known = inside[top:bottom].T, None if known is None else known[top:bottom].T
    left = _lines(across, known)
    if left == len(across):
        return None
    right = len(across) - _lines(across[::-1], None if known is None else known[::-1])
    return Rectangle(part.top + top, part.left + left, part.top + bottom, part.left + right)


def _lines(lines: FloatImage, known: Mask | None) -> int:
    """Count the first of ``lines`` (n, m) that are of one grey each; pixels not ``known`` (n, m) count as black."""
    start, end = 0, _FIRST
    while start < len(lines):
        some = slice(start, end)
        plain = _of_one_grey(lines[some] if known is None else np.where(known[some], lines[some], np.float32(0)))
        if not plain.all():
            return start + int(np.argmin(plain))
        start, end = end, end + _AT_ONCE
    return len(lines)


def _of_one_grey(lines: FloatImage) -> Mask:
    averages = _averages(lines)
    near = np.abs(averages - np.median(averages, axis=1, keepdims=True)) <= _TOLERANCE
    return np.asarray(near.mean(axis=1) >= _SHARE)


def _averages(lines: FloatImage) -> FloatImage:
    """Return averages of each line (n, m) along its length: float32 (n, 64 or 65).

    Views of a large image are summed in place, columns as well as rows: copying and resampling them takes five times as
    long. The remainder of 64 equal pieces is in one more piece, the last.
    """
    count, length = lines.shape
    piece = length // _AVERAGES
    if piece < _LEAST_PIECE:
        width = min(_AVERAGES, length)
        return np.asarray(cv2.resize(np.ascontiguousarray(lines), (width, count), interpolation=cv2.INTER_AREA))
    pieces = lines[:, : piece * _AVERAGES].reshape(count, _AVERAGES, piece).mean(axis=2)
    return np.column_stack([pieces, lines[:, length - piece :].mean(axis=1)]) if length % _AVERAGES else pieces
