"""PURE: a study's Interpretation workitem, a Unified Procedure Step with the attributes of PS3.4 Table CC.2.5-3."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from triage.decision.accession_number import first_number
from triage.decision.identity import Issuer
from triage.decision.types import Priority, Tag
from triage.dicom.attribute_text import character_set_of
from triage.dicom.fitting import fitted
from triage.dicom.identity import issuer_items, patient_issuer, qualifier_items
from triage.spool.study import Study, StudyImage, referenced

LABEL = "Chest radiograph interpretation"
WORKLIST_LABEL = "CXR triage"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""The SOP class of every workitem, whichever of the UPS classes it is spoken of under (PS3.4 CC.3.1)."""

_WORDS = {
    Tag.ABNORMAL: "Triage: abnormal",
    Tag.NORMAL: "Triage: normal",
    Tag.NOT_ASSESSED: "Triage: not assessed",
}
_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")  # type 2
_ORDER_NUMBERS = ("PlacerOrderNumberImagingServiceRequest", "FillerOrderNumberImagingServiceRequest")  # type 3
_LONGEST_ACCESSION = 16  # of SH
_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,15})")  # PS3.5 6.2: no backslash, no control character
_EMPTY = (  # type 2 that we know nothing of
    "TransactionUID",
    "AdmissionID",
    "AdmittingDiagnosesDescription",
)
_EMPTY_SEQUENCES = (
    "ScheduledProcessingParametersSequence",
    "ScheduledStationNameCodeSequence",
    "ScheduledStationClassCodeSequence",
    "ScheduledStationGeographicLocationCodeSequence",
    "OtherPatientIDsSequence",
    "IssuerOfAdmissionIDSequence",
    "AdmittingDiagnosesCodeSequence",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)


def workitem(study: Study, worklist_label: str, *, low: bool, retrieve_ae_title: str = "") -> Dataset:
    """The SCHEDULED workitem of a study, without SOP Class and Instance UID. Same facts, same values.

    All attributes that the SCU of N-CREATE has to give (PS3.4 Table CC.2.5-3): type 1 with a value, type 2 empty where
    nothing is known, no attribute of type 3 without a value. What the manager fills (modification time) is not here.

    ``low``: say LOW where that is the priority; else MEDIUM. ``retrieve_ae_title``: where the images can be had; empty:
    where they came from.
    """
    made = Dataset()
    _describe_patient(made, study.images[0].header)
    decision = study.decision
    for keyword in _EMPTY:
        setattr(made, keyword, None)
    for keyword in _EMPTY_SEQUENCES:
        setattr(made, keyword, [])
    made.ProcedureStepState = "SCHEDULED"
    made.ScheduledProcedureStepPriority = priority_of(decision.priority, low)
    made.ProcedureStepLabel = LABEL
    made.WorklistLabel = worklist_label
    made.ScheduledProcedureStepStartDateTime = date_time(decision.received_at)
    made.ScheduledWorkitemCodeSequence = [code("110005", "DCM", "Interpretation")]
    made.CommentsOnTheScheduledProcedureStep = _WORDS[decision.tag]
    made.InputReadinessState = "READY"
    made.InputInformationSequence = _inputs(study.images, retrieve_ae_title)
    made.StudyInstanceUID = decision.study_instance_uid
    made.ReferencedRequestSequence = [_request(study)]
    return made


def priority_of(priority: Priority, low: bool) -> str:
    """What a workitem says of a priority."""
    return Priority.MEDIUM if priority is Priority.LOW and not low else priority


def date_time(seconds: float) -> str:
    """POSIX seconds as DICOM's DT, in UTC with its offset."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S+0000")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """An item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """An item of a sequence of references."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def left_out(study: Study) -> tuple[str, ...]:
    """What of the image's attributes a workitem does not have because it is odd, and why; no value is named."""
    odd = fitted(study.images[0].header, (*_PATIENT, *_ORDER_NUMBERS)).left_out
    why = _accession_number(study)[1]
    return (*odd, why) if why else odd


def _describe_patient(made: Dataset, header: Dataset) -> None:
    for keyword in _PATIENT:
        setattr(made, keyword, None)
    made.update(fitted(header, _PATIENT).attributes)
    if made.PatientSex not in ("M", "F", "O"):
        made.PatientSex = None
    made.IssuerOfPatientIDQualifiersSequence = qualifier_items(patient_issuer(header))


def _inputs(images: Sequence[StudyImage], retrieve_ae_title: str) -> list[Dataset]:
    """One item for each series (PS3.3 Table 10-3a)."""
    series: dict[str, dict[str, StudyImage]] = {}
    for image in images:
        _, instance, of_series = referenced(image)
        series.setdefault(of_series, {})[instance] = image
    return [_input(uid, list(found.values()), retrieve_ae_title) for uid, found in series.items()]


def _input(series_instance_uid: str, images: Sequence[StudyImage], retrieve_ae_title: str) -> Dataset:
    first = images[0].assessment
    item = Dataset()
    item.TypeOfInstances = "DICOM"
    item.StudyInstanceUID = first.study_instance_uid
    item.SeriesInstanceUID = series_instance_uid
    item.ReferencedSOPSequence = [reference(*referenced(image)[:2]) for image in images]
    if where := retrieve_ae_title or (first.calling_ae_title if _AE_TITLE.fullmatch(first.calling_ae_title) else ""):
        retrieval = Dataset()
        retrieval.RetrieveAETitle = where
        item.DICOMRetrievalSequence = [retrieval]
    return item


def _request(study: Study) -> Dataset:
    """The order, as far as the images name it (Referenced Request Sequence): type 2 in any case, type 3 where known."""
    header = study.images[0].header
    item = Dataset()
    item.StudyInstanceUID = study.decision.study_instance_uid
    item.AccessionNumber = _accession_number(study)[0]
    item.IssuerOfAccessionNumberSequence = issuer_items(Issuer.from_text(study.decision.accession_issuer))
    for element in fitted(header, _ORDER_NUMBERS).attributes:
        if element.keyword in _ORDER_NUMBERS:
            item.add(element)
    item.OrderPlacerIdentifierSequence = []
    item.OrderFillerIdentifierSequence = []
    item.RequestedProcedureID = None
    item.RequestedProcedureDescription = None
    item.RequestedProcedureCodeSequence = []
    return item


def _accession_number(study: Study) -> tuple[str, str]:
    """The study's, or why it is left out: a manager knows no images, and a part could be another order's."""
    number = first_number(study.decision.accession_number)
    if len(number) > _LONGEST_ACCESSION:
        return "", "AccessionNumber: too long"
    said = Dataset()
    said.SpecificCharacterSet = list(character_set_of(study.images[0].header)) or None
    said.AccessionNumber = number
    found = fitted(said, ("AccessionNumber",))
    odd = [each for each in found.left_out if each.startswith("AccessionNumber")]
    return str(found.attributes.get("AccessionNumber") or ""), "".join(odd)
