"""Patient and study attributes, and times, that our objects take over from the images, so that a PACS files them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from io import BytesIO

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, ExplicitVRLittleEndian

from triage.dicom.attribute_text import text_of
from triage.dicom.fitting import fitted, time_zone
from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from triage.runtime.release import RELEASE

SOFTWARE_VERSION = RELEASE

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
    """Patient and study of an image, each value one that every reader can take: an odd one is left empty.

    With the image's Specific Character Set: names go out in the characters in which they came; all that is ours is
    ASCII.
    """
    made = Dataset()
    for keyword in _TYPE_2:
        setattr(made, keyword, None)
    made.update(fitted(header, _COPIED).attributes)
    made.StudyInstanceUID = study_instance_uid
    if made.PatientSex not in ("M", "F", "O"):
        made.PatientSex = None
    return made


def left_out(header: Dataset) -> tuple[str, ...]:
    """Return the attributes of patient and study that are not taken over, and why; no value is named."""
    found = list(fitted(header, _COPIED).left_out)
    if text_of(header, "TimezoneOffsetFromUTC") and not time_zone(header):
        found.append("TimezoneOffsetFromUTC: no offset")
    return tuple(found)


def local_time(made: Dataset, assessed_at: float, header: Dataset) -> datetime:
    """The moment of the assessment (POSIX seconds) as ``made`` has to say it: the same facts make the same bytes.

    Timezone Offset From UTC (0008,0201) holds for every time in the object, those of the study too: so it is that of
    the images, or absent as it is there, and then our times are this machine's.
    """
    moment = datetime.fromtimestamp(assessed_at, UTC)
    offset = time_zone(header)
    if not offset:
        return moment.astimezone()
    minutes = int(offset[1:3]) * 60 + int(offset[3:])
    made.TimezoneOffsetFromUTC = offset
    return moment.astimezone(timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes)))


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
