"""PURE: guarded access to the attributes of a pydicom data set: no value of a sender's raises here.

pydicom decodes a value when it is read, and raises many kinds of errors for one that does not fit its VR. They are
caught in this file alone. The decoding of pixels (``triage.radiograph.decode``) reads unguarded on purpose: a value
that it needs and that cannot be read makes the image undecodable.
"""

from __future__ import annotations

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset


def value_of(dataset: Dataset, keyword: str) -> object:
    """Return the decoded value of an attribute; None where it is absent, or does not fit its VR."""
    try:
        value: object = dataset.get(keyword)
    except Exception:  # of many kinds
        return None
    return value


def raw_element(dataset: Dataset, keyword: str) -> DataElement | RawDataElement | None:
    """Return the element as it was encoded, or decoded if it was read before; None where it cannot be had."""
    try:
        return dataset.get_item(keyword)
    except Exception:  # of many kinds: a long value may be left in a file that is closed
        return None


def has_content(dataset: Dataset, keyword: str) -> bool:
    """Return whether an attribute is there and not empty, even if its value cannot be decoded."""
    if keyword not in dataset:
        return False
    element = raw_element(dataset, keyword)
    if element is None:
        return True
    if element.value is None:
        return isinstance(element, RawDataElement) and bool(element.length)  # left in the file: it is long
    return bool(element.value.strip(b" \0") if isinstance(element.value, bytes) else element.value)
