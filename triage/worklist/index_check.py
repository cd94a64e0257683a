"""The comparison of the index with the files: differing studies, and content of the index that belongs to none.

Redis is a hint. A removal or change there (by an operator, an eviction, another program, a defect of ours) must hide a
study no longer than until the next sweep.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice
from typing import cast

from redis import Redis

from triage.decision.types import TriageDecision
from triage.worklist import index_keys as keys
from triage.worklist import index_scripts as scripts

_AT_ONCE = 1000


@dataclass(frozen=True)
class ExpectedEntry:
    """A study by its files: the decision, and when it was read as this decision (POSIX seconds), if it was."""

    decision: TriageDecision
    read_at: float | None = None

    @property
    def study_instance_uid(self) -> str:
        """The Study Instance UID."""
        return self.decision.study_instance_uid


class IndexCheck:
    """Compares the index, with the ``client`` of a worklist. Methods raise RedisError."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._missing = client.register_script(scripts.MISSING)

    def adds_up(self) -> bool:
        """Return whether the counts in the index agree, at a cost that does not grow with it.

        Each known study is in one list or is read, and all scores in the lists are 0, as an order by name needs.
        """
        sets = [*keys.LISTS.values(), keys.ACCESSIONS]
        pipeline = self._client.pipeline(transaction=True)
        for name in sets:
            pipeline.zcard(name)
            pipeline.zcount(name, 0, 0)
        pipeline.hlen(keys.ENTRIES)
        pipeline.hlen(keys.PLACES)
        pipeline.zcard(keys.READ_AT)
        *counts, entries, places, read = pipeline.execute()
        listed = sum(counts[: 2 * len(keys.LISTS) : 2])
        return counts[::2] == counts[1::2] and entries == places == listed + read

    def differing(self, expected: Sequence[ExpectedEntry]) -> dict[str, str]:
        """Return the studies that differ in the index, each with the key of the first difference."""
        if not expected:
            return {}
        uids = [each.study_instance_uid for each in expected]
        decisions = [each.decision for each in expected]
        pipeline = self._client.pipeline(transaction=True)
        for name in (keys.ENTRIES, keys.PLACES, keys.READ):
            pipeline.hmget(name, uids)
        pipeline.zmscore(keys.READ_AT, uids)
        for name in keys.LISTS.values():
            pipeline.zmscore(name, [keys.member(each) for each in decisions])
        pipeline.zmscore(keys.ACCESSIONS, [keys.accession_entry(each) for each in decisions])
        found = zip(*pipeline.execute(), strict=True)
        differences = (_difference(each, *row) for each, row in zip(expected, found, strict=True))
        return {uid: name for uid, name in zip(uids, differences, strict=True) if name}

    def unlisted(self) -> set[bytes]:
        """Return the studies with a position that are neither listed there nor read. Reads all positions, no entry."""
        return {uid for some in _chunks(iter(self._fields(keys.PLACES))) for uid in self._not_at_position(some)}

    def _not_at_position(self, uids: Sequence[bytes]) -> list[bytes]:
        places = cast("list[bytes | None]", self._client.hmget(keys.PLACES, list(uids)))
        members = [(place or b"").rpartition(b" ")[2] for place in places]
        pipeline = self._client.pipeline(transaction=True)
        for name in keys.LISTS.values():
            pipeline.zmscore(name, members)  # type: ignore[arg-type]
        pipeline.zmscore(keys.READ_AT, list(uids))  # type: ignore[arg-type]
        rows = zip(uids, zip(*pipeline.execute(), strict=True), strict=True)
        return [uid for uid, scores in rows if sum(each is not None for each in scores) != 1]

    def size(self) -> int:
        """Return the number of studies that have both an entry and a position; -1 if the two numbers differ."""
        entries, places = self._client.hlen(keys.ENTRIES), self._client.hlen(keys.PLACES)
        return int(entries) if entries == places else -1

    def missing(self, uids: Sequence[str]) -> list[str]:
        """Return those of ``uids`` that lack an entry or a position."""
        found: list[str] = []
        rest = iter(uids)
        while some := list(islice(rest, _AT_ONCE)):
            # One script: two commands for each study were more than half of a sweep after new studies (benchmarks.md).
            found += [some[at - 1] for at in self._missing(keys=[keys.ENTRIES, keys.PLACES], args=some)]
        return found

    def studies(self) -> tuple[set[bytes], set[bytes]]:
        """Return the UID of every study that has an entry or a position, and of those that lack one of the two."""
        entries, places = (set(self._fields(name)) for name in (keys.ENTRIES, keys.PLACES))
        return entries | places, entries ^ places

    def remove_strays(self, is_known: Callable[[bytes], bool]) -> int:
        """Remove members of the lists, numbers and acts that belong to no indexed study, and return their count.

        ``is_known`` returns whether a study exists.
        """
        count = self._remove_strays_from_lists()
        count += self._remove(keys.READ_AT, self._members(keys.READ_AT), self._unplaced)
        fields = (each for each in self._fields(keys.READ) if not is_known(each))
        for some in _chunks(fields):
            count += self._client.hdel(keys.READ, *some)
        count += self._remove(keys.ACCESSIONS, self._members(keys.ACCESSIONS), self._wrong_numbers)
        return count

    def _remove_strays_from_lists(self) -> int:
        count = 0
        for number, name in enumerate(keys.LISTS.values(), 1):
            count += self._remove(name, self._members(name), partial(self._misplaced, number))
        return count + sum(self._level(name) for name in (*keys.LISTS.values(), keys.ACCESSIONS))

    def _level(self, name: str) -> int:
        """Set the score of every member to 0, and return how many had another."""
        pipeline = self._client.pipeline(transaction=True)  # workers add members meanwhile
        pipeline.zcard(name)
        pipeline.zcount(name, 0, 0)
        all_of, right = pipeline.execute()
        wrong = int(all_of) - int(right)
        if wrong:
            for some in _chunks(self._members(name)):
                self._client.zadd(name, dict.fromkeys(some, 0), xx=True)
        return wrong

    def _misplaced(self, number: int, members: Sequence[bytes]) -> list[bytes]:
        """Return the members of a list that are no position of a study in it."""
        places = cast("list[bytes | None]", self._client.hmget(keys.PLACES, [keys.study_of(each) for each in members]))
        ends = [f" {number} ".encode() + each for each in members]
        pairs = zip(members, places, ends, strict=True)
        return [each for each, place, end in pairs if place is None or not place.endswith(end)]

    def _unplaced(self, uids: Sequence[bytes]) -> list[bytes]:
        places = cast("list[bytes | None]", self._client.hmget(keys.PLACES, list(uids)))
        return [uid for uid, place in zip(uids, places, strict=True) if place is None]

    def _wrong_numbers(self, members: Sequence[bytes]) -> list[bytes]:
        uids = [each.rpartition(b"\n")[2] for each in members]
        entries = cast("list[bytes | None]", self._client.hmget(keys.ENTRIES, uids))
        decisions = [keys.readable(entry) if entry else None for entry in entries]
        pairs = zip(members, decisions, strict=True)
        return [each for each, known in pairs if known is None or keys.accession_entry(known).encode() != each]

    def _remove(
        self, name: str, members: Iterator[bytes], strays: Callable[[Sequence[bytes]], Collection[bytes]]
    ) -> int:
        found = [each for some in _chunks(members) for each in strays(some)]
        return sum(int(self._client.zrem(name, *some)) for some in _chunks(iter(found)))

    def _members(self, name: str) -> Iterator[bytes]:
        for member, _ in self._client.zscan_iter(name, count=_AT_ONCE):
            yield member

    def _fields(self, name: str) -> Iterator[bytes]:
        yield from cast("list[bytes]", self._client.hkeys(name))


def _difference(
    expected: ExpectedEntry,
    entry: bytes | None,
    place: bytes | None,
    read: bytes | None,
    read_at: float | None,
    *scores: float | None,
) -> str:
    """Return the key in which the index differs; empty if it does not."""
    decision, was_read = expected.decision, expected.read_at is not None
    *listed, accession = scores
    in_list = [each == decision.priority and not was_read for each in keys.LISTS]
    wanted = [0.0 if each else None for each in in_list]
    facts = {
        keys.ENTRIES: entry == keys.entry(decision).encode(),
        keys.PLACES: place == keys.place(decision).encode(),
        keys.READ: (read == decision.revision.encode()) == was_read,
        keys.READ_AT: read_at == expected.read_at,
        keys.LISTS[decision.priority]: listed == wanted,
        keys.ACCESSIONS: accession == (0.0 if decision.accession_number else None),
    }
    return next((name for name, agrees in facts.items() if not agrees), "")


def _chunks(values: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(values, _AT_ONCE)):
        yield some
