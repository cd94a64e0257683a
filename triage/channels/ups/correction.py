"""Corrections of workitems (PS3.4 annex CC): changed while SCHEDULED, canceled where nothing is left to read.

A workitem that is final never changes. A correction makes no new one for it, unless it raises the study.
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


def mark_correction(made: Dataset, study: Study) -> None:
    """Mark a workitem as a correction; as a cancellation if all images that count are another patient's or wrong."""
    assert study.correction is not None
    made.ReasonForCancellation = study.correction.sentence
    images = [image.assessment for image in study.images]
    if any(map(is_wrong, images)) and not any(image.counts for image in images):
        made.ProcedureStepDiscontinuationReasonCodeSequence = [code(*_WRONG_ENTRY)]


def is_cancellation(payload: Dataset) -> bool:
    """Return True if the workitem is to be canceled."""
    return "ProcedureStepDiscontinuationReasonCodeSequence" in payload


def not_created(payload: Dataset) -> str:
    """Return why a correction makes no workitem of its own; empty if it does, and for every other message."""
    if is_cancellation(payload):
        return "no workitem is there to be canceled; the correction is recorded here"
    if "ReasonForCancellation" in payload and payload.ScheduledProcedureStepPriority != "HIGH":
        return "the workitem is finished or unknown there; the correction is recorded here and was not sent"
    return ""
