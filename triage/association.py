"""One association, from its request to its end, in one thread: C-ECHO and C-STORE."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom.dsutils import decode, encode

from triage.metrics import OTHER, Ending, Metrics, Outcome, Rejection, bounded
from triage.negotiation import REJECTIONS, AdmissionPolicy, Context, Request, accept, read_request
from triage.receive import CANNOT_UNDERSTAND, Announced, HighWater, IncomingObject, Stored, now_receipt
from triage.spool import ReceivedInstance, Spool
from triage.upper_layer import (
    A_ABORT,
    A_ASSOCIATE_RQ,
    A_RELEASE_RQ,
    INVALID_PARAMETER,
    P_DATA_TF,
    UNEXPECTED_PDU,
    UNRECOGNIZED_PDU,
    Connection,
    ConnectionLostError,
    Fragment,
    ProtocolError,
    TimedOutError,
)

logger = logging.getLogger(__name__)

_C_STORE_RQ, _C_ECHO_RQ, _C_CANCEL_RQ = 0x0001, 0x0030, 0x0FFF
_RESPONSE = 0x8000
_NO_DATA_SET = 0x0101
_UNRECOGNIZED_OPERATION = 0x0211
_SOP_CLASS_NOT_SUPPORTED = 0x0122
_VERIFICATION = "1.2.840.10008.1.1"
_LONGEST_COMMAND = 64 << 10


@dataclass(frozen=True)
class Node:
    """What all associations of a listener share."""

    spool: Spool
    admission: AdmissionPolicy
    supported: list[Any]
    high_water: HighWater
    max_pdu: int
    timeout_s: float
    metrics: Metrics
    on_received: Callable[[ReceivedInstance], None]
    refuse_more: Callable[[], Rejection | None]


class Association:
    """Serves one connection. ``serve`` returns when the association is over, however it ended, and raises nothing."""

    def __init__(self, connection: Connection, peer: str, node: Node) -> None:
        self._connection = connection
        self._peer = peer
        self._node = node
        self._request: Request | None = None
        self._contexts: dict[int, Context] = {}
        self._command = bytearray()
        self._incoming: tuple[Dataset, int, IncomingObject, float] | None = None
        self.established = False
        self.finishing = False

    def serve(self) -> None:
        """Negotiate, serve what comes, and close."""
        try:
            ending = self._serve()
        except ConnectionLostError:
            ending = Ending.CONNECTION_LOST
        except TimedOutError as error:
            self._connection.send_abort(0)
            ending = Ending.TIMED_OUT
            logger.warning("association with %s: %s", self._who(), error)
        except ProtocolError as error:
            self._connection.send_abort(error.reason)
            ending = Ending.ABORTED_BY_US
            logger.warning("association with %s aborted: %s", self._who(), error)
        except Exception:  # the edge: a defect of ours must not end the listener
            logger.exception("association with %s failed", self._who())
            self._connection.send_abort(0)
            ending = Ending.ABORTED_BY_US
        finally:
            self._drop_incoming()
            self._connection.close()
        if self.established:
            self._node.metrics.associations_ended.labels(ending).inc()
            self._node.metrics.associations_open.dec()
            logger.info("association with %s ended: %s", self._who(), ending)

    def _serve(self) -> Ending:
        if not self._negotiate():
            return Ending.RELEASED
        while True:
            kind, length = self._connection.read_header()
            if kind == P_DATA_TF:
                for fragment in self._connection.read_data(length):
                    self._take(fragment)
                if self.finishing and self._incoming is None and not self._command:
                    self._connection.send_abort(0)
                    return Ending.ABORTED_BY_US
            elif kind in (A_RELEASE_RQ, A_ABORT):
                self._connection.read_short(length)
                if kind == A_ABORT:
                    return Ending.ABORTED_BY_PEER
                self._connection.send_release_reply()
                return Ending.RELEASED
            else:
                reason = UNEXPECTED_PDU if kind <= A_ABORT else UNRECOGNIZED_PDU
                raise ProtocolError(f"PDU type {kind:#04x} is not for this moment", reason)

    def _negotiate(self) -> bool:
        kind, length = self._connection.read_header()
        if kind != A_ASSOCIATE_RQ:
            raise ProtocolError(f"PDU type {kind:#04x} instead of an A-ASSOCIATE-RQ", UNEXPECTED_PDU)
        body = self._connection.read_associate(length)
        try:
            self._request = request = read_request(bytes([kind, 0]) + length.to_bytes(4, "big") + body)
        except Exception as error:  # pynetdicom raises many kinds for a malformed request
            raise ProtocolError(f"malformed A-ASSOCIATE-RQ ({type(error).__name__})", INVALID_PARAMETER) from error
        titles = (request.calling_ae_title, request.called_ae_title)
        refusal = self._node.refuse_more() or self._node.admission.refusal(*titles, self._peer)
        if refusal:
            self._node.metrics.associations_rejected.labels(refusal).inc()
            logger.warning("association with %s rejected: %s", self._who(), refusal)
            self._connection.send_reject(*REJECTIONS[refusal])
            return False
        answer, self._contexts = accept(request, self._node.supported, self._node.max_pdu)
        calling = bounded(request.calling_ae_title, self._node.admission.calling_ae_titles)
        self._node.metrics.associations_accepted.labels(calling).inc()
        self._node.metrics.associations_open.inc()
        self.established = True
        logger.info("association with %s: %d contexts accepted", self._who(), len(self._contexts))
        self._connection.send(answer)
        return True

    def _take(self, fragment: Fragment) -> None:
        if fragment.context_id not in self._contexts:
            raise ProtocolError(f"presentation context {fragment.context_id} was not accepted", INVALID_PARAMETER)
        if fragment.is_command:
            self._take_command(fragment)
        elif self._incoming is None or self._incoming[1] != fragment.context_id:
            raise ProtocolError("a data set without its command")
        else:
            self._incoming[2].write(fragment.data)
            if fragment.is_last:
                self._finish_store()

    def _take_command(self, fragment: Fragment) -> None:
        if self._incoming is not None or len(self._command) + len(fragment.data) > _LONGEST_COMMAND:
            raise ProtocolError("a command inside a data set, or one without end", INVALID_PARAMETER)
        self._command += fragment.data
        if not fragment.is_last:
            return
        try:
            command = decode(BytesIO(bytes(self._command)), True, True)
            field, has_data = int(command.CommandField), int(command.CommandDataSetType) != _NO_DATA_SET
        except Exception as error:  # pydicom raises many kinds for bytes that are no command set
            raise ProtocolError(f"malformed command set ({type(error).__name__})", INVALID_PARAMETER) from error
        finally:
            self._command = bytearray()
        self._handle(field, command, fragment.context_id, has_data)

    def _handle(self, field: int, command: Dataset, context_id: int, has_data: bool) -> None:
        context = self._contexts[context_id]
        if field == _C_CANCEL_RQ:
            return
        if field == _C_STORE_RQ and has_data and context.abstract_syntax != _VERIFICATION:
            self._begin_store(command, context_id, context)
        elif has_data:
            raise ProtocolError(f"command {field:#06x} with a data set is not supported")
        elif field == _C_ECHO_RQ:
            right = context.abstract_syntax == _VERIFICATION
            self._answer(command, context_id, 0x0000 if right else _SOP_CLASS_NOT_SUPPORTED)
        else:
            status = CANNOT_UNDERSTAND if field == _C_STORE_RQ else _UNRECOGNIZED_OPERATION
            self._answer(command, context_id, status, "no data set" if field == _C_STORE_RQ else "")

    def _begin_store(self, command: Dataset, context_id: int, context: Context) -> None:
        assert self._request is not None
        announced = Announced(
            str(command.get("AffectedSOPClassUID", "")),
            str(command.get("AffectedSOPInstanceUID", "")),
            context.transfer_syntax,
        )
        receipt = now_receipt(self._request.calling_ae_title, self._request.called_ae_title, self._peer)
        incoming = IncomingObject(self._node.spool, announced, receipt, self._node.high_water)
        self._incoming = (command, context_id, incoming, time.perf_counter())

    def _finish_store(self) -> None:
        assert self._incoming is not None
        command, context_id, incoming, started = self._incoming
        stored = incoming.finish()
        self._incoming = None
        self._count(stored, self._contexts[context_id].transfer_syntax, incoming.size, time.perf_counter() - started)
        if stored.status:
            logger.warning(
                "object %s from %s: status 0x%04X, %s",
                _printable(command.get("AffectedSOPInstanceUID", "")),
                self._who(),
                stored.status,
                stored.comment,
            )
        try:
            self._answer(command, context_id, stored.status, stored.comment)
        finally:
            # Durable is durable, whether or not the peer was there to hear of it.
            if stored.outcome is Outcome.STORED and stored.instance:
                self._node.on_received(stored.instance)

    def _count(self, stored: Stored, transfer_syntax: str, size: int, seconds: float) -> None:
        metrics = self._node.metrics
        metrics.objects_received.labels(transfer_syntax, stored.outcome).inc()
        metrics.received_bytes.inc(size)
        metrics.store_duration.observe(seconds)
        metrics.last_object.set_to_current_time()
        if stored.outcome is Outcome.REFUSED and "high-water" in stored.comment:
            metrics.high_water_refusals.inc()

    def _answer(self, command: Dataset, context_id: int, status: int, comment: str = "") -> None:
        reply = Dataset()
        for keyword in ("AffectedSOPClassUID", "AffectedSOPInstanceUID"):
            if keyword in command:
                setattr(reply, keyword, command[keyword].value)
        reply.CommandField = int(command.CommandField) | _RESPONSE
        reply.MessageIDBeingRespondedTo = int(command.get("MessageID", 0))
        reply.CommandDataSetType = _NO_DATA_SET
        reply.Status = status
        if comment:
            reply.ErrorComment = comment[:64]
        body = encode(reply, True, True)
        assert body is not None
        length = b"\x00\x00\x00\x00\x04\x00\x00\x00" + len(body).to_bytes(4, "little")  # (0000,0000) UL
        self._connection.send_command(context_id, length + body)

    def _drop_incoming(self) -> None:
        if self._incoming is not None:
            _, context_id, incoming, _ = self._incoming
            incoming.discard()
            self._incoming = None
            syntax = self._contexts[context_id].transfer_syntax
            self._node.metrics.objects_received.labels(syntax, Outcome.INCOMPLETE).inc()

    def _who(self) -> str:
        return f"{_printable(self._request.calling_ae_title) if self._request else OTHER} at {self._peer}"


def _printable(text: object) -> str:
    """What a peer sent, safe in a log: a UID or an AE title, cut and without control characters."""
    return "".join(character if character.isprintable() else "?" for character in str(text)[:64])
