"""A kind of channel: the name of its section, its settings, and how its channel is made."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from triage.channels.settings import Destination

if TYPE_CHECKING:
    from triage.channels.base import Channel

D = TypeVar("D", bound=Destination)

NO_DEVICE_UID = "2.25.0"
"""The device UID where nothing is delivered: to try a destination."""


@dataclass(frozen=True)
class Surroundings:
    """Values that a channel gets in addition to its settings.

    Attributes:
        device_uid: the UID of this installation, which reports name as the observing device.
        at_end: takes a function to call when the channel is no longer used.
        plugins: kinds of channels that enabled plug-ins register, by DIST:NAME.
    """

    device_uid: str = NO_DEVICE_UID
    at_end: Callable[[Callable[[], None]], object] = lambda close: None
    plugins: Mapping[str, ChannelKind[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class ChannelKind(Generic[D]):
    """One kind of channel; ``KIND`` in ``triage/channels/NAME/kind.py``.

    Attributes:
        name: the section ``[[channels.NAME]]`` of the settings file, and the folder's name.
        summary: one line for the reference of settings.
        destination: the settings of one destination.
        make: return the channel of a destination; import what the kind needs, which no other configuration loads.
    """

    name: str
    summary: str
    destination: type[D]
    make: Callable[[D, Surroundings], Channel]
