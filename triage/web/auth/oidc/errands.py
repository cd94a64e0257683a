"""Calls that wait for the provider: few at once, in threads of their own, and given up by a deadline.

The threads that answer everybody else's requests are never among them.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from triage.web.auth.oidc.errors import NotSignedInError, Wrong, unreachable
from triage.web.http.connection_limits import network_of

T = TypeVar("T")

_BEYOND_S = 1.0  # a call ends by itself at its deadline, unless the system's resolver holds it up


class Errands:
    """``of_a_place`` (an address) so few at once that nobody takes all of them alone."""

    def __init__(self, at_once: int = 8, of_a_place: int = 4) -> None:
        self._at_once = at_once
        self._of_a_place = of_a_place
        self._places: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def run(self, address: str, call: Callable[[], T], longest_s: float) -> T:
        """What ``call`` returns or raises. Raises NotSignedInError if too many wait, or it takes too long."""
        place = network_of(address)
        self._take(place)
        found: Future[T] = Future()
        threading.Thread(target=self._do, args=(place, call, found), name="identity provider", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(found), longest_s + _BEYOND_S)
        except TimeoutError:
            raise unreachable("the identity provider did not answer in time") from None

    def _take(self, place: str) -> None:
        with self._lock:
            if self._places.total() >= self._at_once or self._places[place] >= self._of_a_place:
                raise NotSignedInError(Wrong.CROWDED, "too many sign in at once")
            self._places[place] += 1

    def _do(self, place: str, call: Callable[[], T], found: Future[T]) -> None:
        try:
            result = call()
        except BaseException as error:
            self._leave(place)
            if found.set_running_or_notify_cancel():  # else whoever asked has given up
                found.set_exception(error)
        else:
            self._leave(place)
            if found.set_running_or_notify_cancel():
                found.set_result(result)

    def _leave(self, place: str) -> None:
        with self._lock:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]
