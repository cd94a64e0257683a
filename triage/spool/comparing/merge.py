"""Two lists of keys in the same order, merged: neither is held in memory."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Protocol, TypeVar

from triage.spool.comparing.values import CompareError


class Keyed(Protocol):
    """An item of a list that is in the order of its keys."""

    @property
    def key(self) -> str:
        """Its key."""


_One = TypeVar("_One", bound=Keyed)
_Other = TypeVar("_Other", bound=Keyed)


def merged(ones: Iterable[_One], others: Iterable[_Other]) -> Iterator[tuple[_One | None, _Other | None]]:
    """Yield each key of either list once, with the item of it in both: None where it has none.

    Raises CompareError for a list that is not in the order of the bytes of its keys.
    """
    left, right = _in_order(ones), _in_order(others)
    one, other = next(left, None), next(right, None)
    while one is not None or other is not None:
        take_one = other is None or (one is not None and one.key.encode() <= other.key.encode())
        take_other = one is None or (other is not None and other.key.encode() <= one.key.encode())
        yield one if take_one else None, other if take_other else None
        one = next(left, None) if take_one else one
        other = next(right, None) if take_other else other


def _in_order(items: Iterable[_One]) -> Iterator[_One]:
    before = b""
    for each in items:
        if (key := each.key.encode()) <= before:
            raise CompareError(
                f"{each.key} is listed behind {before.decode()}, not in the order of their bytes: "
                "such a list cannot be compared"
            )
        before = key
        yield each
