"""PURE: attributes of an image as an object of ours may have them, so that every reader takes it (PS3.5 6.2, 6.4).

What is odd in an image came from a device, and the image was kept with it. An object that we make of it is refused, or
cannot be written at all, for the same oddity; and it may say that a patient is ill. So each attribute is repaired where
that changes nothing that it says, and left out where not.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from io import BytesIO
from typing import Any

from pydicom import config, dcmread
from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import TM, PersonName

from triage.dicom.attribute_text import TEXT_VRS, as_text, character_set_of, items_of, text_of, value_of
from triage.dicom.uid import InvalidUIDError, valid_uid

NUMBERS = frozenset({"AccessionNumber", *(f"{who}OrderNumberImagingServiceRequest" for who in ("Placer", "Filler"))})
"""Of several of these the first stands for the order."""

_INSIDE: Mapping[str, tuple[str, ...]] = {  # what is taken over of the items of a sequence; the first must be there
    "OtherPatientIDsSequence": (
        "PatientID",
        "IssuerOfPatientID",
        "TypeOfPatientID",
        "IssuerOfPatientIDQualifiersSequence",
    ),
    "IssuerOfPatientIDQualifiersSequence": ("UniversalEntityID", "UniversalEntityIDType"),
    "IssuerOfAccessionNumberSequence": ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType"),
}
_CUT = ("StudyDescription",)  # what is a text to read, and not to be known by
_LONGEST = 64  # of LO; identifiers that are longer than SH allows (16) are what archives have of the images
_LONGEST_GROUP = 64  # of PN
_MOST_ITEMS = 100
_ZONE = re.compile(r"[+-](?:0\d|1[0-4])[0-5]\d")  # PS3.3 C.12.1.1.8: from -1200 to +1400

SEVERAL, TOO_LONG, CONTROLS = "several values", "too long", "control characters in it"
NOT_OF_ITS_VR, NO_TEXT, CHARACTERS = (
    "not what its VR asks for",
    "of another VR than PS3.6 has",
    "not in its character set",
)


@dataclass(frozen=True)
class Fitted:
    """Attributes that fit, with their Specific Character Set, and of the others which and why; no value is named."""

    attributes: Dataset
    left_out: tuple[str, ...] = ()


class _UnfitError(ValueError):
    """Why a value is left out."""


def fitted(header: Dataset, keywords: Iterable[str]) -> Fitted:
    """Those of ``keywords`` that an image has a value for. Never raises for odd values."""
    found, left_out = Dataset(), []
    with warnings.catch_warnings():  # what is odd was odd when it came
        warnings.simplefilter("ignore")
        if terms := _character_set(header):
            found.SpecificCharacterSet = list(terms)
        elif "SpecificCharacterSet" in header and value_of(header, "SpecificCharacterSet") != "":
            left_out.append("SpecificCharacterSet: no defined term")
        for keyword in keywords:
            try:
                element = _element(header, keyword)
                if element is not None:
                    _written(found, element)
                    found.add(element)
            except _UnfitError as error:
                left_out.append(f"{keyword}: {error}")
    return Fitted(found, tuple(left_out))


def unreadable(header: Dataset, keywords: Iterable[str]) -> tuple[str, ...]:
    """Those of ``keywords`` that have content of which no text can be made, as ``Fitted.left_out``."""
    return tuple(f"{each}: {NO_TEXT}" for each in keywords if _has_content(header, each) and not text_of(header, each))


def time_zone(header: Dataset) -> str:
    """Timezone Offset From UTC (0008,0201) where it is one; empty where it is none, or there is none."""
    text = text_of(header, "TimezoneOffsetFromUTC")
    minutes = int(text[1:3]) * 60 + int(text[3:]) if _ZONE.fullmatch(text) else math.inf
    return text if minutes <= (12 * 60 if text.startswith("-") else 14 * 60) else ""


def fitting_uid(uid: str, otherwise: str) -> str:
    """``uid`` if it is one, else ``otherwise``."""
    try:
        return valid_uid(uid)
    except InvalidUIDError:
        return otherwise


def _character_set(header: Dataset) -> tuple[str, ...]:
    """The terms, if all of them are defined (PS3.3 C.12.1.1.2) and readable together."""
    terms = tuple(term.strip() for term in character_set_of(header))
    known = all(term in python_encoding for term in terms)
    return terms if known and any(terms) else ()


def _element(header: Dataset, keyword: str) -> DataElement | None:
    tag = tag_for_keyword(keyword)
    assert tag is not None, keyword
    if tag not in header:
        return None
    vr = dictionary_VR(tag)
    if vr == "SQ":
        items = _sequence(header, keyword)
        return DataElement(tag, vr, items) if items else None
    value = _value(header, keyword)
    text = as_text(value, header, keyword)
    if not text:
        if _has_content(header, keyword):
            raise _UnfitError(NO_TEXT)
        return None
    if "\ufffd" in text and vr != "PN":
        raise _UnfitError(CHARACTERS)
    if vr == "PN" and isinstance(value, PersonName):
        _check(keyword, vr, text)
        return DataElement(tag, vr, value, already_converted=True)
    return DataElement(tag, vr, _repaired(keyword, vr, text))


def _value(header: Dataset, keyword: str) -> Any:
    """What pydicom makes of it, but of a name the bytes in which it came, whatever they are in.

    pydicom decodes a name and encodes it again, and what its character set does not have is a question mark then.
    """
    raw = header.get_item(keyword)
    encodings = convert_encodings(list(_character_set(header)) or [""])
    if isinstance(raw, RawDataElement) and raw.VR == "PN" and raw.value is not None:
        name = raw.value.rstrip(b" \0")
        if b"\\" not in name:
            return PersonName(name, encodings)
        return convert_raw_data_element(raw, encoding=encodings, ds=header).value  # not kept: the bytes stay
    return value_of(header, keyword)


def _repaired(keyword: str, vr: str, text: str) -> Any:
    if keyword in NUMBERS:
        text = next((each.strip() for each in text.split("\\") if each.strip()), "")
    if keyword in _CUT:
        text = " ".join("".join(each if each.isprintable() else " " for each in text).replace("\\", " ").split())
        text = text[:_LONGEST]
    values = [each.strip() for each in text.split("\\")]
    if len(values) > 1 and dictionary_VM(keyword) == "1":
        raise _UnfitError(SEVERAL)
    for each in values:
        _check(keyword, vr, each)
    return values if len(values) > 1 else values[0]


def _check(keyword: str, vr: str, text: str) -> None:
    """Raises _UnfitError for one value that does not fit."""
    last = "\x7f" if vr == "PN" else "\x9f"  # what looks like C1 in a name is of a character set that was not declared
    if any(character < " " or "\x7f" <= character <= last for character in text):
        raise _UnfitError(CONTROLS)
    if vr == "PN":
        if "\\" in text:
            raise _UnfitError(SEVERAL)
        groups = text.split("=")
        if len(groups) > 3 or any(group.count("^") > 4 for group in groups):
            raise _UnfitError(NOT_OF_ITS_VR)
        if any(len(group) > _LONGEST_GROUP for group in groups):
            raise _UnfitError(TOO_LONG)
    elif len(text) > _LONGEST:
        raise _UnfitError(TOO_LONG)
    elif text and not _FORMS.get(vr, bool)(text):
        raise _UnfitError(NOT_OF_ITS_VR)


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return bool(re.fullmatch(r"[0-9]{8}", text))


def _is_time(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{2}(?:[0-9]{2}(?:[0-9]{2}(?:\.[0-9]{1,6})?)?)?", text):
        return False
    try:
        TM(text)
    except ValueError:
        return False
    return True


def _is_number(text: str) -> bool:
    try:
        return len(text) <= 16 and text.isascii() and math.isfinite(float(text))
    except ValueError:
        return False


def _is_uid(text: str) -> bool:
    return fitting_uid(text, "") == text


_FORMS: Mapping[str, Callable[[str], bool]] = {
    "AS": lambda text: bool(re.fullmatch(r"[0-9]{3}[DWMY]", text)),
    "CS": lambda text: bool(re.fullmatch(r"[A-Z0-9 _]{1,16}", text)),
    "DA": _is_date,
    "DS": _is_number,
    "TM": _is_time,
    "UI": _is_uid,
}


def _sequence(header: Dataset, keyword: str) -> list[Dataset]:
    """The items, of each what is known of it and fits; those without what they are there for are left out."""
    items = items_of(header, keyword)
    if not items:
        if _has_content(header, keyword):
            raise _UnfitError(NO_TEXT if dictionary_VR(keyword) in TEXT_VRS else "no sequence of items")
        return []
    inside = _INSIDE[keyword]
    made = []
    for item in items[:_MOST_ITEMS]:
        taken = fitted(item, inside).attributes
        taken.pop("SpecificCharacterSet", None)
        if any(each in taken for each in inside[:1] if keyword != "IssuerOfAccessionNumberSequence") or (
            keyword == "IssuerOfAccessionNumberSequence" and len(taken)
        ):
            made.append(taken)
    if not made:
        raise _UnfitError("no item that fits")
    return made


def _has_content(header: Dataset, keyword: str) -> bool:
    """Whether there is a value, whatever it is."""
    try:
        element = header.get_item(keyword)
    except Exception:  # pydicom raises many kinds
        return True
    value = getattr(element, "value", None)
    if value is None:
        return bool(getattr(element, "length", 0))  # left in the file: it is long
    return bool(value.strip(b" \0") if isinstance(value, bytes) else value)


def _written(found: Dataset, element: DataElement) -> None:
    """Raises _UnfitError for what cannot be written in the character set, or would come back as something else."""
    alone = Dataset()
    if "SpecificCharacterSet" in found:
        alone.SpecificCharacterSet = found.SpecificCharacterSet
    alone.add(element)
    try:
        stream = DicomBytesIO()
        stream.is_implicit_VR, stream.is_little_endian = False, True
        write_dataset(stream, alone, [])
        with config.disable_value_validation():
            back = dcmread(BytesIO(stream.getvalue()), force=True)
        if str(back[element.tag].value) != str(element.value):
            raise _UnfitError(CHARACTERS)
    except _UnfitError:
        raise
    except Exception as error:  # pydicom raises many kinds
        raise _UnfitError("it cannot be written") from error
