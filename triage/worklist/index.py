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
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Concatenate, ParamSpec, TypeVar, cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import ResponseError

from triage.decision.types import TriageDecision
from triage.runtime.key_types import keep, remove_wrong_types
from triage.worklist import index_keys as keys
from triage.worklist import index_scripts as scripts
from triage.worklist.index_keys import microseconds, readable, study_of
from triage.worklist.search import Search

_SCANNED_AT_ONCE = 1000
_VERSION = 4  # of what the index holds: one that an earlier release built is built anew
_DOUBTED_AT_MOST = 1000
_LARGEST_COUNT = 2**62

_Arguments = ParamSpec("_Arguments")
_Answer = TypeVar("_Answer")


def _mending(
    method: Callable[Concatenate[Worklist, _Arguments], _Answer],
) -> Callable[Concatenate[Worklist, _Arguments], _Answer]:
    """Ask once more after a key of a wrong type was removed: who wrote it stops neither the list nor the scoring."""

    @wraps(method)
    def asked(self: Worklist, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Answer:
        try:
            return method(self, *args, **kwargs)
        except ResponseError:
            if not self.mend():
                raise
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[Worklist, _Arguments], _Answer]", asked)


class BadCursorError(ValueError):
    """A cursor that this worklist did not give."""


@dataclass(frozen=True)
class Page:
    """Some entries in reading order, and the cursor of the next page (None on the last).

    ``skipped``: places of which the entry is lost or cannot be read, until the sweep has put it right.
    """

    entries: tuple[TriageDecision, ...]
    next_cursor: str | None
    skipped: int = 0


@dataclass(frozen=True)
class _Position:
    """Where a page starts: behind ``member`` in ``segment`` (0: past the cap, 1..3: by priority).

    ``as_of_us`` stays that of the first page, so that a study does not pass the cap between two pages.
    """

    as_of_us: int
    segment: int
    member: bytes


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
        """Index many decisions in one round trip; those of silent studies have no place here."""
        self._put_all([each for each in decisions if not each.silent])

    @_mending
    def _put_all(self, decisions: list[TriageDecision]) -> None:
        pipeline = self._client.pipeline(transaction=False)
        for decision in decisions:
            self._put(keys=keys.KEYS, args=keys.arguments(decision), client=pipeline)
        pipeline.execute()

    @_mending
    def put_over(self, decision: TriageDecision) -> None:
        """Index a decision over whatever is there. Hold the study's lock: it has to be the current one."""
        self._put(keys=keys.KEYS, args=keys.arguments(decision, force=True))

    def rehearse(self, decision: TriageDecision) -> None:
        """List a decision and take it off again, in one step that no reader sees: all that listing needs has to work.

        Raises RuntimeError if it was not at its place in between.
        """
        transaction = self._client.pipeline(transaction=True)
        self._put(keys=keys.KEYS, args=keys.arguments(decision), client=transaction)
        transaction.zscore(keys.LISTS[decision.priority], keys.member(decision))
        transaction.hget(keys.ENTRIES, decision.study_instance_uid)
        self._remove(keys=keys.KEYS, args=[decision.study_instance_uid], client=transaction)
        _, place, entry, _ = transaction.execute()
        if place is None or entry is None or readable(entry) != decision:
            raise RuntimeError("the worklist did not list what was put into it")

    @_mending
    def remove(self, study_instance_uid: str | bytes) -> None:
        """Forget a study, if it is there."""
        self._remove(keys=keys.KEYS, args=[study_instance_uid])

    @_mending
    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """A study's indexed decision."""
        entry = cast("bytes | None", self._client.hget(keys.ENTRIES, study_instance_uid))
        return readable(entry, study_instance_uid)

    @_mending
    def with_accession_number(self, accession_number: str) -> tuple[str, ...]:
        """The studies with exactly this accession number, read or not."""
        if not accession_number or "\n" in accession_number:
            return ()
        start = accession_number.encode("utf-8", "replace") + b"\n"
        found = cast(
            "list[bytes]", self._client.zrange(keys.ACCESSIONS, b"[" + start, b"[" + start + b"\xff", bylex=True)
        )
        return tuple(member[len(start) :].decode("utf-8", "replace") for member in found)

    @_mending
    def listed(
        self, study_instance_uids: Collection[str], accession_numbers: Collection[str]
    ) -> tuple[TriageDecision, ...]:
        """The listed studies among those of these UIDs and those with these accession numbers, in three round trips."""
        pipeline = self._client.pipeline(transaction=False)
        starts = [f"{each}\n".encode("utf-8", "replace") for each in accession_numbers if each and "\n" not in each]
        for start in starts:
            pipeline.zrange(keys.ACCESSIONS, b"[" + start, b"[" + start + b"\xff", bylex=True)
        found = zip(starts, pipeline.execute(), strict=True) if starts else ()
        wanted = {member[len(start) :].decode("utf-8", "replace") for start, members in found for member in members}
        uids = sorted(wanted.union(study_instance_uids))
        if not uids:
            return ()
        read = cast("list[bytes | None]", self._client.hmget(keys.READ, uids))
        entries = map(readable, self._entries(uids), uids)
        return tuple(
            decision
            for decision, revision in zip(entries, read, strict=True)
            if decision is not None and (revision is None or revision != decision.revision.encode())
        )

    def arrived_before(self, moment: float) -> Iterator[str]:
        """The listed studies whose first object came before ``moment`` (POSIX seconds), of each priority by arrival."""
        for name in keys.LISTS.values():
            for member in self._range(name, b"-", b"(%016d" % microseconds(moment), -1):
                if uid := study_of(member):
                    yield uid

    @_mending
    def read(self, study_instance_uid: str, revision: str, at: float) -> None:
        """Take a study off the list that was read as ``revision`` of its decision; another revision lists it again."""
        self._read(keys=keys.KEYS, args=[study_instance_uid, revision, repr(at)])

    @_mending
    def unread(self, study_instance_uid: str) -> None:
        """List a study again, at its place."""
        self._unread(keys=keys.KEYS, args=[study_instance_uid])

    @_mending
    def last_read(self, limit: int) -> tuple[TriageDecision, ...]:
        """The studies that were read last, the last one first."""
        found = cast("list[bytes]", self._client.zrevrange(keys.READ_AT, 0, limit - 1))
        uids = [uid.decode("utf-8", "replace") for uid in found]
        read = map(readable, self._entries(uids), uids)
        return tuple(decision for decision in read if decision is not None)

    @_mending
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
        position = _read_cursor(cursor) if cursor else _Position(microseconds(now), 0, b"")
        at_once = limit + 1 if search is None else _SCANNED_AT_ONCE
        found: list[tuple[_Position, TriageDecision]] = []
        skipped: set[str] = set()
        while len(found) <= limit:
            places = self._places(position, at_once, waiting_cap_s)
            entries = self._entries([study_of(place.member) for place in places])
            matching, unread = _matching(zip(places, entries, strict=True), search)
            found, skipped = found + matching, skipped | unread
            if len(places) < at_once:
                break
            position = places[-1]
        self._doubt(skipped)
        shown = found[:limit]
        return Page(
            entries=tuple(decision for _, decision in shown),
            next_cursor=_write_cursor(shown[-1][0]) if len(found) > limit else None,
            skipped=len(skipped),
        )

    @_mending
    def changes(self) -> int:
        """A number that is another one after each change."""
        count = cast("bytes | None", self._client.get(keys.CHANGES))
        if not _is_number(count):
            self.mend()
            return 0
        return int(count or 0)

    @_mending
    def tagged_since(self, moment: float) -> int:
        """How many studies were tagged since ``moment`` (POSIX seconds), which is at most an hour ago."""
        return int(self._client.zcount(keys.TAGGED, moment, moment + 3600))  # not what a clock ahead has tagged

    @_mending
    def count(self) -> int:
        """How many studies are listed."""
        return sum(int(self._client.zcard(name)) for name in keys.LISTS.values())

    @_mending
    def is_built(self) -> bool:
        """Whether the index holds every decision: false after Redis lost it, and after Redis was started anew.

        A Redis that comes back from its files, and a replica that took over, may have forgotten the last decisions.
        """
        return self._client.get(keys.BUILT) == self._run_id()

    @_mending
    def begin_building(self) -> bytes:
        """Say that every decision of the spool is about to be put, and what was read of them; for ``end_building``."""
        token = uuid4().hex.encode()
        self.mend()
        before = cast("bytes | None", self._client.get(keys.BUILT))
        if before and b" " in before and not before.endswith(f" {_VERSION}".encode()):
            self.clear()  # what another release wrote
        self._client.delete(keys.READ, keys.READ_AT)
        self._client.set(keys.BUILT, token)
        return token

    @_mending
    def end_building(self, token: bytes) -> bool:
        """Say that every decision has been put. False if Redis lost them meanwhile, or another build began."""
        return bool(self._finish(keys=[keys.BUILT], args=[token, self._run_id()]))

    def mark_built(self) -> None:
        """Say that there was nothing to put, or that all of it was."""
        self.end_building(self.begin_building())

    def study_uids(self) -> Iterator[str]:
        """Every study that is listed, in no particular order."""
        for uid, _ in self._client.hscan_iter(keys.PLACES, count=1000):
            yield uid.decode("utf-8", "replace")

    def mend(self) -> tuple[str, ...]:
        """Remove keys of ours that are of a wrong type or no number; their names. What was in them is built anew."""
        wrong = remove_wrong_types(self._client, keys.TYPES)
        keep(self._client, keys.TYPES)  # none of ours ever goes by itself
        if not _is_number(cast("bytes | None", self._client.get(keys.CHANGES))):
            self._client.delete(keys.CHANGES)
            wrong += (keys.CHANGES,)
        if set(wrong) - {keys.CHANGES, keys.TAGGED, keys.DOUBT}:
            self._client.delete(keys.BUILT)
        return wrong

    def doubted(self) -> set[bytes]:
        """The studies of which an entry was lost or could not be read when somebody asked, since this was asked."""
        found = cast("list[bytes] | None", self._client.spop(keys.DOUBT, _DOUBTED_AT_MOST))
        return set(found or ())

    def forget_that_it_is_built(self) -> None:
        """Have the index built anew: too much of it is lost."""
        self._client.delete(keys.BUILT)

    def _doubt(self, names: Collection[str]) -> None:
        if names and self._client.scard(keys.DOUBT) < _DOUBTED_AT_MOST:
            self._client.sadd(keys.DOUBT, *names)

    def _run_id(self) -> bytes:
        return f"{self._client.info('server')['run_id']} {_VERSION}".encode()

    def clear(self) -> None:
        """Empty the index."""
        self._client.delete(*keys.KEYS, keys.BUILT)

    def _places(self, position: _Position, limit: int, waiting_cap_s: float) -> list[_Position]:
        """At most ``limit`` places behind ``position``, in reading order."""
        as_of = position.as_of_us
        cutoff = as_of - microseconds(waiting_cap_s) if waiting_cap_s else 0
        found: list[_Position] = []
        segment, after = position.segment, position.member
        while segment <= len(keys.READING_ORDER) and len(found) < limit:
            members = self._segment(segment, after, cutoff, limit - len(found))
            found += [_Position(as_of, segment, member) for member in members]
            segment, after = segment + 1, b""
        return found

    def _segment(self, segment: int, after: bytes, cutoff: int, limit: int) -> list[bytes]:
        if segment == 0:
            if not cutoff:
                return []
            lowest = b"(" + after if after else b"-"
            ranges = [self._range(name, lowest, b"(%016d" % cutoff, limit) for name in keys.LISTS.values()]
            return list(islice(heapq.merge(*ranges), limit))
        lowest = b"(" + after if after else b"[%016d" % cutoff
        return self._range(keys.LISTS[keys.READING_ORDER[segment - 1]], lowest, b"+", limit)

    def _range(self, name: str, lowest: bytes, highest: bytes, limit: int) -> list[bytes]:
        """Bytes as they are: a stranger's that are no text have to be gone past like any other."""
        found = self._client.zrange(name, lowest, highest, bylex=True, offset=0, num=limit)
        return cast("list[bytes]", found)

    def _entries(self, study_instance_uids: list[str]) -> list[bytes | None]:
        if not study_instance_uids:
            return []
        return cast("list[bytes | None]", self._client.hmget(keys.ENTRIES, study_instance_uids))


def _matching(
    found: Iterable[tuple[_Position, bytes | None]], search: Search | None
) -> tuple[list[tuple[_Position, TriageDecision]], set[str]]:
    """What is looked for, and the studies whose entries are lost or cannot be read."""
    matching: dict[str, tuple[_Position, TriageDecision]] = {}
    skipped: set[str] = set()
    for place, entry in found:
        uid = study_of(place.member)
        if entry is not None and search and not search.may_match(uid, entry):
            continue
        decision = readable(entry, uid)
        if decision is None:
            skipped.add(uid)
        elif search is None or search.matches(decision):
            matching.setdefault(uid, (place, decision))  # one that somebody put into two lists is shown once
    return list(matching.values()), skipped


def _is_number(value: bytes | None) -> bool:
    try:
        return abs(int(value or 0)) < _LARGEST_COUNT
    except ValueError:
        return False


def _write_cursor(position: _Position) -> str:
    text = f"{position.as_of_us},{position.segment},{position.member.decode()}"
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def _read_cursor(cursor: str) -> _Position:
    try:
        text = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode()
        as_of, segment, member = text.split(",", 2)
        position = _Position(int(as_of), int(segment), member.encode())
    except (ValueError, binascii.Error) as error:
        raise BadCursorError("not a cursor of this worklist: start again without one") from error
    if not (0 <= position.segment <= len(keys.READING_ORDER) and "|" in member):
        raise BadCursorError("not a cursor of this worklist: start again without one")
    return position
