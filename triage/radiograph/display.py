"""PURE: a radiograph for display on a page: its values in full depth, and the window that it opens with."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from triage.radiograph.decode import TabledRadiograph, decode_file
from triage.radiograph.types import FloatImage, Mask, Rejected

_STRAIGHT = 1e-4  # how far a grey scale may be from a straight line between two ends and still be one


@dataclass(frozen=True, eq=False)
class DisplayImage:
    """An image that a page shows and windows.

    ``values``: uint16 (rows, columns). A value of ``black`` is shown black and one of ``white`` white, linearly in
    between; ``white`` may be the lower one. ``valid``: bool (rows, columns), False at padding and outside a shutter.
    """

    values: npt.NDArray[np.uint16]
    valid: Mask
    black: float
    white: float


def view(data: bytes) -> DisplayImage | Rejected:
    """Decode the image in a DICOM, PNG or JPEG file as the service does. Never raises for bad bytes.

    It opens as the service scores it. If that is a linear window, a reader may widen it to all stored values; a VOI LUT
    or a sigmoid is applied first, and the window acts on its output.
    """
    radiograph = decode_file(data)
    if isinstance(radiograph, Rejected):
        return radiograph
    if isinstance(radiograph, TabledRadiograph) and (ends := linear_ends(radiograph.table)):
        return DisplayImage(radiograph.index.astype(np.uint16), radiograph.valid, *ends)
    return DisplayImage(np.rint(radiograph.pixels * 65535).astype(np.uint16), radiograph.valid, 0.0, 65535.0)


def greys(data: bytes, longest: int) -> npt.NDArray[np.uint8] | Rejected:
    """Return the image as it opens, in 8 bits, ``longest`` pixels on its longer side; black where it is not valid."""
    radiograph = decode_file(data)
    if isinstance(radiograph, Rejected):
        return radiograph
    shown = np.where(radiograph.valid, radiograph.pixels, np.float32(0))
    scale = longest / max(shown.shape)
    rows, columns = (max(round(side * scale), 1) for side in shown.shape)
    drawn = cv2.resize(shown, (columns, rows), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return np.rint(np.clip(drawn, 0, 1) * 255).astype(np.uint8)


def linear_ends(table: FloatImage) -> tuple[float, float] | None:
    """Return where a linear grey scale reaches black and white, as positions in ``table``; None if it is not linear.

    The line may go up or down, and end outside the table.
    """
    between = np.flatnonzero((table > 0) & (table < 1))
    if len(between) < 2:
        return None
    first, last = int(between[0]), int(between[-1])
    slope = (float(table[last]) - float(table[first])) / (last - first)
    if slope == 0:
        return None
    black = first - float(table[first]) / slope
    white = black + 1 / slope
    line = np.clip((np.arange(len(table)) - black) / (white - black), 0, 1)
    return (black, white) if float(np.abs(line - table).max()) <= _STRAIGHT else None
