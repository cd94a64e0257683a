"""DICOM structured reports: TID 1500 Measurement Report, in the original study, made with highdicom."""

from __future__ import annotations

import re
import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, timezone
from io import BytesIO
from typing import Any

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import UID, Comprehensive3DSRStorage, ComprehensiveSRStorage, EnhancedSRStorage
from pydicom.valuerep import DA, DT, TM

from triage.channels import dicom_store
from triage.channels.base import TEST, Built, Image, Send, Study, result
from triage.channels.sr_content import SCHEME, SOFTWARE_VERSION, content, root
from triage.dx import uid_of
from triage.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

ENCODER_VERSION = "1"

DOCUMENTS: dict[str, type[Any]] = {
    "comprehensive_3d": sr.Comprehensive3DSR,
    "comprehensive": sr.ComprehensiveSR,
    "enhanced": sr.EnhancedSR,
}
SOP_CLASSES = (str(Comprehensive3DSRStorage), str(ComprehensiveSRStorage), str(EnhancedSRStorage))

_SERIES_NUMBER = 9101
_COPIED = (  # Type 2 of modules Patient and General Study (PS3.3 C.7.1.1, C.7.2.1), and what tells patients apart
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
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


@dataclass(frozen=True)
class SRChannel:
    """Structured reports to one PACS. ``document`` is a key of DOCUMENTS, ``device_uid`` that of this installation."""

    peer: dicom_store.Peer
    document: str = "comprehensive_3d"
    device_uid: str = "2.25.0"

    @property
    def encoder(self) -> str:
        return f"sr {ENCODER_VERSION} {self.document}"

    def wants(self, study: Study) -> bool:
        return not study.shadow_only

    def says(self, study: Study) -> list[Any]:
        scores = sorted(
            [each.assessment.sop_instance_uid, each.assessment.content_digest, each.assessment.probability]
            for each in study.scored
        )
        return [*result(study), scores]

    def build(self, study: Study) -> Built:
        with warnings.catch_warnings():  # what is odd about the patient's attributes was odd when they came
            warnings.simplefilter("ignore")
            document = report(study, self.document, self.device_uid)
            identity = {"sop_class_uid": document.SOPClassUID, "sop_instance_uid": document.SOPInstanceUID}
            return Built(_encoded(document), {name: str(uid) for name, uid in identity.items()})

    def connect(self) -> AbstractContextManager[Send]:
        return dicom_store.connect(self.peer, SOP_CLASSES)

    def check(self) -> list[str]:
        lines = dicom_store.check(self.peer, SOP_CLASSES)
        wanted = UID(SOP_CLASSES[list(DOCUMENTS).index(self.document)]).name
        return [*lines, f"This destination is set to {wanted} (document = {self.document})."]


def report(study: Study, document: str, device_uid: str) -> Dataset:
    """The structured report of a study. Same facts, same bytes: its times are those of the assessment."""
    images = _evidence(study)
    made_at = datetime.fromtimestamp(max(each.assessment.assessed_at for each in study.images), UTC)
    made: Dataset = DOCUMENTS[document](
        evidence=[_reference(image, study) for image in images],
        content=root(),
        series_instance_uid=series_instance_uid(study),
        series_number=_SERIES_NUMBER,
        sop_instance_uid=sop_instance_uid(study.revision),
        instance_number=study.number,
        manufacturer="cxr-triage",
        manufacturer_model_name="cxr-triage",
        software_versions=SOFTWARE_VERSION,
        device_serial_number="1",
        series_description=f"{TEST}chest radiograph triage" if study.test else "Chest radiograph triage",
        is_complete=True,
        is_final=False,
        is_verified=False,
        previous_versions=_previous(study),
        coding_schemes=[
            CodingSchemeIdentificationItem(SCHEME, name="cxr-triage", responsible_organization="cxr-triage")
        ],
        specific_character_set=None,
    )
    # Put in afterwards: highdicom copies and searches what it is given several times, which takes longer than the rest.
    made.ContentSequence = content(study, device_uid)
    _keep_character_set(made, images[0].header)
    _date_everything(made, made_at, str(images[0].header.get("TimezoneOffsetFromUTC") or ""))
    return made


def _date_everything(made: Dataset, moment: datetime, offset: str) -> None:
    """highdicom writes the time of the call, which would make other bytes of the same facts.

    Timezone Offset From UTC (0008,0201) holds for every time in the object, those of the study too: so it is that of
    the images, or absent as it is there, and then our times are this machine's.
    """
    stated = re.fullmatch(r"([+-])(\d\d)(\d\d)", offset)
    at = moment.astimezone()
    if stated:
        minutes = int(stated[2]) * 60 + int(stated[3])
        at = moment.astimezone(timezone(timedelta(minutes=-minutes if stated[1] == "-" else minutes)))
        made.TimezoneOffsetFromUTC = offset
    for keyword in ("ContentDate", "InstanceCreationDate", "SeriesDate"):
        setattr(made, keyword, DA(at.date()))
    for keyword in ("ContentTime", "InstanceCreationTime", "SeriesTime"):
        setattr(made, keyword, TM(at.time().replace(microsecond=0)))
    for equipment in made.get("ContributingEquipmentSequence", []):
        equipment.ContributionDateTime = DT(at.replace(microsecond=0))


def series_instance_uid(study: Study) -> str:
    """One series of ours in each study, for all its reports."""
    return uid_of("sr series", study.decision.study_instance_uid)


def sop_instance_uid(revision: str) -> str:
    """The UID of the report of a revision."""
    return uid_of("sr", revision)


def _evidence(study: Study) -> list[Image]:
    """The images that the report rests on; patient and study are taken from the first.

    Every content under one SOP Instance UID is one reference. A study of which nothing was for us refers to all it has.
    """
    counted = [image for image in study.images if image.assessment.counts] or list(study.images)
    return list({image.assessment.sop_instance_uid: image for image in counted}.values())


def _reference(image: Image, study: Study) -> Dataset:
    """What highdicom needs of an image, each value one that it can take: an odd one is left empty."""
    header = image.header
    made = Dataset()
    for keyword in _TYPE_2:
        setattr(made, keyword, None)
    for keyword in _COPIED:
        if keyword in header:
            made[keyword] = header[keyword]
    made.StudyInstanceUID = study.decision.study_instance_uid
    if made.PatientSex not in ("M", "F", "O"):
        made.PatientSex = None
    for keyword in ("PatientBirthDate", "StudyDate"):
        setattr(made, keyword, _date(getattr(made, keyword)))
    made.StudyTime = _time(made.StudyTime)
    made.SOPClassUID = image.assessment.sop_class_uid
    made.SOPInstanceUID = image.assessment.sop_instance_uid
    made.SeriesInstanceUID = image.assessment.series_instance_uid or uid_of("series", made.SOPInstanceUID)
    return made


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


def _previous(study: Study) -> list[Dataset] | None:
    """The report that this one takes the place of (Predecessor Documents Sequence)."""
    if study.before is None:
        return None
    previous = Dataset()
    previous.StudyInstanceUID = study.decision.study_instance_uid
    previous.SeriesInstanceUID = series_instance_uid(study)
    previous.SOPClassUID = study.before.identity["sop_class_uid"]
    previous.SOPInstanceUID = study.before.identity["sop_instance_uid"]
    return [previous]


def _keep_character_set(made: Dataset, header: Dataset) -> None:
    """Names go out in the characters in which they came; all that is ours is ASCII."""
    character_set = header.get("SpecificCharacterSet")
    if character_set:
        made.SpecificCharacterSet = character_set


def _encoded(document: Dataset) -> bytes:
    document.file_meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    document.file_meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    buffer = BytesIO()
    dcmwrite(buffer, document, enforce_file_format=True)
    return buffer.getvalue()
