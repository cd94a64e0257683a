"""The DIMSE messages of one association: C-ECHO and C-STORE, from their fragments to the responses (PS3.7)."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from triage.dicom.association_request import AssociationRequest
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
from triage.dicom.part10 import Receipt
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.dicom.upper_layer import INVALID_PARAMETER, Fragment, ProtocolError, UpperLayerConnection
from triage.listener.c_store_scp import IncomingObject, StoreResult, receipt_now
from triage.listener.negotiation import Context
from triage.listener.progress import PeerProgress
from triage.listener.storage import StorageTargets
from triage.metrics.labels import StoreOutcome
from triage.queue.names import Queued
from triage.runtime.log_context import about
from triage.spool.instance import ReceivedInstance

logger = logging.getLogger(__name__)

_LONGEST_COMMAND = 64 << 10  # bytes


@dataclass(frozen=True)
class AcceptedAssociation:
    """An accepted association: its name in the log, the peer's address, the request, and the contexts by their ID."""

    name: str
    address: str
    request: AssociationRequest
    contexts: Mapping[int, Context]

    @property
    def peer(self) -> str:
        """The peer as log lines name it."""
        return f"{self.request.calling_ae_title or 'an AE without title'} at {self.address}"

    def receipt(self, context_id: int) -> Receipt:
        """Return the receipt of an object that begins now on a presentation context."""
        titles = (self.request.calling_ae_title, self.request.called_ae_title)
        return receipt_now(*titles, self.address, self.contexts[context_id].transfer_syntax, self.name)


@dataclass
class _Message:
    """A request whose data set is being received. Without ``incoming`` the data set is discarded."""

    command: Command
    context_id: int
    incoming: IncomingObject | None
    began: float


class DimseService:
    """Receives the messages of one association and responds to them.

    ``on_received`` is called with each new object once it is durable.
    """

    def __init__(
        self,
        association: AcceptedAssociation,
        connection: UpperLayerConnection,
        targets: StorageTargets,
        progress: PeerProgress,
        on_received: Callable[[Queued], None],
    ) -> None:
        self._association = association
        self._connection = connection
        self._target = targets.of(association.request.calling_ae_title)
        self._redirect = targets.redirect(association.request.calling_ae_title)
        self._high_water = targets.high_water
        self._progress = progress
        self._on_received = on_received
        self._command = bytearray()
        self._message: _Message | None = None
        self.statuses: Counter[int] = Counter()
        """How often each status was returned for a C-STORE."""

    @property
    def is_in_message(self) -> bool:
        """True while a message has begun and is not complete."""
        return bool(self._message or self._command)

    def receive(self, fragment: Fragment) -> None:
        """Process one fragment, and respond if it completes a message. Raises ProtocolError."""
        if fragment.context_id not in self._association.contexts:
            raise ProtocolError(f"presentation context {fragment.context_id} was not accepted", INVALID_PARAMETER)
        if fragment.is_command:
            self._receive_command(fragment)
        elif self._message is None or self._message.context_id != fragment.context_id:
            raise ProtocolError("a data set without its command")
        else:
            self._progress.received(len(fragment.data))
            if self._message.incoming:
                self._message.incoming.write(fragment.data)
            if fragment.is_last:
                self._finish()

    def discard(self) -> None:
        """Discard a message that is not complete, and count it."""
        if self._message and self._message.incoming:
            self._message.incoming.discard()
            syntax = self._association.contexts[self._message.context_id].transfer_syntax
            self._target.metrics.objects_received.labels(syntax, StoreOutcome.INCOMPLETE).inc()
        self._message = None

    def _receive_command(self, fragment: Fragment) -> None:
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
            raise ProtocolError("a response to no request of ours")
        incoming = self._begin_object(command, fragment.context_id) if command.field == C_STORE_RQ else None
        self._message = _Message(command, fragment.context_id, incoming, time.perf_counter())
        if not command.has_data_set:
            self._finish()

    def _begin_object(self, command: Command, context_id: int) -> IncomingObject:
        self._progress.made()
        receipt = self._association.receipt(context_id)
        return IncomingObject(self._target.spool, command, receipt, self._high_water, self._redirect)

    def _finish(self) -> None:
        """Process a complete message and respond to it."""
        message, self._message = self._message, None
        assert message is not None
        if message.incoming:
            self._finish_store(message, message.incoming)
        elif message.command.field != C_CANCEL_RQ:  # its request has its response already: nothing to cancel
            status = SUCCESS if message.command.field == C_ECHO_RQ else UNRECOGNIZED_OPERATION
            self._respond(message, status)

    def _finish_store(self, message: _Message, incoming: IncomingObject) -> None:
        try:
            with self._progress.waits_for_us():
                stored = incoming.finish()
        except BaseException:
            incoming.discard()
            raise
        self._count(stored, message, incoming.size)
        if stored.instance:
            self._log_stored(stored.instance, stored.outcome)
        if stored.status:
            uid = _uid_for_log(message.command.sop_instance_uid)
            text = (uid, self._association.peer, stored.status, stored.comment)
            logger.warning("C-STORE of %s from %s: 0x%04X, %s", *text)
        try:
            self._respond(message, stored.status, stored.comment)
        finally:
            # Durable is durable, whether or not the peer received the response.
            if stored.outcome is StoreOutcome.STORED and stored.instance:
                self._on_received((stored.redirected_to or self._target).queued(stored.instance))

    def _log_stored(self, instance: ReceivedInstance, outcome: StoreOutcome) -> None:
        study, sop_instance = instance.study_instance_uid, instance.sop_instance_uid
        with about(study=study, object=sop_instance):  # the limit on log lines is for each association
            logger.info(
                "%s: object %s of study %s", outcome, sop_instance, study, extra={"source": self._association.name}
            )

    def _count(self, stored: StoreResult, message: _Message, size: int) -> None:
        metrics = (stored.redirected_to or self._target).metrics
        syntax = self._association.contexts[message.context_id].transfer_syntax
        metrics.objects_received.labels(syntax, stored.outcome).inc()
        metrics.received_bytes.inc(size)
        metrics.store_duration.observe(time.perf_counter() - message.began)
        self.statuses[stored.status] += 1
        if stored.instance:
            metrics.last_object.set_to_current_time()
        if stored.above_high_water:
            metrics.high_water_refusals.inc()

    def _respond(self, message: _Message, status: int, comment: str = "") -> None:
        command_set = response(message.command, status, comment)
        self._connection.send_command(message.context_id, command_set, self._association.request.max_pdu)


def _uid_for_log(text: str) -> str:
    """Return a UID that a peer sent; what is no UID may be anything, even a patient's name, and is not logged."""
    try:
        return valid_uid(text)
    except InvalidUIDError:
        return "something that is no UID"
