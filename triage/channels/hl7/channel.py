"""HL7 v2.5.1 over MLLP: results, or changes of orders, to one receiver."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import hl7
from pydicom.dataset import Dataset

from triage.channels.base import Built, Fate, Outcome, Send, result
from triage.channels.hl7.message import Profile, control_id, message, order_of
from triage.decision.types import ImageAssessment, Priority, Tag, TriageDecision
from triage.dicom.uid import uid_of
from triage.hl7.message_types import ORM
from triage.hl7.mllp import Connection, NoAnswerError
from triage.spool.study import Image, Study

ENCODER_VERSION = "1"

_MEANINGS = {
    "AA": "accepted",
    "AE": "an error in the message",
    "AR": "rejected",
    "CA": "committed",
    "CE": "an error, not committed",
    "CR": "rejected, not committed",
}


@dataclass(frozen=True)
class Receiver:
    """Where to, and what its answers mean there.

    ``error_tries`` bounds the attempts that are answered neither with ``delivered`` nor with ``retried``.
    """

    host: str
    port: int
    timeout_s: float
    tls: bool = False
    ca_file: Path | None = None
    delivered: tuple[str, ...] = ("AA", "CA")
    retried: tuple[str, ...] = ("AR", "CR")
    error_tries: int = 3

    def connection(self) -> Connection:
        """A connection, not opened yet."""
        return Connection(self.host, self.port, self.timeout_s, self.tls, self.ca_file)


@dataclass(frozen=True)
class HL7Channel:
    """Messages of ``profile`` to ``receiver``. ``name`` is the destination's: two get no message of one control ID.

    ``test_processing_id``: MSH-11 of a study that is no patient's.
    """

    name: str
    receiver: Receiver
    profile: Profile
    test_processing_id: str = "T"

    @property
    def encoder(self) -> str:
        return f"hl7 {ENCODER_VERSION} {self.name} {self.profile}"

    def wants(self, study: Study) -> bool:
        if study.shadow_only or study.decision.prior:
            return False
        return self.profile.message != ORM or (study.raised and order_of(study).known)

    def says(self, study: Study) -> list[Any]:
        return ["raised"] if self.profile.message == ORM else [*result(study), study.raised]

    def build(self, study: Study) -> Built:
        with warnings.catch_warnings():  # what is odd about the patient's attributes was odd when they came
            warnings.simplefilter("ignore")
            identifier = control_id(study.revision)
            processing_id = self.test_processing_id if study.test else "P"
            return Built(message(study, self.profile, identifier, processing_id), {"message_control_id": identifier})

    @contextmanager
    def connect(self) -> Iterator[Send]:
        with self.receiver.connection() as connection:
            yield lambda payload: exchange(connection, payload, self.receiver)

    def check(self) -> list[str]:
        """Connect, and send a result of nobody's with processing ID T."""
        where = f"{self.receiver.host}:{self.receiver.port}"
        study = _test_study(time.time())
        with self.receiver.connection() as connection:
            lines = [f"Connected to {where}" + (" over TLS." if self.receiver.tls else ".")]
            identifier = control_id(study.revision)
            outcome = exchange(connection, message(study, self.profile, identifier, "T"), self.receiver)
        lines.append(f"Sent a test {self.profile.message} (processing ID T, control ID {identifier}).")
        lines.append(f"Answer: {outcome.detail}. {_EXPLAINED[outcome.fate]}")
        return [*lines, f"It said: {outcome.told}"] if outcome.told else lines


_EXPLAINED = {
    Fate.DELIVERED: "Messages so answered count as delivered.",
    Fate.RETRY: "Messages so answered are sent again, and are dead letters in the end: see the receiver's log.",
    Fate.DEAD: "Messages so answered are dead letters: see the receiver's log.",
}


def exchange(connection: Connection, payload: bytes, receiver: Receiver) -> Outcome:
    """Send a message and read answers until one is about it. Raises UnreachableError."""
    used = connection.answers > 0
    try:
        return _exchange(connection, payload, receiver)
    except NoAnswerError as error:
        if not (used and error.hung_up):
            return Outcome(Fate.RETRY, str(error), lost=True)
    try:  # a receiver that closes after each answer: the same bytes, over a new connection
        return _exchange(connection, payload, receiver)
    except NoAnswerError as error:
        return Outcome(Fate.RETRY, str(error), lost=True)


def _exchange(connection: Connection, payload: bytes, receiver: Receiver) -> Outcome:
    deadline = time.monotonic() + receiver.timeout_s
    connection.ask(payload)
    identifier = payload.split(b"\r", 1)[0].split(b"|")[9].decode("ascii", "replace")
    while True:  # a second acknowledgement of an earlier message may come in between
        answer = connection.answer(deadline)
        try:
            code, about, told = read_acknowledgement(answer)
        except ValueError:
            connection.close()
            return Outcome(Fate.RETRY, "the answer is no acknowledgement", lost=True)
        if about == identifier:
            return of_acknowledgement(code, told, receiver)


def read_acknowledgement(answer: bytes) -> tuple[str, str, str]:
    """MSA-1, MSA-2 and what the receiver said beside (MSA-3, ERR). Raises ValueError for anything else."""
    try:
        parsed = hl7.parse(answer.decode("utf-8", "replace").strip().replace("\n", "\r"))
        acknowledgement = parsed.segment("MSA")
        texts = [str(field) for field in acknowledgement[3:4]]
        texts += [str(segment) for segment in parsed if str(segment[0]) == "ERR"]
        return str(acknowledgement[1]), str(acknowledgement[2]), " ".join(filter(None, texts))
    except Exception as error:  # the edge: whatever the peer wrote, and the library raises many kinds
        raise ValueError("not an acknowledgement") from error


def of_acknowledgement(code: str, told: str, receiver: Receiver) -> Outcome:
    """What an acknowledgement code means for the message (HL7 table 0008), as the destination has it."""
    shown = code if code in _MEANINGS else "unknown code"
    detail = f"{shown} ({_MEANINGS[code]})" if code in _MEANINGS else shown
    if code in receiver.delivered:
        return Outcome(Fate.DELIVERED, detail, told=told)
    if code in receiver.retried:
        return Outcome(Fate.RETRY, detail, told=told)
    return Outcome(Fate.RETRY, detail, told=told, tries=receiver.error_tries)


def _test_study(now: float) -> Study:
    """A study of nobody's, abnormal, so that the receiver sees all that it may get."""
    uid = uid_of("test message", str(now))
    header = Dataset()
    header.SpecificCharacterSet = "ISO_IR 192"
    header.PatientName, header.PatientID = "TEST^CXR TRIAGE", "CXR-TRIAGE-TEST"
    header.AccessionNumber = "CXR-TRIAGE-TEST"
    assessment = ImageAssessment(
        study_instance_uid=uid,
        series_instance_uid=f"{uid}.1"[:64],
        sop_instance_uid=f"{uid}.2"[:64],
        content_digest="0" * 64,
        sop_class_uid="1.2.840.10008.5.1.4.1.1.1.1",
        accession_number="CXR-TRIAGE-TEST",
        modality="DX",
        view="PA",
        calling_ae_title="",
        received_at=now,
        assessed_at=now,
        tag=Tag.ABNORMAL,
        probability=0.5,
        reasons=(),
        model_id="test 0",
    )
    decision = TriageDecision(
        uid, "CXR-TRIAGE-TEST", Tag.ABNORMAL, 0.5, Priority.HIGH, (), "test 0", (), now, now, "0" * 64
    )
    return Study(decision, (Image(assessment, header),), now, revision=f"{int(now * 1000):032X}"[::-1])
