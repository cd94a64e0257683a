"""One association, from its request to its end, in one thread: negotiation, and the upper layer's PDUs (PS3.8)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from triage.dicom.association_request import AssociationRequest, MalformedRequestError, read_request
from triage.dicom.proxy_header import SIGNATURE
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
    ProtocolError,
    TimedOutError,
    UpperLayerConnection,
)
from triage.dicom.upper_layer_tls import HandshakeError
from triage.listener.admission import AdmissionPolicy
from triage.listener.dimse import AcceptedAssociation, DimseService
from triage.listener.negotiation import REJECTIONS, Negotiated, Supported, accept
from triage.listener.progress import PeerProgress
from triage.listener.storage import StorageTargets
from triage.metrics.labels import Ending, NoRequest, Rejection, bounded
from triage.metrics.listener import ListenerMetrics
from triage.queue.names import Queued
from triage.runtime.log_context import about, new_association
from triage.runtime.logs import where_raised

logger = logging.getLogger(__name__)

_CLOSE_WAIT_S = 5.0
_OTHER_PROTOCOLS = {
    SIGNATURE[0]: ": a PROXY header begins so, which is taken from listener.proxy_protocol_from alone",
    0x16: ": TLS begins so, which this port does not speak",
}
_CONTEXTS_NAMED = 8  # rejected contexts that a log line names
_REJECT_WAIT_S = 5.0  # for the request of a refused address, so that it receives an A-ASSOCIATE-RJ


@dataclass(frozen=True)
class LocalNode:
    """Everything that the associations of a listener share.

    ``on_received`` is called with each new object; ``take_slot`` gives an association a slot or returns why not.
    """

    targets: StorageTargets
    admission: AdmissionPolicy
    supported: Supported
    max_pdu: int
    timeout_s: float
    on_received: Callable[[Queued], None]
    take_slot: Callable[[Association], Rejection | None]

    @property
    def metrics(self) -> ListenerMetrics:
        """The metrics that count associations."""
        return self.targets.patients.metrics


class _Rejected(Enum):
    """The end of a connection whose request was rejected: logged and counted already."""

    REJECTED = auto()


@dataclass(frozen=True)
class _End:
    """The end of a connection. ``cause``: the error, for the log; empty where the peer released or aborted."""

    kind: Ending | _Rejected
    cause: str = ""

    def __str__(self) -> str:
        return f"{self.kind} ({self.cause})" if self.cause else str(self.kind)


class Association:
    """Serves one connection. ``serve`` returns when the association is over, however it ended, and raises nothing.

    The first request must be complete ``request_timeout_s`` after ``serve`` was called.
    """

    def __init__(
        self, connection: UpperLayerConnection, address: str, node: LocalNode, request_timeout_s: float
    ) -> None:
        self.address = address
        self.name = new_association()
        self.has_slot = self.is_closing = False
        self._connection = connection
        self._node = node
        self._request_timeout_s = request_timeout_s
        self._peer = address
        self._service: DimseService | None = None
        self._progress = PeerProgress()
        self._no_request_cause: NoRequest | None = NoRequest.SILENT
        self.finishing = False

    def idle_s(self, now: float) -> float:
        """Return the seconds until ``now`` (monotonic) since the peer made progress; 0 while it waits for us."""
        return self._progress.idle_s(now)

    def break_off(self) -> None:
        """End the association soon, to free its slot; may be called from any thread."""
        self._connection.break_off()

    def serve(self) -> None:
        """Negotiate, serve the peer's messages, and close the connection."""
        with about(association=self.name):
            end = self._serve_guarded()
            if self._service is not None:
                self._service.discard()
                self._end_association(end, self._service)
            elif end.kind is not _Rejected.REJECTED:
                self._end_without_request(end)
            self._connection.close_gracefully(_CLOSE_WAIT_S)

    def _end_association(self, end: _End, service: DimseService) -> None:
        self.has_slot = False
        self._node.metrics.associations_ended.labels(end.kind).inc()
        self._node.metrics.associations_open.dec()
        statuses = ", ".join(f"{count} x 0x{status:04X}" for status, count in service.statuses.items())
        level = logging.INFO if end.kind is Ending.RELEASED else logging.WARNING
        logger.log(level, "association with %s: %s; C-STORE: %s", self._peer, end, statuses or "none")

    def _end_without_request(self, end: _End) -> None:
        if self._no_request_cause:
            self._node.metrics.association_requests_failed.labels(self._no_request_cause).inc()
        # Port scans and the health checks of load balancers connect and send nothing.
        usual = self._no_request_cause in (NoRequest.SILENT, NoRequest.MADE_ROOM)
        logger.log(logging.INFO if usual else logging.WARNING, "no association with %s: %s", self._peer, end)

    def _serve_guarded(self) -> _End:
        try:
            return _End(self._serve())
        except HandshakeError as error:
            self._node.metrics.tls_failures.labels(error.failure).inc()
            self._no_request_cause = None  # counted already
            return _End(Ending.CONNECTION_LOST, str(error))
        except ConnectionLostError as error:
            return _End(Ending.CONNECTION_LOST, str(error))
        except BrokenOffError:
            self._set_no_request_cause(NoRequest.MADE_ROOM)
            self._connection.send_abort(None)
            return _End(Ending.ABORTED_BY_US, "to free its slot, or because we are stopping")
        except TimedOutError as error:
            self._set_no_request_cause(NoRequest.SILENT)
            self._connection.send_abort(None)
            return _End(Ending.TIMED_OUT, str(error))
        except ProtocolError as error:
            self._set_no_request_cause(NoRequest.MALFORMED)
            self._connection.send_abort(error.reason)
            return _End(Ending.ABORTED_BY_US, str(error))
        except Exception as error:  # the edge: a defect of ours must not end the listener
            logger.error("association with %s failed: %s", self._peer, where_raised(error))
            self._set_no_request_cause(NoRequest.FAILED)
            self._connection.send_abort(0)
            return _End(Ending.ABORTED_BY_US, "a defect of ours, see above")

    def _serve(self) -> Ending | _Rejected:
        service = self._negotiate()
        return _Rejected.REJECTED if service is None else self._serve_messages(service)

    def _serve_messages(self, service: DimseService) -> Ending:
        while not self.finishing or service.is_in_message:
            kind, length = self._connection.read_header()
            if kind == P_DATA_TF:
                for fragment in self._connection.read_data(length):
                    service.receive(fragment)
            elif kind == A_RELEASE_RQ:
                self._connection.read_short(length)
                self._connection.send_release_reply()
                return Ending.RELEASED
            elif kind == A_ABORT:
                self._connection.read_short(length)
                return Ending.ABORTED_BY_PEER
            else:
                raise _misplaced(kind)
            # However small its PDUs are: a peer must finish a message in time.
            if service.is_in_message and self._progress.message_stalls(self._node.timeout_s):
                raise TimedOutError("the peer did not finish a message: it sends almost nothing")
        raise BrokenOffError

    def _negotiate(self) -> DimseService | None:
        """Read the request and respond to it; None if it was rejected. The peer's address is checked first."""
        if self._node.admission.refuses_address(self.address):
            self._reject_address()
            return None
        deadline = time.monotonic() + self._request_timeout_s
        self._connection.open()
        length = self._read_request_header()
        self._no_request_cause = NoRequest.LOST
        self._connection.set_timeout(max(deadline - time.monotonic(), 0.001))
        try:
            request = read_request(self._connection.read_associate(length))
        except MalformedRequestError as error:
            raise ProtocolError(str(error), INVALID_PARAMETER) from error
        self._peer = AcceptedAssociation(self.name, self.address, request, {}).peer
        if rejection := self._node.admission.refusal(request, self.address) or self._node.take_slot(self):
            self._reject(rejection)
            return None
        return self._accept(request)

    def _reject_address(self) -> None:
        """Reject a peer by its address, without reading its request; over TLS even without a handshake."""
        if self._connection.encrypted:  # a handshake costs us more than the peer
            self._count_rejection(Rejection.SOURCE_ADDRESS)
            return
        self._connection.set_timeout(_REJECT_WAIT_S)
        self._connection.open()
        self._read_request_header()
        self._reject(Rejection.SOURCE_ADDRESS)

    def _read_request_header(self) -> int:
        """Return the length of the A-ASSOCIATE-RQ that comes. Raises ProtocolError for another PDU."""
        kind, length = self._connection.read_header()
        if kind != A_ASSOCIATE_RQ:
            self._no_request_cause = NoRequest.NOT_DICOM
            raise _misplaced(kind)
        return length

    def _reject(self, rejection: Rejection) -> None:
        self._count_rejection(rejection)
        self._connection.send_reject(*REJECTIONS[rejection])

    def _count_rejection(self, rejection: Rejection) -> None:
        self._node.metrics.associations_rejected.labels(rejection).inc()
        logger.warning("association with %s rejected: %s", self._peer, rejection)

    def _accept(self, request: AssociationRequest) -> DimseService:
        negotiated = accept(request, self._node.supported, self._node.max_pdu)
        association = AcceptedAssociation(self.name, self.address, request, negotiated.contexts)
        self._service = DimseService(
            association, self._connection, self._node.targets, self._progress, self._node.on_received
        )
        self._progress.made()
        self._node.metrics.associations_open.inc()
        self._node.metrics.associations_accepted.labels(
            bounded(request.calling_ae_title, self._node.admission.calling_ae_titles)
        ).inc()
        self._connection.set_timeout(self._node.timeout_s)
        if negotiated.rejected:
            self._log_rejected_contexts(request, negotiated)
        self._connection.send(negotiated.answer)
        return self._service

    def _log_rejected_contexts(self, request: AssociationRequest, negotiated: Negotiated) -> None:
        for why in negotiated.rejected.values():
            self._node.metrics.contexts_rejected.labels(why).inc()
        names = {each.context_id: each.abstract_syntax or "no class" for each in request.contexts}
        some = [f"{names[number]} ({why})" for number, why in list(negotiated.rejected.items())[:_CONTEXTS_NAMED]]
        left = len(negotiated.rejected) - _CONTEXTS_NAMED
        more = f" and {left} more" if left > 0 else ""
        level = logging.INFO if negotiated.contexts else logging.WARNING
        logger.log(level, "association with %s: contexts rejected: %s%s", self._peer, ", ".join(some), more)

    def _set_no_request_cause(self, cause: NoRequest) -> None:
        """Record why there is no association, unless something other than DICOM came."""
        if self._no_request_cause is not NoRequest.NOT_DICOM:
            self._no_request_cause = cause


def _misplaced(kind: int) -> ProtocolError:
    reason = UNEXPECTED_PDU if A_ASSOCIATE_RQ <= kind <= A_ABORT else UNRECOGNIZED_PDU
    return ProtocolError(f"a PDU of type {kind:#04x}{_OTHER_PROTOCOLS.get(kind, '')}", reason)
