"""PURE: what may become of a workitem, by whom, and what is refused (PS3.4 Table CC.1.1-2, PS3.18 11.6 to 11.8)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self

from pydicom.dataset import Dataset

from triage.channels.ups_workitem import code, date_time

SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
OPEN, FINAL = (SCHEDULED, IN_PROGRESS), (COMPLETED, CANCELED)
UPDATED = (  # what a reader's system may set; all else is the study's, and its priority is ours
    "ScheduledStationNameCodeSequence",
    "ScheduledHumanPerformersSequence",
    "ExpectedCompletionDateTime",
    "ProcedureStepProgressInformationSequence",
    "UnifiedProcedureStepPerformedProcedureSequence",
)
_MISSING = "The Transaction UID is missing."
_INCORRECT = "The Transaction UID is incorrect."
_INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
_UNCLAIMED = "The target URI did not reference a claimed Workitem."
_PERFORMED = (  # needed for COMPLETED
    "PerformedStationNameCodeSequence",
    "PerformedWorkitemCodeSequence",
    "PerformedProcedureStepStartDateTime",
    "PerformedProcedureStepEndDateTime",
)


@dataclass(frozen=True)
class WorkitemState:
    """What others have made of a study's workitem. ``attributes``: what they set, as DICOM JSON (PS3.18 annex F).

    ``generation`` counts the study's workitems, from 1; ``past`` are those before. ``raised``: whether the study stood
    on top of the list when this one became final. ``changed_at`` in POSIX seconds.
    """

    generation: int = 1
    state: str = SCHEDULED
    transaction_uid: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)
    raised: bool = False
    changed_at: float = 0.0
    past: tuple[dict[str, Any], ...] = ()

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> Self:
        """The state in a JSON object."""
        return cls(**{**record, "past": tuple(record["past"])})

    def to_record(self) -> dict[str, Any]:
        """The state as a JSON object."""
        return asdict(self)

    def of_generation(self, number: int) -> WorkitemState:
        """This workitem, or an earlier one of the study."""
        if number == self.generation:
            return self
        return WorkitemState.from_record(self.past[number - 1])


class RefusedError(Exception):
    """Refused: an HTTP ``status`` and the text of the Warning."""

    def __init__(self, status: int, warning: str) -> None:
        super().__init__(warning)
        self.status = status
        self.warning = warning


def current(state: WorkitemState, raised: bool) -> WorkitemState:
    """The study's workitem: a new one if the last is final and the study has been raised since."""
    if state.state not in FINAL or state.raised or not raised:
        return state
    return WorkitemState(state.generation + 1, past=(*state.past, replace(state, past=()).to_record()))


def change(state: WorkitemState, wanted: str, transaction_uid: str, now: float, raised: bool) -> WorkitemState:
    """The workitem in the state ``wanted``. The same object if it is final and in that state already."""
    if not transaction_uid:
        raise RefusedError(400, _MISSING)
    if wanted not in (IN_PROGRESS, *FINAL):
        raise RefusedError(400, _INCONSISTENT)
    if state.state == SCHEDULED:
        if wanted != IN_PROGRESS:
            raise RefusedError(409, _INCONSISTENT)
        return replace(state, state=IN_PROGRESS, transaction_uid=transaction_uid, changed_at=now)
    if wanted == IN_PROGRESS:
        raise RefusedError(409, _INCONSISTENT)
    if transaction_uid != state.transaction_uid:
        raise RefusedError(400, _INCORRECT)
    if state.state in FINAL:
        if state.state != wanted:
            raise RefusedError(409, _INCONSISTENT)
        return state
    if wanted == COMPLETED and not _is_performed(state.attributes):
        raise RefusedError(409, _INCONSISTENT)
    return _ended(state, wanted, now, raised)


def update(state: WorkitemState, attributes: dict[str, Any], transaction_uid: str, now: float) -> WorkitemState:
    """The workitem with ``attributes`` (DICOM JSON) in the place of what it had of them."""
    if state.state in FINAL:
        raise RefusedError(400, "The submitted request is inconsistent with the current state of the Workitem.")
    if state.state == SCHEDULED and transaction_uid:
        raise RefusedError(409, _UNCLAIMED)
    if state.state == IN_PROGRESS and transaction_uid != state.transaction_uid:
        raise RefusedError(400, _INCORRECT if transaction_uid else _MISSING)
    return replace(state, attributes={**state.attributes, **attributes}, changed_at=now)


def cancel(state: WorkitemState, now: float, raised: bool) -> WorkitemState:
    """The workitem after a request of someone who does not own it. The same object if it is CANCELED already.

    One that is IN PROGRESS is refused: we have no way to tell its owner.
    """
    if state.state == CANCELED:
        return state
    if state.state == COMPLETED:
        raise RefusedError(409, "The UPS is already COMPLETED.")
    if state.state == IN_PROGRESS:
        raise RefusedError(409, "The performer cannot be contacted.")
    return _ended(state, CANCELED, now, raised)


def _ended(state: WorkitemState, final: str, now: float, raised: bool) -> WorkitemState:
    attributes = state.attributes if final == COMPLETED else _canceled(state.attributes, now)
    return replace(state, state=final, attributes=attributes, changed_at=now, raised=raised)


def _is_performed(attributes: dict[str, Any]) -> bool:
    performed = Dataset.from_json(attributes).get("UnifiedProcedureStepPerformedProcedureSequence") or []
    return bool(performed) and all(item.get(keyword) for item in performed for keyword in _PERFORMED)


def _canceled(attributes: dict[str, Any], now: float) -> dict[str, Any]:
    """With the time and the reason that a CANCELED workitem has to have, where its owner gave none."""
    made = Dataset.from_json(attributes)
    if not made.get("ProcedureStepProgressInformationSequence"):
        made.ProcedureStepProgressInformationSequence = [Dataset()]
    progress = made.ProcedureStepProgressInformationSequence[0]
    if not progress.get("ProcedureStepCancellationDateTime"):
        progress.ProcedureStepCancellationDateTime = date_time(now)
    if not progress.get("ProcedureStepDiscontinuationReasonCodeSequence"):
        reason = code("110513", "DCM", "Discontinued for unspecified reason")
        progress.ProcedureStepDiscontinuationReasonCodeSequence = [reason]
    return made.to_json_dict()
