"""Corrections of workitems (PS3.4 annex CC): changed while SCHEDULED, canceled where nothing is left to read.

A workitem that is final never changes. A correction makes no new one for it, unless it raises the study. Nor does the
patient of one that is there (Table CC.2.5-3): one without is canceled, and made anew.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from triage.decision.rejection import is_wrong
from triage.spool.study import Study
from triage.worklist.workitem import code

REQUEST_CANCEL = 2
"""Action Type ID of Request UPS Cancel (PS3.4 Table CC.2-1)."""

CANCELLATION = ("ReasonForCancellation", "ProcedureStepDiscontinuationReasonCodeSequence")
"""Attributes of a cancellation request (PS3.4 Table CC.2.2-1); in a payload of ours they mark a correction."""

_WRONG_ENTRY = ("110514", "DCM", "Incorrect worklist entry selected")
_RENEWED = "made anew, as it named no patient while the images could not be read"
_WITH_NEW_RESULT = ", and with a new result"
_UNSPECIFIED = ("110513", "DCM", "Discontinued for unspecified reason")


def mark_correction(made: Dataset, study: Study) -> None:
    """Mark a workitem as a correction; as a cancellation if all images that count are another patient's or wrong."""
    assert study.correction is not None
    made.ReasonForCancellation = study.correction.sentence
    images = [image.assessment for image in study.images]
    if any(map(is_wrong, images)) and not any(image.counts for image in images):
        made.ProcedureStepDiscontinuationReasonCodeSequence = [code(*_WRONG_ENTRY)]


def mark_renewal(made: Dataset, *, has_new_result: bool) -> None:
    """Mark a workitem as one that is made anew in place of one without a patient, which is canceled first."""
    made.ReasonForCancellation = f"{_RENEWED}{_WITH_NEW_RESULT if has_new_result else ''}"
    made.ProcedureStepDiscontinuationReasonCodeSequence = [code(*_UNSPECIFIED)]


def has_new_result(renewal: Dataset) -> bool:
    """Return True if a workitem that is made anew says more than the one before it but for the patient."""
    return str(renewal.ReasonForCancellation).endswith(_WITH_NEW_RESULT)


def is_renewal(payload: Dataset) -> bool:
    """Return True if the workitem takes the place of one that is to be canceled."""
    reasons = payload.get("ProcedureStepDiscontinuationReasonCodeSequence", [])
    return any(reason.CodeValue == _UNSPECIFIED[0] for reason in reasons)


def is_cancellation(payload: Dataset) -> bool:
    """Return True if the workitem is to be canceled, and none is made."""
    return "ProcedureStepDiscontinuationReasonCodeSequence" in payload and not is_renewal(payload)


def not_created(payload: Dataset) -> str:
    """Return why a correction makes no workitem of its own; empty if it does, and for every other message."""
    if is_renewal(payload):
        return ""
    if is_cancellation(payload):
        return "no workitem is there to be canceled; the correction is recorded here"
    if "ReasonForCancellation" in payload and payload.ScheduledProcedureStepPriority != "HIGH":
        return "the workitem is finished or unknown there; the correction is recorded here and was not sent"
    return ""
