"""PURE: which pixels are image: not padding (PS3.3 C.7.5.1.1.2) and inside the shutters (C.7.6.11)."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

Mask = npt.NDArray[np.bool_]


def valid_pixels(dataset: Dataset, stored: npt.NDArray[Any], *, padding: bool = True) -> Mask:
    """True where ``stored`` (rows, columns) is image. ``padding`` False leaves the padding value out (colour)."""
    valid = np.ones(stored.shape, dtype=bool)
    if padding and (limits := _padding(dataset)):
        valid &= ~((stored >= limits[0]) & (stored <= limits[1]))
    shapes = dataset.get("ShutterShape") or ()
    for shape in [shapes] if isinstance(shapes, str) else shapes:
        draw = _SHUTTERS.get(str(shape))
        if draw:
            valid &= draw(dataset, *stored.shape)
    return valid


def _padding(dataset: Dataset) -> tuple[int, int] | None:
    """Lowest and highest padding value. Some writers give these the VR of the other sign."""
    values = [dataset.get(name) for name in ("PixelPaddingValue", "PixelPaddingRangeLimit")]
    ends = [int(value) & 0xFFFF for value in values if value is not None and value != ""]
    if not ends or values[0] in (None, ""):
        return None
    if dataset.PixelRepresentation:
        ends = [end - 0x10000 if end > 0x7FFF else end for end in ends]
    return min(ends), max(ends)


def _rectangle(dataset: Dataset, rows: int, columns: int) -> Mask:
    """Edges are columns and rows counted from 1, and belong to the image."""
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
    """Vertices are row, column pairs counted from 1."""
    vertices = np.array([int(number) for number in dataset.VerticesOfThePolygonalShutter]).reshape(-1, 2)
    canvas = np.zeros((rows, columns), dtype=np.uint8)
    cv2.fillPoly(canvas, [np.ascontiguousarray(vertices[:, ::-1] - 1, dtype=np.int32)], 1)
    return canvas.astype(bool)


_SHUTTERS = {"RECTANGULAR": _rectangle, "CIRCULAR": _circle, "POLYGONAL": _polygon}
