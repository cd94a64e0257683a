"""What the audit trail is told of requests, and what is not told twice."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.metrics.labels import SignInOutcome
from triage.security.audit_message import LOGIN, LOGOUT, RESTRICTED, AuditOutcome, CodedValue, Who, intent
from triage.security.audit_trail import AuditError, Trail, subject_of
from triage.spool.spool import Spool
from triage.web.auth.caller import Caller

_ONE_OPENING_S = 300.0
_REMEMBERED = 10_000
_OUTCOMES = {
    SignInOutcome.ACCEPTED: AuditOutcome.SUCCESS,
    SignInOutcome.REFUSED: AuditOutcome.MINOR_FAILURE,
    SignInOutcome.THROTTLED: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.UNTRUSTED: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.INVALID: AuditOutcome.SERIOUS_FAILURE,
    SignInOutcome.FAILED: AuditOutcome.SERIOUS_FAILURE,
}


class Openings:
    """What was written down lately, in this process: a study that is open is not opened again by each of its images."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._known: OrderedDict[Hashable, float] = OrderedDict()
        self._lock = threading.Lock()

    def is_open(self, key: Hashable) -> bool:
        """Whether it was written down less than five minutes ago."""
        with self._lock:
            return self._now() < self._known.get(key, float("-inf")) + _ONE_OPENING_S

    def opened(self, key: Hashable) -> None:
        """It is written down now."""
        with self._lock:
            self._known.pop(key, None)
            self._known[key] = self._now()
            while len(self._known) > _REMEMBERED:
                self._known.popitem(last=False)


@dataclass(frozen=True)
class Auditor:
    """Writes down what callers do. Everything here waits for the disk, and raises AuditError if that fails."""

    trail: Trail
    spool: Spool
    openings: Openings = field(default_factory=Openings)

    def look(self, caller: Caller, study: str, outcome: AuditOutcome) -> None:
        """A study was opened, or more of one that is open is looked at."""
        key = ("look", caller.user.name, caller.address, study)
        if not _is_uid(study) or (outcome is AuditOutcome.SUCCESS and self.openings.is_open(key)):
            return
        self._accessed(caller, study, outcome, None)
        if outcome is AuditOutcome.SUCCESS:
            self.openings.opened(key)

    def intend(self, caller: Caller, study: str, act: CodedValue) -> None:
        """Something is about to be done to a study."""
        if _is_uid(study):
            self._accessed(caller, study, AuditOutcome.SUCCESS, intent(act))

    def act(self, caller: Caller, study: str, act: CodedValue, outcome: AuditOutcome) -> None:
        """Something was done to a study, or could not be done."""
        if _is_uid(study):
            self._accessed(caller, study, outcome, act)

    def search(self, caller: Caller, path: str, query: str, outcome: AuditOutcome) -> None:
        """The list was searched; the page asks again whenever the list changes, and that is one search."""
        key = ("search", caller.user.name, caller.address, path, query)
        if outcome is AuditOutcome.SUCCESS and self.openings.is_open(key):
            return
        self.trail.write(self.trail.reporter.query(self.trail.now(), _who(caller), path, query, outcome))
        if outcome is AuditOutcome.SUCCESS:
            self.openings.opened(key)

    def restricted(self, caller: Caller, method: str, path: str) -> None:
        """Somebody asked for what his or her role does not allow."""
        description = f"{method} needs another role than {caller.user.role}"
        message = self.trail.reporter.alert(
            self.trail.now(), _who(caller), RESTRICTED, AuditOutcome.MINOR_FAILURE, path, "", description
        )
        self.trail.write(message)

    def _accessed(self, caller: Caller, study: str, outcome: AuditOutcome, act: CodedValue | None) -> None:
        subject = subject_of(self.spool, study)
        self.trail.write(self.trail.reporter.accessed(self.trail.now(), _who(caller), subject, outcome, act))


def note_attempt(trail: Trail | None, who: Who, became: SignInOutcome) -> None:
    """Note an attempt to sign in. What cannot be written is in the log and counted, and keeps nobody out: the looks
    that follow are refused.
    """
    if trail is not None:
        _write(trail, who, LOGIN, _OUTCOMES[became])


def note_sign_out(trail: Trail | None, name: str, address: str) -> None:
    """Note that somebody signed out."""
    if trail is not None:
        _write(trail, Who(name, address), LOGOUT, AuditOutcome.SUCCESS)


def _write(trail: Trail, who: Who, what: CodedValue, outcome: AuditOutcome) -> None:
    try:
        trail.write(trail.reporter.authentication(trail.now(), who, what, outcome))
    except AuditError:
        return


def _who(caller: Caller) -> Who:
    return Who(caller.user.name, caller.address)


def _is_uid(study: str) -> bool:
    try:
        return bool(valid_uid(study))
    except InvalidUIDError:
        return False
