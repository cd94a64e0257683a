"""Registers workitems for a UPS manager as a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING

from triage.channels.kind import ChannelKind, Surroundings
from triage.channels.remote_ae import remote_ae_of
from triage.channels.ups.settings import UPSDestination

if TYPE_CHECKING:
    from triage.channels.base import Channel


def _make(destination: UPSDestination, surroundings: Surroundings) -> Channel:
    from triage.channels.ups.channel import UPSChannel

    peer = remote_ae_of(destination)
    return UPSChannel(peer, destination.worklist_label, destination.low, destination.retrieve_ae_title)


KIND = ChannelKind("ups", "Workitems for a UPS manager.", UPSDestination, _make)
