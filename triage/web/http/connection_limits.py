"""How many connections may be open, in all and of one address, and which of them goes when there are too many."""

from __future__ import annotations

import ipaddress
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_OTHER_DESCRIPTORS = 40
"""Of files, Redis, the decoder's pipes and the process itself, beside those of connections."""

_FEWEST = 4


class LimitedConnection(Protocol):
    """A connection, as its limits see it."""

    @property
    def address(self) -> str:
        """Of the other end."""
        ...

    @property
    def waits(self) -> bool:
        """Whether we wait for the other end, and owe it no answer."""
        ...

    def leave(self) -> None:
        """Close it now, whatever was on the way."""
        ...


@dataclass(frozen=True)
class Limits:
    """``connections`` in all, ``of_an_address`` at once; an address that ``is_proxy`` stands for many and has none."""

    connections: int = 500
    of_an_address: int = 100
    is_proxy: Callable[[str], bool] = lambda address: False

    @property
    def at_most(self) -> int:
        """How many there can be: each is a file descriptor, and half of what is left is for the work itself."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self.connections
        return max(_FEWEST, min(self.connections, (soft - _OTHER_DESCRIPTORS) * 3 // 4))


class Connections:
    """The open connections, oldest first.

    Who comes new is let in, and the oldest that we wait for goes: so an address that opens connections and says nothing
    shuts out itself, and nobody else.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at_most = limits.at_most
        self._open: dict[LimitedConnection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, held: LimitedConnection) -> bool:
        """Let ``held`` in, if there is room or room can be made."""
        place = network_of(held.address)
        own = [each for each in self._open if network_of(each.address) == place]
        crowded = len(own) >= self._limits.of_an_address and not self._limits.is_proxy(held.address)
        if crowded and not self._close_one_of(own):
            return False
        if len(self._open) >= self._at_most and not self.make_room():
            return False
        self._open[held] = None
        return True

    def discard(self, held: LimitedConnection) -> None:
        """It is closed."""
        self._open.pop(held, None)

    def make_room(self) -> bool:
        """Close the oldest connection that we wait for, of the address that has most of them; False: there is none."""
        by_place: dict[str, list[LimitedConnection]] = {}
        for each in self._open:
            if each.waits:
                by_place.setdefault(network_of(each.address), []).append(each)
        return bool(by_place) and self._close_one_of(max(by_place.values(), key=len))

    def _close_one_of(self, some: list[LimitedConnection]) -> bool:
        oldest = next((each for each in some if each.waits), None)
        if oldest is None:
            return False
        self.discard(oldest)
        oldest.leave()
        return True


def network_of(address: str) -> str:
    """What counts as one address: of IPv6 the /64, as who has one address there has them all."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)
