"""The worklist: an index of decisions in reading order, in Redis, rebuilt from the spool when it is lost.

Reading order: past the waiting cap by arrival, then HIGH, MEDIUM, LOW, each by arrival; never by probability, which is
not severity. Each priority is a sorted set whose members start with the arrival in microseconds at fixed width, so that
a page is a range by name: its cost does not grow with the depth of the page or the length of the list.

A study that was read is not listed, until something is known of it that was not known when it was read. A counter of
changes tells those who watch that there is something to look at.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import cast
from uuid import uuid4

from redis import Redis

from triage.decision.records import decision_from, to_record
from triage.decision.types import Priority, TriageDecision
from triage.worklist import index_scripts as scripts
from triage.worklist.search import Search

_LISTS = {priority: f"cxr-triage:worklist:{priority}" for priority in Priority}
_ENTRIES = "cxr-triage:worklist:entries"
_PLACES = "cxr-triage:worklist:places"
_BUILT = "cxr-triage:worklist:built"
_READ = "cxr-triage:worklist:read"  # study: the revision that was read
_READ_AT = "cxr-triage:worklist:read-at"  # study, by when it was read
_TAGGED = "cxr-triage:worklist:tagged"  # study, by when it was tagged: of the last hour
_CHANGES = "cxr-triage:worklist:changes"
_ACCESSIONS = "cxr-triage:worklist:accessions"  # accession number, line break, study
_READING_ORDER = (Priority.HIGH, Priority.MEDIUM, Priority.LOW)

_KEYS = [*_LISTS.values(), _ENTRIES, _PLACES, _READ, _READ_AT, _CHANGES, _TAGGED, _ACCESSIONS]
_SCANNED_AT_ONCE = 1000
_VERSION = 2  # of what the index holds: one that an earlier release built is built anew


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
        self._put = client.register_script(scripts.PUT)
        self._remove = client.register_script(scripts.REMOVE)
        self._read = client.register_script(scripts.READ)
        self._unread = client.register_script(scripts.UNREAD)
        self._finish = client.register_script(scripts.FINISH)

    def put(self, decision: TriageDecision) -> None:
        """Index a study's decision, or move it to its new place."""
        self.put_all([decision])

    def put_all(self, decisions: Iterable[TriageDecision]) -> None:
        """Index many decisions in one round trip."""
        pipeline = self._client.pipeline(transaction=False)
        for decision in decisions:
            self._put(keys=_KEYS, args=_arguments(decision), client=pipeline)
        pipeline.execute()

    def rehearse(self, decision: TriageDecision) -> None:
        """List a decision and take it off again, in one step that no reader sees: all that listing needs has to work.

        Raises RuntimeError if it was not at its place in between.
        """
        arguments = _arguments(decision)
        transaction = self._client.pipeline(transaction=True)
        self._put(keys=_KEYS, args=arguments, client=transaction)
        transaction.zscore(arguments[2], arguments[3])
        transaction.hget(_ENTRIES, decision.study_instance_uid)
        self._remove(keys=_KEYS, args=[decision.study_instance_uid], client=transaction)
        _, place, entry, _ = transaction.execute()
        if place is None or entry is None or _decision(entry) != decision:
            raise RuntimeError("the worklist did not list what was put into it")

    def remove(self, study_instance_uid: str) -> None:
        """Forget a study, if it is there."""
        self._remove(keys=_KEYS, args=[study_instance_uid])

    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """A study's indexed decision."""
        entry = cast("bytes | None", self._client.hget(_ENTRIES, study_instance_uid))
        return None if entry is None else _decision(entry)

    def with_accession_number(self, accession_number: str) -> tuple[str, ...]:
        """The studies with exactly this accession number, read or not."""
        if not accession_number or "\n" in accession_number:
            return ()
        start = accession_number.encode("utf-8", "replace") + b"\n"
        found = cast("list[bytes]", self._client.zrange(_ACCESSIONS, b"[" + start, b"[" + start + b"\xff", bylex=True))
        return tuple(member[len(start) :].decode() for member in found)

    def listed(
        self, study_instance_uids: Collection[str], accession_numbers: Collection[str]
    ) -> tuple[TriageDecision, ...]:
        """The listed studies among those of these UIDs and those with these accession numbers, in three round trips."""
        pipeline = self._client.pipeline(transaction=False)
        starts = [f"{each}\n".encode("utf-8", "replace") for each in accession_numbers if each and "\n" not in each]
        for start in starts:
            pipeline.zrange(_ACCESSIONS, b"[" + start, b"[" + start + b"\xff", bylex=True)
        found = zip(starts, pipeline.execute(), strict=True) if starts else ()
        wanted = {member[len(start) :].decode() for start, members in found for member in members}
        uids = sorted(wanted.union(study_instance_uids))
        if not uids:
            return ()
        read = cast("list[bytes | None]", self._client.hmget(_READ, uids))
        entries = [_decision(entry) if entry else None for entry in self._entries(uids)]
        return tuple(
            decision
            for decision, revision in zip(entries, read, strict=True)
            if decision is not None and (revision is None or revision.decode() != decision.revision)
        )

    def arrived_before(self, moment: float) -> Iterator[str]:
        """The listed studies whose first object came before ``moment`` (POSIX seconds), of each priority by arrival."""
        for name in _LISTS.values():
            for member in self._range(name, "-", f"({_microseconds(moment):016d}", -1):
                yield member.split("|")[1]

    def read(self, study_instance_uid: str, revision: str, at: float) -> None:
        """Take a study off the list that was read as ``revision`` of its decision; another revision lists it again."""
        self._read(keys=_KEYS, args=[study_instance_uid, revision, repr(at)])

    def unread(self, study_instance_uid: str) -> None:
        """List a study again, at its place."""
        self._unread(keys=_KEYS, args=[study_instance_uid])

    def last_read(self, limit: int) -> tuple[TriageDecision, ...]:
        """The studies that were read last, the last one first."""
        found = cast("list[bytes]", self._client.zrevrange(_READ_AT, 0, limit - 1))
        return tuple(_decision(entry) for entry in self._entries([uid.decode() for uid in found]) if entry is not None)

    def page(
        self,
        cursor: str | None,
        limit: int,
        now: float,
        waiting_cap_s: float = 0.0,
        *,
        search: Search | None = None,
    ) -> Page:
        """At most ``limit`` entries from ``cursor`` on (None: from the top).

        ``now`` in POSIX seconds; a ``waiting_cap_s`` of 0 is no cap. With a ``search`` only what it matches, found by
        looking through the list. The list is live: a study that is raised behind the cursor appears when one starts
        over. Raises BadCursorError.
        """
        position = _read_cursor(cursor) if cursor else _Position(_microseconds(now), 0, "")
        at_once = limit + 1 if search is None else _SCANNED_AT_ONCE
        found: list[tuple[_Position, TriageDecision]] = []
        while len(found) <= limit:
            places = self._places(position, at_once, waiting_cap_s)
            entries = self._entries([place.member.split("|")[1] for place in places])
            found += _matching(zip(places, entries, strict=True), search)
            if len(places) < at_once:
                break
            position = places[-1]
        shown = found[:limit]
        return Page(
            entries=tuple(decision for _, decision in shown),
            next_cursor=_write_cursor(shown[-1][0]) if len(found) > limit else None,
        )

    def changes(self) -> int:
        """A number that is another one after each change."""
        return int(self._client.get(_CHANGES) or 0)

    def tagged_since(self, moment: float) -> int:
        """How many studies were tagged since ``moment`` (POSIX seconds), which is at most an hour ago."""
        return int(self._client.zcount(_TAGGED, moment, "+inf"))

    def count(self) -> int:
        """How many studies are listed."""
        return sum(int(self._client.zcard(name)) for name in _LISTS.values())

    def is_built(self) -> bool:
        """Whether the index holds every decision: false after Redis lost it, and after Redis was started anew.

        A Redis that comes back from its files, and a replica that took over, may have forgotten the last decisions.
        """
        return self._client.get(_BUILT) == self._run_id()

    def begin_building(self) -> bytes:
        """Say that every decision of the spool is about to be put, and what was read of them; for ``end_building``."""
        token = uuid4().hex.encode()
        self._client.delete(_READ, _READ_AT)
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
        for uid, _ in self._client.hscan_iter(_PLACES, count=1000):
            yield uid.decode()

    def _run_id(self) -> bytes:
        return f"{self._client.info('server')['run_id']} {_VERSION}".encode()

    def clear(self) -> None:
        """Empty the index."""
        self._client.delete(*_KEYS, _BUILT)

    def _places(self, position: _Position, limit: int, waiting_cap_s: float) -> list[_Position]:
        """At most ``limit`` places behind ``position``, in reading order."""
        as_of = position.as_of_us
        cutoff = as_of - _microseconds(waiting_cap_s) if waiting_cap_s else 0
        found: list[_Position] = []
        segment, after = position.segment, position.member
        while segment <= len(_READING_ORDER) and len(found) < limit:
            members = self._segment(segment, after, cutoff, limit - len(found))
            found += [_Position(as_of, segment, member) for member in members]
            segment, after = segment + 1, ""
        return found

    def _segment(self, segment: int, after: str, cutoff: int, limit: int) -> list[str]:
        if segment == 0:
            if not cutoff:
                return []
            lowest = f"({after}" if after else "-"
            ranges = [self._range(name, lowest, f"({cutoff:016d}", limit) for name in _LISTS.values()]
            return list(islice(heapq.merge(*ranges), limit))
        lowest = f"({after}" if after else f"[{cutoff:016d}"
        return self._range(_LISTS[_READING_ORDER[segment - 1]], lowest, "+", limit)

    def _range(self, name: str, lowest: str, highest: str, limit: int) -> list[str]:
        found = self._client.zrange(name, lowest, highest, bylex=True, offset=0, num=limit)
        return [member.decode() for member in cast("list[bytes]", found)]

    def _entries(self, study_instance_uids: list[str]) -> list[bytes | None]:
        if not study_instance_uids:
            return []
        return cast("list[bytes | None]", self._client.hmget(_ENTRIES, study_instance_uids))


def _matching(
    found: Iterable[tuple[_Position, bytes | None]], search: Search | None
) -> Iterator[tuple[_Position, TriageDecision]]:
    for place, entry in found:
        if entry is None or (search and not search.may_match(place.member.split("|")[1], entry)):
            continue
        decision = _decision(entry)
        if search is None or search.matches(decision):
            yield place, decision


def _arguments(decision: TriageDecision) -> list[str]:
    return [
        decision.study_instance_uid,
        repr(decision.tagged_at),
        _LISTS[decision.priority],
        f"{_microseconds(decision.received_at):016d}|{decision.study_instance_uid}",
        json.dumps(to_record(decision)),
        decision.revision,
        decision.accession_number,
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
