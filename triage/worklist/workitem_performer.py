"""The performer and end of a workitem, from Unified Procedure Step Performed Procedure Sequence (0074,1216). Pure.

Malformed content there counts as absent.
"""

from __future__ import annotations

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import items_of, text_of
from triage.hl7.timestamps import moment

PERFORMED = "UnifiedProcedureStepPerformedProcedureSequence"


def performer(workitem: Dataset) -> str:
    """Return the performer by Actual Human Performers Sequence (0040,4035): name, else code meaning; empty if none."""
    for step in items_of(workitem, PERFORMED):
        for person in items_of(step, "ActualHumanPerformersSequence"):
            codes = items_of(person, "HumanPerformerCodeSequence")
            named = [text_of(person, "HumanPerformerName"), *(text_of(each, "CodeMeaning") for each in codes)]
            if found := next(filter(None, named), ""):
                return " ".join(part for part in found.split("=")[0].split("^") if part)
    return ""


def ended_at(workitem: Dataset) -> float | None:
    """Return the last Performed Procedure Step End DateTime (0040,4051) in POSIX seconds; None if there is none."""
    ends = [moment(text_of(step, "PerformedProcedureStepEndDateTime")) for step in items_of(workitem, PERFORMED)]
    return max((each for each in ends if each is not None), default=None)
