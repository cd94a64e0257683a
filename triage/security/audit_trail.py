"""The audit trail: views of studies, searches, sign-ins and acts, one line of XML for each event.

It is the one place outside the spool that holds Patient IDs. The line of a view is on the disk before the view is sent.
An act has a line before it is done and another with its outcome (ADR 36). Several processes write to one file, which is
renamed when it is large and is never removed by this program.
"""

from __future__ import annotations

import logging
import os
import pwd
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from triage.decision.records import assessment_from
from triage.dicom.attribute_text import text_of
from triage.dicom.uid import InvalidUIDError
from triage.errors import StartError, TriageError, cause
from triage.runtime.durable import append_line, private_folder
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
from triage.spool.store import Store
from triage.spool.study import read_header

logger = logging.getLogger(__name__)

REQUEUED = CodedValue("REQUEUE", SCHEME, "A dead letter is tried again")
RECALLED = CodedValue("RECALL", SCHEME, "A recalled result is scored again")
CORRECTED = CodedValue("CORRECT", SCHEME, "What was said of a study is corrected")
CLAIM_ENDED = CodedValue("RELEASE", SCHEME, "The claim of a workitem was ended")
EXPORTED = CodedValue("EXPORT", SCHEME, "Labels are written to a file")


class AuditError(TriageError):
    """The audit trail could not be written: make room on its disk, or correct the rights of its folder."""


@dataclass(frozen=True)
class AuditTrail:
    """A file of audit messages. ``count`` is called after each write, with True if it succeeded."""

    path: Path
    rotate_at_bytes: int
    messages: AuditMessages
    count: Callable[[bool], None] = lambda written: None
    now: Callable[[], float] = time.time

    def event(self, participant: Participant, outcome: AuditOutcome = AuditOutcome.SUCCESS) -> AuditEvent:
        """Return an event of this moment."""
        return AuditEvent(self.now(), participant, outcome)

    def write(self, message: str) -> None:
        """Write a message durably. Raises AuditError after an entry in the log that does not hold the message."""
        try:
            append_line(self.path, message, self.rotate_at_bytes, self._rotated_path())
        except OSError as error:
            self.count(False)
            logger.error("audit: %s cannot be written: %s", self.path, cause(error))
            raise AuditError(cause(error)) from error
        self.count(True)

    def begin(self) -> None:
        """Record that this process starts. Raises StartError if the trail cannot be written."""
        try:
            private_folder(self.path.parent)
            if self.path.exists() and self.path.stat().st_mode & 0o077:
                raise StartError(f"audit.path: {self.path} can be read by others: chmod 0600 {self.path}")
            self.write(self.messages.activity(self.event(operator()), START))
        except (OSError, AuditError) as error:
            raise StartError(f"audit.path: {self.path} cannot be written ({error}): nothing may be shown") from error

    def end(self) -> None:
        """Record that this process stops; if that fails, the log says so."""
        with suppress(AuditError):
            self.write(self.messages.activity(self.event(operator()), STOP))

    def _rotated_path(self) -> Path:
        stamp = datetime.fromtimestamp(self.now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}")


def command_trail(path: Path, rotate_at_bytes: int, source: str, process: str) -> AuditTrail:
    """Return the trail of a command, and create its folder if needed. Raises AuditError."""
    try:
        private_folder(path.absolute().parent)
    except OSError as error:
        raise AuditError(cause(error)) from error
    return open_trail(path.absolute(), rotate_at_bytes, AuditSource(source, process))


def open_trail(
    path: Path, rotate_at_bytes: int, source: AuditSource, count: Callable[[bool], None] = lambda written: None
) -> AuditTrail:
    """Return the trail of a process. Nothing is written yet."""
    return AuditTrail(path, rotate_at_bytes, AuditMessages(source), count)


def operator() -> Participant:
    """Return the account of the operating system that runs this process."""
    try:
        return Participant(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container's number without a name
        return Participant(f"uid {os.getuid()}")


def subject_of(spool: Store, study_instance_uid: str) -> AuditSubject:
    """Return a study with the Patient ID of its first assessed image that has one; empty if none has."""
    try:
        records = spool.assessments(study_instance_uid)
    except InvalidUIDError:
        return AuditSubject(study_instance_uid)
    for record in records:
        header = read_header(spool, assessment_from(record))
        if patient_id := text_of(header, "PatientID"):
            return AuditSubject(study_instance_uid, patient_id)
    return AuditSubject(study_instance_uid)


def note_user(trail: AuditTrail, users_file: Path, name: str, description: str) -> None:
    """Record that a user is or will be changed as ``description`` says. Raises AuditError."""
    uri = users_file.absolute().as_uri()
    trail.write(trail.messages.alert(trail.event(operator()), USER_CHANGED, uri, name, description))


def note_configuration(trail: AuditTrail, setting: str, description: str) -> None:
    """Record a change of a setting that withholds results from people or releases them. Raises AuditError."""
    uri = f"urn:cxr-triage:setting:{setting}"
    trail.write(trail.messages.alert(trail.event(operator()), CONFIGURED, uri, setting, description))


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
