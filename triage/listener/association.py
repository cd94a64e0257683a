"""One association, from its request to its end, in one thread: C-ECHO and C-STORE."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from triage.dicom.association_request import AssociationRequest, MalformedRequestError, read_request
from triage.dicom.command_set import (
    C_CANCEL_RQ,
    C_ECHO_RQ,
    C_STORE_RQ,
    RESPONSE,
    SUCCESS,
    UNRECOGNIZED_OPERATION,
    Command,
    decode,
    response,
)
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.dicom.upper_layer import (
    A_ABORT,
    A_ASSOCIATE_RQ,
    A_RELEASE_RQ,
    INVALID_PARAMETER,
    P_DATA_TF,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    BrokenOffError,
    ConnectionLostError,
    Fragment,
    ProtocolError,
    TimedOutError,
    UpperLayerConnection,
)
from triage.dicom.upper_layer_tls import HandshakeError
from triage.listener.admission import AdmissionPolicy
from triage.listener.c_store_scp import ABOVE_HIGH_WATER, IncomingObject, StoreResult, receipt_now
from triage.listener.negotiation import REJECTIONS, Context, Negotiated, Supported, accept
from triage.listener.progress import PeerProgress
from triage.metrics.labels import Ending, NoRequest, Rejection, StoreOutcome, bounded
from triage.metrics.process import Metrics
from triage.queue.score_queue import PartitionedInstance, Queued
from triage.runtime.log_context import about, new_association
from triage.runtime.logs import where_raised
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

logger = logging.getLogger(__name__)

_LONGEST_COMMAND = 64 << 10
_SEE_OFF_S = 5.0
_NAMED = 8  # rejected contexts that a line names
_REFUSED_S = 5.0  # that a refused address gets to ask, so that it hears no


@dataclass(frozen=True)
class CanaryRoute:
    """The objects that we send to ourselves, as ``ae_title``: where those lie that are ``expected``, and are counted.

    ``partition`` is the name of ``spool`` in the queue. What is not expected is a patient's, whoever sent it.
    """

    ae_title: str
    partition: str
    spool: Spool
    metrics: Metrics
    expected: Callable[[ReceivedInstance], bool]

    def place_of(self, instance: ReceivedInstance) -> Spool | None:
        """The spool of an object that is expected."""
        return self.spool if self.expected(instance) else None


@dataclass(frozen=True)
class LocalNode:
    """What all associations of a listener share."""

    spool: Spool
    admission: AdmissionPolicy
    supported: Supported
    high_water: HighWater
    max_pdu: int
    timeout_s: float
    metrics: Metrics
    on_received: Callable[[Queued], None]
    take_seat: Callable[[Association], Rejection | None]
    partitions: Mapping[str, LocalNode] = field(default_factory=dict)
    """By calling AE title: where the objects of these senders go instead, and are counted."""
    partition: str = ""
    """The name of ``spool`` in the queue; empty for the patients'."""
    canary: CanaryRoute | None = None


@dataclass
class _Message:
    """A request whose data set is being received. Without ``incoming`` the data set is swallowed."""

    command: Command
    context_id: int
    incoming: IncomingObject | None
    began: float


class Association:
    """Serves one connection. ``serve`` returns when the association is over, however it ended, and raises nothing.

    The first request has to be whole ``request_timeout_s`` after ``serve`` was called.
    """

    def __init__(
        self, connection: UpperLayerConnection, address: str, node: LocalNode, request_timeout_s: float
    ) -> None:
        self.address = address
        self.name = new_association()
        self.has_seat = self.makes_room = False
        self._connection = connection
        self._node = node
        self._keeper = node
        self._request_timeout_s = request_timeout_s
        self._request: AssociationRequest | None = None
        self._contexts: dict[int, Context] = {}
        self._command = bytearray()
        self._message: _Message | None = None
        self._statuses: dict[int, int] = {}
        self._progress = PeerProgress()
        self._established = False
        self._why_no_request: NoRequest | None = NoRequest.SILENT
        self.finishing = False

    def idle_s(self, now: float) -> float:
        """Seconds until ``now`` (of ``time.monotonic``) since the peer made progress; 0 while it waits for us."""
        return self._progress.idle_s(now)

    def break_off(self) -> None:
        """End it soon, to make room; from any thread."""
        self._connection.break_off()

    def serve(self) -> None:
        """Negotiate, serve what comes, and close."""
        with about(association=self.name):
            self._serve_and_close()

    def _serve_and_close(self) -> None:
        ending, why = self._serve_guarded()
        self._drop_message()
        if self._established:
            self.has_seat = False
            self._node.metrics.associations_ended.labels(ending).inc()
            self._node.metrics.associations_open.dec()
            statuses = ", ".join(f"{count} x 0x{status:04X}" for status, count in self._statuses.items())
            level = logging.INFO if ending is Ending.RELEASED else logging.WARNING
            logger.log(level, "association with %s: %s%s; C-STORE: %s", self._who(), ending, why, statuses or "none")
        elif why:
            if self._why_no_request:
                self._node.metrics.association_requests_failed.labels(self._why_no_request).inc()
            # Port scans and the health checks of load balancers connect, and say nothing.
            level = logging.INFO if self._why_no_request in (NoRequest.SILENT, NoRequest.MADE_ROOM) else logging.WARNING
            logger.log(level, "no association with %s: %s%s", self._who(), ending, why)
        self._connection.close_gracefully(_SEE_OFF_S)

    def _serve_guarded(self) -> tuple[Ending, str]:
        try:
            return self._serve(), ""
        except HandshakeError as error:
            self._node.metrics.tls_failures.labels(error.failure).inc()
            self._why_no_request = None  # counted already
            return Ending.CONNECTION_LOST, f" ({error})"
        except ConnectionLostError as error:
            return Ending.CONNECTION_LOST, f" ({error})"
        except BrokenOffError:
            self._no_request(NoRequest.MADE_ROOM)
            self._connection.send_abort(None)
            return Ending.ABORTED_BY_US, " (it had to make room, or we are stopping)"
        except TimedOutError as error:
            self._no_request(NoRequest.SILENT)
            self._connection.send_abort(None)
            return Ending.TIMED_OUT, f" ({error})"
        except ProtocolError as error:
            self._no_request(NoRequest.MALFORMED)
            self._connection.send_abort(error.reason)
            return Ending.ABORTED_BY_US, f" ({error})"
        except Exception as error:  # the edge: a defect of ours must not end the listener
            logger.error("association with %s failed: %s", self._who(), where_raised(error))
            self._no_request(NoRequest.FAILED)
            self._connection.send_abort(0)
            return Ending.ABORTED_BY_US, " (a defect of ours, see above)"

    def _serve(self) -> Ending:
        if not self._negotiate():
            return Ending.RELEASED
        while not (self.finishing and self._message is None and not self._command):
            kind, length = self._connection.read_header()
            if kind == P_DATA_TF:
                for fragment in self._connection.read_data(length):
                    self._take(fragment)
            elif kind == A_RELEASE_RQ:
                self._connection.read_short(length)
                self._connection.send_release_reply()
                return Ending.RELEASED
            elif kind == A_ABORT:
                self._connection.read_short(length)
                return Ending.ABORTED_BY_PEER
            else:
                raise _misplaced(kind)
            self._bound_progress()
        raise BrokenOffError

    def _negotiate(self) -> bool:
        """Read the request and answer it; whether the association stands. An address is looked at before the rest."""
        refused = self._node.admission.refuses_address(self.address)
        if refused and self._connection.encrypted:  # not even a handshake: it costs us more than them
            self._count_rejection(Rejection.SOURCE_ADDRESS)
            return False
        deadline = time.monotonic() + (_REFUSED_S if refused else self._request_timeout_s)
        if refused:
            self._connection.set_timeout(_REFUSED_S)
        self._connection.open()
        kind, length = self._connection.read_header()
        if kind != A_ASSOCIATE_RQ:
            self._why_no_request = NoRequest.NOT_DICOM
            raise _misplaced(kind)
        if refused:
            self._reject(Rejection.SOURCE_ADDRESS)
            return False
        self._why_no_request = NoRequest.LOST
        self._connection.set_timeout(max(deadline - time.monotonic(), 0.001))
        try:
            self._request = request = read_request(self._connection.read_associate(length))
        except MalformedRequestError as error:
            raise ProtocolError(str(error), INVALID_PARAMETER) from error
        if refusal := self._node.admission.refusal(request, self.address) or self._node.take_seat(self):
            self._reject(refusal)
            return False
        self._accept(request)
        return True

    def _reject(self, refusal: Rejection) -> None:
        self._count_rejection(refusal)
        self._connection.send_reject(*REJECTIONS[refusal])

    def _count_rejection(self, refusal: Rejection) -> None:
        self._node.metrics.associations_rejected.labels(refusal).inc()
        logger.warning("association with %s rejected: %s", self._who(), refusal)

    def _accept(self, request: AssociationRequest) -> None:
        self._established = True
        self._progress.made()
        self._node.metrics.associations_open.inc()
        self._node.metrics.associations_accepted.labels(
            bounded(request.calling_ae_title, self._node.admission.calling_ae_titles)
        ).inc()
        self._keeper = self._node.partitions.get(request.calling_ae_title, self._node)
        self._connection.set_timeout(self._node.timeout_s)
        negotiated = accept(request, self._node.supported, self._node.max_pdu)
        self._contexts = negotiated.contexts
        if negotiated.rejected:
            self._tell_rejected(request, negotiated)
        self._connection.send(negotiated.answer)

    def _tell_rejected(self, request: AssociationRequest, negotiated: Negotiated) -> None:
        for why in negotiated.rejected.values():
            self._node.metrics.contexts_rejected.labels(why).inc()
        names = {each.context_id: each.abstract_syntax or "no class" for each in request.contexts}
        some = [f"{names[number]} ({why})" for number, why in list(negotiated.rejected.items())[:_NAMED]]
        more = f" and {len(negotiated.rejected) - _NAMED} more" if len(negotiated.rejected) > _NAMED else ""
        level = logging.INFO if negotiated.contexts else logging.WARNING
        logger.log(level, "association with %s: contexts rejected: %s%s", self._who(), ", ".join(some), more)

    def _no_request(self, why: NoRequest) -> None:
        """Note why there is no association, unless it is known better."""
        if self._why_no_request is not NoRequest.NOT_DICOM:
            self._why_no_request = why

    def _bound_progress(self) -> None:
        """End an association that keeps us in the midst of a message by dripping, however each PDU is whole."""
        if (self._message or self._command) and self._progress.message_stalls(self._node.timeout_s):
            raise TimedOutError("the peer did not finish a message: it sends almost nothing")

    def _take(self, fragment: Fragment) -> None:
        if fragment.context_id not in self._contexts:
            raise ProtocolError(f"presentation context {fragment.context_id} was not accepted", INVALID_PARAMETER)
        if fragment.is_command:
            self._take_command(fragment)
        elif self._message is None or self._message.context_id != fragment.context_id:
            raise ProtocolError("a data set without its command")
        else:
            self._progress.received(len(fragment.data))
            if self._message.incoming:
                self._message.incoming.write(fragment.data)
            if fragment.is_last:
                self._finish()

    def _take_command(self, fragment: Fragment) -> None:
        if self._message is not None or len(self._command) + len(fragment.data) > _LONGEST_COMMAND:
            raise ProtocolError("a command inside a data set, or one without end", INVALID_PARAMETER)
        if not self._command:
            self._progress.message_begins()
        self._command += fragment.data
        if not fragment.is_last:
            return
        try:
            command = decode(bytes(self._command))
        except ValueError as error:
            raise ProtocolError("a malformed command set", INVALID_PARAMETER) from error
        self._command.clear()
        if command.field & RESPONSE:
            raise ProtocolError("a response that nobody waits for")
        incoming = self._incoming(command, fragment.context_id) if command.field == C_STORE_RQ else None
        self._message = _Message(command, fragment.context_id, incoming, time.perf_counter())
        if not command.has_data_set:
            self._finish()

    def _incoming(self, command: Command, context_id: int) -> IncomingObject:
        assert self._request is not None
        self._progress.made()
        titles = (self._request.calling_ae_title, self._request.called_ae_title)
        receipt = receipt_now(*titles, self.address, self._contexts[context_id].transfer_syntax, self.name)
        canary = self._node.canary
        if canary is None or self._request.calling_ae_title != canary.ae_title:
            return IncomingObject(self._keeper.spool, command, receipt, self._keeper.high_water)
        return IncomingObject(self._keeper.spool, command, receipt, self._keeper.high_water, canary.place_of)

    def _finish(self) -> None:
        """The message is complete: do what it asks for, and answer."""
        message, self._message = self._message, None
        assert message is not None
        if message.incoming:
            self._finish_store(message, message.incoming)
        elif message.command.field != C_CANCEL_RQ:  # of a request that we have answered: nothing to cancel
            status = SUCCESS if message.command.field == C_ECHO_RQ else UNRECOGNIZED_OPERATION
            self._answer(message, status)

    def _finish_store(self, message: _Message, incoming: IncomingObject) -> None:
        try:
            with self._progress.waits_for_us():
                stored = incoming.finish()
        except BaseException:
            incoming.discard()
            raise
        self._count(stored, message, incoming.size)
        if stored.instance:
            self._tell_stored(stored.instance, stored.outcome)
        if stored.status:
            uid, who = _uid_or_none(message.command.sop_instance_uid), self._who()
            logger.warning("C-STORE of %s from %s: 0x%04X, %s", uid, who, stored.status, stored.comment)
        try:
            self._answer(message, stored.status, stored.comment)
        finally:
            # Durable is durable, whether or not the peer was there to hear of it.
            if stored.outcome is StoreOutcome.STORED and stored.instance:
                partition = (
                    self._node.canary.partition if stored.in_partition and self._node.canary else self._keeper.partition
                )
                self._keeper.on_received(
                    PartitionedInstance(partition, stored.instance) if partition else stored.instance
                )

    def _tell_stored(self, instance: ReceivedInstance, outcome: StoreOutcome) -> None:
        study, sop_instance = instance.study_instance_uid, instance.sop_instance_uid
        with about(study=study, object=sop_instance):  # so many of each association, whatever others send
            logger.info("%s: object %s of study %s", outcome, sop_instance, study, extra={"source": self.name})

    def _count(self, stored: StoreResult, message: _Message, size: int) -> None:
        metrics = self._node.canary.metrics if stored.in_partition and self._node.canary else self._keeper.metrics
        syntax = self._contexts[message.context_id].transfer_syntax
        metrics.objects_received.labels(syntax, stored.outcome).inc()
        metrics.received_bytes.inc(size)
        metrics.store_duration.observe(time.perf_counter() - message.began)
        self._statuses[stored.status] = self._statuses.get(stored.status, 0) + 1
        if stored.instance:
            metrics.last_object.set_to_current_time()
        if stored.comment == ABOVE_HIGH_WATER:
            metrics.high_water_refusals.inc()

    def _answer(self, message: _Message, status: int, comment: str = "") -> None:
        assert self._request is not None
        answer = response(message.command, status, comment)
        self._connection.send_command(message.context_id, answer, self._request.max_pdu)

    def _drop_message(self) -> None:
        if self._message and self._message.incoming:
            self._message.incoming.discard()
            syntax = self._contexts[self._message.context_id].transfer_syntax
            self._keeper.metrics.objects_received.labels(syntax, StoreOutcome.INCOMPLETE).inc()
        self._message = None

    def _who(self) -> str:
        if self._request is None:
            return self.address
        return f"{self._request.calling_ae_title or 'an AE without title'} at {self.address}"


def _misplaced(kind: int) -> ProtocolError:
    reason = UNEXPECTED_PDU if A_ASSOCIATE_RQ <= kind <= A_ABORT else UNRECOGNIZED_PDU
    return ProtocolError(f"a PDU of type {kind:#04x}", reason)


def _uid_or_none(text: str) -> str:
    """The UID that a peer sent, safe in a log: what is none may be anything, a patient's name too."""
    try:
        return valid_uid(text)
    except InvalidUIDError:
        return "something that is no UID"
