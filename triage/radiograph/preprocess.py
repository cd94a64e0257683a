"""PURE: preprocessing of a radiograph's pixels to a model input, in training, export, validation and service alike.

The parameters travel in the model card. OpenCV's area filter on float32 is deterministic, so that with the same wheels
on the same architecture the result is bit-identical everywhere.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Literal, Self, get_args

import cv2
import numpy as np
import numpy.typing as npt

from triage.radiograph.area_filter import shrink
from triage.radiograph.crop import WHOLE, Edges, Rectangle, content

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]
Fit = Literal["stretch", "letterbox", "centre_crop"]
Levels = Literal["percentiles", "full"]
Resize = Literal["area", "area_rows", "linear"]
_CHOICES = {"fit": Fit, "crop": Literal["none", "border"], "levels": Levels, "resize": Resize}

_FEWEST_VALID_PIXELS = 16
_LEAST_CONTRAST = 1e-5  # below one step of 16 bits: what resizing rounds, not image


@dataclass(frozen=True)
class PreprocessSpec:
    """Preprocessing of a model. The input is ``(pixels - mean) / deviation`` of the resized, scaled pixels.

    Attributes:
        size: Rows and columns of the model input.
        fit: ``stretch`` maps the whole image to the square without its aspect ratio, as in the public copies that the
            models were trained on. ``letterbox`` keeps the aspect ratio and fills the square with black, in equal parts
            on both sides. ``centre_crop`` takes the middle square, as long as the shorter side.
        low_percentile: Of the valid pixels after resizing; it becomes 0. Without meaning where ``levels`` is ``full``.
        high_percentile: Likewise; it becomes 1.
        mean: Subtracted from the scaled pixels.
        deviation: Divides them.
        crop: ``border`` removes all outside the shutter, and a border of one grey, before anything else.
        levels: ``percentiles`` scales each image by its own greys; ``full`` takes the whole grey scale after the
            transformations of the file: black is 0, white is 1.
        resize: ``area`` averages, as OpenCV's INTER_AREA, and is linear where an axis grows. ``area_rows`` is the same
            average with rows summed before columns: less than half the time, and other roundings (within 2e-7 of the
            grey scale). ``linear`` is OpenCV's INTER_LINEAR, which skips pixels when it shrinks: for networks that were
            trained so.
    """

    size: int
    fit: Fit = "stretch"
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    mean: float = 0.5
    deviation: float = 0.25
    crop: Literal["none", "border"] = "none"
    levels: Levels = "percentiles"
    resize: Resize = "area"

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048:
            raise ValueError(f"size must be 16 to 2048, not {self.size}")
        for name, allowed in _CHOICES.items():
            if getattr(self, name) not in get_args(allowed):
                raise ValueError(f"{name} must be {' or '.join(get_args(allowed))}, not {getattr(self, name)!r}")
        if not 0 <= self.low_percentile < self.high_percentile <= 100:
            raise ValueError("percentiles must be 0 <= low < high <= 100")
        if not 0 < self.deviation < math.inf or not math.isfinite(self.mean):
            raise ValueError(f"mean must be finite and deviation positive, not {self.mean} and {self.deviation}")

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """Return the spec in a card. Raises TypeError or ValueError for unknown or wrong keys."""
        return cls(**record)

    def to_record(self) -> dict[str, Any]:
        """Return the spec as JSON."""
        return asdict(self)


def preprocess(pixels: FloatImage, valid: Mask, spec: PreprocessSpec, part: Rectangle | None = None) -> FloatImage:
    """Return the model input of one radiograph, float32 (1, size, size). An image without contrast is a constant.

    Args:
        pixels: float32 (rows, columns), dense tissue bright.
        valid: bool (rows, columns), False at padding and outside the shutter; such pixels count in no statistic and
            become the darkest value.
        spec: The preprocessing of the model.
        part: The ``content`` of the image, where it is known already.
    """
    levels = normalise(pixels, valid, spec, part)
    model_input: FloatImage = ((levels - np.float32(spec.mean)) / np.float32(spec.deviation))[np.newaxis]
    return model_input


def normalise(pixels: FloatImage, valid: Mask, spec: PreprocessSpec, part: Rectangle | None = None) -> FloatImage:
    """Return ``pixels`` cropped, resized and scaled to 0 to 1, float32 (size, size), as training caches them."""
    if spec.crop == "border":
        part = part or content(pixels, valid)
        pixels, valid = part.of(pixels), part.of(valid)
    if spec.fit == "centre_crop":
        middle = _middle_square(*pixels.shape)
        pixels, valid = middle.of(pixels), middle.of(valid)
    levels = _scaled(pixels, valid, spec, _inner_shape(pixels.shape, spec))
    return _padded(levels, spec.size) if spec.fit == "letterbox" else levels


def _scaled(pixels: FloatImage, valid: Mask, spec: PreprocessSpec, shape: tuple[int, int]) -> FloatImage:
    """Return ``pixels`` resized to ``shape`` and scaled to 0 to 1."""
    whole = bool(valid.all())
    image = _resized(pixels if whole else np.where(valid, pixels, np.float32(0)), shape, spec.resize)
    if whole:
        inside = np.ones(image.shape, dtype=bool)
    else:
        # The share of each output pixel that is image; dividing by it keeps the border from darkening.
        share = _resized(valid.astype(np.float32), shape, spec.resize)
        inside = share > 0.5
        image = np.divide(image, share, out=np.zeros_like(image), where=share > 0)
    if np.count_nonzero(inside) < _FEWEST_VALID_PIXELS:
        return np.zeros_like(image)
    low, high = np.float32(0), np.float32(1)
    if spec.levels == "percentiles":
        low, high = np.percentile(image[inside], [spec.low_percentile, spec.high_percentile]).astype(np.float32)
    if not high - low > _LEAST_CONTRAST:
        return np.zeros_like(image)
    levels: FloatImage = np.clip((image - low) / (high - low), np.float32(0), np.float32(1))
    levels[~inside] = 0
    return levels


def shown_part(spec: PreprocessSpec, edges: Edges, aspect: float = 1.0) -> Edges:
    """Return the part of an image that the model input shows, if its ``content`` has the edges ``edges``.

    The inverse of ``normalise``, to draw over the image what was found in the input. Without a crop, padding and
    shutter blacken pixels and remove none. The bars of a letterbox lie outside of the image: edges below 0 and above 1.
    ``aspect``: rows over columns of the whole image; ``stretch`` does not need it.
    """
    top, left, bottom, right = edges if spec.crop == "border" else WHOLE
    if spec.fit == "stretch":
        return top, left, bottom, right
    rows, columns = (bottom - top) * aspect, right - left
    side = max(rows, columns) if spec.fit == "letterbox" else min(rows, columns)
    down, across = (side / rows - 1) * (bottom - top) / 2, (side / columns - 1) * (right - left) / 2
    return top - down, left - across, bottom + down, right + across


def _middle_square(rows: int, columns: int) -> Rectangle:
    """Return the middle square of the shorter side, to the pixel that of torchxrayvision's XRayCenterCrop."""
    side = min(rows, columns)
    top, left = rows // 2 - side // 2, columns // 2 - side // 2
    return Rectangle(top, left, top + side, left + side)


def _inner_shape(shape: tuple[int, ...], spec: PreprocessSpec) -> tuple[int, int]:
    """Return rows and columns of the image inside the square."""
    if spec.fit != "letterbox":
        return spec.size, spec.size
    longer = max(shape)
    return max(1, round(shape[0] * spec.size / longer)), max(1, round(shape[1] * spec.size / longer))


def _padded(levels: FloatImage, size: int) -> FloatImage:
    """Return ``levels`` in the middle of a black square."""
    rows, columns = levels.shape
    top, left = (size - rows) // 2, (size - columns) // 2
    square = np.zeros((size, size), dtype=np.float32)
    square[top : top + rows, left : left + columns] = levels
    return square


def _resized(image: FloatImage, shape: tuple[int, int], resize: Resize) -> FloatImage:
    """Resize with the area filter, or linearly where an axis grows."""
    shrinking = image.shape[0] >= shape[0] and image.shape[1] >= shape[1]
    if resize == "area_rows" and shrinking:
        image = _fewer_rows(image, shape[0])
    image = np.ascontiguousarray(image)
    if resize != "linear" and shrinking:
        return shrink(image, shape)
    return np.asarray(cv2.resize(image, shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def _fewer_rows(image: FloatImage, rows: int) -> FloatImage:
    """Average ``image`` (n, columns) over its rows to ``rows``, at most n: the area filter along one axis.

    Whole rows are added one after the other, along which the processor adds several pixels at once; along a row it
    would add one pixel after the other. No library of linear algebra: its order depends on the processor.
    """
    if len(image) == rows:
        return image
    height = Fraction(len(image), rows)
    sums = np.empty((rows, image.shape[1]), dtype=np.float32)
    for row in range(rows):
        start, end = row * height, (row + 1) * height
        first, last = math.ceil(start), math.floor(end)
        np.add.reduce(image[first:last], axis=0, out=sums[row])
        if first > start:
            sums[row] += np.float32(first - start) * image[first - 1]
        if end > last:
            sums[row] += np.float32(end - last) * image[last]
    sums *= np.float32(1 / height)
    return sums
