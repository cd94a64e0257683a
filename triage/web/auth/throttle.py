"""Limits on guessing passwords that lock no user out permanently.

A user name tried from one address waits longer after each wrong password, up to five minutes. An address that tries
many
names waits up to a minute, except for users who signed in from it lately. Attempts from other addresses do not count: a
stranger who knows a name cannot lock out its owner, except at an address that both share, and there only while the
attempts go on.
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
    """Tries without a wait, followed by waits that double up to ``longest_s`` seconds."""

    free: int
    longest_s: float

    def wait_s(self, tries: int) -> float:
        """Return the wait after this many wrong tries, in seconds."""
        return 0.0 if tries < self.free else min(2.0 ** min(tries - self.free, 30), self.longest_s)


OF_A_USER = Limit(free=5, longest_s=300.0)
OF_AN_ADDRESS = Limit(free=30, longest_s=60.0)


class Throttle:
    """Recent attempts in this process. An attempt counts as wrong until ``succeeded`` is called."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._tries: OrderedDict[tuple[str, ...], tuple[int, float]] = OrderedDict()
        self._signed_in: OrderedDict[tuple[str, ...], None] = OrderedDict()

    def is_known(self, name: str, address: str) -> bool:
        """Return True if the user signed in from that address during the life of this process."""
        return _user(name, address) in self._signed_in

    def tries_of(self, address: str) -> int:
        """Return the number of recent wrong tries from an address."""
        count, last = self._tries.get(_network(address), (0, 0.0))
        return 0 if self._now() - last > _FORGOTTEN_AFTER_S else count

    def wait_s(self, name: str, address: str) -> float:
        """Return the seconds until the next try is allowed; 0 or less for now. Records nothing."""
        own = self._wait_s(_user(name, address), OF_A_USER)
        return own if self.is_known(name, address) else max(own, self._wait_s(_network(address), OF_AN_ADDRESS))

    def begin(self, name: str, address: str) -> float:
        """Record a try and return 0 or less; or, if it is too early, return the seconds left to wait."""
        wait = self.wait_s(name, address)
        if wait <= 0:
            self._count(_user(name, address))
            self._count(_network(address))
        return wait

    def succeeded(self, name: str, address: str) -> None:
        """Record that the last try was right."""
        user = _user(name, address)
        self._tries.pop(user, None)
        self._signed_in.pop(user, None)
        self._signed_in[user] = None
        while len(self._signed_in) > _REMEMBERED:
            self._signed_in.popitem(last=False)
        count, last = self._tries.get(_network(address), (0, 0.0))
        if count > 1:
            self._tries[_network(address)] = (count - 1, last)
        else:
            self._tries.pop(_network(address), None)

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
    return (name.casefold(), *_network(address))


def _network(address: str) -> tuple[str, ...]:
    return (network_of(address),)
