"""Receive report messages: take the studies that they report off the list, then acknowledge."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import uuid4

from redis.exceptions import RedisError

from triage.decision.identity import Issuer, PatientIdentifier
from triage.decision.reasons import Reason
from triage.dicom.uid import InvalidUIDError
from triage.errors import TriageError, cause
from triage.hl7.message_types import ORM
from triage.hl7.timestamps import moment
from triage.inbound_reports.acknowledgement import AcknowledgementCode, acknowledgement
from triage.inbound_reports.early_report import can_be_remembered
from triage.inbound_reports.early_store import EarlyReports
from triage.inbound_reports.matching import NONE, DoubtError, Issuers, Match, match
from triage.inbound_reports.message import KINDS, MalformedError, MessageHeader, ReportedOrder, header_of, orders_of
from triage.metrics.labels import ReportOutcome
from triage.metrics.reports import ReportMetrics
from triage.spool.clock import Clock, time_of
from triage.spool.patient import certain_identifiers_of
from triage.spool.store import Store
from triage.worklist import reader_acts as reading
from triage.worklist.reader_acts import Act, ReadNotice
from triage.worklist.worklist import Worklist

logger = logging.getLogger(__name__)

_MANY = 3  # studies that one message takes off the list: rare, and logged as a warning


@dataclass(frozen=True)
class ReportPolicy:
    """The site's rules for report messages; see the settings of ``reports``.

    ``own`` are the sending application and facility of our own messages.
    """

    result_statuses: tuple[str, ...] = ("F", "C")
    order_statuses: tuple[str, ...] = ()
    accession_in: tuple[str, ...] = ("OBR-18", "OBR-3", "ORC-3")
    sending_applications: tuple[str, ...] = ()
    sending_facilities: tuple[str, ...] = ()
    own: frozenset[tuple[str, str]] = frozenset()
    time_in: str = "OBR-22"
    character_set: str = ""
    patient_required: bool = True
    issuers: Issuers = NONE


class NotNowError(TriageError):
    """It cannot be decided or done now; the sender should send it again."""


@dataclass(frozen=True)
class _Answer:
    """Answer to a message, with an outcome for each of its orders, or one for all of it."""

    code: AcknowledgementCode
    text: str
    outcomes: tuple[ReportOutcome, ...]


class ReportReceiver:
    """Receives messages. Safe to call from several threads. ``now`` is the clock, in POSIX seconds."""

    def __init__(
        self,
        spool: Store,
        index: Worklist,
        policy: ReportPolicy,
        metrics: ReportMetrics,
        memory: EarlyReports,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._memory = memory
        self._spool = spool
        self._index = index
        self._policy = policy
        self._metrics = metrics
        self._now = now

    def receive(self, content: bytes) -> bytes | None:
        """Carry out a message and return its acknowledgement. Never raises: a fault is answered.

        Returns None for an acknowledgement, which is never answered.
        """
        header = MessageHeader()
        try:
            header = header_of(content)
            if header.kind.startswith("ACK^"):
                return None
            heard = self._take(header, content)
        except MalformedError as error:
            heard = _Answer(AcknowledgementCode.ERROR, f"not understood: {error}", (ReportOutcome.MALFORMED,))
        except DoubtError as error:
            heard = _Answer(AcknowledgementCode.ERROR, f"nothing was changed: {error}", (error.outcome,))
        except NotNowError as error:
            heard = _Answer(AcknowledgementCode.REJECTED, str(error), (ReportOutcome.FAILED,))
        except RedisError:
            heard = _Answer(
                AcknowledgementCode.REJECTED, "the worklist does not answer: send it again", (ReportOutcome.FAILED,)
            )
        except OSError as error:
            text = f"it could not be written ({cause(error)}): send it again"
            heard = _Answer(AcknowledgementCode.REJECTED, text, (ReportOutcome.FAILED,))
        except Exception as error:  # the edge: a fault of ours must not end the connection without an answer
            logger.error("report message %s: %s", _shown(header), cause(error))
            heard = _Answer(
                AcknowledgementCode.REJECTED, "an error of the receiver: see its log", (ReportOutcome.FAILED,)
            )
        for outcome in heard.outcomes:
            self._metrics.reports.labels(outcome).inc()
        level = logging.INFO if heard.code is AcknowledgementCode.ACCEPTED else logging.WARNING
        logger.log(level, "report message %s: %s, %s", _shown(header), heard.code, heard.text)
        return acknowledgement(header, heard.code, heard.text, uuid4().hex[:20], self._now())

    def refuse(self, content: bytes, why: str) -> bytes:
        """Return the answer to a message that is not read to its end."""
        try:
            header = header_of(content)
        except MalformedError:
            header = MessageHeader()
        self._metrics.reports.labels(ReportOutcome.MALFORMED).inc()
        logger.warning("report message %s: %s, %s", _shown(header), AcknowledgementCode.ERROR, why)
        return acknowledgement(header, AcknowledgementCode.ERROR, why, uuid4().hex[:20], self._now())

    def _take(self, header: MessageHeader, content: bytes) -> _Answer:
        policy = self._policy
        if not _is_allowed(header.sending, policy):
            return _Answer(
                AcknowledgementCode.ERROR,
                "this sending application or facility is not allowed here",
                (ReportOutcome.REFUSED,),
            )
        if header.kind == "^":
            raise MalformedError("no message type in MSH-9")
        if header.kind not in KINDS:  # engines send what they are told to until it is accepted, and the rest waits
            return _Answer(
                AcknowledgementCode.ACCEPTED,
                f"only {' and '.join(KINDS)} are read: nothing was changed",
                (ReportOutcome.OTHER_KIND,),
            )
        if not header.control_id:
            raise MalformedError("no message control ID in MSH-10")
        if header.processing_id != "P":
            return _Answer(
                AcknowledgementCode.ACCEPTED, "not of production (MSH-11): nothing was changed", (ReportOutcome.TEST,)
            )
        if header.sending in policy.own:
            return _Answer(AcknowledgementCode.ACCEPTED, "our own message: nothing was changed", (ReportOutcome.OWN,))
        orders = orders_of(content, header.kind, policy.character_set or header.character_set)
        # All of them are matched before anything is changed: a message is taken whole or not at all.
        matched = [(order, *self._match(order, header.kind)) for order in orders]
        done = [(found, self._done(header, order, found, outcome)) for order, found, outcome in matched]
        many = {uid for found, outcome in done if outcome is ReportOutcome.READ for uid in found.studies}
        if len(many) >= _MANY:
            logger.warning("report message %s took %d studies off the list at once", _shown(header), len(many))
        return _Answer(
            AcknowledgementCode.ACCEPTED, "; ".join(_in_words(*each) for each in done), tuple(each for _, each in done)
        )

    def _match(self, order: ReportedOrder, kind: str) -> tuple[Match, ReportOutcome | None]:
        """Return the studies of an order, and the outcome if nothing is to be done; None if they are to be marked."""
        statuses = self._policy.order_statuses if kind == ORM else self._policy.result_statuses
        if order.ours:
            return Match(), ReportOutcome.OWN
        if order.status not in statuses:
            return Match(), ReportOutcome.OTHER_STATUS
        if self._policy.patient_required and not order.patients:
            raise DoubtError(ReportOutcome.NO_PATIENT, "PID-3 says of which patient the report is, and has no ID")
        studies = _Studies(self._spool, self._index)
        policy = self._policy
        found = match(order, studies, policy.accession_in, policy.issuers, patient_required=policy.patient_required)
        return found, None if found.studies else ReportOutcome.UNMATCHED

    def _done(
        self, header: MessageHeader, order: ReportedOrder, found: Match, outcome: ReportOutcome | None
    ) -> ReportOutcome:
        if outcome is ReportOutcome.UNMATCHED:
            return self._remember(header, order)
        return outcome or self._mark(header, order, found)

    def _remember(self, header: MessageHeader, order: ReportedOrder) -> ReportOutcome:
        places = [place for place in self._policy.accession_in if place in order.identifiers]
        numbers = [PatientIdentifier(order.identifiers[place], order.issuers.get(place, Issuer())) for place in places]
        if not can_be_remembered(order, numbers):
            return ReportOutcome.UNMATCHED
        if self._stated_at(header, order) is None and Clock(self._spool).in_doubt():  # unknown when it was made
            return ReportOutcome.UNMATCHED
        said = self._said(header, order)
        kept = self._memory.remember(order.study_instance_uid, dict.fromkeys(numbers), order.patients, said)
        return ReportOutcome.REMEMBERED if kept else ReportOutcome.UNMATCHED

    def _said(self, header: MessageHeader, order: ReportedOrder) -> ReadNotice:
        return ReadNotice(
            at=self._said_at(header, order),
            who=order.reporter or " ".join(filter(None, header.sending)) or "report",
            through=reading.Via.REPORT,
            source="|".join((*header.sending, header.control_id)),
        )

    def _mark(self, header: MessageHeader, order: ReportedOrder, found: Match) -> ReportOutcome:
        said = self._said(header, order)
        acts = [reading.record_notice(self._spool, self._index, uid, said) for uid in found.studies]
        if not any(new for _, new in acts):
            return ReportOutcome.REPEATED
        self._metrics.studies_reported.inc(sum(new and step.act is Act.READ for step, new in acts))
        done = {step.act for step, _ in acts}
        return next((outcome for act, outcome in _STAYS.items() if act in done), ReportOutcome.READ)

    def _said_at(self, header: MessageHeader, order: ReportedOrder) -> float:
        """Return when the report was made, as far as it says: never later than now."""
        said, now = self._stated_at(header, order), time_of(self._spool, self._now)
        return min(said, now) if said is not None else now

    def _stated_at(self, header: MessageHeader, order: ReportedOrder) -> float | None:
        times = {"OBR-22": order.reported_at, "MSH-7": header.sent_at}
        return moment(times.get(self._policy.time_in, ""))


@dataclass(frozen=True)
class _Studies:
    """The studies here, as ``matching.Known``. Raises NotNowError where that cannot be known now, and RedisError."""

    spool: Store
    index: Worklist

    def is_tagged(self, study_instance_uid: str) -> bool:
        try:
            if self.spool.decision(study_instance_uid) is not None:
                return True
            waits = self.spool.is_unfinished(study_instance_uid)
        except InvalidUIDError:
            return False
        if waits:
            raise NotNowError("the study is here and not tagged yet: send it again")
        return False

    def accession_number(self, study_instance_uid: str) -> str:
        return str((self.spool.decision(study_instance_uid) or {}).get("accession_number", ""))

    def with_accession_number(self, accession_number: str) -> Sequence[str]:
        if not self.index.is_built():
            raise NotNowError("the worklist is being built: send it again")
        found = self.index.with_accession_number(accession_number)
        # Redis is a hint: what it says of a study counts where the study's files say it too.
        return [uid for uid in found if self.accession_number(uid) == accession_number]

    def accession_issuer(self, study_instance_uid: str) -> Issuer:
        decision = self.spool.decision(study_instance_uid) or {}
        return Issuer.from_text(str(decision.get("accession_issuer") or ""))

    def patient(self, study_instance_uid: str) -> tuple[PatientIdentifier, ...] | None:
        try:
            return certain_identifiers_of(self.spool, study_instance_uid)
        except OSError as error:
            raise NotNowError(f"the images of the study cannot be read ({cause(error)}): send it again") from error

    def is_of_one_patient(self, study_instance_uid: str) -> bool:
        decision = self.spool.decision(study_instance_uid) or {}
        return Reason.PATIENT_MISMATCH not in decision.get("reasons", ())


_STAYS = {Act.IN_DOUBT: ReportOutcome.IN_DOUBT, Act.OUTDATED: ReportOutcome.OUTDATED}

_WORDS = {
    ReportOutcome.OWN: "a triage result, no report: nothing was changed",
    ReportOutcome.OTHER_STATUS: "its status does not say that it was reported: nothing was changed",
    ReportOutcome.UNMATCHED: "of no study that is here: nothing was changed",
    ReportOutcome.REMEMBERED: "of no study that is here yet: remembered, in case it comes",
    ReportOutcome.REPEATED: "noted before",
    ReportOutcome.OUTDATED: "noted, but an image came after the report, so it stays listed",
    ReportOutcome.IN_DOUBT: "noted, but the clock of this machine is in doubt, so it stays listed: see triage clock",
    ReportOutcome.READ: "read",
}


def _in_words(found: Match, outcome: ReportOutcome) -> str:
    return f"{', '.join(found.studies)} {_WORDS[outcome]}" if found.studies else _WORDS[outcome]


def _is_allowed(sending: tuple[str, str], policy: ReportPolicy) -> bool:
    lists = (policy.sending_applications, policy.sending_facilities)
    return all(not allowed or value in allowed for value, allowed in zip(sending, lists, strict=True))


def _shown(header: MessageHeader) -> str:
    """Return sender and control ID of a message for a log line, printable characters only."""
    text = " ".join(filter(None, (*header.sending, header.control_id)))
    return "".join(each for each in text if each.isprintable())[:120] or "(no header)"
