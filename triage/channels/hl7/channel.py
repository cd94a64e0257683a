"""HL7 v2.5.1 over MLLP: results, or changes of orders, to one receiver."""

from __future__ import annotations

import logging
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace

from pydicom.dataset import Dataset

from triage.channels.base import Built, DeliveryStatus, Send, SendResult, result
from triage.channels.hl7.correction import withdrawal
from triage.channels.hl7.message import Profile, control_id, left_out, message, order_of
from triage.decision.findings import FindingState, StudyFinding
from triage.decision.types import ImageAssessment, Priority, Tag, TriageDecision
from triage.decision.urgency import Urgency
from triage.dicom.tls import ClientTLS
from triage.dicom.uid import uid_of
from triage.errors import UnreachableError
from triage.hl7.acknowledgement import Acknowledgement, read_acknowledgement, shown
from triage.hl7.message_types import ORM
from triage.hl7.mllp import MLLPConnection, NoAnswerError
from triage.hl7.mllp_frames import NEGATIVE, POSITIVE, is_message
from triage.spool.study import Study, StudyImage

logger = logging.getLogger(__name__)

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
    """Address of one HL7 receiver, and the meaning of its answers.

    ``error_tries`` bounds the attempts that are answered neither with ``delivered`` nor with ``retried``.
    ``answer_counts``: which of several answers decides: the first acknowledgement (commit), that of the application, or
    already that of the frame (MLLP Release 2). ``own_control_id_only``: only one whose MSA-2 is our MSH-10.
    """

    host: str
    port: int
    timeout_s: float
    tls: ClientTLS | None = None
    delivered: tuple[str, ...] = ("AA", "CA")
    retried: tuple[str, ...] = ("AR", "CR")
    error_tries: int = 12
    answer_counts: str = "commit"
    own_control_id_only: bool = False

    def connection(self) -> MLLPConnection:
        """A connection, not opened yet."""
        return MLLPConnection(self.host, self.port, self.timeout_s, self.tls)


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
        """Kind and version of the encoder, and the settings that its messages depend on."""
        return f"hl7 {ENCODER_VERSION} {self.name} {self.profile}"

    def wants(self, study: Study) -> bool:
        """Return whether this destination gets a message about the study; see ``Channel``."""
        if study.shadow_only or study.decision.prior:
            return False
        return self.profile.message != ORM or (study.raised and order_of(study).known)

    def content(self, study: Study) -> list[object]:
        """Return what the receiver learns; see ``Channel``."""
        if self.profile.message != ORM:
            return [*result(study), study.raised]
        if not study.raised:  # a correction takes back that it was
            return ["not raised"]
        said_by_code = study.decision.urgency is Urgency.URGENT or bool(self.profile.priority_code)
        return ["raised"] if said_by_code else ["raised", study.decision.urgency]

    def build(self, study: Study) -> Built:
        """Build the message of a revision; see ``Channel``."""
        with warnings.catch_warnings():  # what is odd about the patient's attributes was odd when they came
            warnings.simplefilter("ignore")
            identifier = control_id(study.revision)
            processing_id = self.test_processing_id if study.test else "P"
            content = message(study, self.profile, identifier, processing_id)
            taken_back = withdrawal(study, content)
            identity = {"message_control_id": identifier}
            return Built(taken_back or content, identity, left_out(study), withdraws=bool(taken_back))

    @contextmanager
    def connect(self) -> Iterator[Send]:
        """Open a connection for messages. Raises UnreachableError."""
        with self.receiver.connection() as connection:
            yield Exchange(self.name, connection, self.receiver)

    def reach(self) -> list[str]:
        """Connect without a message and return what is wrong. Raises UnreachableError."""
        with self.receiver.connection():
            host, port, tls = self.receiver.host, self.receiver.port, self.receiver.tls
        if tls and (why := tls.handshake_failure(host, port, self.receiver.timeout_s)):
            raise UnreachableError(f"no TLS with {host}:{port}: {why}")
        return []

    def check(self) -> list[str]:
        """Connect, and send the result of an invented patient with processing ID T."""
        where = f"{self.receiver.host}:{self.receiver.port}"
        study = _test_study(time.time())
        with self.receiver.connection() as connection:
            lines = [f"Connected to {where}" + (" over TLS." if self.receiver.tls else ".")]
            identifier = control_id(study.revision)
            send = Exchange(self.name, connection, self.receiver)
            outcome = send(message(study, self.profile, identifier, "T"))
        lines.append(f"Sent a test {self.profile.message} (processing ID T, control ID {identifier}).")
        lines.append(f"Answer: {outcome.detail}. {_EXPLAINED[outcome.status]}")
        return [*lines, f"It said: {outcome.told}"] if outcome.told else lines


_EXPLAINED = {
    DeliveryStatus.DELIVERED: "Messages so answered count as delivered.",
    DeliveryStatus.RETRY: "Messages so answered are sent again, then become dead letters: see the receiver's log.",
    DeliveryStatus.DEAD: "Messages so answered are dead letters: see the receiver's log.",
}


class Exchange:
    """Messages over one connection, each with its answer. ``name`` is the destination's."""

    def __init__(self, name: str, connection: MLLPConnection, receiver: Receiver) -> None:
        self._name, self._connection, self._receiver = name, connection, receiver
        self._sent: set[str] = set()  # control IDs

    def __call__(self, payload: bytes) -> SendResult:
        """Send a message and read answers until one decides. Raises UnreachableError."""
        used = self._connection.received > 0
        try:
            return self._ask(payload)
        except NoAnswerError as error:
            if not (used and error.closed_by_peer):
                return _no_answer(error)
        try:  # a receiver that closes after each answer: the same bytes, over a new connection
            return self._ask(payload)
        except NoAnswerError as error:
            return _no_answer(error)

    def _ask(self, payload: bytes) -> SendResult:
        deadline = time.monotonic() + self._receiver.timeout_s
        self._connection.send(payload)
        identifier = payload.split(b"\r", 1)[0].split(b"|")[9].decode("ascii", "replace")
        ignored = ""  # the text of answers that decide nothing
        try:
            while True:
                answer = self._connection.receive(deadline)
                outcome = self._outcome(answer, identifier)
                if outcome is not None:
                    self._connection.answered()
                    return outcome
                ignored = shown(answer) or ignored
        except NoAnswerError as error:
            return self._cut_short(error, identifier, ignored)
        finally:
            self._sent.add(identifier)

    def _outcome(self, answer: bytes, identifier: str) -> SendResult | None:
        """Return the result for an answer to message ``identifier``; None if a further answer has to come."""
        if not is_message(answer):
            return self._of_frame(answer)
        try:
            said = read_acknowledgement(answer)
        except ValueError:
            self._connection.close()
            return SendResult(DeliveryStatus.RETRY, "the answer is no acknowledgement", lost=True, told=shown(answer))
        if said.control_id != identifier and not self._may_be_ours(said):
            return None
        if said.code == "CA" and self._receiver.answer_counts == "application":
            return None
        outcome = of_acknowledgement(said.code, said.text, self._receiver)
        if said.control_id == identifier:
            return outcome
        self._connection.close()  # whatever else it says of this message must not pass for the answer to the next
        return replace(outcome, detail=f"{outcome.detail}, about a message of another control ID")

    def _may_be_ours(self, said: Acknowledgement) -> bool:
        """Return whether an answer with a foreign MSA-2 answers our message: no other message waits for an answer."""
        if said.control_id in self._sent:
            if said.code not in self._receiver.delivered:
                logger.warning(
                    "%s: message %s was answered %s after an answer that counted: see answer_counts there",
                    self._name,
                    said.control_id,
                    said.code if said.code in _MEANINGS else "otherwise",
                )
            return False
        return not self._receiver.own_control_id_only

    def _of_frame(self, answer: bytes) -> SendResult | None:
        if answer == NEGATIVE:
            return SendResult(DeliveryStatus.RETRY, "not taken (0x15 of MLLP Release 2)")
        if answer == POSITIVE and self._receiver.answer_counts == "frame":
            return SendResult(DeliveryStatus.DELIVERED, "taken (0x06 of MLLP Release 2)")
        return None

    def _cut_short(self, error: NoAnswerError, identifier: str, ignored: str) -> SendResult:
        """Return the result for an answer cut off by time or by the peer. Raises ``error`` if there was none."""
        with suppress(ValueError):
            said = read_acknowledgement(error.partial)  # of a receiver that writes no end of a message
            if said.control_id == identifier and not (
                said.code == "CA" and self._receiver.answer_counts == "application"
            ):
                return of_acknowledgement(said.code, said.text, self._receiver)
        told = shown(error.partial) or ignored
        if not told:
            raise error
        return SendResult(DeliveryStatus.RETRY, f"{error}; what came decides nothing", lost=True, told=told)


def _no_answer(error: NoAnswerError) -> SendResult:
    return SendResult(DeliveryStatus.RETRY, str(error), lost=True)


def of_acknowledgement(code: str, told: str, receiver: Receiver) -> SendResult:
    """Return the result for an acknowledgement code (HL7 Table 0008), by the settings of the destination."""
    shown_code = code if code in _MEANINGS else "unknown code"
    detail = f"{shown_code} ({_MEANINGS[code]})" if code in _MEANINGS else shown_code
    if code in receiver.delivered:
        return SendResult(DeliveryStatus.DELIVERED, detail, told=told)
    if code in receiver.retried:
        return SendResult(DeliveryStatus.RETRY, detail, told=told)
    return SendResult(DeliveryStatus.RETRY, detail, told=told, tries=receiver.error_tries)


def _test_study(now: float) -> Study:
    """Return a study of an invented patient, abnormal, so that the receiver sees every field that it may get."""
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
    finding = StudyFinding(
        "test", "Test", None, FindingState.PRESENT, 0.5, 0.5, True, Urgency.URGENT, "test 0", images=(f"{uid}.2"[:64],)
    )
    decision = TriageDecision(
        uid, "CXR-TRIAGE-TEST", Tag.ABNORMAL, 0.5, Priority.HIGH, (), "test 0", (), now, now, "0" * 64,
        urgency=Urgency.URGENT, findings=(finding,), order_priority=Priority.MEDIUM,
    )  # fmt: skip
    return Study(decision, (StudyImage(assessment, header),), now, revision=f"{int(now * 1000):032X}"[::-1])
