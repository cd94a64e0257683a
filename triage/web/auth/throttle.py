"""Slows down who guesses passwords, and locks nobody out for ever.

A user name tried from one address waits longer after each wrong password, up to five minutes. An address that tries
many names waits up to a minute, but for those who came in from there lately. What is tried from elsewhere does not
count: a stranger who knows a name cannot keep its owner out, except at the address that both share, and there for no
longer than he goes on.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

from triage.web.http.connection_limits import network_of

_FORGOTTEN_AFTER_S = 3600.0
_REMEMBERED = 20_000


@dataclass(frozen=True)
class Limit:
    """So many tries without a wait, then waits that double up to the longest."""

    free: int
    longest_s: float

    def wait_s(self, tries: int) -> float:
        """How long to wait after so many wrong tries."""
        return 0.0 if tries < self.free else min(2.0 ** min(tries - self.free, 30), self.longest_s)


OF_A_USER = Limit(free=5, longest_s=300.0)
OF_AN_ADDRESS = Limit(free=30, longest_s=60.0)


class Throttle:
    """What was tried lately, in this process. A try counts as wrong until it is said to be right."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tries: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()
        self._came_in: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def is_known(self, name: str, address: str) -> bool:
        """Whether that name came in from that address lately, in this process's life."""
        return _user(name, address) in self._came_in

    def tries_of(self, address: str) -> int:
        """How many wrong tries came from an address lately."""
        count, last = self._tries.get(_place(address), (0, 0.0))
        return 0 if self._now() - last > _FORGOTTEN_AFTER_S else count

    def wait_s(self, name: str, address: str) -> float:
        """How many seconds are still to be waited before the next try; 0 or less for none. Notes nothing."""
        own = self._wait_s(_user(name, address), OF_A_USER)
        return own if self.is_known(name, address) else max(own, self._wait_s(_place(address), OF_AN_ADDRESS))

    def begin(self, name: str, address: str) -> float:
        """Note a try; or, if it comes too early, note nothing and return the seconds that are still to be waited."""
        wait = self.wait_s(name, address)
        if wait <= 0:
            self._count(_user(name, address))
            self._count(_place(address))
        return wait

    def succeeded(self, name: str, address: str) -> None:
        """The try that began last was right."""
        user = _user(name, address)
        self._tries.pop(user, None)
        self._came_in.pop(user, None)
        self._came_in[user] = None
        while len(self._came_in) > _REMEMBERED:
            self._came_in.popitem(last=False)
        count, last = self._tries.get(_place(address), (0, 0.0))
        if count > 1:
            self._tries[_place(address)] = (count - 1, last)
        else:
            self._tries.pop(_place(address), None)

    def _wait_s(self, key: tuple[str, ...], limit: Limit) -> float:
        count, last = self._tries.get(key, (0, 0.0))
        since = self._now() - last
        return 0.0 if since > _FORGOTTEN_AFTER_S else limit.wait_s(count) - since

    def _count(self, key: tuple[str, ...]) -> None:
        count, last = self._tries.pop(key, (0, 0.0))
        fresh = self._now() - last > _FORGOTTEN_AFTER_S
        self._tries[key] = (1 if fresh else count + 1, self._now())
        while len(self._tries) > _REMEMBERED:
            self._tries.popitem(last=False)


def _user(name: str, address: str) -> tuple[str, ...]:
    return (name.casefold(), *_place(address))


def _place(address: str) -> tuple[str, ...]:
    return (network_of(address),)
