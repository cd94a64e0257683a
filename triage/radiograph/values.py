"""PURE: values of numeric attributes, however a writer encoded them. A value that is no number counts as absent."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from pydicom.dataset import Dataset

from triage.dicom.attribute_reader import raw_element, value_of


def numbers(dataset: Dataset, keyword: str) -> tuple[float | None, ...]:
    """Return the values of a numeric attribute in any VR; None for one that is empty or no number, () if it is absent.

    A comma is read as the decimal point that it is in many countries; bytes (OB, OW, UN) are unsigned words.
    """
    value = _value(dataset, keyword)
    if value is None or value == "":
        return ()
    if isinstance(value, bytes):
        return _of_bytes(value, little=dataset.original_encoding[1] is not False)
    if isinstance(value, str):
        value = value.split("\\")
    return tuple(_number(part) for part in value) if isinstance(value, Iterable) else (_number(value),)


def number(dataset: Dataset, keyword: str) -> float | None:
    """Return the first value of a numeric attribute; None if it is absent or no number."""
    return next(iter(numbers(dataset, keyword)), None)


def _value(dataset: Dataset, keyword: str) -> object:
    """Return the decoded value, or the text of one that does not fit its VR."""
    value = value_of(dataset, keyword)
    raw = raw_element(dataset, keyword) if value is None else None
    return raw.value.decode("latin-1") if raw is not None and isinstance(raw.value, bytes) else value


def _of_bytes(value: bytes, *, little: bool) -> tuple[float, ...]:
    words = np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2" if little else ">u2")
    return tuple(float(word) for word in words)


def _number(value: object) -> float | None:
    text = str(value).strip(" \0")
    try:
        parsed = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None
