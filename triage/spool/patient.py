"""Patient identity of a study, from its files in the spool. It is never logged, queued or kept elsewhere."""

from __future__ import annotations

from dataclasses import dataclass, field

from pydicom.dataset import Dataset

from triage.decision.identity import PatientIdentifier
from triage.dicom.attribute_text import text_of
from triage.dicom.identity import patient_identifiers
from triage.spool.store import Store
from triage.spool.study import WholeStudy, read_study, read_study_of_objects


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


def certain_patient_of(spool: Store, study_instance_uid: str) -> Patient:
    """Return the same. Raises OSError while the store gives no objects, so that it is not known which one it is."""
    return _of(read_study_of_objects(spool, study_instance_uid))


def _of(known: WholeStudy | None) -> Patient:
    found = [patient_in(image.header) for image in known[1]] if known else []
    return next((each for each in found if each.patient_id or each.name), Patient())


def patient_in(header: Dataset) -> Patient:
    """Return the patient that an object's attributes name."""
    identifier, issuer, name = (text_of(header, each) for each in ("PatientID", "IssuerOfPatientID", "PatientName"))
    return Patient(identifier, issuer, name, patient_identifiers(header))
