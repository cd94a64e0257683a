"""Who waits for a password to be compared, and whose turn is next: one at a time, the fewest wrong tries first.

Of equals the last who came is next. A crowd of guessers comes from addresses of which nothing is known yet; who comes
after them does not wait behind all of them.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field


class CrowdedError(Exception):
    """Too many wait; the message says whose."""


@dataclass(order=True)
class _Waiting:
    rank: int
    number: int
    place: str = field(compare=False)
    begun: asyncio.Future[None] = field(compare=False)


class PasswordTurns:
    """One turn at a time. So few of a ``place`` (an address) may wait that nobody fills the room alone, and when the
    room is full, who comes with fewer wrong tries takes the place of who has most.
    """

    def __init__(self, of_a_place: int = 4, in_all: int = 64, longest_s: float = 60.0) -> None:
        self._of_a_place = of_a_place
        self._in_all = in_all
        self._longest_s = longest_s
        self._taken = False
        self._waiting: list[_Waiting] = []
        self._places: Counter[str] = Counter()
        self._number = 0

    @asynccontextmanager
    async def turn(self, place: str, rank: int, *, known: bool = False) -> AsyncIterator[None]:
        """Wait for a turn and hold it. ``known``: ``place`` may have others waiting. Raises CrowdedError."""
        if self._taken:
            await self._wait(place, rank, known)
        self._taken = True
        try:
            yield
        finally:
            self._taken = False
            self._pass_on()

    async def _wait(self, place: str, rank: int, known: bool) -> None:
        if self._places[place] >= self._of_a_place and not known:
            raise CrowdedError("too many sign in from your address at once: try again")
        if len(self._waiting) >= self._in_all:
            self._displace(rank)
        self._number -= 1
        waiting = _Waiting(rank, self._number, place, asyncio.get_running_loop().create_future())
        heapq.heappush(self._waiting, waiting)
        self._places[place] += 1
        try:
            await asyncio.wait_for(waiting.begun, self._longest_s)
        except TimeoutError:
            raise CrowdedError("too many sign in at once: try again") from None
        except asyncio.CancelledError:
            if waiting.begun.done() and not waiting.begun.cancelled() and waiting.begun.exception() is None:
                self._taken = False  # it was our turn just now
                self._pass_on()
            raise
        finally:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]
            if waiting in self._waiting:
                self._waiting.remove(waiting)
                heapq.heapify(self._waiting)

    def _displace(self, rank: int) -> None:
        last = max(self._waiting)
        if last.rank < rank:
            raise CrowdedError("too many sign in at once: try again")
        self._waiting.remove(last)
        heapq.heapify(self._waiting)
        if not last.begun.done():
            last.begun.set_exception(CrowdedError("too many sign in at once: try again"))

    def _pass_on(self) -> None:
        while self._waiting:
            waiting = heapq.heappop(self._waiting)
            if not waiting.begun.done():
                self._taken = True  # until it runs, nobody who comes just now may go before it
                waiting.begun.set_result(None)
                return
