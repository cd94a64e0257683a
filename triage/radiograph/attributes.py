"""PURE: the attributes of a data set that eligibility and decisions rest on."""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import date
from typing import Any

from pydicom.dataset import Dataset

from triage.radiograph.types import Attributes

_DAYS_PER_YEAR = 365.25
_AGE = re.compile(r"(\d{1,3})([DWMY])")
_AGE_UNITS = {"D": 1 / _DAYS_PER_YEAR, "W": 7 / _DAYS_PER_YEAR, "M": 1 / 12, "Y": 1.0}
_OLDEST_YEARS = 130.0
_GREATEST_CONFLICT_YEARS = 2.0


def read_attributes(dataset: Dataset, transfer_syntax_uid: str = "") -> Attributes:
    """The attributes of ``dataset``; never raises for odd values, which count as empty."""
    return Attributes(
        study_instance_uid=_text(dataset, "StudyInstanceUID"),
        series_instance_uid=_text(dataset, "SeriesInstanceUID"),
        sop_instance_uid=_text(dataset, "SOPInstanceUID"),
        sop_class_uid=_text(dataset, "SOPClassUID"),
        transfer_syntax_uid=transfer_syntax_uid,
        modality=_text(dataset, "Modality").upper(),
        accession_number=_text(dataset, "AccessionNumber"),
        order_priority=_text(dataset, "RequestedProcedurePriority").upper(),
        body_part_examined=_text(dataset, "BodyPartExamined").upper(),
        anatomy_codes=_codes(dataset, "AnatomicRegionSequence"),
        view_position=_text(dataset, "ViewPosition").upper(),
        view_codes=_codes(dataset, "ViewCodeSequence"),
        view_modifiers=_inner_codes(dataset, "ViewCodeSequence", "ViewModifierCodeSequence"),
        patient_position=_text(dataset, "PatientPosition").upper(),
        position_modifiers=_inner_codes(
            dataset, "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence"
        ),
        patient_orientation=_texts(dataset, "PatientOrientation"),
        protocol_name=_text(dataset, "ProtocolName"),
        series_description=_text(dataset, "SeriesDescription"),
        study_description=_text(dataset, "StudyDescription"),
        image_type=_texts(dataset, "ImageType"),
        presentation_intent_type=_text(dataset, "PresentationIntentType").upper(),
        number_of_frames=_frames(dataset),
        age_years=age_in_years(
            _text(dataset, "PatientAge"), _text(dataset, "PatientBirthDate"), _text(dataset, "StudyDate")
        ),
        acquisition_date=_acquisition_date(dataset),
    )


def age_in_years(patient_age: str, birth_date: str, study_date: str) -> float | None:
    """Patient's Age (0010,1010), else study date minus birth date; None if neither is usable or they contradict.

    Some systems write 000Y for "unknown" and a date of birth beside it, so a stated age that the dates contradict by
    more than two years is no age at all.
    """
    stated = _stated_age(patient_age)
    computed = _computed_age(birth_date, study_date)
    if stated is None:
        return computed
    if computed is not None and abs(stated - computed) > _GREATEST_CONFLICT_YEARS:
        return None
    return stated


def _stated_age(text: str) -> float | None:
    match = _AGE.fullmatch(text.strip().upper())
    if not match:
        return None
    years = int(match[1]) * _AGE_UNITS[match[2]]
    return years if years <= _OLDEST_YEARS else None


def _computed_age(birth_date: str, study_date: str) -> float | None:
    try:
        born, studied = (date.fromisoformat(text.strip()) for text in (birth_date, study_date))
    except ValueError:
        return None
    had_birthday = (studied.month, studied.day) >= (born.month, born.day)
    years = studied.year - born.year - (not had_birthday)
    if years >= 1:
        return float(years) if years <= _OLDEST_YEARS else None
    days = (studied - born).days
    return days / _DAYS_PER_YEAR if days >= 0 else None


def _acquisition_date(dataset: Dataset) -> str:
    return latest_date(_text(dataset, name) for name in ACQUISITION_DATES)


ACQUISITION_DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")


def latest_date(texts: Iterable[str]) -> str:
    """The latest date that says when an image was taken: one wrong clock makes nothing older than it is.

    As YYYYMMDD; empty if none of them, DA or DT, is a date.
    """
    return max((date for text in texts if _is_date(date := text[:8])), default="")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 8 and text.isdigit()


def _value(dataset: Dataset, name: str) -> Any:
    try:
        return dataset.get(name)
    except Exception:  # pydicom raises many kinds for a value that does not fit its VR: odd values count as empty
        return None


def _text(dataset: Dataset, name: str) -> str:
    value = _value(dataset, name)
    return "" if value is None else str(value).strip(" \0\t\r\n")


def _texts(dataset: Dataset, name: str) -> tuple[str, ...]:
    value = _value(dataset, name)
    if value is None or isinstance(value, str):
        return (value.strip().upper(),) if value else ()
    return tuple(str(part).strip().upper() for part in value) if isinstance(value, Iterable) else ()


def _codes(dataset: Dataset, name: str) -> tuple[str, ...]:
    codes = (_text(item, "CodeValue") for item in _items(dataset, name))
    return tuple(code for code in codes if code)


def _inner_codes(dataset: Dataset, name: str, inner: str) -> tuple[str, ...]:
    """The codes of a sequence within each item of another."""
    return tuple(code for item in _items(dataset, name) for code in _codes(item, inner))


def _items(dataset: Dataset, name: str) -> list[Dataset]:
    value = _value(dataset, name)
    if not isinstance(value, Iterable) or isinstance(value, str):
        return []
    return [item for item in value if isinstance(item, Dataset)]


def _frames(dataset: Dataset) -> int:
    try:
        return int(_value(dataset, "NumberOfFrames") or 1)
    except (TypeError, ValueError):
        return 1
