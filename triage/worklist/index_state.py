"""Numbers of the worklist's index that are polled: its changes, what comes first in it, and its last result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from redis import Redis
from redis.exceptions import ResponseError

from triage.decision.types import Priority
from triage.worklist import index_keys as keys
from triage.worklist import index_scripts as scripts
from triage.worklist.index_keys import microseconds, study_of


@dataclass(frozen=True)
class FirstToRead:
    """Numbers of unread studies that come first in reading order.

    ``high``: of priority HIGH. ``past_cap``: of another priority, and past the waiting cap.
    """

    high: int = 0
    past_cap: int = 0

    def without(self, other: FirstToRead) -> FirstToRead:
        """Return these less ``other``, at least 0: the two may have been counted at different moments."""
        return FirstToRead(max(self.high - other.high, 0), max(self.past_cap - other.past_cap, 0))


@dataclass(frozen=True)
class Changes:
    """Changes of the index: how many there were so far, and the studies changed since a number of them.

    ``studies`` is None if it is not known which: then everything must be read again.
    """

    count: int
    studies: frozenset[str] | None


class IndexState:
    """Reads the numbers, with the ``client`` of a worklist. Methods raise RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._touch = client.register_script(scripts.TOUCH)

    def touch(self, study_instance_uid: str) -> None:
        """Tell those who show the list that something of a study has changed that is not in the index."""
        self._touch(keys=keys.KEYS, args=[study_instance_uid])

    def first_to_read(self, now: float, waiting_cap_s: float) -> FirstToRead:
        """Return the numbers at ``now`` (POSIX seconds); ``waiting_cap_s``: waiting cap in seconds, 0 for none."""
        pipeline = self._client.pipeline(transaction=True)
        pipeline.zcard(keys.LISTS[Priority.HIGH])
        cutoff = microseconds(now - waiting_cap_s) if waiting_cap_s else 0
        for priority, name in keys.LISTS.items():
            if priority is not Priority.HIGH:
                pipeline.zlexcount(name, "-", f"({max(cutoff, 0):016d}")
        high, *past_cap = cast("list[int]", pipeline.execute())
        return FirstToRead(high, sum(past_cap))

    def unread_high(self, at_most: int) -> tuple[int, tuple[str, ...]]:
        """Return the number of unread studies of priority HIGH, and up to ``at_most`` of them, those that came last."""
        pipeline = self._client.pipeline(transaction=False)
        pipeline.zcard(keys.LISTS[Priority.HIGH])
        pipeline.zrange(keys.LISTS[Priority.HIGH], -at_most, -1)
        count, members = cast("tuple[int, list[bytes]]", tuple(pipeline.execute()))
        return count, tuple(uid for member in members if (uid := study_of(member)))

    def last_result_at(self) -> float | None:
        """Return when the last study was tagged, in POSIX seconds; None if it is not known."""
        newest = self._client.zrevrange(keys.TAGGED, 0, 0, withscores=True)
        return float(newest[0][1]) if newest else None

    def changed_since(self, count: int) -> Changes:
        """Return the number of changes, and the studies of those after the first ``count`` (-1: it is not known).

        The log of changes is short, and Redis may have lost it or begun anew: it is believed if it reaches back to
        ``count`` and forward to the last change.
        """
        try:
            now, newer, oldest = self._log_after(count)
        except (ResponseError, ValueError):  # a wrong type: the sweep removes it
            return Changes(-1, None)
        if now == count >= 0:
            return Changes(now, frozenset())
        is_whole = count >= 0 and oldest <= count + 1 and bool(newer) and newer[-1][1] == now > count
        return Changes(now, frozenset(_text(uid) for uid, _ in newer) if is_whole else None)

    def _log_after(self, count: int) -> tuple[int, list[tuple[bytes, float]], float]:
        pipeline = self._client.pipeline(transaction=True)
        pipeline.get(keys.CHANGES)
        pipeline.zrange(keys.CHANGED, f"({count}", "+inf", byscore=True, withscores=True)
        pipeline.zrange(keys.CHANGED, 0, 0, withscores=True)
        now, newer, oldest = pipeline.execute()
        return int(now or 0), _pairs(newer), float(oldest[0][1]) if oldest else 0.0


def _pairs(found: Iterable[tuple[bytes, float]]) -> list[tuple[bytes, float]]:
    return [(uid, float(score)) for uid, score in found]


def _text(uid: bytes) -> str:
    return uid.decode("utf-8", "replace")
