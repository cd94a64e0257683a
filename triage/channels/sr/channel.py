"""DICOM structured reports: TID 1500 Measurement Report, in the original study, made with highdicom."""

from __future__ import annotations

import warnings
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from highdicom import sr
from highdicom.coding_schemes import CodingSchemeIdentificationItem
from pydicom.dataset import Dataset
from pydicom.uid import (
    UID,
    Comprehensive3DSRStorage,
    ComprehensiveSRStorage,
    EnhancedSRStorage,
    SecondaryCaptureImageStorage,
)
from pydicom.valuerep import DA, DT, TM

from triage.channels import c_store_scu as dicom_store
from triage.channels.base import TEST, Built, Send, result
from triage.channels.patient_study import (
    SOFTWARE_VERSION,
    encoded,
    left_out,
    local_time,
    of_patient_and_study,
)
from triage.channels.sr.content import content, root
from triage.decision.statement import told_findings
from triage.dicom.requestor import RemoteAE
from triage.dicom.uid import uid_of
from triage.hl7.message_types import SCHEME
from triage.spool.study import Study, StudyImage, referenced

ENCODER_VERSION = "1"

DOCUMENTS: dict[str, type[Any]] = {
    "comprehensive_3d": sr.Comprehensive3DSR,
    "comprehensive": sr.ComprehensiveSR,
    "enhanced": sr.EnhancedSR,
}
SOP_CLASSES = (str(Comprehensive3DSRStorage), str(ComprehensiveSRStorage), str(EnhancedSRStorage))

_SERIES_NUMBER = 9101


@dataclass(frozen=True)
class SRChannel:
    """Structured reports to one PACS. ``document`` is a key of DOCUMENTS, ``device_uid`` that of this installation."""

    peer: RemoteAE
    document: str = "comprehensive_3d"
    device_uid: str = "2.25.0"

    @property
    def encoder(self) -> str:
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return f"sr {ENCODER_VERSION} {self.document}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        return not study.shadow_only

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``."""
        scores = sorted(
            [each.assessment.sop_instance_uid, each.assessment.content_digest, each.assessment.probability]
            for each in study.scored
        )
        return [*result(study), scores, *_finding_scores(study)]

    def build(self, study: Study) -> Built:
        """Build the message of a revision; see ``Channel``."""
        with warnings.catch_warnings():  # what is odd about the patient's attributes was odd when they came
            warnings.simplefilter("ignore")
            document = report(study, self.document, self.device_uid)
            identity = {"sop_class_uid": document.SOPClassUID, "sop_instance_uid": document.SOPInstanceUID}
            odd = left_out(_evidence(study)[0].header)
            return Built(encoded(document), {name: str(uid) for name, uid in identity.items()}, odd)

    def connect(self) -> AbstractContextManager[Send]:
        """Open a connection for messages. Raises UnreachableError."""
        return dicom_store.connect(self.peer, SOP_CLASSES)

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        return dicom_store.reach(self.peer, (self._sop_class,))

    def check(self) -> list[str]:
        """Try the destination without any patient's data and return the result. Raises UnreachableError."""
        lines = dicom_store.check(self.peer, SOP_CLASSES)
        return [*lines, f"This destination is set to {UID(self._sop_class).name} (document = {self.document})."]

    @property
    def _sop_class(self) -> str:
        return SOP_CLASSES[list(DOCUMENTS).index(self.document)]


def _finding_scores(study: Study) -> list[object]:
    """Return the scores of findings on each image, where the study has more to tell than its tag."""
    if not told_findings(study.decision):
        return []
    images = (each.assessment for each in study.images if each.assessment.findings)
    return [
        sorted(
            [image.sop_instance_uid, image.content_digest, sorted([f.name, f.probability] for f in image.findings)]
            for image in images
        )
    ]


def report(study: Study, document: str, device_uid: str) -> Dataset:
    """The structured report of a study. Same facts, same bytes: its times are those of the assessment."""
    images = _evidence(study)
    assessed_at = max(each.assessment.assessed_at for each in study.images)
    if study.correction:
        assessed_at = max(assessed_at, study.correction.at)
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
    # Put in afterwards: highdicom copies and searches what it is given several times, which takes longer than the rest,
    # and raises for values that are odd.
    made.ContentSequence = content(study, device_uid)
    _put_classes(made, images)
    made.update(of_patient_and_study(images[0].header, study.decision.study_instance_uid))
    _date_everything(made, assessed_at, images[0].header)
    return made


def _date_everything(made: Dataset, assessed_at: float, header: Dataset) -> None:
    """Highdicom writes the time of the call, which would make other bytes of the same facts."""
    at = local_time(made, assessed_at, header)
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


def _evidence(study: Study) -> list[StudyImage]:
    """The images that the report rests on; patient and study are taken from the first.

    Every content under one SOP Instance UID is one reference. A study of which nothing was for us refers to all it has.
    """
    counted = [image for image in study.images if image.assessment.counts] or list(study.images)
    return list({image.assessment.sop_instance_uid: image for image in counted}.values())


def _reference(image: StudyImage, study: Study) -> Dataset:
    """Return the attributes that highdicom needs of an image, none of a device: patient and study are put in later.

    So is the SOP class: highdicom takes none that it does not know.
    """
    made = of_patient_and_study(Dataset(), study.decision.study_instance_uid)
    made.SOPClassUID = SecondaryCaptureImageStorage
    _, made.SOPInstanceUID, made.SeriesInstanceUID = referenced(image)
    return made


def _put_classes(made: Dataset, images: list[StudyImage]) -> None:
    classes = {instance: sop_class for sop_class, instance, _ in map(referenced, images)}
    for evidence in ("CurrentRequestedProcedureEvidenceSequence", "PertinentOtherEvidenceSequence"):
        for study in made.get(evidence, []):
            for series in study.ReferencedSeriesSequence:
                for each in series.ReferencedSOPSequence:
                    each.ReferencedSOPClassUID = classes[str(each.ReferencedSOPInstanceUID)]


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
