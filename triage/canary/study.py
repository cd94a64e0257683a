"""PURE: the study of a canary: a chest phantom with attributes that mark it as a test wherever it is shown."""

from __future__ import annotations

import time
from dataclasses import dataclass
from hashlib import sha256
from struct import unpack

from triage.dicom.dx_image import DXDescription, dx_image, part10
from triage.phantom.chest import BITS, draw
from triage.spool.instance import ReceivedInstance

PATIENT_NAME = "CANARY^TRIAGE"
PATIENT_ID = "CXR-TRIAGE-CANARY"
_SIZE = 256  # the smallest image that a model takes for a chest
_HEIGHT_MM = 400.0
_SEED = 0


@dataclass(frozen=True)
class CanaryObject:
    """One canary: its DICOM file, and its identity in the spool."""

    file: bytes
    instance: ReceivedInstance


def make_canary(installation_uid: str, now: float) -> CanaryObject:
    """Return the canary of this moment (POSIX seconds): one small PA image of an adult, acquired now.

    Its UIDs lie below the installation's and differ from moment to moment. So no two canaries have the same content,
    and a receiver can tell them from patients' studies by the root of the UID.
    """
    study = f"{installation_uid}.{round(now * 1_000_000)}"
    local = time.localtime(now)
    description = DXDescription(
        study_instance_uid=study,
        series_instance_uid=f"{study}.1",
        sop_instance_uid=f"{study}.2",
        patient_name=PATIENT_NAME,
        patient_id=PATIENT_ID,
        age="050Y",
        view="PA",
        accession_number=f"CANARY{int(now)}"[:16],
        priority="LOW",
        acquired=(time.strftime("%Y%m%d", local), time.strftime("%H%M%S", local)),
    )
    dataset = dx_image(draw(_SEED, rows=_SIZE, columns=_SIZE), BITS, description)
    dataset.ImagerPixelSpacing = [_HEIGHT_MM / _SIZE] * 2
    dataset.QualityControlSubject = "YES"  # PS3.3 C.7.1.1
    dataset.QualityControlImage = "YES"  # PS3.3 C.7.6.1
    dataset.PatientComments = "TEST: drawn by code, no patient"
    dataset.StudyDescription = "TEST: canary of cxr-triage, no patient"
    dataset.SeriesDescription = "TEST: canary of cxr-triage"
    dataset.Manufacturer = "cxr-triage"
    file = part10(dataset)
    return CanaryObject(file, ReceivedInstance(study, f"{study}.2", _digest_of_data_set(file)))


def _digest_of_data_set(file: bytes) -> str:
    """Return the digest as the listener computes it: of all that follows the File Meta Information (PS3.10 7.1)."""
    (length,) = unpack("<L", file[140:144])
    return sha256(file[144 + length :]).hexdigest()
