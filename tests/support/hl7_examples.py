"""The messages that docs/reference/channels.md shows, built from one made-up study."""

from __future__ import annotations

from pydicom.dataset import Dataset

from tests.support.builders import a_decision, an_assessment
from tests.support.findings import a_study_finding
from triage.channels.hl7.message import Profile, control_id, message
from triage.decision.findings import FindingState
from triage.decision.types import Priority, Tag
from triage.hl7.message_types import ORM
from triage.spool.study import Study, StudyImage

EXAMPLES = {
    "TQ1": Profile(receiving=("RIS", "HOSPITAL")),
    "OBR-27": Profile(receiving=("RIS", "HOSPITAL"), priority_in="OBR-27"),
    "Z": Profile(
        receiving=("RIS", "HOSPITAL"),
        priority_in="segment",
        priority_code="1",
        priority_segment="ZPR|{priority}|{accession_number}",
    ),
    "ORM": Profile(receiving=("RIS", "HOSPITAL"), message=ORM),
}


def example(name: str) -> str:
    """The message of an example, one segment a line; times are local."""
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 100"
    header.PatientName, header.PatientID, header.IssuerOfPatientID = "Müller^Eva^^Dr.", "4711", "HOSPITAL"
    header.PatientBirthDate, header.PatientSex = "19590321", "F"
    header.AcquisitionDate, header.AcquisitionTime = "20260301", "081500"
    header.PlacerOrderNumberImagingServiceRequest = "P-100"
    header.FillerOrderNumberImagingServiceRequest = "F-200"
    code = Dataset()
    code.CodeValue, code.CodeMeaning, code.CodingSchemeDesignator = "XRCHPA", "Chest PA", "L"
    header.ProcedureCodeSequence = [code]
    decision = a_decision(
        "1.2.3",
        tag=Tag.ABNORMAL,
        priority=Priority.HIGH,
        probability=0.91,
        accession_number="A-300",
        tagged_at=1772352905.0,
        model_id="rsna-adult 2",
        findings=(
            a_study_finding("abnormal", title="Abnormality"),
            a_study_finding("effusion", title="Pleural effusion", state=FindingState.ABSENT, probability=0.12),
        ),
    )
    study = Study(decision, (StudyImage(an_assessment(), header),), now=1772352906.0)
    return (
        message(study, EXAMPLES[name], control_id("0123456789abcdef0123456789abcdef"))
        .decode("latin-1")
        .replace("\r", "\n")
    )
