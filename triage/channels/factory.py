"""From the settings of a destination to its channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from triage.channels.base import Channel
from triage.channels.hl7.settings import HL7Destination
from triage.channels.secondary_capture.settings import SecondaryCaptureDestination
from triage.channels.settings import Destination, DICOMDestination
from triage.channels.sr.settings import SRDestination
from triage.channels.ups.settings import UPSDestination
from triage.channels.webhook.settings import WebhookDestination

if TYPE_CHECKING:
    from triage.dicom.requestor import RemoteAE
    from triage.dicom.tls import ClientTLS

NOBODY = "2.25.0"
"""The device UID where nothing is delivered: to try a destination."""


def channel_of(
    destination: Destination,
    device_uid: str = NOBODY,
    at_end: Callable[[Callable[[], None]], object] = lambda close: None,
) -> Channel:
    """The channel of a destination. What a kind needs is imported only where one is configured.

    ``device_uid`` is that of this installation, which reports name as their maker. ``at_end`` takes what is to be
    called when the channel is no longer used.
    """
    if isinstance(destination, SRDestination):
        return _sr(destination, device_uid)
    if isinstance(destination, SecondaryCaptureDestination):
        from triage.channels.secondary_capture.channel import SecondaryCaptureChannel

        maps = SecondaryCaptureChannel(peer_of(destination), destination.abnormal_only, device_uid)
        at_end(maps.pool.close)
        return maps
    if isinstance(destination, HL7Destination):
        return _hl7(destination)
    if isinstance(destination, WebhookDestination):
        return _webhook(destination)
    if isinstance(destination, UPSDestination):
        return _ups(destination)
    raise TypeError(f"no channel for {type(destination).__name__}")


def _ups(destination: UPSDestination) -> Channel:
    from triage.channels.ups.channel import UPSChannel

    return UPSChannel(peer_of(destination), destination.worklist_label, destination.low, destination.retrieve_ae_title)


def peer_of(destination: DICOMDestination) -> RemoteAE:
    """Where a destination is, and how it is reached."""
    from triage.dicom.requestor import RemoteAE

    return RemoteAE(
        destination.host,
        destination.port,
        destination.called_ae_title,
        destination.calling_ae_title,
        destination.timeout_s,
        _tls(destination, destination.host),
    )


def _tls(destination: DICOMDestination, host: str) -> ClientTLS | None:
    from triage.dicom.tls import ClientTLS

    if not destination.tls:
        return None
    name = destination.tls_server_name or host
    return ClientTLS(name, destination.tls_ca_file, destination.tls_certificate, destination.tls_key)


def _webhook(destination: WebhookDestination) -> Channel:
    from triage.channels.webhook.channel import WebhookChannel
    from triage.channels.webhook.settings import standard_key
    from triage.dicom.tls import ClientTLS

    parts = urlsplit(destination.url)
    files = (destination.tls_ca_file, destination.tls_certificate, destination.tls_key)
    tls = ClientTLS(parts.hostname or "", *files) if parts.scheme == "https" else None
    secrets = [each.get_secret_value() for each in (destination.secret, destination.second_secret) if each]
    keys = tuple(map(standard_key, secrets))
    return WebhookChannel(destination.url, secrets[0].encode(), destination.timeout_s, keys, tls)


def _sr(destination: SRDestination, device_uid: str) -> Channel:
    from triage.channels.sr.channel import SRChannel

    return SRChannel(peer_of(destination), destination.document, device_uid)


def _hl7(destination: HL7Destination) -> Channel:
    from triage.channels.hl7.channel import HL7Channel, Receiver
    from triage.channels.hl7.message import Profile
    from triage.dicom.tls import ClientTLS
    from triage.hl7.text import named

    name = destination.tls_server_name or destination.host
    files = (destination.tls_ca_file, destination.tls_certificate, destination.tls_key)
    receiver = Receiver(
        destination.host,
        destination.port,
        destination.timeout_s,
        ClientTLS(name, *files) if destination.tls else None,
        destination.delivered,
        destination.retried,
        destination.error_tries,
        destination.answer_counts,
        destination.own_control_id_only,
    )
    profile = Profile(
        message=destination.message,
        sending=(destination.sending_application, destination.sending_facility),
        receiving=(destination.receiving_application, destination.receiving_facility),
        character_set=named(destination.character_set) if destination.character_set else None,
        result_status=destination.result_status,
        accession_in=destination.accession_in,
        priority_in=destination.priority_in,
        priority_code=destination.priority_code,
        priority_segment=destination.priority_segment,
    )
    return HL7Channel(destination.name, receiver, profile, destination.canary_processing_id)
