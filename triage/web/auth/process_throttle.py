"""The throttle of one process, in its memory."""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from triage.web.auth.throttle import REMEMBERED, Standing, Tries, address_key, standing_of, user_key

Key = tuple[str, ...]


class ProcessThrottle:
    """Recent attempts in this process; see ``Throttle``. Users are known for as long as it runs."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._tries: OrderedDict[Key, tuple[int, float]] = OrderedDict()
        self._signed_in: OrderedDict[Key, None] = OrderedDict()

    def standing(self, name: str, address: str) -> Standing:
        """Return what is known of a name at an address."""
        with self._lock:
            return self._standing(user_key(name, address), address_key(address))

    def begin(self, name: str, address: str) -> float:
        """Record a try, or return the seconds left to wait."""
        user, network = user_key(name, address), address_key(address)
        with self._lock:
            wait_s = self._standing(user, network).wait_s
            if wait_s <= 0:
                self._count(user)
                self._count(network)
        return wait_s

    def succeeded(self, name: str, address: str) -> None:
        """Record that the last try was right."""
        user, network = user_key(name, address), address_key(address)
        with self._lock:
            self._tries.pop(user, None)
            self._signed_in.pop(user, None)
            self._signed_in[user] = None
            while len(self._signed_in) > REMEMBERED:
                self._signed_in.popitem(last=False)
            count, last = self._tries.get(network, (0, 0.0))
            if count > 1:
                self._tries[network] = (count - 1, last)
            else:
                self._tries.pop(network, None)

    def _standing(self, user: Key, network: Key) -> Standing:
        return standing_of(self._tries_of(user), self._tries_of(network), user in self._signed_in)

    def _tries_of(self, key: Key) -> Tries:
        count, last = self._tries.get(key, (0, 0.0))
        return Tries(count, self._now() - last)

    def _count(self, key: Key) -> None:
        before = self._tries_of(key)
        self._tries.pop(key, None)
        self._tries[key] = (before.recent + 1, self._now())
        while len(self._tries) > REMEMBERED:
            self._tries.popitem(last=False)
