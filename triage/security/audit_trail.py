"""The audit trail: who looked at which patient's study, and what was done, a line of XML for each event.

It is the one place outside the spool that holds Patient IDs. A line is on the disk before the look that it tells of is
answered; of an act, one before it is done and one when it is known what came of it (ADR 36). Several processes write to
one file, which moves aside when it is large and is never removed by us.
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
from triage.errors import StartError
from triage.runtime.durable import append_line, private_folder
from triage.security.audit_message import (
    CONFIGURED,
    SCHEME,
    START,
    STOP,
    USER_CHANGED,
    AuditOutcome,
    AuditSource,
    AuditSubject,
    CodedValue,
    Reporter,
    Who,
    intent,
)
from triage.spool.spool import Spool
from triage.spool.study import read_header

logger = logging.getLogger(__name__)

REQUEUED = CodedValue("REQUEUE", SCHEME, "A dead letter is tried again")
EXPORTED = CodedValue("EXPORT", SCHEME, "Labels are written to a file")


class AuditError(Exception):
    """The audit trail could not be written."""


@dataclass(frozen=True)
class Trail:
    """Where messages go. ``count`` is told whether each could be written."""

    path: Path
    rotate_at_bytes: int
    reporter: Reporter
    count: Callable[[bool], None] = lambda written: None
    now: Callable[[], float] = time.time

    def write(self, message: str) -> None:
        """Write a message, durably. Raises AuditError, and says so in the log, without the message."""
        try:
            append_line(self.path, message, self.rotate_at_bytes, self._moved_to())
        except OSError as error:
            self.count(False)
            logger.error("audit: %s cannot be written: %s", self.path, error.strerror or error)
            raise AuditError(error.strerror or str(error)) from error
        self.count(True)

    def begin(self) -> None:
        """Note that this process starts. Raises StartError if the trail cannot be written."""
        try:
            private_folder(self.path.parent)
            if self.path.exists() and self.path.stat().st_mode & 0o077:
                raise StartError(f"audit.path: {self.path} can be read by others: chmod 0600 {self.path}")
            self.write(self.reporter.activity(self.now(), START, operator()))
        except (OSError, AuditError) as error:
            raise StartError(f"audit.path: {self.path} cannot be written ({error}): nothing may be shown") from error

    def end(self) -> None:
        """Note that this process stops; if that cannot be written, the log says so."""
        with suppress(AuditError):
            self.write(self.reporter.activity(self.now(), STOP, operator()))

    def _moved_to(self) -> Path:
        stamp = datetime.fromtimestamp(self.now(), UTC).strftime("%Y%m%dT%H%M%S.%fZ")
        return self.path.with_name(f"{self.path.stem}-{stamp}{self.path.suffix}")


def command_trail(path: Path, rotate_at_bytes: int, source: str, process: str) -> Trail:
    """A command's trail; its folder is made if need be. Raises AuditError."""
    try:
        private_folder(path.absolute().parent)
    except OSError as error:
        raise AuditError(error.strerror or str(error)) from error
    return trail(path.absolute(), rotate_at_bytes, source, process)


def trail(
    path: Path, rotate_at_bytes: int, source: str, process: str, count: Callable[[bool], None] = lambda written: None
) -> Trail:
    """A process's trail."""
    return Trail(path, rotate_at_bytes, Reporter(AuditSource(source, process)), count)


def operator() -> Who:
    """Who runs this process, by the operating system's account."""
    try:
        return Who(pwd.getpwuid(os.getuid()).pw_name)
    except KeyError:  # a container's number without a name
        return Who(f"uid {os.getuid()}")


def subject_of(spool: Spool, study_instance_uid: str) -> AuditSubject:
    """A study with its Patient ID, from the first of its images that has been assessed; empty where there is none."""
    try:
        records = spool.assessments(study_instance_uid)
    except InvalidUIDError:
        return AuditSubject(study_instance_uid)
    for record in records:
        header = read_header(spool, assessment_from(record))
        if patient_id := text_of(header, "PatientID"):
            return AuditSubject(study_instance_uid, patient_id)
    return AuditSubject(study_instance_uid)


def note_user(trail: Trail, users_file: Path, name: str, description: str) -> None:
    """Note that a user was changed, or that it is about to be, as the description says. Raises AuditError."""
    uri = users_file.absolute().as_uri()
    trail.write(
        trail.reporter.alert(trail.now(), operator(), USER_CHANGED, AuditOutcome.SUCCESS, uri, name, description)
    )


def note_configuration(trail: Trail, setting: str, description: str) -> None:
    """Note that a setting changes which keeps results from people, or lets them through. Raises AuditError."""
    what = f"urn:cxr-triage:setting:{setting}"
    trail.write(
        trail.reporter.alert(trail.now(), operator(), CONFIGURED, AuditOutcome.SUCCESS, what, setting, description)
    )


def intend_export(trail: Trail, out: Path) -> None:
    """Note that labels are about to be written to a file; of which studies is noted then. Raises AuditError."""
    trail.write(trail.reporter.export(trail.now(), operator(), out.absolute().as_uri(), (), intent(EXPORTED)))


def note_export(trail: Trail, out: Path, spool: Spool, studies: Iterable[str]) -> None:
    """Note that labels of studies were written to a file. Raises AuditError."""
    subjects = [subject_of(spool, study) for study in studies]
    trail.write(trail.reporter.export(trail.now(), operator(), out.absolute().as_uri(), subjects))


def intend_requeue(trail: Trail, spool: Spool, studies: Iterable[str]) -> None:
    """Note that dead letters of studies are about to be tried again. Raises AuditError."""
    _note_requeue(trail, spool, studies, intent(REQUEUED), AuditOutcome.SUCCESS)


def note_requeue(
    trail: Trail, spool: Spool, studies: Iterable[str], outcome: AuditOutcome = AuditOutcome.SUCCESS
) -> None:
    """Note that dead letters of studies are tried again, or could not be. Raises AuditError."""
    _note_requeue(trail, spool, studies, REQUEUED, outcome)


def _note_requeue(trail: Trail, spool: Spool, studies: Iterable[str], act: CodedValue, outcome: AuditOutcome) -> None:
    for study in dict.fromkeys(studies):
        trail.write(trail.reporter.accessed(trail.now(), operator(), subject_of(spool, study), outcome, act))
