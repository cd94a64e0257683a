"""Records of requests for the audit trail, without repeating those of the last minutes."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.security.audit_message import RESTRICTED, AuditOutcome, CodedValue, Participant, intent
from triage.security.audit_trail import AuditTrail, subject_of
from triage.spool.store import Store
from triage.web.auth.caller import Caller

_REPEATED_WITHIN_S = 300.0
_REMEMBERED = 10_000


class RecentEvents:
    """Events that this process recorded in the last five minutes: the images of an open study need no new record."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._recorded: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def contains(self, key: Hashable) -> bool:
        """Return True if the event was added less than five minutes ago."""
        with self._lock:
            return self._now() < self._recorded.get(key, float("-inf")) + _REPEATED_WITHIN_S

    def add(self, key: Hashable) -> None:
        """Add an event that was recorded just now."""
        with self._lock:
            self._recorded.pop(key, None)
            self._recorded[key] = self._now()
            while len(self._recorded) > _REMEMBERED:
                self._recorded.popitem(last=False)


@dataclass(frozen=True)
class AuditRecorder:
    """Writes the requests of callers to the audit trail. Every method waits for the disk and raises AuditError."""

    trail: AuditTrail
    spool: Store
    recent: RecentEvents = field(default_factory=RecentEvents)

    def view(self, caller: Caller, study: str, outcome: AuditOutcome) -> None:
        """Record the view of a study, once while the study is open."""
        key = ("view", caller.user.name, caller.address, study)
        if not _is_uid(study) or (outcome is AuditOutcome.SUCCESS and self.recent.contains(key)):
            return
        self._accessed(caller, study, outcome, None)
        if outcome is AuditOutcome.SUCCESS:
            self.recent.add(key)

    def intend(self, caller: Caller, study: str, act: CodedValue) -> None:
        """Record an act on a study before it is done."""
        self._acted(caller, study, intent(act), AuditOutcome.SUCCESS)

    def act(self, caller: Caller, study: str, act: CodedValue, outcome: AuditOutcome) -> None:
        """Record the outcome of an act on a study."""
        self._acted(caller, study, act, outcome)

    def _acted(self, caller: Caller, study: str, act: CodedValue, outcome: AuditOutcome) -> None:
        if _is_uid(study):
            self._accessed(caller, study, outcome, act)
        elif study.startswith("urn:"):  # an object that is no study of ours, such as a reader study's case
            event = self.trail.event(_participant(caller), outcome)
            self.trail.write(self.trail.messages.alert(event, act, study, "", act.meaning))

    def search(self, caller: Caller, path: str, query: str, outcome: AuditOutcome) -> None:
        """Record a search, once while the page repeats it after each change of the list."""
        key = ("search", caller.user.name, caller.address, path, query)
        if outcome is AuditOutcome.SUCCESS and self.recent.contains(key):
            return
        self.trail.write(self.trail.messages.query(self.trail.event(_participant(caller), outcome), path, query))
        if outcome is AuditOutcome.SUCCESS:
            self.recent.add(key)

    def restricted(self, caller: Caller, method: str, path: str) -> None:
        """Record a request that the caller's role does not allow."""
        description = f"{method} needs another role than {caller.user.role}"
        event = self.trail.event(_participant(caller), AuditOutcome.MINOR_FAILURE)
        self.trail.write(self.trail.messages.alert(event, RESTRICTED, path, "", description))

    def authentication(self, participant: Participant, kind: CodedValue, outcome: AuditOutcome) -> None:
        """Record an attempt to sign in, or a sign-out."""
        self.trail.write(self.trail.messages.authentication(self.trail.event(participant, outcome), kind))

    def _accessed(self, caller: Caller, study: str, outcome: AuditOutcome, act: CodedValue | None) -> None:
        subject = subject_of(self.spool, study)
        self.trail.write(self.trail.messages.accessed(self.trail.event(_participant(caller), outcome), subject, act))


def _participant(caller: Caller) -> Participant:
    return Participant(caller.user.name, caller.address)


def _is_uid(study: str) -> bool:
    try:
        return bool(valid_uid(study))
    except InvalidUIDError:
        return False
