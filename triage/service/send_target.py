"""Where ``triage send`` sends: the service of the settings, or whom its options name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from triage.dicom.requestor import RemoteAE
from triage.dicom.tls import ClientTLS
from triage.errors import StartError
from triage.listener.address import own_listener
from triage.settings.schema import Settings

_ADVICE = "see --tls-ca-file, --tls-server-name and --tls-certificate"


def receiver(
    settings: Settings,
    address: str | None,
    called_ae_title: str | None,
    calling_ae_title: str,
    *,
    tls: bool = False,
    tls_ca_file: Path | None = None,
    tls_server_name: str | None = None,
    tls_certificate: Path | None = None,
    tls_key: Path | None = None,
) -> RemoteAE:
    """The receiver at ``address`` (HOST:PORT), or our own listener without one. Raises StartError."""
    if bool(tls_certificate) != bool(tls_key):
        raise StartError("--tls-certificate and --tls-key need each other")
    ours = (tls_certificate, tls_key) if tls_certificate and tls_key else settings.client_certificate
    if address is None:
        if tls_ca_file or tls_server_name:
            raise StartError("--tls-ca-file and --tls-server-name need --to: our own listener is known by its file")
        peer = own_listener(settings.listener, ours, calling_ae_title, encrypted=tls)
        return replace(peer, called_ae_title=called_ae_title or peer.called_ae_title)
    host, port = _split(address)
    if not tls and (tls_ca_file or tls_server_name or tls_certificate):
        raise StartError("--tls-ca-file, --tls-server-name and --tls-certificate need --tls")
    certificate, key = ours or (None, None)
    client = ClientTLS(tls_server_name or host, tls_ca_file, certificate, key, advice=_ADVICE) if tls else None
    return RemoteAE(host, port, called_ae_title or settings.listener.ae_title, calling_ae_title, tls=client)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise StartError(f"--to {address}: use HOST:PORT")
    return host, int(port)
