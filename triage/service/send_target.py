"""The receiver of ``triage send``: the service of the settings, or the one that its options name."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from triage.dicom.requestor import RemoteAE
from triage.dicom.tls import ClientTLS
from triage.errors import StartError
from triage.listener.address import own_listener
from triage.settings.schema import Settings

_ADVICE = "see --tls-ca-file, --tls-server-name and --tls-certificate"


@dataclass(frozen=True)
class TLSOptions:
    """The options of ``triage send`` for TLS, by their names; paths of PEM files."""

    tls: bool = False
    tls_ca_file: Path | None = None
    tls_server_name: str | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def check(self, address: str | None) -> None:
        """Raise StartError for options that need another one."""
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise StartError("--tls-certificate and --tls-key need each other")
        if address is None and (self.tls_ca_file or self.tls_server_name):
            raise StartError("--tls-ca-file and --tls-server-name need --to: our own listener is known by its file")
        if address and not self.tls and (self.tls_ca_file or self.tls_server_name or self.tls_certificate):
            raise StartError("--tls-ca-file, --tls-server-name and --tls-certificate need --tls")

    def certificate(self, settings: Settings) -> tuple[Path, Path] | None:
        """Return the certificate and the key to show: those of the options, else those of the settings."""
        if self.tls_certificate and self.tls_key:
            return self.tls_certificate, self.tls_key
        return settings.client_certificate


def send_target(
    settings: Settings, address: str | None, called_ae_title: str | None, calling_ae_title: str, options: TLSOptions
) -> RemoteAE:
    """Return the receiver at ``address`` (HOST:PORT), or our own listener where that is None.

    Without ``called_ae_title`` it is that of the settings. Raises StartError.
    """
    options.check(address)
    shown = options.certificate(settings)
    if address is None:
        peer = own_listener(settings.listener, shown, calling_ae_title, encrypted=options.tls)
        return replace(peer, called_ae_title=called_ae_title or peer.called_ae_title)
    host, port = _split(address)
    certificate, key = shown or (None, None)
    client = None
    if options.tls:
        client = ClientTLS(options.tls_server_name or host, options.tls_ca_file, certificate, key, advice=_ADVICE)
    return RemoteAE(host, port, called_ae_title or settings.listener.ae_title, calling_ae_title, tls=client)


def _split(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise StartError(f"--to {address}: use HOST:PORT")
    return host, int(port)
