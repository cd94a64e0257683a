"""The audit trail: views of studies, searches, sign-ins and acts, one line of XML for each event.

It is the one place outside the store that holds Patient IDs. The line of a view is kept before the view is sent. An act
has a line before it is done and another with its outcome (ADR 36). Lines are in files of the host or, where several
hosts share the store, in its database (ADR 79); this program removes none.
"""

from __future__ import annotations

import logging
import os
import pwd
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from triage.decision.records import assessment_from
from triage.dicom.attribute_text import text_of
from triage.dicom.uid import InvalidUIDError
from triage.errors import StartError, TriageError, cause
from triage.security.audit_message import (
    CONFIGURED,
    SCHEME,
    START,
    STOP,
    USER_CHANGED,
    AuditEvent,
    AuditMessages,
    AuditOutcome,
    AuditSource,
    AuditSubject,
    CodedValue,
    Participant,
    intent,
)
from triage.security.audit_sink import AuditSink
from triage.spool.patient import patient_among
from triage.spool.store import Store
from triage.spool.study import read_header, read_study

logger = logging.getLogger(__name__)

T = TypeVar("T")

REQUEUED = CodedValue("REQUEUE", SCHEME, "A dead letter is tried again")
RECALLED = CodedValue("RECALL", SCHEME, "A recalled result is scored again")
CORRECTED = CodedValue("CORRECT", SCHEME, "What was said of a study is corrected")
CLAIM_ENDED = CodedValue("RELEASE", SCHEME, "The claim of a workitem was ended")
EXPORTED = CodedValue("EXPORT", SCHEME, "Labels are written to a file")


class AuditError(TriageError):
    """The audit trail could not be written: make room on its disk, correct its folder's rights, start its database."""


@dataclass(frozen=True)
class AuditTrail:
    """The audit messages of one process. ``count`` is called after each write, with True if it succeeded."""

    sink: AuditSink
    messages: AuditMessages
    count: Callable[[bool], None] = lambda written: None

    def event(self, participant: Participant, outcome: AuditOutcome = AuditOutcome.SUCCESS) -> AuditEvent:
        """Return an event of this moment. Raises AuditError if the clock of the trail's place does not answer."""
        return AuditEvent(self._tried(self.sink.now), participant, outcome)

    def write(self, message: str) -> None:
        """Write a message durably. Raises AuditError after an entry in the log that does not hold the message."""
        self._tried(lambda: self.sink.append(message))
        self.count(True)

    def begin(self) -> None:
        """Record that this process starts. Raises StartError if the trail cannot be written."""
        try:
            self.sink.prepare()
            self.sink.check()
            self.write(self.messages.activity(self.event(operator()), START))
        except (OSError, AuditError) as error:
            raise StartError(
                f"{self.sink.setting}: {self.sink.name} cannot be written ({error}): nothing may be shown"
            ) from error

    def end(self) -> None:
        """Record that this process stops; if that fails, the log says so."""
        with suppress(AuditError):
            self.write(self.messages.activity(self.event(operator()), STOP))

    def _tried(self, act: Callable[[], T]) -> T:
        try:
            return act()
        except OSError as error:
            self.count(False)
            logger.error("audit: %s cannot be written: %s", self.sink.name, cause(error))
            raise AuditError(cause(error)) from error


def command_trail(sink: AuditSink, source: AuditSource) -> AuditTrail:
    """Return the trail of a command, whose place is made if needed. Raises AuditError."""
    try:
        sink.prepare()
    except OSError as error:
        raise AuditError(cause(error)) from error
    return trail_of(sink, source)


def trail_of(sink: AuditSink, source: AuditSource, count: Callable[[bool], None] = lambda written: None) -> AuditTrail:
    """Return the trail of a process. Nothing is written yet."""
    return AuditTrail(sink, AuditMessages(source), count)


def operator() -> Participant:
    """Return the account of the operating system that runs this process."""
    try:
        return Participant(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container's number without a name
        return Participant(f"uid {os.getuid()}")


def subject_of(spool: Store, study_instance_uid: str) -> AuditSubject:
    """Return a study with the Patient ID that the list and messages name; empty if there is none.

    Before the first decision it is that of the first assessed image that has one.
    """
    with suppress(KeyError, TypeError, ValueError):  # a decision that cannot be read, or a UID that is none
        known = read_study(spool, study_instance_uid)
        if known is not None:
            return AuditSubject(study_instance_uid, patient_among(known[1]).patient_id)
    try:
        records = spool.assessments(study_instance_uid)
    except InvalidUIDError:
        return AuditSubject(study_instance_uid)
    headers = (read_header(spool, assessment_from(each)) for each in records)
    return AuditSubject(study_instance_uid, next(filter(None, (text_of(each, "PatientID") for each in headers)), ""))


def note_user(trail: AuditTrail, uri: str, name: str, description: str) -> None:
    """Record that a user is or will be changed as ``description`` says, in the place ``uri``. Raises AuditError."""
    trail.write(trail.messages.alert(trail.event(operator()), USER_CHANGED, uri, name, description))


def note_configuration(trail: AuditTrail, setting: str, description: str) -> None:
    """Record a change of a setting that withholds results from people or releases them. Raises AuditError."""
    uri = f"urn:cxr-triage:setting:{setting}"
    trail.write(trail.messages.alert(trail.event(operator()), CONFIGURED, uri, setting, description))


def note_log_used(trail: AuditTrail) -> None:
    """Record that the audit trail itself is read. Raises AuditError."""
    trail.write(trail.messages.log_used(trail.event(operator()), trail.sink.uri))


def intend_export(trail: AuditTrail, out: Path) -> None:
    """Record that labels will be written to a file; ``note_export`` names the studies. Raises AuditError."""
    uri = out.absolute().as_uri()
    trail.write(trail.messages.export(trail.event(operator()), uri, (), intent(EXPORTED)))


def note_export(trail: AuditTrail, out: Path, spool: Store, studies: Iterable[str]) -> None:
    """Record that labels of studies were written to a file. Raises AuditError."""
    subjects = [subject_of(spool, study) for study in studies]
    trail.write(trail.messages.export(trail.event(operator()), out.absolute().as_uri(), subjects))


def intend_requeue(trail: AuditTrail, spool: Store, studies: Iterable[str]) -> None:
    """Record that dead letters of studies will be requeued. Raises AuditError."""
    _record_requeue(trail, spool, studies, intent(REQUEUED), AuditOutcome.SUCCESS)


def note_requeue(
    trail: AuditTrail, spool: Store, studies: Iterable[str], outcome: AuditOutcome = AuditOutcome.SUCCESS
) -> None:
    """Record that dead letters of studies were requeued, or could not be. Raises AuditError."""
    _record_requeue(trail, spool, studies, REQUEUED, outcome)


def note_act(
    trail: AuditTrail,
    spool: Store,
    study: str,
    act: CodedValue,
    by: Participant,
    outcome: AuditOutcome = AuditOutcome.SUCCESS,
) -> None:
    """Record an act of a person on one study, or the ``intent`` of it. Raises AuditError."""
    trail.write(trail.messages.accessed(trail.event(by, outcome), subject_of(spool, study), act))


def _record_requeue(
    trail: AuditTrail, spool: Store, studies: Iterable[str], act: CodedValue, outcome: AuditOutcome
) -> None:
    for study in dict.fromkeys(studies):
        event = trail.event(operator(), outcome)
        trail.write(trail.messages.accessed(event, subject_of(spool, study), act))
