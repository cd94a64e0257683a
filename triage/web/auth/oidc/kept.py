"""What the provider publishes, kept for a while: asked for by one at a time, and not again at once where it failed."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from triage.web.auth.oidc.errors import NotSignedInError, unreachable

T = TypeVar("T")

_KEPT_S = 3600.0  # a key that was withdrawn is believed no longer than this
_RENEWED_EVERY_S = 60.0
_FAILED_FOR_S = 5.0


class CachedDocument(Generic[T]):
    """``fetch`` is given the deadline, and raises NotSignedInError. Safe to share between threads."""

    def __init__(self, fetch: Callable[[float], T], now: Callable[[], float] = time.monotonic) -> None:
        self._fetch = fetch
        self._now = now
        self._lock = threading.Lock()
        self._value: T | None = None
        self._at = self._renewed_at = float("-inf")
        self._failed_at, self._why = float("-inf"), ""

    def get(self, until: float, *, renewed: bool = False) -> T:
        """The value, by ``until`` (time.monotonic). ``renewed``: a newer one, if none was asked for in this minute."""
        if not self._lock.acquire(timeout=max(0.0, until - time.monotonic())):
            raise unreachable("the identity provider did not answer others in time")
        try:
            if self._value is not None and self._now() - self._at < _KEPT_S and not (renewed and self._may_renew()):
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
        if self._now() - self._failed_at < _FAILED_FOR_S:
            raise unreachable(self._why)
        try:
            self._value = self._fetch(until)
        except NotSignedInError as error:
            self._failed_at, self._why = self._now(), str(error)
            raise
        self._at = self._now()
        return self._value
