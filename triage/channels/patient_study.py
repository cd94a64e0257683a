"""What an object of ours takes over from the images of its study, and what time it says, so that PACS file it there."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone
from importlib.metadata import version
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian
from pydicom.valuerep import TM

from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

SOFTWARE_VERSION = version("cxr-triage")

_COPIED = (  # Type 2 of modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1), and what tells patients apart
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "IssuerOfPatientIDQualifiersSequence",
    "OtherPatientIDsSequence",
    "QualityControlSubject",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientSize",
    "PatientWeight",
    "StudyInstanceUID",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "StudyDescription",
    "AccessionNumber",
    "IssuerOfAccessionNumberSequence",
    "ReferringPhysicianName",
)
_TYPE_2 = (
    "PatientName",
    "PatientID",
    "PatientBirthDate",
    "PatientSex",
    "StudyID",
    "StudyDate",
    "StudyTime",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def of_patient_and_study(header: Dataset, study_instance_uid: str) -> Dataset:
    """Patient and study of an image, each value one that every reader can take: an odd one is left empty."""
    made = Dataset()
    for keyword in _TYPE_2:
        setattr(made, keyword, None)
    for keyword in _COPIED:
        if keyword in header:
            made[keyword] = header[keyword]
    made.StudyInstanceUID = study_instance_uid
    if made.PatientSex not in ("M", "F", "O"):
        made.PatientSex = None
    for keyword in ("PatientBirthDate", "StudyDate"):
        setattr(made, keyword, _date(getattr(made, keyword)))
    made.StudyTime = _time(made.StudyTime)
    return made


def keep_character_set(made: Dataset, header: Dataset) -> None:
    """Names go out in the characters in which they came; all that is ours is ASCII."""
    character_set = header.get("SpecificCharacterSet")
    if character_set:
        made.SpecificCharacterSet = character_set


def local_time(made: Dataset, assessed_at: float, header: Dataset) -> datetime:
    """The moment of the assessment (POSIX seconds) as ``made`` has to say it: the same facts make the same bytes.

    Timezone Offset From UTC (0008,0201) holds for every time in the object, those of the study too: so it is that of
    the images, or absent as it is there, and then our times are this machine's.
    """
    moment = datetime.fromtimestamp(assessed_at, UTC)
    offset = str(header.get("TimezoneOffsetFromUTC") or "")
    stated = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    if not stated:
        return moment.astimezone()
    minutes = int(stated[2]) * 60 + int(stated[3])
    made.TimezoneOffsetFromUTC = offset
    return moment.astimezone(timezone(timedelta(minutes=-minutes if stated[1] == "-" else minutes)))


def encoded(made: Dataset) -> bytes:
    """The object as a DICOM file in Explicit VR Little Endian, with our implementation's name."""
    if "file_meta" not in made.__dict__:
        made.file_meta = FileMetaDataset()
        made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
        made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
        made.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    made.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    made.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    dcmwrite(buffer, made, enforce_file_format=True)
    return buffer.getvalue()


def _date(value: Any) -> str | None:
    text = str(value or "").strip()
    try:
        date.fromisoformat(text)
    except ValueError:
        return None
    return text if len(text) == 8 else None


def _time(value: Any) -> str | None:
    text = str(value or "").strip()
    try:
        TM(text)
    except ValueError:
        return None
    return text or None
