"""PURE: a small image of a radiograph, and the small networks that score it.

The orientation check (docs/adr/0028) and the projection check (docs/adr/0031) use the same one. The weights of each are
in the folder of its code and are read when that is imported: they are part of the program, like a table, and sending
them with each image to the process that decodes it would cost more than the check. A JSON file next to the weights
describes how they were made and measured.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files
from io import BytesIO
from typing import Any

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from triage.radiograph.crop import Rectangle
from triage.radiograph.preprocess import PreprocessSpec, normalise

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

THUMBNAIL = PreprocessSpec(size=32, crop="border")
FLAT = 1e-3
"""Added to the deviation of a thumbnail's pixels, so that one without contrast keeps none."""
STRIDE = 2
"""Stride of every convolution."""
_SAMPLES = 256


def thumbnail(pixels: FloatImage, valid: Mask, part: Rectangle) -> FloatImage:
    """Return the ``part`` of a radiograph that is its ``content``, float32 (32, 32) from 0 to 1.

    ``pixels``: float32 (rows, columns), dense tissue bright; ``valid``: bool (rows, columns). Every n-th pixel of a
    large image is enough.
    """
    inside, known = part.of(pixels), part.of(valid)
    step = max(min(inside.shape) // _SAMPLES, 1)
    inside, known = inside[::step, ::step], known[::step, ::step]
    rows, columns = inside.shape
    return normalise(inside, known, THUMBNAIL, Rectangle(0, 0, rows, columns))


@dataclass(frozen=True, eq=False)
class Convolution:
    """One layer: ``kernel`` float32 (channels, rows, columns, channels out), ``shift`` float32 (channels out)."""

    kernel: FloatImage
    shift: FloatImage

    def of(self, images: FloatImage) -> FloatImage:
        """Apply it to (n, rows, columns, channels); returns fewer rows and columns, no value below 0."""
        windows = sliding_window_view(images, self.kernel.shape[1:3], axis=(1, 2))[:, ::STRIDE, ::STRIDE]
        summed = np.tensordot(windows, self.kernel, 3) + self.shift
        return np.asarray(np.maximum(summed, np.float32(0)), dtype=np.float32)


@dataclass(frozen=True, eq=False)
class ThumbnailNetwork:
    """Convolutions and one hidden layer over a thumbnail.

    The pixels of each thumbnail are standardised to mean 0 and deviation 1: brightness and contrast do not matter.

    Attributes:
        first: Weights of the hidden layer, float32 (inputs, units).
        bias: Its bias (units).
        second: Weights of the output (units).
        constant: Bias of the output ().
        convolutions: Applied first, in this order.
    """

    first: FloatImage
    bias: FloatImage
    second: FloatImage
    constant: FloatImage
    convolutions: tuple[Convolution, ...] = ()

    def scores(self, thumbnails: FloatImage) -> FloatImage:
        """Return the score of each of ``thumbnails`` (n, rows, columns): float32 (n), without a unit."""
        seen = _standardised(thumbnails)[..., np.newaxis]
        for convolution in self.convolutions:
            seen = convolution.of(seen)
        hidden = np.maximum(seen.reshape(len(seen), -1) @ self.first + self.bias, np.float32(0))
        return np.asarray(hidden @ self.second + self.constant, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """Return the network in the form that ``from_bytes`` reads, in half precision; a constant of 0 is left out."""
        arrays = {name: getattr(self, name) for name in _ARRAYS if name != "constant" or self.constant.any()}
        for number, each in enumerate(self.convolutions):
            arrays |= {f"kernel{number}": each.kernel, f"shift{number}": each.shift}
        stream = BytesIO()
        np.savez_compressed(stream, **{name: array.astype(np.float16) for name, array in arrays.items()})
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> ThumbnailNetwork:
        """Return the network that ``to_bytes`` wrote."""
        with np.load(BytesIO(data)) as stored:
            arrays = {"constant": np.zeros((), np.float32)} | {name: stored[name].astype(np.float32) for name in stored}
        count = sum(name.startswith("kernel") for name in arrays)
        convolutions = (Convolution(arrays[f"kernel{number}"], arrays[f"shift{number}"]) for number in range(count))
        return cls(**{name: arrays[name] for name in _ARRAYS}, convolutions=tuple(convolutions))


_ARRAYS = ("first", "bias", "second", "constant")


def shipped(name: str) -> tuple[ThumbnailNetwork, dict[str, Any]]:
    """Return the network ``name`` of this package and its JSON card. Raises ImportError if they do not match."""
    folder = files("triage.radiograph")
    card: dict[str, Any] = json.loads(folder.joinpath(f"{name}.json").read_bytes())
    weights = folder.joinpath(f"{name}.npz").read_bytes()
    if sha256(weights).hexdigest() != card["weights_sha256"]:
        raise ImportError(f"{name}.npz is not the file that {name}.json describes: install the package again")
    return ThumbnailNetwork.from_bytes(weights), card


def _standardised(thumbnails: FloatImage) -> FloatImage:
    centred = thumbnails - thumbnails.mean(axis=(1, 2), keepdims=True)
    return np.asarray(centred / (centred.std(axis=(1, 2), keepdims=True) + np.float32(FLAT)), dtype=np.float32)
