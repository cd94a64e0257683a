"""Our keys in Redis that have a wrong type: they are removed, because every command on one fails.

The contents of Redis are hints; the sweep restores those of a removed key.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Protocol


class KeyPipeline(Protocol):
    """A pipeline of Redis, as far as it is used here."""

    def type(self, name: str, /) -> object:
        """Ask for the type of a key."""

    def persist(self, name: str, /) -> object:
        """Remove the expiry of a key."""

    def execute(self) -> list[bytes | bool]:
        """Run the commands, and return their results."""


class KeyClient(Protocol):
    """A client of Redis, as far as it is used here; this room does not import ``redis``."""

    def pipeline(self, transaction: bool) -> KeyPipeline:
        """Return a new pipeline."""

    def delete(self, *names: str) -> object:
        """Delete keys."""


def remove_wrong_types(client: KeyClient, wanted: Mapping[str, str]) -> tuple[str, ...]:
    """Delete each key of ``wanted`` that has another type than its value, and return their names. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    for name in wanted:
        pipeline.type(name)
    found = dict(zip(wanted, pipeline.execute(), strict=True))
    wrong = tuple(name for name, kind in found.items() if kind not in (b"none", wanted[name].encode()))
    if wrong:
        client.delete(*wrong)
    return wrong


def keep(client: KeyClient, names: Iterable[str]) -> int:
    """Remove the expiry of keys that must not expire, and return the number that had one. Raises RedisError."""
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.persist(name)
    return sum(map(bool, pipeline.execute()))
