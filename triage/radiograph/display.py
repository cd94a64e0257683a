"""PURE: a radiograph for display on a page: its values in full depth, and the window that it opens with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from triage.dicom.attribute_text import text_of
from triage.radiograph.decode import (
    TabledRadiograph,
    decode_file,
    decode_picture,
    decode_pixels,
    is_picture,
    open_dicom,
)
from triage.radiograph.ruler import NOT_STATED, Ruler, ruler_of
from triage.radiograph.types import FloatImage, Mask, Radiograph, Rejected

_STRAIGHT = 1e-4  # how far a grey scale may be from a straight line between two ends and still be one
_DIRECTION = re.compile(r"(?!.*(?:[AP].*[AP]|[RL].*[RL]|[HF].*[HF]))[APRLHF]{1,3}")
_AXES = dict(zip("APRLHF", "aarrhh", strict=True))


@dataclass(frozen=True, eq=False)
class DisplayImage:
    """An image that a page shows and windows.

    ``values``: uint16 (rows, columns). A value of ``black`` is shown black and one of ``white`` white, linearly in
    between; ``white`` may be the lower one. ``valid``: bool (rows, columns), False at padding and outside a shutter.
    ``ruler``: what a length means. ``orientation``: directions of the patient to the right and to the bottom, as
    letters of Patient Orientation (0020,0020); empty where it does not state both.
    """

    values: npt.NDArray[np.uint16]
    valid: Mask
    black: float
    white: float
    ruler: Ruler = NOT_STATED
    orientation: tuple[str, ...] = ()


def view(data: bytes) -> DisplayImage | Rejected:
    """Decode the image in a DICOM, PNG or JPEG file as the service does. Never raises for bad bytes.

    It opens as the service scores it. If that is a linear window, a reader may widen it to all stored values; a VOI LUT
    or a sigmoid is applied first, and the window acts on its output.
    """
    if is_picture(data):
        radiograph = decode_picture(data)
        return radiograph if isinstance(radiograph, Rejected) else _shown(radiograph)
    opened = open_dicom(data)
    if isinstance(opened, Rejected):
        return opened
    radiograph = decode_pixels(*opened)
    if isinstance(radiograph, Rejected):
        return radiograph
    return replace(_shown(radiograph), ruler=ruler_of(opened[0]), orientation=_orientation(opened[0]))


def _shown(radiograph: Radiograph) -> DisplayImage:
    if isinstance(radiograph, TabledRadiograph) and (ends := linear_ends(radiograph.table)):
        return DisplayImage(radiograph.index.astype(np.uint16), radiograph.valid, *ends)
    return DisplayImage(np.rint(radiograph.pixels * 65535).astype(np.uint16), radiograph.valid, 0.0, 65535.0)


def _orientation(dataset: Dataset) -> tuple[str, ...]:
    """Return Patient Orientation (0020,0020) of a person: two directions, each of letters A, P, R, L, H, F."""
    stated = tuple(part.strip() for part in text_of(dataset, "PatientOrientation").upper().split("\\"))
    sound = len(stated) == 2 and all(_DIRECTION.fullmatch(part) for part in stated)
    return stated if sound and _AXES[stated[0][0]] != _AXES[stated[1][0]] else ()


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
