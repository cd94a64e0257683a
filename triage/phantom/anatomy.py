"""Drawings of chests: soft shapes in the proportions of a radiograph, without any measured image.

Coordinates are fractions of the picture's width and height. Greys are opacities: 0 is air, about 1 the densest.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

import cv2
import numpy as np
import numpy.typing as npt

Grey = npt.NDArray[np.float32]
Point = tuple[float, float]

CANVAS = 512
"""Rows and columns of a drawing; everything is blurred, so more would not be visible."""


def _outline(text: str) -> tuple[Point, ...]:
    points = (pair.split() for pair in text.split(","))
    return tuple((float(x), float(y)) for x, y in points)


# x is the distance from the middle line in shapes with two sides.
_BODY = _outline(
    "0 -.02, .11 -.02, .12 .05, .17 .09, .30 .13, .44 .19, .50 .27, .52 .40, .50 .60, .46 .75, .45 1.30, 0 1.30"
)
_CHILD_BODY = _outline("0 -.02, .20 -.02, .24 .05, .34 .09, .40 .16, .42 .30, .42 .60, .40 1.30, 0 1.30")
_LUNG = _outline(
    ".09 .15, .14 .13, .20 .17, .25 .26, .29 .40, .315 .57, .325 .78, .30 .76, .24 .715, .17 .70, .10 .72, .05 .74,"
    ".05 .50, .06 .25"
)
_SHOULDER_BLADE = _outline(".28 .16, .42 .20, .40 .30, .34 .42, .30 .30")
_MEDIASTINUM = _outline(
    "-.05 -.02, .05 -.02, .06 .20, .075 .27, .065 .36, .09 .44, .14 .52, .18 .62, .19 .72, 0 .78, -.10 .72, -.095 .60,"
    "-.07 .45, -.06 .25"
)
_LATERAL_BODY = _outline(".22 .05, .45 0, .75 .08, .88 .3, .9 .6, .82 1.02, .15 1.02, .1 .6, .12 .25")
_LATERAL_LUNG = _outline(".40 .14, .58 .14, .72 .3, .78 .55, .78 .82, .6 .68, .4 .62, .22 .66, .22 .4, .28 .25")


@dataclass(frozen=True)
class Build:
    """Differences between chests: ``middle`` and ``width`` across, ``depth`` downwards, width of the ``heart``.

    ``child`` has the trunk of a small child: straight, without the shoulders. ``opacity`` is the density of a
    consolidation in the lung on the picture's left; 0 for none.
    """

    middle: float = 0.5
    width: float = 1.0
    depth: float = 1.0
    heart: float = 1.0
    child: bool = False
    opacity: float = 0.0

    def place(self, points: Iterable[Point], side: float = 1.0) -> list[Point]:
        """Return the positions of points given by their distance from the middle line."""
        return [(self.middle + side * self.width * x, y * self.depth) for x, y in points]


def frontal(build: Build) -> Grey:
    """Draw a frontal chest, float32 (CANVAS, CANVAS)."""
    lungs = _sides(build, _LUNG, 0.010)
    body = np.clip(_sides(build, _CHILD_BODY if build.child else _BODY, 0.015), 0, 1)
    heart = _polygon(build.place(((x * build.heart, y) for x, y in _MEDIASTINUM)), 0.012)
    image = body * (0.52 + 0.10 * _ramp(0.25, 0.75)) + 0.06 * body * _sides(build, _SHOULDER_BLADE, 0.008)
    clear = np.clip(lungs - heart, 0, 1)
    image -= 0.36 * clear * (1.1 - 0.35 * _ramp(0.45, 0.8))
    image += 0.24 * heart + 0.08 * _spine(build)
    image += 0.24 * body * _ramp(0.66 * build.depth, 0.86 * build.depth) * (1 - 0.9 * np.clip(lungs, 0, 1))
    image += (_ribs(build) + _hila(build)) * (0.15 + 0.85 * clear) + _clavicles(build)
    if build.opacity:
        image += build.opacity * _blob(build.place([(-0.20, 0.54)])[0], (0.08, 0.09)) * clear
    return np.asarray(image, dtype=np.float32)


def lateral(build: Build) -> Grey:
    """Draw a chest from the left side, float32 (CANVAS, CANVAS)."""
    image = 0.65 * _polygon(_LATERAL_BODY, 0.02) - 0.35 * _polygon(_LATERAL_LUNG, 0.015)
    image += 0.25 * build.heart * _blob((0.36, 0.55), (0.1, 0.12))
    for number in range(14):
        image += 0.12 * _blob((0.74 + 0.03 * np.sin(number / 4), 0.08 + number * 0.065), (0.035, 0.02))
    image += 0.2 * _ramp(0.7, 0.9) * _polygon(_LATERAL_BODY, 0.02)
    return np.asarray(image, dtype=np.float32)


def _sides(build: Build, points: Iterable[Point], blur: float) -> Grey:
    """Draw a shape and its mirror image."""
    known = list(points)
    return np.asarray(
        _polygon(build.place(known), blur) + _polygon(build.place(known, side=-1.0), blur), dtype=np.float32
    )


def _spine(build: Build) -> Grey:
    column = _polygon(build.place([(-0.045, -0.02), (0.045, -0.02), (0.055, 1.3), (-0.055, 1.3)]), 0.008)
    rows = np.arange(CANVAS, dtype=np.float32)[:, None] / CANVAS
    return np.asarray(column * (1 + 0.25 * np.sin(rows * 2 * np.pi * 17)), dtype=np.float32)


def _ribs(build: Build) -> Grey:
    """Draw the ribs: posterior ones slope down from the spine; anterior ones, fainter, the other way."""
    image = _empty()
    for number in range(9):
        y = 0.15 + number * 0.066
        reach = min(0.20 + 0.018 * number, 0.32)
        posterior = [(0.05 + (reach - 0.05) * t, y + 0.11 * t * t - 0.02 * np.sin(np.pi * t)) for t in _STEPS]
        anterior = [(reach - (reach - 0.08) * t, y + 0.11 + 0.09 * t) for t in _STEPS]
        for side in (-1.0, 1.0):
            _line(image, build.place(posterior, side), 0.019, 0.10)
            _line(image, build.place(anterior, side), 0.016, 0.04)
    return _blurred(image, 0.0025)


def _clavicles(build: Build) -> Grey:
    image = _empty()
    for side in (-1.0, 1.0):
        bone = [(0.04 + 0.30 * t, 0.19 - 0.05 * t + 0.015 * np.sin(2 * np.pi * t)) for t in _STEPS]
        _line(image, build.place(bone, side), 0.022, 0.10)
    return _blurred(image, 0.003)


def _hila(build: Build) -> Grey:
    """Draw the vessels at the root of each lung and their branches."""
    image = _empty()
    for side in (-1.0, 1.0):
        for angle in np.linspace(-1.1, 1.4, 9):
            reach = [(0.08 + 0.14 * t * np.cos(angle), 0.42 + 0.2 * t * np.sin(angle) + 0.02 * t * t) for t in _STEPS]
            for inner, outer in pairwise(reach):
                _line(image, build.place([inner, outer], side), 0.016 * (1 - (outer[0] - 0.08) * 5), 0.07)
    return _blurred(image, 0.004)


_STEPS = tuple(float(step) for step in np.linspace(0, 1, 13))


def _empty() -> Grey:
    return np.zeros((CANVAS, CANVAS), dtype=np.float32)


def _pixels(points: Iterable[Point]) -> npt.NDArray[np.int32]:
    return np.asarray(np.rint(np.array(list(points)) * CANVAS), dtype=np.int32)


def _polygon(points: Iterable[Point], blur: float) -> Grey:
    """Draw a polygon, 1 inside and 0 outside; ``blur`` is the deviation of its edge."""
    image = _empty()
    cv2.fillPoly(image, [_pixels(points)], 1.0)
    return _blurred(image, blur)


def _line(image: Grey, points: Iterable[Point], width: float, grey: float) -> None:
    thickness = max(int(width * CANVAS), 1)
    cv2.polylines(image, [_pixels(points)], isClosed=False, color=grey, thickness=thickness, lineType=cv2.LINE_8)


def _blob(centre: Point, radii: Point) -> Grey:
    y, x = np.mgrid[0:CANVAS, 0:CANVAS].astype(np.float32) / CANVAS
    squared = ((x - centre[0]) / radii[0]) ** 2 + ((y - centre[1]) / radii[1]) ** 2
    return np.asarray(np.exp(-0.5 * squared), dtype=np.float32)


def _ramp(start: float, end: float) -> Grey:
    """Draw a vertical ramp, 0 above ``start`` and 1 below ``end``."""
    rows = (np.arange(CANVAS, dtype=np.float32)[:, None] / CANVAS - start) / (end - start)
    return np.asarray(np.broadcast_to(np.clip(rows, 0, 1), (CANVAS, CANVAS)), dtype=np.float32)


def _blurred(image: Grey, deviation: float) -> Grey:
    return np.asarray(cv2.GaussianBlur(image, (0, 0), deviation * CANVAS), dtype=np.float32)
