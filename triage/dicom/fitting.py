"""PURE: attributes of an image, made valid for an object of ours (PS3.5 6.2, 6.4).

Images are accepted with odd attributes. An object of ours with the same value would be refused, or could not be written
at all, and it may say that a patient is ill. So each attribute is repaired where that does not change its meaning, and
left out otherwise.
"""

from __future__ import annotations

import math
import re
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from io import BytesIO

from pydicom import config, dcmread
from pydicom.charset import convert_encodings, python_encoding
from pydicom.datadict import dictionary_VM, dictionary_VR, tag_for_keyword
from pydicom.dataelem import DataElement, RawDataElement, convert_raw_data_element
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.valuerep import TM, PersonName

from triage.dicom.attribute_reader import has_content, raw_element, value_of
from triage.dicom.attribute_text import TEXT_VRS, as_text, character_set_of, items_of, text_of
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.errors import TriageError

NUMBERS = frozenset({"AccessionNumber", *(f"{role}OrderNumberImagingServiceRequest" for role in ("Placer", "Filler"))})
"""Of several values of these the first is used as that of the order."""

_INSIDE: Mapping[str, tuple[str, ...]] = {  # attributes copied from the items of a sequence; the first is required
    "OtherPatientIDsSequence": (
        "PatientID",
        "IssuerOfPatientID",
        "TypeOfPatientID",
        "IssuerOfPatientIDQualifiersSequence",
    ),
    "IssuerOfPatientIDQualifiersSequence": ("UniversalEntityID", "UniversalEntityIDType"),
    "IssuerOfAccessionNumberSequence": ("LocalNamespaceEntityID", "UniversalEntityID", "UniversalEntityIDType"),
}
_PLAIN_VRS = frozenset(("AS", "CS", "DA", "LO", "SH", "TM"))
_OF_ASCII = frozenset(("", "ISO_IR 6", "ISO_IR 100", "ISO_IR 192"))
_CUT = ("StudyDescription",)  # texts for people, which identify nothing
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
    """Valid attributes with their Specific Character Set, and keyword and reason of each that is left out.

    The reasons contain no value.
    """

    attributes: Dataset
    left_out: tuple[str, ...] = ()


class _UnfitError(TriageError, ValueError):
    """The value of an attribute is left out; the message is the reason. Never leaves this file."""


def fitted(header: Dataset, keywords: Iterable[str]) -> Fitted:
    """Return those of ``keywords`` that an image has a value for. Never raises for odd values."""
    fitting, left_out = Dataset(), []
    with warnings.catch_warnings():  # odd values are expected
        warnings.simplefilter("ignore")
        if terms := _character_set(header):
            fitting.SpecificCharacterSet = list(terms)
        elif "SpecificCharacterSet" in header and value_of(header, "SpecificCharacterSet") != "":
            left_out.append("SpecificCharacterSet: no defined term")
        for keyword in keywords:
            try:
                element = _element(header, keyword)
                if element is not None:
                    _check_written(fitting, element)
                    fitting.add(element)
            except _UnfitError as error:
                left_out.append(f"{keyword}: {error}")
    return Fitted(fitting, tuple(left_out))


def unreadable(header: Dataset, keywords: Iterable[str]) -> tuple[str, ...]:
    """Return those of ``keywords`` whose content cannot be read as text, in the form of ``Fitted.left_out``."""
    return tuple(f"{each}: {NO_TEXT}" for each in keywords if has_content(header, each) and not text_of(header, each))


def time_zone(header: Dataset) -> str:
    """Return Timezone Offset From UTC (0008,0201); empty where it is no offset, or absent."""
    text = text_of(header, "TimezoneOffsetFromUTC")
    minutes = int(text[1:3]) * 60 + int(text[3:]) if _ZONE.fullmatch(text) else math.inf
    return text if minutes <= (12 * 60 if text.startswith("-") else 14 * 60) else ""


def fitting_uid(uid: str, otherwise: str) -> str:
    """Return ``uid`` if it is one, else ``otherwise``."""
    try:
        return valid_uid(uid)
    except InvalidUIDError:
        return otherwise


def _character_set(header: Dataset) -> tuple[str, ...]:
    """Return the terms, if all of them are defined (PS3.3 C.12.1.1.2)."""
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
        if has_content(header, keyword):
            raise _UnfitError(NO_TEXT)
        return None
    if "\ufffd" in text and vr != "PN":
        raise _UnfitError(CHARACTERS)
    if vr == "PN" and isinstance(value, PersonName):
        _check(keyword, vr, text)
        return DataElement(tag, vr, value, already_converted=True)
    return DataElement(tag, vr, _repaired(keyword, vr, text))


def _value(header: Dataset, keyword: str) -> object:
    """Return the decoded value, but a name with the bytes in which it came.

    pydicom decodes a name and encodes it again, with a question mark for what its character set does not have.
    """
    raw = raw_element(header, keyword)
    encodings = convert_encodings(list(_character_set(header)) or [""])
    if isinstance(raw, RawDataElement) and raw.VR == "PN" and raw.value is not None:
        name = raw.value.rstrip(b" \0")
        if b"\\" not in name:
            return PersonName(name, encodings)
        return convert_raw_data_element(raw, encoding=encodings, ds=header).value  # the data set keeps the bytes
    return value_of(header, keyword)


def _repaired(keyword: str, vr: str, text: str) -> str | list[str]:
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
    """Raise _UnfitError for a value that does not fit."""
    last = "\x7f" if vr == "PN" else "\x9f"  # C1 in a name comes from a character set that was not declared
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
    """Return the items with those of their attributes that fit; items without a required one are left out."""
    items = items_of(header, keyword)
    if not items:
        if has_content(header, keyword):
            raise _UnfitError(NO_TEXT if dictionary_VR(keyword) in TEXT_VRS else "no sequence of items")
        return []
    inside = _INSIDE[keyword]
    made = []
    for item in items[:_MOST_ITEMS]:
        taken = fitted(item, inside).attributes
        taken.pop("SpecificCharacterSet", None)
        if _is_enough(keyword, taken):
            made.append(taken)
    if not made:
        raise _UnfitError("no item that fits")
    return made


def _is_enough(keyword: str, item: Dataset) -> bool:
    """Return whether an item has the attribute that its sequence is there for; of an issuer any will do."""
    return len(item) > 0 if keyword == "IssuerOfAccessionNumberSequence" else _INSIDE[keyword][0] in item


def _is_plain(fitting: Dataset, element: DataElement) -> bool:
    """Return whether a value is text that every character set of ASCII's family writes and reads as it stands."""
    terms = fitting.get("SpecificCharacterSet") or ""
    known = terms in _OF_ASCII if isinstance(terms, str) else all(each in _OF_ASCII for each in terms)
    text = element.value
    if not (known and element.VR in _PLAIN_VRS and isinstance(text, str)):
        return False
    return text.isascii() and text.isprintable() and text == text.strip() and "\\" not in text


def _check_written(fitting: Dataset, element: DataElement) -> None:
    """Raise _UnfitError for an element that cannot be written, or would be read back as another value."""
    if _is_plain(fitting, element):
        return
    alone = Dataset()
    if "SpecificCharacterSet" in fitting:
        alone.SpecificCharacterSet = fitting.SpecificCharacterSet
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
