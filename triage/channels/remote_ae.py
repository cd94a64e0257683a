"""The application entity of a DICOM destination, made from its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage.channels.settings import DICOMDestination

if TYPE_CHECKING:
    from triage.dicom.requestor import RemoteAE
    from triage.dicom.tls import ClientTLS


def remote_ae_of(destination: DICOMDestination) -> RemoteAE:
    """Return the peer of a destination: address, AE titles, timeout and TLS."""
    from triage.dicom.requestor import RemoteAE

    return RemoteAE(
        destination.host,
        destination.port,
        destination.called_ae_title,
        destination.calling_ae_title,
        destination.timeout_s,
        _tls(destination),
    )


def _tls(destination: DICOMDestination) -> ClientTLS | None:
    from triage.dicom.tls import ClientTLS

    if not destination.tls:
        return None
    name = destination.tls_server_name or destination.host
    return ClientTLS(name, destination.tls_ca_file, destination.tls_certificate, destination.tls_key)
