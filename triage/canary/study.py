"""PURE: the study that a canary is. A chest phantom whose attributes say on every page that it is no patient."""

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
_SIZE = 256  # as small as an image can be that a model takes for a chest
_HEIGHT_MM = 400.0
_SEED = 0


@dataclass(frozen=True)
class CanaryObject:
    """A DICOM file, and what it will be in the spool."""

    file: bytes
    instance: ReceivedInstance


def a_canary(installation_uid: str, now: float) -> CanaryObject:
    """The canary of a moment (POSIX seconds): one small PA of an adult, taken now.

    Its UIDs lie under the installation's, each moment another, so that no two have the same content, and so that a
    receiver can tell them from patients' by their root.
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
    """As the listener has it: of what follows the File Meta Information (PS3.10 section 7.1)."""
    (length,) = unpack("<L", file[140:144])
    return sha256(file[144 + length :]).hexdigest()
