"""States that came back from the identity provider: each is accepted once, as the provider accepts a code once."""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Protocol

_LARGEST = 10_000


class UsedStates(Protocol):
    """The states that came back. Safe for threads. Those of several hosts raise AccessAwayError."""

    def add_new(self, state: str) -> bool:
        """Return True if the state came back for the first time."""
        ...


@dataclass(frozen=True)
class ProcessStates:
    """States that came back to this process."""

    _states: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add_new(self, state: str) -> bool:
        """Return True if the state came back for the first time."""
        with self._lock:
            if state in self._states:
                return False
            self._states[state] = None
            while len(self._states) > _LARGEST:
                self._states.popitem(last=False)
            return True
