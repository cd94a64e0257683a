"""Calls that wait for the provider: a few at once, in their own threads, each with a deadline.

The threads that serve other requests never wait for the provider.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from triage.web.auth.oidc.errors import NotSignedInError, SignInProblem, unreachable
from triage.web.http.connection_limits import network_of

T = TypeVar("T")

_GRACE_S = 1.0  # a call ends by itself at its deadline, unless the system's resolver holds it up


class ProviderCalls:
    """Runs calls, at most ``at_once`` in total and ``per_address`` of one address."""

    def __init__(self, at_once: int = 8, per_address: int = 4) -> None:
        self._at_once = at_once
        self._per_address = per_address
        self._running: Counter[str] = Counter()
        self._lock = threading.Lock()

    async def run(self, address: str, call: Callable[[], T], longest_s: float) -> T:
        """Return the result of ``call``. Raises its errors, and NotSignedInError if too many wait or time is up."""
        network = network_of(address)
        self._acquire(network)
        future: Future[T] = Future()
        threading.Thread(target=self._run, args=(network, call, future), name="identity provider", daemon=True).start()
        try:
            return await asyncio.wait_for(asyncio.wrap_future(future), longest_s + _GRACE_S)
        except TimeoutError:
            raise unreachable("the identity provider did not answer in time") from None

    def _acquire(self, network: str) -> None:
        with self._lock:
            if self._running.total() >= self._at_once or self._running[network] >= self._per_address:
                raise NotSignedInError(SignInProblem.CROWDED, "too many attempts to sign in")
            self._running[network] += 1

    def _run(self, network: str, call: Callable[[], T], future: Future[T]) -> None:
        try:
            result = call()
        except BaseException as error:
            self._release(network)
            if future.set_running_or_notify_cancel():  # else the caller has given up
                future.set_exception(error)
        else:
            self._release(network)
            if future.set_running_or_notify_cancel():
                future.set_result(result)

    def _release(self, network: str) -> None:
        with self._lock:
            self._running[network] -= 1
            if not self._running[network]:
                del self._running[network]
