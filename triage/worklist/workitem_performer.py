"""PURE: who finished a workitem, and when, by its Unified Procedure Step Performed Procedure Sequence (0074,1216)."""

from __future__ import annotations

from pydicom.dataset import Dataset

from triage.hl7.timestamps import moment

PERFORMED = "UnifiedProcedureStepPerformedProcedureSequence"


def performer(workitem: Dataset) -> str:
    """Actual Human Performers Sequence (0040,4035): the name, else the code's meaning; empty if nobody is."""
    for step in workitem.get(PERFORMED) or []:
        for person in step.get("ActualHumanPerformersSequence") or []:
            codes = person.get("HumanPerformerCodeSequence") or []
            named = [
                str(person.get("HumanPerformerName") or ""),
                *(str(each.get("CodeMeaning") or "") for each in codes),
            ]
            if found := next(filter(None, named), ""):
                return " ".join(part for part in found.split("=")[0].split("^") if part)
    return ""


def ended_at(workitem: Dataset) -> float | None:
    """The last Performed Procedure Step End DateTime (0040,4051) in POSIX seconds; None if there is none."""
    ends = [moment(str(step.get("PerformedProcedureStepEndDateTime") or "")) for step in workitem.get(PERFORMED) or []]
    return max((each for each in ends if each is not None), default=None)
