"""One association, from its request to its end, in one thread: C-ECHO and C-STORE."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from pynetdicom.presentation import PresentationContext

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
    Connection,
    ConnectionLostError,
    Fragment,
    ProtocolError,
    TimedOutError,
)
from triage.dicom.upper_layer_tls import NoTLSError
from triage.listener.admission import AdmissionPolicy
from triage.listener.c_store_scp import ABOVE_HIGH_WATER, IncomingObject, Stored, receipt_now
from triage.listener.negotiation import REJECTIONS, Context, Request, accept, read_request
from triage.metrics.labels import OTHER, Ending, Outcome, Rejection, bounded
from triage.metrics.process import Metrics
from triage.queue.score_queue import Queued, Work
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

logger = logging.getLogger(__name__)

_LONGEST_COMMAND = 64 << 10
_SEE_OFF_S = 5.0


@dataclass(frozen=True)
class Canary:
    """The objects that we send to ourselves, as ``ae_title``: where those lie that are ``expected``, and are counted.

    ``place`` is the name of ``spool`` in the queue. What is not expected is a patient's, whoever sent it.
    """

    ae_title: str
    place: str
    spool: Spool
    metrics: Metrics
    expected: Callable[[ReceivedInstance], bool]

    def place_of(self, instance: ReceivedInstance) -> Spool | None:
        """The spool of an object that is expected."""
        return self.spool if self.expected(instance) else None


@dataclass(frozen=True)
class Node:
    """What all associations of a listener share."""

    spool: Spool
    admission: AdmissionPolicy
    supported: list[PresentationContext]
    high_water: HighWater
    max_pdu: int
    timeout_s: float
    metrics: Metrics
    on_received: Callable[[Queued], None]
    take_seat: Callable[[], Rejection | None]
    aside: Mapping[str, Node] = field(default_factory=dict)
    """By calling AE title: where the objects of these senders go instead, and are counted."""
    place: str = ""
    """The name of ``spool`` in the queue; empty for the patients'."""
    canary: Canary | None = None


@dataclass
class _Message:
    """A request whose data set is being received. Without ``incoming`` the data set is swallowed."""

    command: Command
    context_id: int
    incoming: IncomingObject | None
    began: float


class Association:
    """Serves one connection. ``serve`` returns when the association is over, however it ended, and raises nothing."""

    def __init__(self, connection: Connection, peer: str, node: Node) -> None:
        self._connection = connection
        self._peer = peer
        self._node = node
        self._keeper = node
        self._request: Request | None = None
        self._contexts: dict[int, Context] = {}
        self._command = bytearray()
        self._message: _Message | None = None
        self._statuses: dict[int, int] = {}
        self.established = False
        self.finishing = False

    def serve(self) -> None:
        """Negotiate, serve what comes, and close."""
        ending, why = self._serve_guarded()
        self._drop_message()
        if self.established:
            self.established = False
            self._node.metrics.associations_ended.labels(ending).inc()
            self._node.metrics.associations_open.dec()
            statuses = ", ".join(f"{count} x 0x{status:04X}" for status, count in self._statuses.items())
            level = logging.INFO if ending is Ending.RELEASED else logging.WARNING
            logger.log(level, "association with %s: %s%s; C-STORE: %s", self._who(), ending, why, statuses or "none")
        elif why:
            logger.warning("no association with %s: %s%s", self._who(), ending, why)
        self._connection.see_off(_SEE_OFF_S)

    def _serve_guarded(self) -> tuple[Ending, str]:
        try:
            return self._serve(), ""
        except NoTLSError as error:
            self._node.metrics.tls_failures.labels(error.failure).inc()
            return Ending.CONNECTION_LOST, f" ({error})"
        except ConnectionLostError as error:
            return Ending.CONNECTION_LOST, f" ({error})"
        except BrokenOffError:
            self._connection.send_abort(None)
            return Ending.ABORTED_BY_US, " (it had to make room, or we are stopping)"
        except TimedOutError as error:
            self._connection.send_abort(None)
            return Ending.TIMED_OUT, f" ({error})"
        except ProtocolError as error:
            self._connection.send_abort(error.reason)
            return Ending.ABORTED_BY_US, f" ({error})"
        except Exception:  # the edge: a defect of ours must not end the listener
            logger.exception("association with %s failed", self._who())
            self._connection.send_abort(0)
            return Ending.ABORTED_BY_US, " (a defect of ours, see above)"

    def _serve(self) -> Ending:
        self._connection.open()
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
        raise BrokenOffError

    def _negotiate(self) -> bool:
        kind, length = self._connection.read_header()
        if kind != A_ASSOCIATE_RQ:
            raise _misplaced(kind)
        body = self._connection.read_associate(length)
        try:
            self._request = request = read_request(bytes([kind, 0]) + length.to_bytes(4, "big") + body)
        except Exception as error:  # pynetdicom raises many kinds for a malformed request
            raise ProtocolError(f"malformed A-ASSOCIATE-RQ ({type(error).__name__})", INVALID_PARAMETER) from error
        refusal = self._node.admission.refusal(request, self._peer) or self._node.take_seat()
        if refusal:
            self._node.metrics.associations_rejected.labels(refusal).inc()
            logger.warning("association with %s rejected: %s", self._who(), refusal)
            self._connection.send_reject(*REJECTIONS[refusal])
            return False
        self._node.metrics.associations_open.inc()
        self._node.metrics.associations_accepted.labels(
            bounded(request.calling_ae_title, self._node.admission.calling_ae_titles)
        ).inc()
        self._keeper = self._node.aside.get(request.calling_ae_title, self._node)
        self._connection.set_timeout(self._node.timeout_s)
        answer, self._contexts = accept(request, self._node.supported, self._node.max_pdu)
        self._connection.send(answer)
        return True

    def _take(self, fragment: Fragment) -> None:
        if fragment.context_id not in self._contexts:
            raise ProtocolError(f"presentation context {fragment.context_id} was not accepted", INVALID_PARAMETER)
        if fragment.is_command:
            self._take_command(fragment)
        elif self._message is None or self._message.context_id != fragment.context_id:
            raise ProtocolError("a data set without its command")
        else:
            if self._message.incoming:
                self._message.incoming.write(fragment.data)
            if fragment.is_last:
                self._finish()

    def _take_command(self, fragment: Fragment) -> None:
        if self._message is not None or len(self._command) + len(fragment.data) > _LONGEST_COMMAND:
            raise ProtocolError("a command inside a data set, or one without end", INVALID_PARAMETER)
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
        titles = (self._request.calling_ae_title, self._request.called_ae_title)
        receipt = receipt_now(*titles, self._peer, self._contexts[context_id].transfer_syntax)
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
            stored = incoming.finish()
        except BaseException:
            incoming.discard()
            raise
        self._count(stored, message, incoming.size)
        if stored.status:
            uid, who = _uid_or_none(message.command.sop_instance_uid), self._who()
            logger.warning("C-STORE of %s from %s: 0x%04X, %s", uid, who, stored.status, stored.comment)
        try:
            self._answer(message, stored.status, stored.comment)
        finally:
            # Durable is durable, whether or not the peer was there to hear of it.
            if stored.outcome is Outcome.STORED and stored.instance:
                place = self._node.canary.place if stored.aside and self._node.canary else self._keeper.place
                self._keeper.on_received(Work(place, stored.instance) if place else stored.instance)

    def _count(self, stored: Stored, message: _Message, size: int) -> None:
        metrics = self._node.canary.metrics if stored.aside and self._node.canary else self._keeper.metrics
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
            self._keeper.metrics.objects_received.labels(syntax, Outcome.INCOMPLETE).inc()
        self._message = None

    def _who(self) -> str:
        return f"{_printable(self._request.calling_ae_title) if self._request else OTHER} at {self._peer}"


def _misplaced(kind: int) -> ProtocolError:
    reason = UNEXPECTED_PDU if A_ASSOCIATE_RQ <= kind <= A_ABORT else UNRECOGNIZED_PDU
    return ProtocolError(f"a PDU of type {kind:#04x}", reason)


def _uid_or_none(text: str) -> str:
    """The UID that a peer sent, safe in a log: what is none may be anything, a patient's name too."""
    try:
        return valid_uid(text)
    except InvalidUIDError:
        return "something that is no UID"


def _printable(text: str) -> str:
    """An AE title that a peer sent, safe in a log: cut, and without control characters."""
    return "".join(character if character.isascii() and character.isprintable() else "?" for character in text[:64])
