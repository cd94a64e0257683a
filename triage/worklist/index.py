"""The worklist: an index of decisions in reading order, in Redis, rebuilt from the spool when it is lost.

Reading order: studies past the waiting cap by arrival, then HIGH, MEDIUM, LOW, each by arrival; never by probability,
which is not severity. Each priority is a sorted set whose members start with the arrival in microseconds at fixed
width, so that a page is a range by name: its cost does not grow with the depth of the page or the length of the list.

A study that was read is not listed until its decision has another revision. A counter of changes is polled by those who
show the list.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar, cast
from uuid import uuid4

from redis import Redis
from redis.exceptions import RedisError, ResponseError

from triage.decision.types import ImageAssessment, TriageDecision
from triage.errors import cause
from triage.runtime.key_types import keep, remove_wrong_types
from triage.worklist import index_keys as keys
from triage.worklist import index_scripts as scripts
from triage.worklist.index_keys import microseconds, readable, study_of
from triage.worklist.index_state import FirstToRead, IndexState
from triage.worklist.page import Page, Position, read_cursor, readable_entries, write_cursor
from triage.worklist.reading_order import ReadingOrder

_VERSION = 4  # of the index's content: one that an earlier release built is built anew
_DOUBTED_AT_MOST = 1000
_LARGEST_COUNT = 2**62

_Arguments = ParamSpec("_Arguments")
_Result = TypeVar("_Result")


def _repairing(
    method: Callable[Concatenate[IndexedWorklist, _Arguments], _Result],
) -> Callable[Concatenate[IndexedWorklist, _Arguments], _Result]:
    """Repeat a call after keys of a wrong type were removed: they must stop neither the list nor the scoring."""

    @wraps(method)
    def attempt(self: IndexedWorklist, *args: _Arguments.args, **kwargs: _Arguments.kwargs) -> _Result:
        try:
            return method(self, *args, **kwargs)
        except ResponseError:
            if not self.mend():
                raise
            return method(self, *args, **kwargs)

    return cast("Callable[Concatenate[IndexedWorklist, _Arguments], _Result]", attempt)


def _do_nothing(study_instance_uid: str) -> None:
    return None


class IndexedWorklist:
    """A ``Worklist`` in Redis. ``client`` is a Redis client that returns bytes. Methods raise RedisError."""

    is_of_store = False

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._order = ReadingOrder(client)
        self.state = IndexState(client)
        self._put = client.register_script(scripts.PUT)
        self._remove = client.register_script(scripts.REMOVE)
        self._read = client.register_script(scripts.READ)
        self._unread = client.register_script(scripts.UNREAD)
        self._finish = client.register_script(scripts.FINISH)

    def deciding(
        self, study_instance_uids: Collection[str], new: Collection[ImageAssessment] = ()
    ) -> Callable[[str], None]:
        """Return what does nothing: the index is told once the decision is durable, and has no facts of its patient."""
        return _do_nothing

    def put(self, decision: TriageDecision) -> None:
        """Index a study's decision, or move it to its new position."""
        self.put_all([decision])

    def put_all(self, decisions: Iterable[TriageDecision]) -> None:
        """Index many decisions in one round trip, without those of silent studies."""
        self._put_all([each for each in decisions if not each.silent])

    @_repairing
    def _put_all(self, decisions: list[TriageDecision]) -> None:
        if len(decisions) == 1:  # a pipeline would first ask whether Redis knows the script
            self._put(keys=keys.KEYS, args=keys.arguments(decisions[0]))
            return
        pipeline = self._client.pipeline(transaction=False)
        for decision in decisions:
            self._put(keys=keys.KEYS, args=keys.arguments(decision), client=pipeline)
        pipeline.execute()

    @_repairing
    def put_over(self, decision: TriageDecision) -> None:
        """Index a decision over any indexed one. Hold the study's lock: it must be the current decision."""
        self._put(keys=keys.KEYS, args=keys.arguments(decision, force=True))

    def rehearse(self, decision: TriageDecision) -> None:
        """List a decision and remove it again, in one transaction that no reader sees, to test all that listing needs.

        Raises RuntimeError if it was not at its position in between.
        """
        transaction = self._client.pipeline(transaction=True)
        self._put(keys=keys.KEYS, args=keys.arguments(decision), client=transaction)
        transaction.zscore(keys.LISTS[decision.priority], keys.member(decision))
        transaction.hget(keys.ENTRIES, decision.study_instance_uid)
        self._remove(keys=keys.KEYS, args=[decision.study_instance_uid], client=transaction)
        _, score, entry, _ = transaction.execute()
        if score is None or entry is None or readable(entry) != decision:
            raise RuntimeError("the worklist did not list a decision that was put into it")

    @_repairing
    def remove(self, study_instance_uid: str | bytes) -> None:
        """Remove a study, if it is indexed."""
        self._remove(keys=keys.KEYS, args=[study_instance_uid])

    @_repairing
    def get(self, study_instance_uid: str) -> TriageDecision | None:
        """Return a study's indexed decision; None if there is none or it is unreadable."""
        entry = cast("bytes | None", self._client.hget(keys.ENTRIES, study_instance_uid))
        return readable(entry, study_instance_uid)

    @_repairing
    def with_accession_number(self, accession_number: str) -> tuple[str, ...]:
        """Return the studies with exactly this accession number, read or not."""
        if not accession_number or "\n" in accession_number:
            return ()
        start = accession_number.encode("utf-8", "replace") + b"\n"
        found = cast(
            "list[bytes]", self._client.zrange(keys.ACCESSIONS, b"[" + start, b"[" + start + b"\xff", bylex=True)
        )
        return tuple(member[len(start) :].decode("utf-8", "replace") for member in found)

    @_repairing
    def listed(
        self, study_instance_uids: Collection[str], accession_numbers: Collection[str]
    ) -> tuple[TriageDecision, ...]:
        """Return the listed studies with one of these UIDs or accession numbers, in three round trips."""
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
        entries = map(readable, self._order.entries(uids), uids)
        return tuple(
            decision
            for decision, revision in zip(entries, read, strict=True)
            if decision is not None and (revision is None or revision != decision.revision.encode())
        )

    def arrived_before(self, moment: float) -> Iterator[str]:
        """Yield the listed studies whose first object came before ``moment`` (POSIX s), of each priority by arrival."""
        for name in keys.LISTS.values():
            for member in self._order.range(name, b"-", b"(%016d" % microseconds(moment), -1):
                if uid := study_of(member):
                    yield uid

    @_repairing
    def read(self, study_instance_uid: str, revision: str, at: float) -> None:
        """Remove a study from the list that was read as ``revision`` of its decision; a new revision lists it again."""
        self._read(keys=keys.KEYS, args=[study_instance_uid, revision, repr(at)])

    @_repairing
    def unread(self, study_instance_uid: str) -> None:
        """List a study again, at its position."""
        self._unread(keys=keys.KEYS, args=[study_instance_uid])

    @_repairing
    def last_read(self, limit: int) -> tuple[TriageDecision, ...]:
        """Return the studies that were read last, the last one first."""
        found = cast("list[bytes]", self._client.zrevrange(keys.READ_AT, 0, limit - 1))
        uids = [uid.decode("utf-8", "replace") for uid in found]
        read = map(readable, self._order.entries(uids), uids)
        return tuple(decision for decision in read if decision is not None)

    @_repairing
    def page(self, cursor: str | None, limit: int, now: float, waiting_cap_s: float = 0.0) -> Page:
        """Return at most ``limit`` entries. The list is live: a study raised behind the cursor is on no later page.

        Args:
            cursor: that of the page before; None starts at the top.
            limit: the number of entries.
            now: POSIX seconds.
            waiting_cap_s: seconds after which a study is shown before all others; 0 is no cap.

        Raises:
            BadCursorError: ``cursor`` is malformed.
        """
        position = read_cursor(cursor) if cursor else Position(microseconds(now), 0, b"")
        found: list[tuple[Position, TriageDecision]] = []
        skipped: set[str] = set()
        while len(found) <= limit:
            positions = self._order.positions(position, limit + 1, waiting_cap_s)
            entries = self._order.entries([study_of(each.member) for each in positions])
            some, unreadable = readable_entries(zip(positions, entries, strict=True))
            found, skipped = found + some, skipped | unreadable
            if len(positions) <= limit:
                break
            position = positions[-1]
        self.doubt(skipped)
        shown = found[:limit]
        return Page(
            entries=tuple(decision for _, decision in shown),
            next_cursor=write_cursor(shown[-1][0]) if len(found) > limit else None,
            skipped=len(skipped),
        )

    @_repairing
    def listed_entries(self) -> list[tuple[str, bytes | None]]:
        """Return every listed study with its entry: None for a lost one."""
        return list(self._order.all_entries())

    def touch(self, study_instance_uid: str) -> None:
        """Tell those who show the list that something of a study has changed that is not in the index."""
        self.state.touch(study_instance_uid)

    def first_to_read(self, now: float, waiting_cap_s: float) -> FirstToRead:
        """Return the numbers at ``now`` (POSIX seconds); ``waiting_cap_s``: waiting cap in seconds, 0 for none."""
        return self.state.first_to_read(now, waiting_cap_s)

    def unread_high(self, at_most: int) -> tuple[int, tuple[str, ...]]:
        """Return the number of listed studies of priority HIGH, and up to ``at_most`` of them, those that came last."""
        return self.state.unread_high(at_most)

    def last_result_at(self) -> float | None:
        """Return when the last study was tagged, in POSIX seconds; None if it is not known."""
        return self.state.last_result_at()

    def why_away(self) -> str:
        """Return why the index does not answer; empty if it does."""
        try:
            return "" if self._client.ping() else "Redis does not answer"
        except RedisError as error:
            return f"Redis does not answer ({cause(error)})"

    @_repairing
    def changes(self) -> int:
        """Return a number that is another one after each change."""
        count = cast("bytes | None", self._client.get(keys.CHANGES))
        if not _is_number(count):
            self.mend()
            return 0
        return int(count or 0)

    @_repairing
    def tagged_since(self, moment: float) -> int:
        """Return how many studies were tagged since ``moment`` (POSIX seconds), which is at most an hour ago."""
        return int(self._client.zcount(keys.TAGGED, moment, moment + 3600))  # without those of a clock that is ahead

    @_repairing
    def count(self) -> int:
        """Return how many studies are listed."""
        return sum(int(self._client.zcard(name)) for name in keys.LISTS.values())

    @_repairing
    def is_built(self) -> bool:
        """Return whether the index holds every decision: false after Redis lost it or was restarted.

        A Redis that restarts from its files, or a replica that took over, may lack the last decisions.
        """
        return self._client.get(keys.BUILT) == self._run_id()

    @_repairing
    def begin_building(self) -> bytes:
        """Begin to put every decision of the spool, and return the token for ``end_building``."""
        token = uuid4().hex.encode()
        self.mend()
        before = cast("bytes | None", self._client.get(keys.BUILT))
        if before and b" " in before and not before.endswith(f" {_VERSION}".encode()):
            self.clear()  # written by another release
        self._client.delete(keys.READ, keys.READ_AT)
        self._client.set(keys.BUILT, token)
        return token

    @_repairing
    def end_building(self, token: bytes) -> bool:
        """Record that every decision has been put. False if Redis lost them meanwhile, or another build began."""
        return bool(self._finish(keys=[keys.BUILT], args=[token, self._run_id()]))

    def study_uids(self) -> Iterator[str]:
        """Yield every listed study, in no particular order."""
        for uid, _ in self._client.hscan_iter(keys.PLACES, count=1000):
            yield uid.decode("utf-8", "replace")

    def mend(self) -> tuple[str, ...]:
        """Remove our keys that have a wrong type or are no number, and return their names. A rebuild restores them."""
        wrong = remove_wrong_types(self._client, keys.TYPES)
        keep(self._client, keys.TYPES)  # none of our keys expires
        if not _is_number(cast("bytes | None", self._client.get(keys.CHANGES))):
            self._client.delete(keys.CHANGES)
            wrong += (keys.CHANGES,)
        if set(wrong) - {keys.CHANGES, keys.TAGGED, keys.DOUBT}:
            self._client.delete(keys.BUILT)
        return wrong

    def doubted(self) -> set[bytes]:
        """Return the studies whose entry was found lost or unreadable since the last call."""
        found = cast("list[bytes] | None", self._client.spop(keys.DOUBT, _DOUBTED_AT_MOST))
        return set(found or ())

    def invalidate(self) -> None:
        """Mark the index as not built, so that the sweep rebuilds it: too much of it is lost."""
        self._client.delete(keys.BUILT)

    def doubt(self, names: Collection[str]) -> None:
        """Have the sweep examine studies whose entry was found lost or unreadable."""
        if names and self._client.scard(keys.DOUBT) < _DOUBTED_AT_MOST:
            self._client.sadd(keys.DOUBT, *names)

    def _run_id(self) -> bytes:
        return f"{self._client.info('server')['run_id']} {_VERSION}".encode()

    def clear(self) -> None:
        """Remove the whole index."""
        self._client.delete(*keys.KEYS, keys.BUILT)


def _is_number(value: bytes | None) -> bool:
    try:
        return abs(int(value or 0)) < _LARGEST_COUNT
    except ValueError:
        return False
