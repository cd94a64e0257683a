"""PURE: values of attributes as text, and items of sequences, whatever a sender wrote there."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.datadict import dictionary_VR
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as Items

from triage.dicom.attribute_reader import value_of

TEXT_VRS = frozenset(
    ("AE", "AS", "CS", "DA", "DS", "DT", "IS", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT")
)
_PADDING = " \0\t\r\n"
_ENDS = {0x0A, 0x0C, 0x0D}  # after which ISO 2022 starts again (PS3.5 6.1.2.5.3)


def text_of(dataset: Dataset, keyword: str) -> str:
    """Return the value of an attribute as text; several values with a backslash between them, as DICOM writes them.

    Empty where there is none, where the value does not fit its VR, and where it is no text: a sequence, or bytes under
    an attribute that is not of text. Bytes under one of text (a VR of UN or OB) are decoded as text.
    """
    return as_text(value_of(dataset, keyword), dataset, keyword)


def as_text(value: object, dataset: Dataset, keyword: str) -> str:
    """Return a value of ``dataset`` as ``text_of`` does."""
    if value is None or isinstance(value, (Items, Dataset)):
        return ""
    if isinstance(value, (bytes, bytearray)):
        return _decoded(dataset, keyword, bytes(value)).strip(_PADDING)
    if isinstance(value, (MultiValue, list, tuple)):
        return "\\".join(map(str, value)).strip(_PADDING)
    return str(value).strip(_PADDING)


def items_of(dataset: Dataset, keyword: str) -> list[Dataset]:
    """Return the items of a sequence; none of anything else."""
    value = value_of(dataset, keyword)
    if not isinstance(value, Iterable) or isinstance(value, str):
        return []
    return [item for item in value if isinstance(item, Dataset)]


def character_set_of(dataset: Dataset) -> tuple[str, ...]:
    """Return the terms of Specific Character Set (0008,0005), several for code extensions."""
    value = value_of(dataset, "SpecificCharacterSet")
    if value is None or value == "":
        return ()
    return (value,) if isinstance(value, str) else tuple(map(str, value)) if isinstance(value, Sequence) else ()


def _decoded(dataset: Dataset, keyword: str, value: bytes) -> str:
    try:
        if dictionary_VR(keyword) not in TEXT_VRS:
            return ""
        encodings = convert_encodings(list(character_set_of(dataset)) or [""])
        return decode_bytes(value, encodings, _ENDS)
    except Exception:  # pydicom raises many kinds for terms that are none, and for bytes that do not fit: no text
        return ""
