"""DICOM peers that we call, over TLS where it is configured: an association, or the reason why there is none."""

from __future__ import annotations

import ssl
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Protocol

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from triage.dicom.bounded_socket import bound_reads
from triage.dicom.pynetdicom_internals import await_answer, connected_socket, is_complete, rejection
from triage.dicom.tls import ClientTLS
from triage.dicom.unacknowledged import begin_exchange, end_exchange
from triage.errors import TriageError

_REJECTIONS = {  # source and reason of an A-ASSOCIATE-RJ, PS3.8 table 9-21
    (1, 1): "it gives no reason; it may not know our address",
    (1, 2): "it does not speak this application context",
    (1, 3): "it does not know our (calling) AE title",
    (1, 7): "the (called) AE title is not its own",
    (3, 1): "it has no time now",
    (3, 2): "it has too many associations now",
}


class NoAssociationError(TriageError):
    """There is no association. The message gives the reason, for the person who must act."""


@dataclass(frozen=True)
class RemoteAE:
    """A DICOM destination. ``timeout_s`` bounds each wait for a response; without ``tls`` the connection is plain."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_s: float = 120.0
    tls: ClientTLS | None = None

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


class _ConnectionOpened(Protocol):
    """The event of pynetdicom when the connection is open."""

    assoc: Association


@contextmanager
def associated(peer: RemoteAE, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """Open an association that proposes ``contexts``; it is released at the end.

    One that is aborted, or lost with this process, is reset: no part of a message arrives later. One whose contexts
    the peer rejected, all of them, is yielded too, see ``rejects_all_contexts``.

    Raises:
        NoAssociationError: No connection, no TLS, or no association.
    """
    association, was_connected = _requested(peer, contexts)
    await_answer(association)
    try:
        if not association.is_established and not rejects_all_contexts(association):
            raise NoAssociationError(_failure(association, peer, was_connected.is_set()))
        if association.is_established and not is_complete(association):
            association.abort()
            raise NoAssociationError(f"{peer} accepted the association, and left out what that needs")
        if connected := connected_socket(association):
            begin_exchange(connected, peer.timeout_s)
        yield association
    finally:
        if association.is_established:
            _release(association)


def _release(association: Association) -> None:
    if connected := connected_socket(association):
        end_exchange(connected)
    association.release()


def rejects_all_contexts(association: Association) -> bool:
    """Return whether the peer rejected every presentation context."""
    return bool(association.rejected_contexts) and not association.accepted_contexts


def _requested(peer: RemoteAE, contexts: Sequence[PresentationContext]) -> tuple[Association, threading.Event]:
    """Return the association once it was requested, and the event that the connection was made."""
    entity = AE(peer.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = peer.timeout_s
    entity.network_timeout = peer.timeout_s * 2
    connected = threading.Event()

    def on_connected(event: _ConnectionOpened) -> None:
        connected.set()
        bound_reads(event.assoc, str(peer), peer.timeout_s)

    tls_args = _tls_args(peer)
    try:
        association = entity.associate(
            peer.host,
            peer.port,
            contexts=list(contexts),
            ae_title=peer.called_ae_title,
            evt_handlers=[(evt.EVT_CONN_OPEN, on_connected)],
            tls_args=tls_args,
        )
    except (OSError, UnicodeError) as error:  # of the look-up of the name; the latter for one that no host can have
        reason = (error.strerror if isinstance(error, OSError) else None) or "no name of a host"
        raise NoAssociationError(f"cannot connect to {peer} ({reason})") from error
    return association, connected


def _tls_args(peer: RemoteAE) -> tuple[ssl.SSLContext, str] | None:
    """Return pynetdicom's argument for TLS."""
    if peer.tls is None:
        return None
    try:
        return peer.tls.context(), peer.tls.server_name
    except (OSError, ValueError) as error:
        advice = peer.tls.advice or "see tls_ca_file and tls_key"
        raise NoAssociationError(f"our files for TLS cannot be used ({error}): {advice}") from error


def _failure(association: Association, peer: RemoteAE, connected: bool) -> str:
    """Return why there is no association."""
    if rejected := rejection(association):
        return f"{peer} rejected the association: {_REJECTIONS.get(rejected, 'it gives no reason that we know')}"
    # pynetdicom does not say, and in TLS 1.3 a certificate of ours is refused only after the handshake.
    if peer.tls and (reason := peer.tls.handshake_failure(peer.host, peer.port, peer.timeout_s)):
        return f"no TLS with {peer}: {reason}" + (f"; {peer.tls.advice}" if peer.tls.advice else "")
    if not connected:
        return f"cannot connect to {peer}"
    return f"{peer} took the connection, and then gave no response or aborted"
