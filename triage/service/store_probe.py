"""A question to a store of other machines, or Redis, asked in the background: readiness must not wait for silence."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from math import inf

logger = logging.getLogger(__name__)

_FRESH_S = 2.0
"""Seconds for which an answer is not asked for again: /readyz may be asked many times a second."""
_OLDEST_S = 5.0
"""Seconds for which an answer counts while the next one is awaited."""
_PATIENCE_S = 1.0


def asked_aside(ask: Callable[[], str], store_kind: str) -> Callable[[], str]:
    """Return what answers as ``ask`` does without waiting for other machines; itself with a store of files."""
    return ask if store_kind == "files" else StoreProbe(ask).why


class StoreProbe:
    """The reason why a store cannot be worked with, by the last answer of ``ask``, a few seconds old at most.

    ``ask`` returns the reason in words, empty if there is none; one thread at a time asks. Safe to share between
    threads. ``clock`` in seconds; ``name`` of what is asked, for people.
    """

    def __init__(
        self,
        ask: Callable[[], str],
        clock: Callable[[], float] = time.monotonic,
        patience_s: float = _PATIENCE_S,
        name: str = "the store",
    ) -> None:
        self._ask, self._clock, self._patience_s, self._name = ask, clock, patience_s, name
        self._changed = threading.Condition()
        self._answered_at, self._asked_at = -inf, inf
        self._why = ""

    def why(self) -> str:
        """Return why the store cannot be worked with, or that it does not answer; empty if it can."""
        with self._changed:
            if self._age() >= _FRESH_S and self._asked_at == inf:
                self._asked_at = self._clock()
                threading.Thread(target=self._answer, name="store probe", daemon=True).start()
            asked_at = self._asked_at
            if self._age() >= _OLDEST_S and (left := asked_at + self._patience_s - self._clock()) > 0:
                self._changed.wait_for(lambda: self._age() < _OLDEST_S, left)
            if self._age() < _OLDEST_S:
                return self._why
            return f"{self._name} has not answered for {self._clock() - asked_at:.0f} s"

    def _age(self) -> float:
        return self._clock() - self._answered_at

    def _answer(self) -> None:
        try:
            why = self._ask()
        except Exception:  # the edge of a thread: without an answer of it the process would be ready or not for ever
            logger.exception("%s cannot be asked", self._name)
            why = f"{self._name} cannot be asked: see the log"
        with self._changed:
            self._why, self._answered_at, self._asked_at = why, self._clock(), inf
            self._changed.notify_all()
