"""PURE: mask of the pixels that are image: not padding (PS3.3 C.7.5.1.1.2), inside the shutters (C.7.6.11)."""

from __future__ import annotations

import cv2
import numpy as np
from pydicom.dataset import Dataset

from triage.radiograph.types import Array, Mask
from triage.radiograph.values import numbers


def valid_pixels(dataset: Dataset, stored: Array, *, padding: bool = True) -> Mask:
    """Return True where ``stored`` (rows, columns) is image. ``padding`` False ignores the padding value (colour)."""
    valid = np.ones(stored.shape, dtype=bool)
    for low, high in _padding(dataset) if padding else ():
        valid &= ~((stored >= low) & (stored <= high))
    shapes = dataset.get("ShutterShape") or ()
    for shape in [shapes] if isinstance(shapes, str) else shapes:
        draw = _SHUTTERS.get(str(shape))
        if draw:
            valid &= draw(dataset, *stored.shape)
    return valid


def _padding(dataset: Dataset) -> list[tuple[int, int]]:
    """Return ranges of padding values, both ends included. Some writers use the VR of the other sign, or of bytes.

    A range needs its limit (0028,0121); several values without one are several values.
    """
    values = _words(dataset, "PixelPaddingValue")
    limits = _words(dataset, "PixelPaddingRangeLimit")
    if values and limits:
        return [(min(values[0], limits[0]), max(values[0], limits[0]))]
    return [(value, value) for value in values]


def _words(dataset: Dataset, keyword: str) -> list[int]:
    words = [int(value) & 0xFFFF for value in numbers(dataset, keyword) if value is not None]
    return [word - 0x10000 if dataset.PixelRepresentation and word > 0x7FFF else word for word in words]


def _rectangle(dataset: Dataset, rows: int, columns: int) -> Mask:
    """Return the inside of a rectangular shutter. Edges count from 1, and belong to the image."""
    mask = np.zeros((rows, columns), dtype=bool)
    top, bottom = int(dataset.ShutterUpperHorizontalEdge), int(dataset.ShutterLowerHorizontalEdge)
    left, right = int(dataset.ShutterLeftVerticalEdge), int(dataset.ShutterRightVerticalEdge)
    mask[max(top - 1, 0) : max(bottom, 0), max(left - 1, 0) : max(right, 0)] = True
    return mask


def _circle(dataset: Dataset, rows: int, columns: int) -> Mask:
    row, column = (int(number) for number in dataset.CenterOfCircularShutter)
    radius = int(dataset.RadiusOfCircularShutter)
    y, x = np.ogrid[1 : rows + 1, 1 : columns + 1]
    inside: Mask = (y - row) ** 2 + (x - column) ** 2 <= radius**2
    return inside


def _polygon(dataset: Dataset, rows: int, columns: int) -> Mask:
    """Return the inside of a polygonal shutter. Vertices are row, column pairs counted from 1."""
    vertices = np.array([int(number) for number in dataset.VerticesOfThePolygonalShutter]).reshape(-1, 2)
    canvas = np.zeros((rows, columns), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.ascontiguousarray(vertices[:, ::-1] - 1, dtype=np.int32)], 1)
    return canvas.astype(bool)


_SHUTTERS = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
