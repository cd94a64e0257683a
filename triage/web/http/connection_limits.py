"""Limits on open connections, in total and per address, and the choice of the one to close."""

from __future__ import annotations

import ipaddress
import resource
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

_OTHER_DESCRIPTORS = 40
"""File descriptors for files, Redis, the decoder's pipes and the process itself."""

_FEWEST = 4


class LimitedConnection(Protocol):
    """A connection, as the limits see it."""

    @property
    def address(self) -> str:
        """Address of the peer."""
        ...

    @property
    def waits(self) -> bool:
        """True if the connection waits for its peer and owes no response."""
        ...

    def leave(self) -> None:
        """Close the connection now."""
        ...


@dataclass(frozen=True)
class Limits:
    """Limits on open connections: ``connections`` in total, ``of_an_address`` per address.

    An address for which ``is_proxy`` returns True stands for many clients and has no limit.
    """

    connections: int = 500
    of_an_address: int = 100
    is_proxy: Callable[[str], bool] = lambda address: False

    @property
    def at_most(self) -> int:
        """Largest total: each takes a file descriptor, and a part of these is reserved for other use."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft == resource.RLIM_INFINITY:
            return self.connections
        return max(_FEWEST, min(self.connections, (soft - _OTHER_DESCRIPTORS) * 3 // 4))


class Connections:
    """The open connections, oldest first.

    A new connection is admitted, and the oldest idle one is closed for it: an address that opens connections and sends
    nothing blocks only itself.
    """

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._at_most = limits.at_most
        self._open: dict[LimitedConnection, None] = {}

    def __len__(self) -> int:
        return len(self._open)

    def admit(self, connection: LimitedConnection) -> bool:
        """Add a connection if there is room or room can be made; return True if it was added."""
        network = network_of(connection.address)
        own = [each for each in self._open if network_of(each.address) == network]
        crowded = len(own) >= self._limits.of_an_address and not self._limits.is_proxy(connection.address)
        if crowded and not self._close_one_of(own):
            return False
        if len(self._open) >= self._at_most and not self.make_room():
            return False
        self._open[connection] = None
        return True

    def discard(self, connection: LimitedConnection) -> None:
        """Remove a closed connection."""
        self._open.pop(connection, None)

    def make_room(self) -> bool:
        """Close the oldest idle connection of the address that has most; return False if there is none."""
        by_network: dict[str, list[LimitedConnection]] = {}
        for each in self._open:
            if each.waits:
                by_network.setdefault(network_of(each.address), []).append(each)
        return bool(by_network) and self._close_one_of(max(by_network.values(), key=len))

    def _close_one_of(self, candidates: list[LimitedConnection]) -> bool:
        oldest = next((each for each in candidates if each.waits), None)
        if oldest is None:
            return False
        self.discard(oldest)
        oldest.leave()
        return True


def network_of(address: str) -> str:
    """Return the key that counts as one address: for IPv6 the /64, all of which a client may own."""
    try:
        found = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped:
            return str(found.ipv4_mapped)
        return str(ipaddress.ip_network((int(found), 64), strict=False))
    return str(found)
