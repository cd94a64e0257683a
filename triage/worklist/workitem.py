"""A study's Interpretation workitem, a Unified Procedure Step with the attributes of PS3.4 Table CC.2.5-3. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime

from pydicom.dataset import Dataset

from triage.decision.accession_number import first_number
from triage.decision.identity import Issuer
from triage.decision.statement import statement
from triage.decision.types import Priority, Tag
from triage.dicom.attribute_text import character_set_of
from triage.dicom.fitting import fitted
from triage.dicom.identity import ORDER_NUMBERS, issuer_items, patient_issuer, qualifier_items
from triage.spool.study import Study, StudyImage, referenced

LABEL = "Chest radiograph interpretation"
WORKLIST_LABEL = "CXR triage"
UPS_PUSH = "1.2.840.10008.5.1.4.34.6.1"
"""The SOP class of every workitem, whichever UPS SOP class was negotiated (PS3.4 CC.3.1)."""

_WORDS = {
    Tag.ABNORMAL: "Triage: abnormal",
    Tag.NORMAL: "Triage: normal",
    Tag.NOT_ASSESSED: "Triage: not assessed",
}
_PATIENT = ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex")  # type 2
_LONGEST_ACCESSION = 16  # of SH
_AE_TITLE = re.compile(r"[!-\[\]-~](?:[ -\[\]-~]{0,15})")  # PS3.5 6.2: no backslash, no control character
_EMPTY = (  # type 2, unknown to us
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
    """Return the SCHEDULED workitem of a study, without SOP Class and Instance UID; a function of its arguments.

    It has all attributes that the SCU of N-CREATE must give (PS3.4 Table CC.2.5-3): type 1 with a value, type 2 empty
    where unknown, type 3 only with a value; not those that the manager sets (modification time).

    Args:
        study: the study, with at least one image.
        worklist_label: Worklist Label (0074,1202).
        low: use LOW for that priority; else MEDIUM.
        retrieve_ae_title: the AE that the images can be retrieved from; empty: the one that sent them.
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
    made.CommentsOnTheScheduledProcedureStep = comments_on(study)
    made.InputReadinessState = "READY"
    made.InputInformationSequence = _inputs(study.images, retrieve_ae_title)
    made.StudyInstanceUID = decision.study_instance_uid
    made.ReferencedRequestSequence = [_request(study)]
    return made


def priority_of(priority: Priority, low: bool) -> str:
    """Return Scheduled Procedure Step Priority (0074,1200) for a priority."""
    return Priority.MEDIUM if priority is Priority.LOW and not low else priority


def comments_on(study: Study) -> str:
    """Return the text of the result: the tag, and before it what it is, behind it what was looked for.

    The three priorities of a workitem tell critical from urgent no more than the tag does: the text does.
    """
    words = _WORDS[study.decision.tag]
    corrected = (f"{study.correction.sentence}.",) if study.correction else ()
    if study.before_findings:
        return " ".join((*corrected, words))
    scope, *rest = statement(study.decision)
    return " ".join((scope, *corrected, f"{words}.", *rest))


def date_time(seconds: float) -> str:
    """Return POSIX seconds as a DT value, in UTC with its offset."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%d%H%M%S+0000")


def code(value: str, scheme: str, meaning: str) -> Dataset:
    """Return an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = value, scheme, meaning
    return item


def reference(sop_class_uid: str, sop_instance_uid: str) -> Dataset:
    """Return an item of a sequence of references."""
    item = Dataset()
    item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class_uid, sop_instance_uid
    return item


def left_out(study: Study) -> tuple[str, ...]:
    """Return the image's attributes that a workitem lacks because their values do not conform, each with the reason.

    No value is named.
    """
    odd = fitted(study.images[0].header, (*_PATIENT, *ORDER_NUMBERS)).left_out
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
    """Return an item for each series (PS3.3 Table 10-3a)."""
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
    sender = first.calling_ae_title if _AE_TITLE.fullmatch(first.calling_ae_title) else ""
    if source := retrieve_ae_title or sender:
        retrieval = Dataset()
        retrieval.RetrieveAETitle = source
        item.DICOMRetrievalSequence = [retrieval]
    return item


def _request(study: Study) -> Dataset:
    """Return the order (Referenced Request Sequence) as the images name it: all of type 2, type 3 where known."""
    header = study.images[0].header
    item = Dataset()
    item.StudyInstanceUID = study.decision.study_instance_uid
    item.AccessionNumber = _accession_number(study)[0]
    item.IssuerOfAccessionNumberSequence = issuer_items(Issuer.from_text(study.decision.accession_issuer))
    for element in fitted(header, ORDER_NUMBERS).attributes:
        if element.keyword in ORDER_NUMBERS:
            item.add(element)
    item.OrderPlacerIdentifierSequence = []
    item.OrderFillerIdentifierSequence = []
    item.RequestedProcedureID = None
    item.RequestedProcedureDescription = None
    item.RequestedProcedureCodeSequence = []
    return item


def _accession_number(study: Study) -> tuple[str, str]:
    """Return the accession number, and if it is left out the reason: a part of it could be another order's number."""
    number = first_number(study.decision.accession_number)
    if len(number) > _LONGEST_ACCESSION:
        return "", "AccessionNumber: too long"
    stated = Dataset()
    stated.SpecificCharacterSet = list(character_set_of(study.images[0].header)) or None
    stated.AccessionNumber = number
    found = fitted(stated, ("AccessionNumber",))
    odd = [each for each in found.left_out if each.startswith("AccessionNumber")]
    return str(found.attributes.get("AccessionNumber") or ""), "".join(odd)
