"""Queue of passwords that wait for verification: one at a time, the fewest wrong tries first.

Among equals the newest is next. A crowd of guessers comes from unknown addresses; a user who comes after them need not
wait behind all of them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from triage.errors import TriageError


class QueueFullError(TriageError):
    """Too many attempts wait: try again in some seconds."""


@dataclass(order=True)
class _Waiting:
    rank: int
    number: int
    address: str = field(compare=False)
    ready: asyncio.Future[None] = field(compare=False)


class PasswordQueue:
    """One slot, and a bounded queue for it.

    Only ``per_address`` entries of an address may wait, so that no address fills the queue alone. When the queue is
    full, an attempt with fewer wrong tries takes the place of the one with most.
    """

    def __init__(self, per_address: int = 4, in_total: int = 64, timeout_s: float = 60.0) -> None:
        self._per_address = per_address
        self._in_total = in_total
        self._timeout_s = timeout_s
        self._busy = False
        self._waiting: list[_Waiting] = []
        self._per_address_count: Counter[str] = Counter()
        self._number = 0

    @asynccontextmanager
    async def slot(self, address: str, rank: int, *, known: bool = False) -> AsyncIterator[None]:
        """Wait for the slot and hold it. ``known`` lifts the limit per address. Raises QueueFullError."""
        if self._busy:
            await self._wait(address, rank, known)
        self._busy = True
        try:
            yield
        finally:
            self._busy = False
            self._wake_next()

    async def _wait(self, address: str, rank: int, known: bool) -> None:
        if self._per_address_count[address] >= self._per_address and not known:
            raise QueueFullError("too many attempts to sign in from your address: try again")
        if len(self._waiting) >= self._in_total:
            self._displace(rank)
        self._number -= 1
        waiting = _Waiting(rank, self._number, address, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._per_address_count[address] += 1
        try:
            await asyncio.wait_for(waiting.ready, self._timeout_s)
        except TimeoutError:
            raise QueueFullError("too many attempts to sign in: try again") from None
        except asyncio.CancelledError:
            if waiting.ready.done() and not waiting.ready.cancelled() and waiting.ready.exception() is None:
                self._busy = False  # the slot had just been given to this entry
                self._wake_next()
            raise
        finally:
            self._per_address_count[address] -= 1
            if not self._per_address_count[address]:
                del self._per_address_count[address]
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)

    def _displace(self, rank: int) -> None:
        last = max(self._waiting)
        if last.rank < rank:
            raise QueueFullError("too many attempts to sign in: try again")
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        if not last.ready.done():
            last.ready.set_exception(QueueFullError("too many attempts to sign in: try again"))

    def _wake_next(self) -> None:
        while self._waiting:
            waiting = heapq.heappop(self._waiting)
            if not waiting.ready.done():
                self._busy = True  # until it runs, a new attempt must not overtake it
                waiting.ready.set_result(None)
                return
