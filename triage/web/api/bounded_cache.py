"""A cache of the last used values, bounded in number and bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, Protocol, TypeVar


class Sized(Protocol):
    """A value that knows its size in bytes."""

    @property
    def size(self) -> int:
        """Bytes."""
        ...


Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value", bound=Sized)


class BoundedCache(Generic[Key, Value]):
    """Cache of ``most`` values, of together ``most_bytes``; the one used longest ago goes first. Thread-safe.

    A value that alone is larger is kept until the next one comes.
    """

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes = most, most_bytes
        self._lock = threading.Lock()
        self._values: OrderedDict[Key, Value] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key) -> Value | None:
        """Return the value, None if it is not cached."""
        with self._lock:
            if key in self._values:
                self._values.move_to_end(key)
            return self._values.get(key)

    def put(self, key: Key, value: Value) -> None:
        """Cache a value, and drop others."""
        with self._lock:
            self._drop(key)
            self._values[key] = value
            self._bytes += value.size
            while len(self._values) > 1 and (len(self._values) > self._most or self._bytes > self._most_bytes):
                self._drop(next(iter(self._values)))

    def keep(self, wanted: Callable[[Key], bool]) -> None:
        """Drop the values whose keys are not ``wanted``."""
        with self._lock:
            for key in [key for key in self._values if not wanted(key)]:
                self._drop(key)

    def _drop(self, key: Key) -> None:
        value = self._values.pop(key, None)
        self._bytes -= value.size if value is not None else 0
