"""PURE: numbers of attributes, however a writer encoded them. What is no number counts as absent."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import numpy as np
from pydicom.dataset import Dataset


def numbers(dataset: Dataset, keyword: str) -> tuple[float | None, ...]:
    """The values of a numeric attribute in any VR; None for one that is empty or no number, () if it is absent.

    A comma is read as the decimal point it stands for in half of the world; bytes (OB, OW, UN) are unsigned words.
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
    """The first value of a numeric attribute; None if it is absent or no number."""
    return next(iter(numbers(dataset, keyword)), None)


def _value(dataset: Dataset, keyword: str) -> Any:
    try:
        return dataset.get(keyword)
    except Exception:  # pydicom raises many kinds for a value that does not fit its VR
        raw = dataset.get_item(keyword)
        return raw.value.decode("latin-1") if raw is not None and isinstance(raw.value, bytes) else None


def _of_bytes(value: bytes, *, little: bool) -> tuple[float, ...]:
    words = np.frombuffer(value[: len(value) // 2 * 2], dtype="<u2" if little else ">u2")
    return tuple(float(word) for word in words)


def _number(value: Any) -> float | None:
    text = str(value).strip(" \0")
    try:
        parsed = float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return None
    return parsed if math.isfinite(parsed) else None
