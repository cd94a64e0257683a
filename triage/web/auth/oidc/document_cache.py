"""A document of the provider, cached for a while: fetched by one thread at a time, with a pause after a failure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from triage.web.auth.oidc.errors import NotSignedInError, unreachable

T = TypeVar("T")

_LIFETIME_S = 3600.0  # a withdrawn key is accepted no longer than this
_RENEWED_EVERY_S = 60.0
_RETRY_AFTER_S = 5.0


class CachedDocument(Generic[T]):
    """A cached document; ``fetch`` gets the deadline and raises NotSignedInError. Thread-safe."""

    def __init__(self, fetch: Callable[[float], T], now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._value: T | None = None
        self._fetched_at = self._renewed_at = float("-inf")
        self._failed_at, self._failure = float("-inf"), ""

    def get(self, until: float, *, renewed: bool = False) -> T:
        """Return the document by ``until`` (time.monotonic); ``renewed``: fetch it again, once a minute at most."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise unreachable("the identity provider did not respond to other requests in time")
        try:
            if (
                self._value is not None
                and self._now() - self._fetched_at < _LIFETIME_S
                and not (renewed and self._may_renew())
            ):
                return self._value
            return self._fetched(until)
        finally:
            self._lock.release()

    def _may_renew(self) -> bool:
        if self._now() - self._renewed_at < _RENEWED_EVERY_S:
            return False
        self._renewed_at = self._now()
        return True

    def _fetched(self, until: float) -> T:
        if self._now() - self._failed_at < _RETRY_AFTER_S:
            raise unreachable(self._failure)
        try:
            self._value = self._fetch(until)
        except NotSignedInError as error:
            self._failed_at, self._failure = self._now(), str(error)
            raise
        self._fetched_at = self._now()
        return self._value
