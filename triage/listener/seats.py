"""Who may have how many of a listener's connections and associations, and who has to go when others come.

A connection has a *seat* once its association is accepted. Connections that ask for nothing must not keep real senders
out, nor associations that do nothing, nor one address with all that it opens.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from triage.metrics.labels import Rejection

IDLE_S = 10.0
"""Seconds without progress after which an association has to make room, if all seats are taken and another asks."""


class Guest(Protocol):
    """A connection and its association. ``makes_room``: it was told to end, to make room."""

    @property
    def address(self) -> str: ...

    has_seat: bool
    makes_room: bool

    def idle_s(self, now: float) -> float:
        """Seconds since the peer made progress, 0 while it waits for us."""

    def break_off(self) -> None:
        """End it soon; from any thread."""


G = TypeVar("G", bound=Guest)


class Seats:
    """The seats of one process: ``most`` at once, ``most_of_address`` of them for one address."""

    def __init__(self, most: int, most_of_address: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._most = most
        self._most_of_address = most_of_address
        self._clock = clock
        self._lock = threading.Lock()

    def superfluous(self, open_now: Sequence[G]) -> G | None:
        """The connection that has to go as another comes: if too many have no seat, the oldest of the busiest address.

        ``open_now``: all connections, the oldest first.
        """
        with self._lock:
            waiting = [each for each in open_now if not (each.has_seat or each.makes_room)]
            if len(waiting) <= self._most:
                return None
            going = _of_busiest_address(waiting)[0]
            going.makes_room = True
            return going

    def take(self, guest: Guest, open_now: Sequence[Guest]) -> Rejection | None:
        """Give ``guest`` a seat, if need be that of an association without progress; or say why it gets none."""
        with self._lock:
            refusal, idle = self._look(guest.address, [each for each in open_now if each.has_seat])
            if refusal and idle is None:
                return refusal
            guest.has_seat = True
            if idle is not None:
                idle.makes_room = True
        if idle is not None:
            idle.break_off()
        return None

    def _look(self, address: str, open_now: Sequence[Guest]) -> tuple[Rejection | None, Guest | None]:
        """What stands against one more seat for ``address``, and who could make room for it."""
        seated = [each for each in open_now if not each.makes_room]
        own = [each for each in seated if each.address == address]
        if len(own) >= self._most_of_address:
            return Rejection.TOO_MANY_OF_ADDRESS, self._idlest(own)
        if len(seated) >= self._most:
            return Rejection.TOO_MANY, self._idlest(seated)
        return None, None

    def _idlest(self, seated: Sequence[Guest]) -> Guest | None:
        now = self._clock()
        idle = [each for each in seated if each.idle_s(now) > IDLE_S]
        return max(_of_busiest_address(idle), key=lambda each: each.idle_s(now), default=None)


def _of_busiest_address(guests: Sequence[G]) -> list[G]:
    """Those of the address that has most of them."""
    counts = Counter(each.address for each in guests)
    return [each for each in guests if each.address == max(counts, key=lambda address: counts[address])]
