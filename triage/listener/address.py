"""Our own listener as a destination, for the canary and for commands that send to the service of the settings."""

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
    """Return the listener of these settings as a remote AE, over TLS if it has no other port or if ``encrypted``.

    Args:
        listener: its settings. Its certificate must be the file named there, so no authority and no name is checked.
        certificate: our client certificate and its key, for a listener that requires one.
        calling_ae_title: the AE title that we use.
        host: another host name or address than that of the settings.
        timeout_s: the network timeout in seconds.
        encrypted: use the TLS port.

    Raises:
        StartError: it requires a client certificate and there is none, or it has no TLS port.
    """
    address = host or _FROM_HERE.get(listener.host, listener.host)
    if not (listener.tls_only or encrypted):
        return RemoteAE(address, listener.port, listener.ae_title, calling_ae_title, timeout_s)
    if listener.tls_port is None:
        raise StartError("our own listener speaks no TLS: listener.tls_port is not set")
    if listener.tls_client_ca and certificate is None:
        raise StartError(_WITHOUT)
    ours, key = certificate or (None, None)
    tls = ClientTLS(address, None, ours, key, pinned=listener.tls_certificate, advice=_ADVICE)
    return RemoteAE(address, listener.tls_port, listener.ae_title, calling_ae_title, timeout_s, tls)
