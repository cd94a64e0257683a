"""From the settings of a destination to its channel."""

from __future__ import annotations

from triage.channels.base import Channel
from triage.channels.settings import Destination, SRDestination


def channel_of(destination: Destination) -> Channel:
    """The channel of a destination. What a kind needs is imported only where one is configured."""
    if isinstance(destination, SRDestination):
        return _sr(destination)
    raise TypeError(f"no channel for {type(destination).__name__}")


def _sr(destination: SRDestination) -> Channel:
    from triage.channels.dicom_store import Peer
    from triage.channels.sr import SRChannel

    peer = Peer(
        destination.host,
        destination.port,
        destination.called_ae_title,
        destination.calling_ae_title,
        destination.timeout_s,
    )
    return SRChannel(peer, destination.document)
