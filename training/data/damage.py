"""Damage to radiographs on purpose, before all preprocessing: noise, lossy compression, less detail, other greys."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TypeAlias

import cv2
import numpy as np

from triage.radiograph.preprocess import FloatImage

Damage: TypeAlias = Callable[[FloatImage, int], FloatImage]
"""From pixels, 0 black to 1 white, and a seed to damaged pixels of the same shape."""


def noise(pixels: FloatImage, seed: int, *, deviation: float) -> FloatImage:
    """Add Gaussian noise; ``deviation`` is a share of the whole grey scale."""
    drawn = np.random.default_rng(seed).normal(0, deviation, pixels.shape).astype(np.float32)
    return np.asarray(np.clip(pixels + drawn, 0, 1), dtype=np.float32)


def jpeg(pixels: FloatImage, _: int, *, quality: int) -> FloatImage:
    """Compress as 8-bit JPEG of a quality from 1 to 100."""
    return _through(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])


def jpeg_2000(pixels: FloatImage, _: int, *, ratio: int) -> FloatImage:
    """Compress as 8-bit JPEG 2000 to one ``ratio``-th of the uncompressed bytes."""
    return _through(".jp2", pixels, [cv2.IMWRITE_JPEG2000_COMPRESSION_X1000, 1000 // ratio])


def smaller(pixels: FloatImage, _: int, *, side: int) -> FloatImage:
    """Shrink to ``side`` pixels a side and enlarge again: detail finer than that is gone."""
    small = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(small, pixels.shape[::-1], interpolation=cv2.INTER_LINEAR), dtype=np.float32)


def gamma(pixels: FloatImage, _: int, *, exponent: float) -> FloatImage:
    """Raise greys to ``exponent``: below 1 brighter, above 1 darker, as another look-up table of the modality."""
    return np.asarray(pixels**exponent, dtype=np.float32)


def _through(suffix: str, pixels: FloatImage, parameters: list[int]) -> FloatImage:
    written = cv2.imencode(suffix, np.rint(pixels * 255).astype(np.uint8), parameters)[1]
    read = cv2.imdecode(written, cv2.IMREAD_GRAYSCALE)
    return np.asarray(np.asarray(read, dtype=np.float32) / 255, dtype=np.float32)


DAMAGES: Mapping[str, Damage] = {
    "noise, SD 1 % of the greys": partial(noise, deviation=0.01),
    "noise, SD 3 %": partial(noise, deviation=0.03),
    "noise, SD 10 %": partial(noise, deviation=0.1),
    "JPEG, quality 50": partial(jpeg, quality=50),
    "JPEG, quality 10": partial(jpeg, quality=10),
    "JPEG 2000, 20:1": partial(jpeg_2000, ratio=20),
    "JPEG 2000, 80:1": partial(jpeg_2000, ratio=80),
    "128 px": partial(smaller, side=128),
    "gamma 0.7": partial(gamma, exponent=0.7),
    "gamma 1.4": partial(gamma, exponent=1.4),
}
"""Damages by name, in the order of the table."""
