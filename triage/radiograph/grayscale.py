"""PURE: the grey scale: stored value → Modality LUT → VOI LUT → one inversion, as a table over all stored values."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from triage.radiograph.types import Array, Mask
from triage.radiograph.values import number, numbers

Values = npt.NDArray[np.float64]

_OVERSHOOT = 1.02


def grey_table(
    dataset: Dataset, stored: Array, valid: Mask, bits: int | None = None
) -> tuple[npt.NDArray[np.float32], int]:
    """Return grey from 0 (black) to 1 (white) for each stored value, and the stored value of the table's first entry.

    Args:
        dataset: Attributes of the grey scale.
        stored: Stored values (rows, columns), for the range of an image that states no window.
        valid: Pixels (rows, columns) that count for that range.
        bits: Depth of the stored values where a codestream states another one than Bits Stored.

    Raises:
        ValueError: The attributes contradict themselves.
    """
    bits, signed = bits or int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    lowest = -(1 << (bits - 1)) if signed else 0
    domain = np.arange(lowest, lowest + (1 << bits), dtype=np.float64)
    values = _modality(dataset, domain)
    grey = _voi(dataset, values, lambda: _range_of(values, stored, valid, lowest))
    if not (np.isfinite(values).all() and np.isfinite(grey).all()):
        raise ValueError("a grey scale with values that are no numbers")
    if is_inverse(dataset):
        grey = 1.0 - grey
    return grey.astype(np.float32), lowest


def is_inverse(dataset: Dataset) -> bool:
    """Return whether the lowest value is shown white: either of two attributes states it, applied once (C.11.6.1.2)."""
    photometric, shape = (str(dataset.get(name)) for name in ("PhotometricInterpretation", "PresentationLUTShape"))
    return photometric == "MONOCHROME1" or shape == "INVERSE"


def _range_of(values: Values, stored: Array, valid: Mask, lowest: int) -> tuple[float, float]:
    """Return least and greatest value in the image; a Modality LUT need not keep the order of stored values."""
    shown = stored if valid.all() else stored[valid]
    span = values[int(shown.min()) - lowest : int(shown.max()) - lowest + 1]
    steps = np.diff(span)
    if (steps >= 0).all() or (steps <= 0).all():
        return float(min(span[0], span[-1])), float(max(span[0], span[-1]))
    present = np.zeros(len(values), dtype=bool)
    present[shown.astype(np.int64) - lowest] = True
    return float(values[present].min()), float(values[present].max())


def _modality(dataset: Dataset, domain: Values) -> Values:
    """Apply Modality LUT Sequence, else rescale slope and intercept (PS3.3 C.11.1)."""
    if dataset.get("ModalityLUTSequence"):
        entries, first, _ = _lut(dataset.ModalityLUTSequence[0], negative=bool(dataset.PixelRepresentation))
        mapped: Values = entries[np.clip(domain - first, 0, len(entries) - 1).astype(np.int64)]
        return mapped
    slope, intercept = number(dataset, "RescaleSlope"), number(dataset, "RescaleIntercept")
    if not slope or intercept is None:
        return domain
    return domain * slope + intercept


def _voi(dataset: Dataset, values: Values, shown: Callable[[], tuple[float, float]]) -> Values:
    """Apply the first VOI LUT, else the first window, else the range of the image's values (PS3.3 C.11.2)."""
    if dataset.get("VOILUTSequence"):
        entries, first, bits = _lut(dataset.VOILUTSequence[0], negative=bool(values.min() < 0))
        index = np.clip(np.floor(values) - first, 0, len(entries) - 1).astype(np.int64)
        grey: Values = np.clip(entries[index] / _brightest(entries, bits), 0.0, 1.0)
        return grey
    window = _first_window(dataset)
    if window:
        return _windowed(values, *window, str(dataset.get("VOILUTFunction") or "LINEAR"))
    low, high = shown()
    return np.clip((values - low) / (high - low), 0.0, 1.0) if high > low else np.zeros_like(values)


def _first_window(dataset: Dataset) -> tuple[float, float] | None:
    """Return center and width of the first valid window: two numbers, the width above zero (C.11.2.1.2)."""
    for center, width in zip(numbers(dataset, "WindowCenter"), numbers(dataset, "WindowWidth"), strict=False):
        if center is not None and width is not None and width > 0:
            return center, width
    return None


def _windowed(values: Values, center: float, width: float, function: str) -> Values:
    """Apply a window (PS3.3 C.11.2.1.2 and C.11.2.1.3), with an output range of 0 to 1."""
    if function == "SIGMOID":
        return 1.0 / (1.0 + np.exp(np.clip(-4.0 * (values - center) / width, -700.0, 700.0)))
    if function == "LINEAR_EXACT":
        return np.clip((values - center) / width + 0.5, 0.0, 1.0)
    if width <= 1.0:
        return (values > center - 0.5).astype(np.float64)
    return np.clip((values - (center - 0.5)) / (width - 1.0) + 0.5, 0.0, 1.0)


def _lut(item: Dataset, *, negative: bool) -> tuple[Values, int, int]:
    """Return entries, first mapped value and bits per entry of a LUT (PS3.3 C.11.1.1 and C.11.2.1.1)."""
    count, first, bits = (int(number) for number in item.LUTDescriptor)
    count &= 0xFFFF  # some writers encode these as signed
    first &= 0xFFFF
    if negative and first > 0x7FFF:
        first -= 0x10000
    count = count or 0x10000
    entries = _entries(item, count, packed=bits == 8)
    if not 8 <= bits <= 16 or len(entries) < count:
        raise ValueError("a lookup table with fewer entries than it says, or with an impossible depth")
    return entries, first, bits


def _brightest(entries: Values, bits: int) -> float:
    """Return the entry that is white (C.11.2.1.1). Some writers state fewer bits than their entries have.

    Entries up to 2 % above are shown white. Higher ones count if they fill a greater depth, else ValueError.
    """
    stated, highest = float((1 << bits) - 1), float(entries.max())
    if highest <= stated * _OVERSHOOT:
        return stated
    filled = float((1 << int(highest).bit_length()) - 1)
    if highest < filled / _OVERSHOOT:
        raise ValueError("a lookup table with entries beyond the depth that it states")
    return filled


def _entries(item: Dataset, count: int, *, packed: bool) -> Values:
    """Return LUT Data: bytes (OW) or numbers (US); of eight bits they may be ``packed`` in words, the first one low."""
    data = item.LUTData
    if isinstance(data, bytes):
        little = item.original_encoding[1] is not False
        words = np.frombuffer(data[: len(data) // 2 * 2], dtype="<u2" if little else ">u2")
    else:
        words = np.atleast_1d(np.asarray(data, dtype=np.int64) & 0xFFFF)
    if packed and len(words) == (count + 1) // 2:
        words = words.astype("<u2").view(np.uint8)
    return words[:count].astype(np.float64)
