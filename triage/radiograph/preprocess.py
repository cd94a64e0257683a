"""PURE: preprocessing of a radiograph's pixels to a model input, in training, export, validation and service alike.

The parameters travel in the model card. OpenCV's area filter on float32 is deterministic, so that with the same wheels
on the same architecture the result is bit-identical everywhere.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal, Self

import cv2
import numpy as np
import numpy.typing as npt

from triage.radiograph.crop import WHOLE, Edges, Rectangle, content

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

_FEWEST_VALID_PIXELS = 16
_LEAST_CONTRAST = 1e-5  # below one step of 16 bits: what resizing rounds, not image


@dataclass(frozen=True)
class PreprocessSpec:
    """Preprocessing of a model. The input is ``(pixels - mean) / deviation`` of the resized, scaled pixels.

    Attributes:
        size: Rows and columns of the model input.
        fit: ``stretch`` maps the whole image to the square without its aspect ratio, as in the public copies that the
            models were trained on.
        low_percentile: Of the valid pixels after resizing; it becomes 0.
        high_percentile: Likewise; it becomes 1.
        mean: Subtracted from the scaled pixels.
        deviation: Divides them.
        crop: ``border`` removes all outside the shutter, and a border of one grey, before anything else.
    """

    size: int
    fit: Literal["stretch"] = "stretch"
    low_percentile: float = 1.0
    high_percentile: float = 99.0
    mean: float = 0.5
    deviation: float = 0.25
    crop: Literal["none", "border"] = "none"

    def __post_init__(self) -> None:
        if not 16 <= self.size <= 2048:
            raise ValueError(f"size must be 16 to 2048, not {self.size}")
        if self.fit != "stretch":
            raise ValueError(f"fit must be stretch, not {self.fit!r}")
        if self.crop not in ("none", "border"):
            raise ValueError(f"crop must be none or border, not {self.crop!r}")
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
    whole = bool(valid.all())
    image = _resized(pixels if whole else np.where(valid, pixels, np.float32(0)), spec.size)
    if whole:
        inside = np.ones(image.shape, dtype=bool)
    else:
        # The share of each output pixel that is image; dividing by it keeps the border from darkening.
        share = _resized(valid.astype(np.float32), spec.size)
        inside = share > 0.5
        image = np.divide(image, share, out=np.zeros_like(image), where=share > 0)
    if np.count_nonzero(inside) < _FEWEST_VALID_PIXELS:
        return np.zeros_like(image)
    low, high = np.percentile(image[inside], [spec.low_percentile, spec.high_percentile]).astype(np.float32)
    if not high - low > _LEAST_CONTRAST:
        return np.zeros_like(image)
    levels: FloatImage = np.clip((image - low) / (high - low), np.float32(0), np.float32(1))
    levels[~inside] = 0
    return levels


def shown_part(spec: PreprocessSpec, edges: Edges) -> Edges:
    """Return the part of an image that the model input shows, if its ``content`` has the edges ``edges``.

    The inverse of ``normalise``, to draw over the image what was found in the input. ``stretch`` shows all that is
    left: without a crop, padding and shutter blacken pixels and remove none.
    """
    assert spec.fit == "stretch"
    return edges if spec.crop == "border" else WHOLE


def _resized(image: FloatImage, size: int) -> FloatImage:
    """Resize with the area filter, or linearly where an axis grows."""
    shrinking = image.shape[0] >= size and image.shape[1] >= size
    flags = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(np.ascontiguousarray(image), (size, size), interpolation=flags), dtype=np.float32)
