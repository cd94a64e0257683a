"""PURE: reader of the attributes that eligibility and decisions depend on."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import date

from pydicom.charset import convert_encodings
from pydicom.dataset import Dataset

from triage.dicom.attribute_reader import value_of
from triage.dicom.attribute_text import items_of, text_of
from triage.dicom.identity import accession_issuer, patient_marks
from triage.radiograph.age import Age, age_at_acquisition
from triage.radiograph.types import Attributes

_ESCAPE = "\x1b"
_LONGEST_DESCRIPTION = 1024  # 64 are allowed, and devices write more


def read_attributes(dataset: Dataset, transfer_syntax_uid: str = "") -> Attributes:
    """Read the attributes of ``dataset``. Never raises for odd values, which count as empty."""
    age = _age(dataset)
    return Attributes(
        study_instance_uid=text_of(dataset, "StudyInstanceUID"),
        series_instance_uid=text_of(dataset, "SeriesInstanceUID"),
        sop_instance_uid=text_of(dataset, "SOPInstanceUID"),
        sop_class_uid=text_of(dataset, "SOPClassUID"),
        transfer_syntax_uid=transfer_syntax_uid,
        modality=text_of(dataset, "Modality").upper(),
        accession_number=text_of(dataset, "AccessionNumber"),
        order_priority=text_of(dataset, "RequestedProcedurePriority").upper(),
        body_part_examined=_in_declared_characters(dataset, "BodyPartExamined"),
        anatomy_codes=_codes(dataset, "AnatomicRegionSequence"),
        view_position=_in_declared_characters(dataset, "ViewPosition"),
        view_codes=_codes(dataset, "ViewCodeSequence"),
        view_modifiers=_inner_codes(dataset, "ViewCodeSequence", "ViewModifierCodeSequence"),
        patient_position=text_of(dataset, "PatientPosition").upper(),
        position_modifiers=_inner_codes(
            dataset, "PatientOrientationCodeSequence", "PatientOrientationModifierCodeSequence"
        ),
        patient_orientation=_texts(dataset, "PatientOrientation"),
        protocol_name=_description(dataset, "ProtocolName"),
        series_description=_description(dataset, "SeriesDescription"),
        processing_description=_description(dataset, "AcquisitionDeviceProcessingDescription"),
        study_description=_description(dataset, "StudyDescription"),
        image_type=_texts(dataset, "ImageType"),
        presentation_intent_type=text_of(dataset, "PresentationIntentType").upper(),
        number_of_frames=_frames(dataset),
        age_years=age.years,
        age_doubt=age.doubt,
        species=_described_or_coded(dataset, "PatientSpeciesDescription", "PatientSpeciesCodeSequence"),
        breed=_described_or_coded(dataset, "PatientBreedDescription", "PatientBreedCodeSequence"),
        acquisition_date=_acquisition_date(dataset),
        station_name=text_of(dataset, "StationName"),
        accession_issuer=str(accession_issuer(dataset)),
        patient=patient_marks(dataset),
    )


def _age(dataset: Dataset) -> Age:
    acquired = text_of(dataset, "AcquisitionDate") or text_of(dataset, "AcquisitionDateTime")[:8]
    return age_at_acquisition(
        text_of(dataset, "PatientAge"), text_of(dataset, "PatientBirthDate"), acquired, text_of(dataset, "StudyDate")
    )


def _described_or_coded(dataset: Dataset, description: str, sequence: str) -> tuple[str, ...]:
    """Return a description and the code values next to it, those that are not empty."""
    return tuple(text for text in (text_of(dataset, description), *_codes(dataset, sequence)) if text)


def _acquisition_date(dataset: Dataset) -> str:
    return latest_date(text_of(dataset, name) for name in ACQUISITION_DATES)


ACQUISITION_DATES = ("AcquisitionDateTime", "AcquisitionDate", "ContentDate", "SeriesDate", "StudyDate")


def latest_date(texts: Iterable[str]) -> str:
    """Return the latest of the dates (DA or DT) of an image: one wrong clock makes it no older than it is.

    As YYYYMMDD; empty if none of them is a date.
    """
    return max((date for text in texts if _is_date(date := text[:8])), default="")


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return len(text) == 8 and text.isdigit()


def _description(dataset: Dataset, name: str) -> str:
    """Return a text that people wrote. A longer or binary one comes from a damaged data set and counts as empty."""
    text = text_of(dataset, name)
    return "" if len(text) > _LONGEST_DESCRIPTION or "\0" in text else text


def _in_declared_characters(dataset: Dataset, name: str) -> str:
    """Return a CS in Specific Character Set: systems use it there, although PS3.5 6.2 allows ASCII only.

    pydicom has decoded its bytes as ISO 8859-1, from which they are restored. Unchanged where they do not fit.
    """
    text = _description(dataset, name)
    declared = _texts(dataset, "SpecificCharacterSet")
    if not declared or (text.isascii() and _ESCAPE not in text):
        return text
    try:
        encodings = convert_encodings(list(declared))
        # Escape sequences (ISO 2022) change to the later encodings.
        return text.encode("latin-1").decode(encodings[-1 if _ESCAPE in text else 0]).strip(" \0\t\r\n")
    except (ValueError, LookupError):
        return text


def _texts(dataset: Dataset, name: str) -> tuple[str, ...]:
    value = value_of(dataset, name)
    if value is None or isinstance(value, str):
        return (value.strip().upper(),) if value else ()
    return tuple(str(part).strip().upper() for part in value) if isinstance(value, Iterable) else ()


def _codes(dataset: Dataset, name: str) -> tuple[str, ...]:
    codes = (text_of(item, "CodeValue") for item in items_of(dataset, name))
    return tuple(code for code in codes if code)


def _inner_codes(dataset: Dataset, name: str, inner: str) -> tuple[str, ...]:
    """Return the codes of a sequence within each item of another."""
    return tuple(code for item in items_of(dataset, name) for code in _codes(item, inner))


def _frames(dataset: Dataset) -> int:
    """Return Number of Frames (0028,0008); 1 where it is absent or no number."""
    value = value_of(dataset, "NumberOfFrames")
    try:
        return int(value) if isinstance(value, (int, float, str, bytes)) and value else 1
    except ValueError:
        return 1
