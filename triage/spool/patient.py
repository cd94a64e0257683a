"""Patient identity of a study, from its files in the spool. It is never logged, queued or kept elsewhere."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from triage.decision.identity import PatientIdentifier, PatientMarks, any_may_be, contradiction, identifiers_in
from triage.decision.reasons import Reason
from triage.dicom.attribute_text import text_of
from triage.dicom.identity import patient_identifiers, patient_marks
from triage.spool.store import Store
from triage.spool.study import StudyImage, WholeStudy, read_study, read_study_of_objects


@dataclass(frozen=True)
class Patient:
    """Patient ID (0010,0020), Issuer of Patient ID (0010,0021) and Patient's Name (0010,0010); empty where unknown.

    ``identifiers``: the Patient ID and Other Patient IDs, each with its issuer and what qualifies it.
    """

    patient_id: str = field(default="", repr=False)
    issuer: str = field(default="", repr=False)
    name: str = field(default="", repr=False)
    identifiers: tuple[PatientIdentifier, ...] = field(default=(), repr=False)


def patient_of(spool: Store, study_instance_uid: str) -> Patient:
    """Return the patient of a study, from the first image that names one; an unknown one if none can be read."""
    return _of(read_study(spool, study_instance_uid))


def certain_identifiers_of(spool: Store, study_instance_uid: str) -> tuple[PatientIdentifier, ...] | None:
    """Return digests of the IDs of a study's patient, of the first image that has one; empty if none of them has.

    None if that cannot be known, see ``certain_identifiers_in``. Raises OSError while the store gives no objects.
    """
    known = read_study_of_objects(spool, study_instance_uid)
    return certain_identifiers_in(known[1]) if known else ()


def certain_identifiers_in(images: Sequence[StudyImage]) -> tuple[PatientIdentifier, ...] | None:
    """Return digests (``decision.identity.mark``) of the patient's IDs: of a header, else of an assessment.

    None if no image has an ID and one that might have, as nothing is known of its patient, cannot be read.
    """
    own = [each for each in images if each.is_own]
    marks = [_marks_of(each) for each in own]
    found = next((each for each in marks if each.identifiers), None)
    if found is not None:
        return identifiers_in(found)
    unread = any(not image.has_header and image.assessment.patient == PatientMarks() for image in own)
    return None if unread else ()


def _of(known: WholeStudy | None) -> Patient:
    return patient_among(known[1]) if known else Patient()


def patient_among(images: Sequence[StudyImage]) -> Patient:
    """Return the patient that the images name; an unknown one if none does. See ``naming_image``."""
    found = naming_image(images)
    return Patient() if found is None else patient_in(found.header)


def naming_image(images: Sequence[StudyImage]) -> StudyImage | None:
    """Return the image that the study's patient is taken from: the first of its own that names one; None if none does.

    While that one cannot be read, another one stands in for it that is known to be of the same patient, and else none:
    the next one may be another patient's.
    """
    may_name = (each for each in images if each.is_own and (_names(each) or _may_name(each)))
    first = next(may_name, None)
    if first is None or not first.unread:
        return first
    return next((each for each in may_name if not each.unread and _is_of_one_patient(first, each)), None)


def _names(image: StudyImage) -> bool:
    found = patient_in(image.header)
    return bool(found.patient_id or found.name)


def _may_name(image: StudyImage) -> bool:
    """Return whether an image that cannot be read names a patient, or that is unknown.

    No finding is of one that was given up without its bytes: then the result is of the others, and so is the patient.
    """
    marks = image.assessment.patient
    if marks == PatientMarks():
        return image.unread and Reason.WORKER_FAILURE not in image.assessment.reasons
    return image.unread and bool(marks.identifiers or any(marks.names))


def _is_of_one_patient(one: StudyImage, other: StudyImage) -> bool:
    both = (_marks_of(one), _marks_of(other))
    return any_may_be(*map(identifiers_in, both)) and not contradiction(both)


def _marks_of(image: StudyImage) -> PatientMarks:
    return patient_marks(image.header) if image.has_header else image.assessment.patient


def patient_in(header: Dataset) -> Patient:
    """Return the patient that an object's attributes name."""
    identifier, issuer, name = (text_of(header, each) for each in ("PatientID", "IssuerOfPatientID", "PatientName"))
    return Patient(identifier, issuer, name, patient_identifiers(header))
