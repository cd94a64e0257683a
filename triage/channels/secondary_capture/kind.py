"""Registers activation maps as Secondary Capture images as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.remote_ae import remote_ae_of
from triage.channels.secondary_capture.settings import SecondaryCaptureDestination

if TYPE_CHECKING:
    from triage.channels.base import Channel


def _make(destination: SecondaryCaptureDestination, surroundings: Surroundings) -> Channel:
    from triage.channels.secondary_capture.channel import SecondaryCaptureChannel

    channel = SecondaryCaptureChannel(remote_ae_of(destination), destination.abnormal_only, surroundings.device_uid)
    surroundings.at_end(channel.pool.close)
    return channel


KIND = ChannelKind(
    "secondary_capture", "Activation maps as Secondary Capture images.", SecondaryCaptureDestination, _make
)
