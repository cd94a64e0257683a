"""The worklist: an index of decisions in reading order, in Redis, rebuilt from the spool when it is lost.

Reading order: past the waiting cap by arrival, then HIGH, MEDIUM, LOW, each by arrival; never by probability, which is
not severity. Each priority is a sorted set whose members start with the arrival in microseconds at fixed width, so that
a page is a range by name: its cost does not grow with the depth of the page or the length of the list.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast
from uuid import uuid4

from redis import Redis

from triage.decision import Priority, TriageDecision
from triage.records import decision_from, to_record

_LISTS = {priority: f"cxr-triage:worklist:{priority}" for priority in Priority}
_ENTRIES = "cxr-triage:worklist:entries"
_PLACES = "cxr-triage:worklist:places"
_BUILT = "cxr-triage:worklist:built"
_READING_ORDER = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)

# Moves a study to its place in one step. A decision older than the one indexed changes nothing, so that a rebuild
# may run beside the workers.
_PUT = """
local place = redis.call('HGET', KEYS[5], ARGV[1])
if place then
  local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
  if tonumber(tagged_at) > tonumber(ARGV[2]) then return 0 end
  redis.call('ZREM', list, member)
end
redis.call('ZADD', ARGV[3], 0, ARGV[4])
redis.call('HSET', KEYS[4], ARGV[1], ARGV[5])
redis.call('HSET', KEYS[5], ARGV[1], ARGV[2] .. ' ' .. ARGV[3] .. ' ' .. ARGV[4])
return 1
"""

_REMOVE = """
local place = redis.call('HGET', KEYS[5], ARGV[1])
if not place then return 0 end
local tagged_at, list, member = place:match('^(%S+) (%S+) (%S+)$')
redis.call('ZREM', list, member)
redis.call('HDEL', KEYS[4], ARGV[1])
redis.call('HDEL', KEYS[5], ARGV[1])
return 1
"""

_FINISH = """
if redis.call('GET', KEYS[1]) ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[2])
return 1
"""

_KEYS = [*_LISTS.values(), _ENTRIES, _PLACES]


class BadCursorError(ValueError):
    """A cursor that this worklist did not give."""


@dataclass(frozen=True)
class Page:
    """Some entries in reading order, and the cursor of the next page (None on the last)."""

    entries: tuple[TriageDecision, ...]
    next_cursor: str | None


@dataclass(frozen=True)
class _Position:
    """Where a page starts: behind ``member`` in ``segment`` (0: past the cap, 1..3: by priority).

    ``as_of_us`` stays that of the first page, so that a study does not pass the cap between two pages.
    """

    as_of_us: int
    segment: int
    member: str


class Worklist:
    """The index. ``client`` is a Redis client that returns bytes."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._put = client.register_script(_PUT)
        self._remove = client.register_script(_REMOVE)
        self._finish = client.register_script(_FINISH)

    def put(self, decision: TriageDecision) -> None:
        """Index a study's decision, or move it to its new place."""
        self.put_all([decision])

    def put_all(self, decisions: Iterable[TriageDecision]) -> None:
        """Index many decisions in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for decision in decisions:
            self._put(keys=_KEYS, args=_arguments(decision), client=pipeline)
        pipeline.execute()

    def remove(self, study_instance_uid: str) -> None:
        """Forget a study, if it is there."""
        self._remove(keys=_KEYS, args=[study_instance_uid])

    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """A study's indexed decision."""
        entry = cast("bytes | None", self._client.hget(_ENTRIES, study_instance_uid))
        return None if entry is None else _decision(entry)

    def page(self, cursor: str | None, limit: int, now: float, waiting_cap_s: float = 0.0) -> Page:
        """At most ``limit`` entries from ``cursor`` on (None: from the top).

        ``now`` in POSIX seconds; a ``waiting_cap_s`` of 0 is no cap. The list is live: a study that is raised behind
        the cursor appears when one starts over. Raises BadCursorError.
        """
        position = _read_cursor(cursor) if cursor else _Position(_microseconds(now), 0, "")
        found: list[tuple[int, str]] = []
        segment, after = position.segment, position.member
        cutoff = position.as_of_us - _microseconds(waiting_cap_s) if waiting_cap_s else 0
        while segment <= len(_READING_ORDER) and len(found) <= limit:
            members = self._segment(segment, after, cutoff, limit + 1 - len(found))
            found += [(segment, member) for member in members]
            segment, after = segment + 1, ""
        shown = found[:limit]
        more = len(found) > limit
        return Page(
            entries=self._entries([member for _, member in shown]),
            next_cursor=_write_cursor(_Position(position.as_of_us, *shown[-1])) if more else None,
        )

    def count(self) -> int:
        """How many studies are listed."""
        return sum(int(self._client.zcard(name)) for name in _LISTS.values())

    def is_built(self) -> bool:
        """Whether the index holds every decision: false after Redis lost it, and after Redis was started anew.

        A Redis that comes back from its files, and a replica that took over, may have forgotten the last decisions.
        """
        return self._client.get(_BUILT) == self._run_id()

    def begin_building(self) -> bytes:
        """Say that every decision of the spool is about to be put; give the token to ``end_building``."""
        token = uuid4().hex.encode()
        self._client.set(_BUILT, token)
        return token

    def end_building(self, token: bytes) -> bool:
        """Say that every decision has been put. False if Redis lost them meanwhile, or another build began."""
        return bool(self._finish(keys=[_BUILT], args=[token, self._run_id()]))

    def mark_built(self) -> None:
        """Say that there was nothing to put, or that all of it was."""
        self.end_building(self.begin_building())

    def study_uids(self) -> Iterator[str]:
        """Every study that is listed, in no particular order."""
        for uid, _ in self._client.hscan_iter(_PLACES):
            yield uid.decode()

    def _run_id(self) -> bytes:
        return str(self._client.info("server")["run_id"]).encode()

    def clear(self) -> None:
        """Empty the index."""
        self._client.delete(*_KEYS, _BUILT)

    def _segment(self, segment: int, after: str, cutoff: int, limit: int) -> list[str]:
        lowest = f"({after}" if after else "-"
        if segment == 0:
            if not cutoff:
                return []
            ranges = [self._range(name, lowest, f"({cutoff:016d}", limit) for name in _LISTS.values()]
            return list(islice(heapq.merge(*ranges), limit))
        if not after:
            lowest = f"[{cutoff:016d}"
        return self._range(_LISTS[_READING_ORDER[segment - 1]], lowest, "+", limit)

    def _range(self, name: str, lowest: str, highest: str, limit: int) -> list[str]:
        found = self._client.zrange(name, lowest, highest, bylex=True, offset=0, num=limit)
        return [member.decode() for member in cast("list[bytes]", found)]

    def _entries(self, members: list[str]) -> tuple[TriageDecision, ...]:
        if not members:
            return ()
        found = self._client.hmget(_ENTRIES, [member.split("|")[1] for member in members])
        return tuple(_decision(entry) for entry in cast("list[bytes | None]", found) if entry is not None)


def _arguments(decision: TriageDecision) -> list[str]:
    return [
        decision.study_instance_uid,
        repr(decision.tagged_at),
        _LISTS[decision.priority],
        f"{_microseconds(decision.received_at):016d}|{decision.study_instance_uid}",
        json.dumps(to_record(decision)),
    ]


def _decision(entry: bytes) -> TriageDecision:
    return decision_from(json.loads(entry))


def _microseconds(seconds: float) -> int:
    return round(seconds * 1_000_000)


def _write_cursor(position: _Position) -> str:
    text = f"{position.as_of_us},{position.segment},{position.member}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Position:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        as_of, segment, member = text.split(",")
        position = _Position(int(as_of), int(segment), member)
    except (ValueError, binascii.Error) as error:
        raise BadCursorError("not a cursor of this worklist: start again without one") from error
    if not (0 <= position.segment <= len(_READING_ORDER) and "|" in member):
        raise BadCursorError("not a cursor of this worklist: start again without one")
    return position
