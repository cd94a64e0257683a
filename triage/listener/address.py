"""Our own listener as a destination: for the canary, and for commands that send to the service of the settings."""

from __future__ import annotations

from pathlib import Path

from triage.dicom.requestor import RemoteAE
from triage.dicom.tls import ClientTLS
from triage.errors import StartError
from triage.listener.settings import ListenerSettings

_FROM_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
_ADVICE = (
    "this is our own listener: it has to serve the certificate that listener.tls_certificate names here, and that in "
    "client.tls_certificate has to be of an authority in listener.tls_client_ca, where that is set"
)
_WITHOUT = (
    "our own listener takes only clients with a certificate (listener.tls_client_ca): set client.tls_certificate and "
    "client.tls_key to one of those authorities"
)


def own_listener(
    listener: ListenerSettings,
    certificate: tuple[Path, Path] | None,
    calling_ae_title: str,
    *,
    host: str = "",
    timeout_s: float = 120.0,
    encrypted: bool = False,
) -> RemoteAE:
    """How the listener of these settings is reached: over TLS if it speaks nothing else, or if ``encrypted``.

    It proves itself by the very file that it serves, so that no authority and no name is needed. ``certificate`` and
    its key are ours, for a listener that asks. Raises StartError if it asks and there is none.
    """
    where = host or _FROM_HERE.get(listener.host, listener.host)
    if not (listener.tls_only or encrypted):
        return RemoteAE(where, listener.port, listener.ae_title, calling_ae_title, timeout_s)
    if listener.tls_port is None:
        raise StartError("our own listener speaks no TLS: listener.tls_port is not set")
    if listener.tls_client_ca and certificate is None:
        raise StartError(_WITHOUT)
    ours, key = certificate or (None, None)
    tls = ClientTLS(where, None, ours, key, pinned=listener.tls_certificate, advice=_ADVICE)
    return RemoteAE(where, listener.tls_port, listener.ae_title, calling_ae_title, timeout_s, tls)
