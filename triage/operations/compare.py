"""The index in Redis compared with the files, study by study, and put right: Redis is a hint and is never believed.

Each sweep looks at the names of all studies, at the numbers in the index, and at the records of some studies in turn:
so its cost is bounded, and every study has its turn. Where numbers do not add up, it looks for those that are not where
the index itself says that they are. What is lost in bulk is built anew.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from triage.decision.records import decision_from
from triage.metrics.process import Metrics
from triage.spool.spool import DECISION, Spool
from triage.worklist.index import Worklist
from triage.worklist.index_check import ExpectedEntry, IndexCheck
from triage.worklist.reader_acts import acts_of, leaving_act

logger = logging.getLogger(__name__)

STUDIES_AT_ONCE = 2000
"""Studies of which a sweep reads the records, in turn: 50,000 have been looked at after 25 sweeps."""

_CHUNK = 500
_JUST_DECIDED_S = 30.0  # a worker may be about to index it: put in all the same, and not counted
_IN_VAIN_S = 600.0
_UNREADABLE = (OSError, ValueError, KeyError, TypeError)
_LONGEST_UID = 64
_LINES = 20  # of a sweep's log: what else was repaired is counted


@dataclass
class ComparisonTurns:
    """Where the comparison stands from sweep to sweep; each process has its own.

    ``rest`` are the studies whose turn has not come. ``in_vain_until``: when it may be looked again for why the numbers
    do not add up, by the monotonic clock. ``silent``: the studies that have no place in the index.
    """

    at_once: int = STUDIES_AT_ONCE
    rest: Iterator[str] = field(default_factory=lambda: iter(()))
    in_vain_until: float = 0.0
    silent: set[str] = field(default_factory=set)


def compare(spool: Spool, index: Worklist, check: IndexCheck, metrics: Metrics, turns: ComparisonTurns) -> int:
    """Compare some studies and put them right: how many. What is lost in bulk is left to ``rebuild``, which is told so.

    Raises RedisError.
    """
    return _Comparison(spool, index, check, metrics, turns).run()


@dataclass
class _Comparison:
    """One sweep's comparison."""

    _spool: Spool
    _index: Worklist
    _check: IndexCheck
    _metrics: Metrics
    _turns: ComparisonTurns
    _lines: int = 0

    def run(self) -> int:
        turns, at_once = self._turns, self._turns.at_once
        known = {uid.encode(): uid for uid in self._spool.study_uids()}
        indexed = self._check.studies()
        names = self._to_be_listed(known, indexed)
        in_doubt = time.monotonic() >= turns.in_vain_until and not self._check.adds_up()
        suspects = (names.keys() - indexed) | self._index.doubted() | (self._check.unlisted() if in_doubt else set())
        wanted = [names[each] for each in suspects if each in names]
        if len(wanted) > at_once:
            self._index.invalidate()
            return self._count("lost", len(wanted))
        turn, ended = self._next(at_once)
        repaired = self._compare(dict.fromkeys([*wanted, *turn]))
        repaired += sum(self._forget(each) for each in islice(indexed - names.keys(), at_once))
        if ended or in_doubt:
            repaired += self._count("stranger", self._check.remove_strays(names.__contains__))
        if in_doubt and not self._check.adds_up():
            turns.in_vain_until = time.monotonic() + _IN_VAIN_S  # of another release, or in motion: not each time
        return repaired

    def _to_be_listed(self, names: dict[bytes, str], indexed: set[bytes]) -> dict[bytes, str]:
        """The studies that have a place in the index. Of those that it lacks the record is read once, to know which."""
        silent = self._turns.silent
        silent &= set(names.values())
        for name in [each for each in silent if each.encode() in indexed]:
            self._expected(name)
        lost = 0
        for name in (uid for each, uid in names.items() if each not in indexed and uid not in silent):
            self._expected(name)
            lost += name not in silent
            if lost > self._turns.at_once:  # all is built anew, whatever the others are
                break
        return {each: uid for each, uid in names.items() if uid not in silent}

    def _next(self, at_once: int) -> tuple[list[str], bool]:
        """The studies whose turn it is, and whether all have had it."""
        turn = list(islice(self._turns.rest, at_once))
        ended = len(turn) < at_once
        if ended:
            self._turns.rest = self._spool.study_uids()
            turn += islice(self._turns.rest, at_once - len(turn))
        return turn, ended

    def _compare(self, uids: Iterable[str]) -> int:
        rest, count = iter(uids), 0
        while some := list(islice(rest, _CHUNK)):
            expected = [each for uid in some if (each := self._expected(uid)) is not None]
            for uid, where in self._check.differing(expected).items():
                count += self._repair(uid, where)
        return count

    def _expected(self, uid: str) -> ExpectedEntry | None:
        """What the index has to say of a study; None where its decision is not there, silent, or of another release."""
        try:
            record = self._spool.decision(uid)
            if record is None:
                return None
            decision = decision_from(record)
            if decision.silent:
                self._turns.silent.add(uid)
                return None
            self._turns.silent.discard(uid)
            read = leaving_act(acts_of(self._spool, uid))
        except _UNREADABLE:  # the rebuild says so in the log
            return None
        return ExpectedEntry(decision, read.at if read and read.revision == decision.revision else None)

    def _repair(self, uid: str, where: str) -> int:
        """Put a study in over what is there, if under its lock, when no worker decides on it, it still differs."""
        with suppress(*_UNREADABLE), self._spool.study_lock(uid):
            expected = self._expected(uid)
            if expected is None or not self._check.differing([expected]):
                return 0
            if expected.read_at is None:
                self._index.unread(uid)
                self._index.put_over(expected.decision)
            else:
                self._index.read(uid, expected.decision.revision, expected.read_at)
                self._index.put_over(expected.decision)
                self._index.read(uid, expected.decision.revision, expected.read_at)
            if self._is_just_decided(uid):
                return 0
            self._say("sweep: the worklist said something else of study %s than its files (%s): put right", uid, where)
            return self._count(where.rpartition(":")[2].lower(), 1)
        return 0

    def _is_just_decided(self, uid: str) -> bool:
        return 0 <= time.time() - (self._spool.study_folder(uid) / DECISION).stat().st_mtime < _JUST_DECIDED_S

    def _forget(self, name: bytes) -> int:
        """Take out of the index what is in no folder, or silent."""
        with suppress(*_UNREADABLE):
            found = self._spool.decision(name.decode())
            if found is not None and not found.get("silent"):
                return 0
        self._index.remove(name)
        self._say("sweep: the worklist had %s, of which there is no file to list: removed", _shown(name))
        return self._count("stranger", 1)

    def _count(self, what: str, number: int) -> int:
        if number:
            self._metrics.index_repairs.labels(what).inc(number)
        return number

    def _say(self, text: str, *values: object) -> None:
        self._lines += 1
        if self._lines <= _LINES:
            logger.warning(text, *values)


def _shown(name: bytes) -> str:
    """What stands in Redis as a study's UID, in a log: anybody may have written it."""
    is_uid = len(name) <= _LONGEST_UID and set(name) <= set(b"0123456789.")
    return f"study {name.decode()}" if is_uid else "an entry that is no study's"
