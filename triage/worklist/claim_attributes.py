"""Attributes of a workitem that a reader of our page claims and ends (PS3.4 Table CC.2.5-3, PS3.3 C.30.3). Pure."""

from __future__ import annotations

from dataclasses import replace

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import items_of, text_of
from triage.worklist.workitem import code, date_time
from triage.worklist.workitem_content import canceled, with_output
from triage.worklist.workitem_performer import PERFORMED
from triage.worklist.workitem_state import WorkitemState

_STATION = ("CXR-TRIAGE", "99CXRTRIAGE", "Worklist page of cxr-triage")
_INTERPRETATION = ("110005", "DCM", "Interpretation")
_LONGEST_NAME = 64


def claimed(state: WorkitemState, user: str, now: float) -> WorkitemState:
    """Return the workitem with who performs it, where, and since when (POSIX seconds)."""
    attributes = Dataset.from_json(state.attributes)
    item = Dataset()
    item.PerformedStationNameCodeSequence = [code(*_STATION)]
    item.PerformedWorkitemCodeSequence = [code(*_INTERPRETATION)]
    item.PerformedProcedureStepStartDateTime = date_time(now)
    item.ActualHumanPerformersSequence = [_performer(user)]
    setattr(attributes, PERFORMED, [item])
    return replace(state, attributes=with_output(attributes).to_json_dict())


def performed(state: WorkitemState, user: str, now: float) -> WorkitemState:
    """Return the workitem with what final state P requires: it ended ``now`` (POSIX seconds)."""
    attributes = Dataset.from_json(state.attributes)
    if not items_of(attributes, PERFORMED):
        attributes = Dataset.from_json(claimed(state, user, now).attributes)
    attributes[PERFORMED].value[0].PerformedProcedureStepEndDateTime = date_time(now)
    return replace(state, attributes=attributes.to_json_dict())


def discontinued(state: WorkitemState, reason: str, now: float) -> WorkitemState:
    """Return the workitem with what final state X requires: the reason in words, with 110513 (DCM), and the time."""
    request = Dataset()
    request.ReasonForCancellation = reason
    return replace(state, attributes=canceled(Dataset.from_json(state.attributes), now, request).to_json_dict())


def station(attributes: Dataset) -> str:
    """Return the station at which another system performs a workitem, as it says; empty if it does not."""
    for item in items_of(attributes, PERFORMED):
        for found in items_of(item, "PerformedStationNameCodeSequence"):
            if name := text_of(found, "CodeMeaning") or text_of(found, "CodeValue"):
                return name
    return ""


def _performer(user: str) -> Dataset:
    """Return a performer. In a person's name (PN) a user's name is one component of one group."""
    item = Dataset()
    name = "".join(each for each in user if each.isprintable() and each not in "\\^=")
    item.HumanPerformerName = name[:_LONGEST_NAME]
    return item
