"""Registers DICOM structured reports as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.remote_ae import remote_ae_of
from triage.channels.sr.settings import SRDestination

if TYPE_CHECKING:
    from triage.channels.base import Channel


def _make(destination: SRDestination, surroundings: Surroundings) -> Channel:
    from triage.channels.sr.channel import SRChannel

    return SRChannel(remote_ae_of(destination), destination.document, surroundings.device_uid)


KIND = ChannelKind("sr", "DICOM structured reports.", SRDestination, _make)
