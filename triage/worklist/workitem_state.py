"""The states of a workitem, the permitted changes, and the refusals (PS3.4 Table CC.1.1-2, PS3.18 11.6 to 11.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from typing import Self

from pydicom.dataset import Dataset

from triage.decision.records import Record
from triage.decision.types import TriageDecision
from triage.decision.urgency import Urgency
from triage.errors import TriageError
from triage.worklist.workitem_content import canceled, canceled_with, completed_with, with_output

SCHEDULED, IN_PROGRESS, COMPLETED, CANCELED = "SCHEDULED", "IN PROGRESS", "COMPLETED", "CANCELED"
OPEN, FINAL = (SCHEDULED, IN_PROGRESS), (COMPLETED, CANCELED)
_MISSING = "The Transaction UID is missing."
_INCORRECT = "The Transaction UID is incorrect."
_INCONSISTENT = "The submitted request is inconsistent with the state of the UPS Instance."
_INCONSISTENT_WORKITEM = "The submitted request is inconsistent with the current state of the Workitem."
_UNCLAIMED = "The target URI did not reference a claimed Workitem."


@dataclass(frozen=True)
class WorkitemState:
    """The state of a study's workitem. ``attributes``: those that other systems set, as DICOM JSON (PS3.18 annex F).

    ``generation`` counts the study's workitems, from 1; ``past`` has the earlier ones. ``raised``: how far the study
    was raised when this one became final (``raise_level``). ``changed_at`` in POSIX seconds.
    """

    generation: int = 1
    state: str = SCHEDULED
    transaction_uid: str = ""
    attributes: Record = field(default_factory=dict)
    raised: int = 0
    changed_at: float = 0.0
    past: tuple[Record, ...] = ()

    @classmethod
    def from_record(cls, record: Record) -> Self:
        """Return the state in a JSON object."""
        return cls(**{**record, "past": tuple(record["past"])})

    def to_record(self) -> Record:
        """Return the state as a JSON object."""
        return asdict(self)

    def of_generation(self, number: int) -> WorkitemState:
        """Return the state of this workitem, or of an earlier one of the study."""
        if number == self.generation:
            return self
        return WorkitemState.from_record(self.past[number - 1])


Step = Callable[[WorkitemState, int], WorkitemState]
"""Returns the next state for a workitem's state and how far its study is raised; may raise an error instead."""


class RefusedError(TriageError):
    """A change of a workitem is refused, with an HTTP ``status`` and the text of the Warning header (PS3.18 11)."""

    def __init__(self, status: int, warning: str) -> None:
        super().__init__(warning)
        self.status = status
        self.warning = warning


def raise_level(decision: TriageDecision) -> int:
    """Return how far a study is raised: 0 not, 1 urgent, 2 critical. Records of earlier releases have true for 1."""
    return int(decision.raised) + (decision.raised and decision.urgency is Urgency.CRITICAL)


def current(state: WorkitemState, raised: int) -> WorkitemState:
    """Return the study's workitem: a new one if the last is final and the study has been raised, or further, since."""
    if state.state not in FINAL or raised <= state.raised:
        return state
    return successor(state)


def successor(state: WorkitemState) -> WorkitemState:
    """Return the workitem that replaces a final one, SCHEDULED."""
    return WorkitemState(state.generation + 1, past=(*state.past, replace(state, past=()).to_record()))


def change(state: WorkitemState, wanted: str, transaction_uid: str, now: float, raised: int) -> WorkitemState:
    """Return the workitem in the state ``wanted`` (PS3.4 Table CC.1.1-2); the same object if that is its final state.

    Raises RefusedError with the status of PS3.18 11.7.3 for each code of that table: 400 with the Warning on the
    Transaction UID for C301; 409 for C300, C302, C303, C304 and C310. B304 and B306 return the same object.
    """
    if not transaction_uid:
        raise RefusedError(400, _MISSING)
    if wanted not in (SCHEDULED, IN_PROGRESS, *FINAL):
        raise RefusedError(400, _INCONSISTENT)
    if wanted == SCHEDULED:
        raise RefusedError(409, _INCONSISTENT)
    if state.state == SCHEDULED:
        if wanted != IN_PROGRESS:
            raise RefusedError(409, _INCONSISTENT)
        return replace(state, state=IN_PROGRESS, transaction_uid=transaction_uid, changed_at=now)
    if transaction_uid != state.transaction_uid:
        raise RefusedError(400, _INCORRECT)
    if state.state == wanted and wanted in FINAL:
        return state
    if state.state in FINAL or wanted == IN_PROGRESS:
        raise RefusedError(409, _INCONSISTENT)
    return _ended_by_owner(state, wanted, now, raised)


def update(state: WorkitemState, attributes: Record, transaction_uid: str, now: float) -> WorkitemState:
    """Return the workitem with ``attributes`` (DICOM JSON) set (PS3.4 CC.2.6, PS3.18 11.6). Raises RefusedError."""
    if state.state in FINAL:
        raise RefusedError(400, _INCONSISTENT_WORKITEM)
    if state.state == SCHEDULED and transaction_uid:
        raise RefusedError(409, _UNCLAIMED)
    if state.state == IN_PROGRESS and transaction_uid != state.transaction_uid:
        raise RefusedError(400, _INCORRECT if transaction_uid else _MISSING)
    merged = with_output(Dataset.from_json({**state.attributes, **attributes}))
    return replace(state, attributes=merged.to_json_dict(), changed_at=now)


def cancel(state: WorkitemState, request: Dataset, now: float, raised: int) -> WorkitemState:
    """Return the workitem after a cancellation request by another than its owner (PS3.4 CC.2.2.3).

    ``request`` has the reasons. The same object if it is CANCELED already. Raises RefusedError; also if it is
    IN PROGRESS: we cannot notify its owner.
    """
    if state.state == CANCELED:
        return state
    if state.state == COMPLETED:
        raise RefusedError(409, "The UPS is already COMPLETED.")
    if state.state == IN_PROGRESS:
        raise RefusedError(409, "The performer cannot be contacted.")
    return _ended(state, CANCELED, canceled(Dataset.from_json(state.attributes), now, request), now, raised)


def _ended_by_owner(state: WorkitemState, final: str, now: float, raised: int) -> WorkitemState:
    """Return the final state. Raises RefusedError if its requirements are not met (PS3.4 CC.2.5.1.1: C304)."""
    attributes = Dataset.from_json(state.attributes)
    if final == COMPLETED and not completed_with(attributes):
        raise RefusedError(409, _INCONSISTENT)
    if final == CANCELED and not canceled_with(attributes):
        raise RefusedError(409, _INCONSISTENT)
    return _ended(state, final, attributes if final == COMPLETED else canceled(attributes, now), now, raised)


def _ended(state: WorkitemState, final: str, attributes: Dataset, now: float, raised: int) -> WorkitemState:
    return replace(state, state=final, attributes=attributes.to_json_dict(), changed_at=now, raised=raised)
