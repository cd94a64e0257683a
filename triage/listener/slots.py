"""Limits on the connections and associations of a listener, and which one is closed when another comes.

A connection has a *slot* once its association is accepted. Real senders must not be kept out by connections without a
request, by associations without progress, or by one address that opens many of them.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from triage.metrics.labels import Rejection

IDLE_S = 10.0
"""Seconds without progress after which an association is closed if all slots are taken and another one is requested."""


class SlotConnection(Protocol):
    """A connection and its association. ``is_closing``: it was closed to free its slot."""

    @property
    def address(self) -> str:
        """The peer's IP address."""

    has_slot: bool
    is_closing: bool

    def idle_s(self, now: float) -> float:
        """Return the seconds since the peer made progress; 0 while it waits for us."""

    def break_off(self) -> None:
        """End the connection soon; may be called from any thread."""


C = TypeVar("C", bound=SlotConnection)


class AssociationSlots:
    """The slots of one process: ``most`` at once, ``most_of_address`` of them for one address."""

    def __init__(self, most: int, most_of_address: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._clock = clock
        self._lock = threading.Lock()

    def superfluous(self, open_now: Sequence[C]) -> C | None:
        """Return the connection to close before another is accepted; None if there are few enough without a slot.

        It is the oldest of the address that has most of them. ``open_now``: all connections, the oldest first.
        """
        with self._lock:
            waiting = [each for each in open_now if not (each.has_slot or each.is_closing)]
            if len(waiting) <= self._most:
                return None
            closed = _of_busiest_address(waiting)[0]
            closed.is_closing = True
            return closed

    def take(self, connection: SlotConnection, open_now: Sequence[SlotConnection]) -> Rejection | None:
        """Give ``connection`` a slot, if need be that of an association without progress; else return the reason."""
        with self._lock:
            rejection, idle = self._find_slot(connection.address, [each for each in open_now if each.has_slot])
            if rejection and idle is None:
                return rejection
            connection.has_slot = True
            if idle is not None:
                idle.is_closing = True
        if idle is not None:
            idle.break_off()
        return None

    def _find_slot(
        self, address: str, with_slot: Sequence[SlotConnection]
    ) -> tuple[Rejection | None, SlotConnection | None]:
        """Return why there is no free slot for ``address``, and the association that could be closed for it."""
        active = [each for each in with_slot if not each.is_closing]
        of_address = [each for each in active if each.address == address]
        if len(of_address) >= self._most_of_address:
            return Rejection.TOO_MANY_OF_ADDRESS, self._idlest(of_address)
        if len(active) >= self._most:
            return Rejection.TOO_MANY, self._idlest(active)
        return None, None

    def _idlest(self, active: Sequence[SlotConnection]) -> SlotConnection | None:
        now = self._clock()
        idle = [each for each in active if each.idle_s(now) > IDLE_S]
        return max(_of_busiest_address(idle), key=lambda each: each.idle_s(now), default=None)


def _of_busiest_address(connections: Sequence[C]) -> list[C]:
    """Return the connections of the address that has most of them."""
    counts = Counter(each.address for each in connections)
    return [each for each in connections if each.address == max(counts, key=lambda address: counts[address])]
