"""A DICOM peer that we call, over TLS where it is wanted: an association with it, or why there is none."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from pynetdicom import AE, evt
from pynetdicom.association import Association
from pynetdicom.presentation import PresentationContext

from triage.dicom.bounded_socket import bound
from triage.dicom.tls import ClientTLS

_NOTED_S = 5.0
_REJECTIONS = {  # source and reason of an A-ASSOCIATE-RJ, PS3.8 table 9-21
    (1, 1): "it gives no reason; it may not know our address",
    (1, 2): "it does not speak this application context",
    (1, 3): "it does not know our (calling) AE title",
    (1, 7): "the (called) AE title is not its own",
    (3, 1): "it has no time now",
    (3, 2): "it has too many associations now",
}


class NoAssociationError(Exception):
    """There is no association; the message says why, for the person who must act."""


@dataclass(frozen=True)
class RemoteAE:
    """A DICOM destination; ``timeout_s`` bounds each wait for an answer. ``tls`` None: unencrypted."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str
    timeout_s: float = 120.0
    tls: ClientTLS | None = None

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


@contextmanager
def associated(peer: RemoteAE, contexts: Sequence[PresentationContext]) -> Iterator[Association]:
    """An association that proposes ``contexts``, released at the end. Raises NoAssociationError.

    One whose contexts the peer rejected, all of them, is yielded too, see ``took_nothing``.
    """
    entity = AE(peer.calling_ae_title)
    entity.connection_timeout = entity.acse_timeout = entity.dimse_timeout = peer.timeout_s
    entity.network_timeout = peer.timeout_s * 2
    connected: list[bool] = []

    def on_connected(event: Any) -> None:
        connected.append(True)
        # Command and data set are two small writes, and the second would wait for the peer's delayed acknowledgement.
        event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        bound(event.assoc.dul.socket, str(peer), peer.timeout_s)

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
    except (OSError, UnicodeError) as error:  # of the name's look-up; the latter for a name that can be nobody's
        why = getattr(error, "strerror", None) or "no name of a host"
        raise NoAssociationError(f"nobody answers at {peer} ({why})") from error
    if not association.is_established and association.is_alive():
        association.join(_NOTED_S)  # pynetdicom may return before its thread has noted the peer's answer
    try:
        if not association.is_established and not took_nothing(association):
            raise NoAssociationError(_why_not(association, peer, bool(connected)))
        if association.is_established and not _is_whole(association):
            association.abort()
            raise NoAssociationError(f"{peer} accepted the association, and left out what that needs")
        yield association
    finally:
        if association.is_established:
            association.release()


def took_nothing(association: Association) -> bool:
    """Whether the peer rejected every presentation context."""
    return bool(association.rejected_contexts) and not association.accepted_contexts


def _is_whole(association: Association) -> bool:
    """Whether an acceptance has what every message needs (PS3.8 9.3.3): pynetdicom fails later where it has not."""
    contexts = association.accepted_contexts
    return association.acceptor.maximum_length is not None and all(each.transfer_syntax for each in contexts)


def _tls_args(peer: RemoteAE) -> tuple[ssl.SSLContext, str] | None:
    """What pynetdicom wants for TLS."""
    if peer.tls is None:
        return None
    try:
        return peer.tls.context(), peer.tls.server_name
    except (OSError, ValueError) as error:
        advice = peer.tls.advice or "see tls_ca_file and tls_key"
        raise NoAssociationError(f"our files for TLS cannot be used ({error}): {advice}") from error


def _why_not(association: Association, peer: RemoteAE, connected: bool) -> str:
    answer: Any = association.acceptor.primitive
    if association.is_rejected and answer is not None:
        why = _REJECTIONS.get((answer.result_source, answer.diagnostic), "it gives no reason that we know")
        return f"{peer} rejected the association: {why}"
    # pynetdicom does not tell, and in TLS 1.3 a certificate of ours is refused only after the handshake.
    if peer.tls and (why := peer.tls.why_not(peer.host, peer.port, peer.timeout_s)):
        return f"no TLS with {peer}: {why}" + (f"; {peer.tls.advice}" if peer.tls.advice else "")
    if not connected:
        return f"nobody answers at {peer}"
    return f"{peer} took the connection, and then gave no answer or aborted"
