"""PURE: whether a chest stands upright, by its pixels: no attribute says so reliably (docs/adr/0028).

A small network says how upright a thumbnail looks; the four turns of the image are compared with each other. Its
weights lie beside this file and are read when it is imported: they are part of the program, like a table, and sending
them along with each image to the process that decodes it would cost more than the check. ``orientation.json`` says how
they were made and measured.
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

from triage.radiograph.crop import Rectangle
from triage.radiograph.preprocess import PreprocessSpec, normalise

FloatImage = npt.NDArray[np.float32]
Mask = npt.NDArray[np.bool_]

THUMBNAIL = PreprocessSpec(size=32, crop="border")
_SAMPLES = 256
_FLAT = 1e-3


@dataclass(frozen=True)
class Orientation:
    """How an image is turned: ``shares`` of certainty, which sum to 1, that it has to be turned by 0, 90, 180 and 270
    degrees to the left (anticlockwise) to stand upright.

    A mirror image stands upright, too: which side is left, pixels do not say.
    """

    shares: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

    @property
    def is_upright(self) -> bool:
        """Whether it is certain enough for a model that knows upright images only."""
        return self.shares[0] >= LEAST_UPRIGHT

    def __str__(self) -> str:
        likeliest = max(range(4), key=self.shares.__getitem__)
        if likeliest:
            return f"it looks as if turned by {90 * likeliest} degrees to the right ({self.shares[likeliest]:.2f} of 1)"
        return f"it looks upright with {self.shares[0]:.2f} of 1, and {LEAST_UPRIGHT} are asked for"


UPRIGHT = Orientation()


@dataclass(frozen=True, eq=False)
class Network:
    """One hidden layer: ``first`` float32 (pixels, units), ``bias`` (units), ``second`` (units).

    A constant at the end would be the same for all four turns of an image, and is not there.
    """

    first: FloatImage
    bias: FloatImage
    second: FloatImage

    def uprightness(self, thumbnails: FloatImage) -> FloatImage:
        """How upright each of ``thumbnails`` (n, rows, columns) looks: float32 (n), without a unit."""
        hidden = np.maximum(_standardised(thumbnails) @ self.first + self.bias, np.float32(0))
        return np.asarray(hidden @ self.second, dtype=np.float32)

    def to_bytes(self) -> bytes:
        """As ``from_bytes`` reads it, in half precision."""
        stream = BytesIO()
        np.savez_compressed(stream, **{name: getattr(self, name).astype(np.float16) for name in _ARRAYS})
        return stream.getvalue()

    @classmethod
    def from_bytes(cls, data: bytes) -> Network:
        """The network that ``to_bytes`` wrote."""
        with np.load(BytesIO(data)) as arrays:
            return cls(**{name: arrays[name].astype(np.float32) for name in _ARRAYS})


_ARRAYS = ("first", "bias", "second")


def thumbnail(pixels: FloatImage, valid: Mask, part: Rectangle) -> FloatImage:
    """The ``part`` of a radiograph that the check looks at, float32 (32, 32) from 0 to 1.

    Every n-th pixel of a large image is enough.
    """
    inside, known = part.of(pixels), part.of(valid)
    step = max(min(inside.shape) // _SAMPLES, 1)
    inside, known = inside[::step, ::step], known[::step, ::step]
    rows, columns = inside.shape
    return normalise(inside, known, THUMBNAIL, Rectangle(0, 0, rows, columns))


def orientation_of(pixels: FloatImage, valid: Mask, part: Rectangle, network: Network | None = None) -> Orientation:
    """How a radiograph is turned whose ``content`` is ``part``; an image without contrast is equally likely all ways.

    ``pixels``: float32 (rows, columns), dense tissue bright; ``valid``: bool (rows, columns).
    """
    small = thumbnail(pixels, valid, part)
    turns = np.stack([np.rot90(small, turn) for turn in range(4)])
    found = (network or SHIPPED).uprightness(turns).astype(np.float64)
    shares = np.exp(found - found.max())
    shares /= shares.sum()
    return Orientation((float(shares[0]), float(shares[1]), float(shares[2]), float(shares[3])))


def _standardised(thumbnails: FloatImage) -> FloatImage:
    flat = thumbnails.reshape(len(thumbnails), -1)
    centred = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(centred / (centred.std(axis=1, keepdims=True) + np.float32(_FLAT)), dtype=np.float32)


def _shipped() -> tuple[Network, float]:
    folder = files("triage.radiograph")
    card: dict[str, Any] = json.loads(folder.joinpath("orientation.json").read_bytes())
    weights = folder.joinpath("orientation.npz").read_bytes()
    if sha256(weights).hexdigest() != card["weights_sha256"]:
        raise ImportError("orientation.npz is not the file that orientation.json describes: install the package anew")
    return Network.from_bytes(weights), float(card["least_upright"])


SHIPPED, LEAST_UPRIGHT = _shipped()
