"""The header of a stored object, proven to be the one that was received (docs/adr/0098).

A header is read alone, as the pixels behind it are many times as long, and nothing compares it on the way: a disk, a
bucket or the way from there may have altered it since. So it is held against what its assessment knows of it, which
was written from bytes that were compared. Where the two differ, or the assessment knows nothing, all bytes are read
and their digest decides.
"""

from __future__ import annotations

import errno
import logging
import warnings
from io import BytesIO
from typing import BinaryIO

from pydicom.dataset import Dataset

from triage.decision.identity import PatientMarks
from triage.decision.reasons import Reason
from triage.decision.types import ImageAssessment
from triage.dicom.attribute_text import text_of
from triage.dicom.data_set import read_header
from triage.dicom.identity import accession_issuer, names_further_order, patient_marks
from triage.dicom.part10 import data_set_digest
from triage.spool.stored_object import StoredObject

logger = logging.getLogger(__name__)


def proven_header(stored: StoredObject, assessment: ImageAssessment) -> Dataset | None:
    """Return an object's attributes without pixels, of a damaged one those before the damage; None if it has none.

    Raises OSError for an object whose bytes cannot be had now, and EIO for other bytes than were received.
    """
    with stored.open("rb") as file:
        header = _header_in(file)
    if header is not None and _is_known(header, assessment):
        return header
    return _header_in(BytesIO(_received_bytes(stored, assessment)))


def _header_in(file: BinaryIO) -> Dataset | None:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read_header(file)
    except OSError:
        raise
    except Exception:  # pydicom raises many kinds; the assessment says that it is undecodable
        return None


def _is_known(header: Dataset, assessment: ImageAssessment) -> bool:
    """Return whether a header states patient, order and UIDs as the assessment has them from compared bytes."""
    if assessment.patient == PatientMarks() or Reason.WORKER_FAILURE in assessment.reasons:
        return False  # of a release without marks; or no worker could compare the bytes, and this is of a bare header
    if names_further_order(header):
        return False
    stated = {
        "StudyInstanceUID": assessment.study_instance_uid,
        "SeriesInstanceUID": assessment.series_instance_uid,
        "SOPInstanceUID": assessment.sop_instance_uid,
        "SOPClassUID": assessment.sop_class_uid,
        "AccessionNumber": assessment.accession_number,
    }
    return (
        all(text_of(header, keyword) == value for keyword, value in stated.items())
        and str(accession_issuer(header)) == assessment.accession_issuer
        and patient_marks(header) == assessment.patient
    )


def _received_bytes(stored: StoredObject, assessment: ImageAssessment) -> bytes:
    """Return all bytes of an object. Raises OSError (EIO) if they are not those that were received."""
    content = stored.read_bytes()
    if _digest_of(content) == assessment.content_digest:
        return content
    logger.error(
        "study %s, object %s: its bytes in the store (%s) are not those that were received: its patient and its order "
        "are not believed. Have the PACS send it again; `triage store compare --read` looks for more in a bucket",
        *(assessment.study_instance_uid, assessment.sop_instance_uid, stored),
    )
    raise OSError(errno.EIO, "the bytes of an object are not those that were received")


def _digest_of(file: bytes) -> str:
    try:
        return data_set_digest(file)
    except ValueError:  # the File Meta Information is gone
        return ""
