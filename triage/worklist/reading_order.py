"""The listed studies in reading order, read from the sorted sets of the index."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import islice
from typing import cast

from redis import Redis

from triage.worklist import index_keys as keys
from triage.worklist.index_keys import microseconds
from triage.worklist.page import Position

_AT_ONCE = 1000


class ReadingOrder:
    """Reads ranges of the lists, and entries. Methods raise RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client

    def positions(self, start: Position, limit: int, waiting_cap_s: float) -> list[Position]:
        """Return at most ``limit`` positions behind ``start``, in reading order."""
        as_of = start.as_of_us
        cutoff = as_of - microseconds(waiting_cap_s) if waiting_cap_s else 0
        found: list[Position] = []
        segment, after = start.segment, start.member
        while segment <= len(keys.READING_ORDER) and len(found) < limit:
            members = self._segment(segment, after, cutoff, limit - len(found))
            found += [Position(as_of, segment, member) for member in members]
            segment, after = segment + 1, b""
        return found

    def range(self, name: str, lowest: bytes, highest: bytes, limit: int) -> list[bytes]:
        """Return at most ``limit`` (-1: all) members of a list between two bounds of ZRANGE BYLEX.

        As bytes: members that other programs wrote may be no text, and must be read past like any other.
        """
        found = self._client.zrange(name, lowest, highest, bylex=True, offset=0, num=limit)
        return cast("list[bytes]", found)

    def entries(self, study_instance_uids: list[str]) -> list[bytes | None]:
        """Return the entry of each study; None for one that has none."""
        if not study_instance_uids:
            return []
        return cast("list[bytes | None]", self._client.hmget(keys.ENTRIES, study_instance_uids))

    def all_entries(self) -> Iterator[tuple[str, bytes | None]]:
        """Yield every listed study once with its entry, by priority and arrival."""
        members = [each for name in keys.LISTS.values() for each in self._members(name)]
        uids = list(dict.fromkeys(map(keys.study_of, members)))
        for start in range(0, len(uids), _AT_ONCE):
            some = uids[start : start + _AT_ONCE]
            yield from zip(some, self.entries(some), strict=True)

    def _members(self, name: str) -> Iterator[bytes]:
        """Yield all members of a list in steps, so that no single answer of Redis holds up the others."""
        some = self.range(name, b"-", b"+", _AT_ONCE)
        yield from some
        while len(some) == _AT_ONCE:
            last = some[-1]
            some = self.range(name, b"(" + last, b"+", _AT_ONCE)
            if some and some[-1] <= last:  # scores of another program have taken the order away: the sweep levels them
                return
            yield from some

    def _segment(self, segment: int, after: bytes, cutoff: int, limit: int) -> list[bytes]:
        if segment == 0:
            if not cutoff:
                return []
            lowest = b"(" + after if after else b"-"
            ranges = [self.range(name, lowest, b"(%016d" % cutoff, limit) for name in keys.LISTS.values()]
            return list(islice(heapq.merge(*ranges), limit))
        lowest = b"(" + after if after else b"[%016d" % cutoff
        return self.range(keys.LISTS[keys.READING_ORDER[segment - 1]], lowest, b"+", limit)
