"""PURE: bits of a stored value where a codestream and Bits Stored do not agree (PS3.5 8.2.1, 8.2.4)."""

from __future__ import annotations

import numpy as np
from pydicom.dataset import Dataset

from triage.radiograph.types import Array
from triage.radiograph.undecodable import UndecodableError

_EVERY = 4  # of so many rows one is used to distinguish an overlay from pixels


def depth_of(dataset: Dataset, precision: int) -> int:
    """Return the bits of a stored value: Bits Stored, unless the codestream states more.

    ``precision`` is that of the codestream, 0 without one. One of all bits allocated does not count: such a codestream
    also carries an overlay in unused bits.
    """
    stored, allocated = int(dataset.BitsStored), int(dataset.BitsAllocated)
    return precision if stored < precision < allocated else stored


def values_of(array: Array, bits: int, signed: bool, *, overshoots: bool) -> Array:
    """Return samples (rows, columns) as stored values of ``bits``. ``overshoots``: a lossy codec has decoded them.

    Raises UndecodableError for pixels that need more bits than that.
    """
    return _limited(array, bits, signed) if overshoots else _without_unused_bits(array, bits, signed)


def _limited(array: Array, bits: int, signed: bool) -> Array:
    """Limit samples of lossy codecs, which overshoot: beyond white is white, and must not wrap to black."""
    lowest = -(1 << (bits - 1)) if signed else 0
    return np.clip(array, lowest, lowest + (1 << bits) - 1) if bits < array.dtype.itemsize * 8 else array


def _without_unused_bits(array: Array, bits: int, signed: bool) -> Array:
    if signed:
        spare = array.dtype.itemsize * 8 - bits
        extended: Array = (array << spare) >> spare  # the sign bit is the highest stored one
        return extended
    limit = (1 << bits) - 1
    if int(array.max()) <= limit:
        return array
    masked: Array = array & np.array(limit, dtype=array.dtype)
    if _variation(masked) > _variation(array):
        raise UndecodableError("the pixels need more bits than Bits Stored says")
    return masked


def _variation(array: Array) -> int:
    """Return the sum of the steps along rows. Without an overlay an image varies less; without its high bits, more."""
    return int(np.abs(np.diff(array[::_EVERY].astype(np.int64), axis=1)).sum())
