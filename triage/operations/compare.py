"""Compare the worklist's index in Redis with the files, study by study, and correct it: the files are authoritative.

Each sweep reads the counts in the index, the names of the studies in those parents of study folders that changed, and
the records of a bounded number of studies, in turn: its cost does not grow with the studies kept. Where the counts do
not agree with the folders it reads the names of all studies, and where they do not add up it searches the studies that
are not at the place that the index gives. An index that lost much is rebuilt.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from triage.decision.records import decision_from
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations.one_study import UNREADABLE
from triage.spool.store import Store, StudyChanges
from triage.worklist.index import IndexedWorklist
from triage.worklist.index_check import ExpectedEntry, IndexCheck
from triage.worklist.reader_acts import acts_of, leaving_act

logger = logging.getLogger(__name__)

STUDIES_IN_TURN = 300
"""Studies whose records a sweep reads, in turn, for a fifth of a percent of a core: 50,000 take 167 sweeps."""
MOST_REPAIRED = 2000
"""Studies that a sweep repairs one by one; where more are lost, the index is built anew."""

_CHUNK = 500
_JUST_DECIDED_S = 30.0  # a worker may be about to index it: corrected all the same, and not counted
_RETRY_S = 600.0
_LONGEST_UID = 64
_LOOKS = 3  # at what changes while it is counted, before all names are read
_LINES = 20  # in the log of a sweep: further repairs are only counted


@dataclass
class ComparisonTurns:
    """Progress of the comparison from sweep to sweep; each process has its own.

    ``rest`` are the studies whose turn has not come. ``search_again_at``: time of the monotonic clock before which the
    counts are not searched again. ``silent``: the studies that have no place in the index. ``folders`` and ``indexed``:
    the parents of study folders as they were seen last, and how many of the studies in each are in the index.
    """

    at_once: int = MOST_REPAIRED
    in_turn: int = STUDIES_IN_TURN
    rest: Iterator[str] = field(default_factory=lambda: iter(()))
    search_again_at: float = 0.0
    silent: set[str] = field(default_factory=set)
    folders: StudyChanges | None = None
    indexed: Counter[str] = field(default_factory=Counter)


def compare(
    spool: Store, index: IndexedWorklist, check: IndexCheck, metrics: ReconcileMetrics, turns: ComparisonTurns
) -> int:
    """Compare some studies, correct them, and return the number of corrections. Raises RedisError.

    An index that lost many studies is marked as not built, for ``rebuild``.
    """
    return _Comparison(spool, index, check, metrics, turns).run()


@dataclass
class _Comparison:
    """One sweep's comparison."""

    _spool: Store
    _index: IndexedWorklist
    _check: IndexCheck
    _metrics: ReconcileMetrics
    _turns: ComparisonTurns
    _lines: int = 0

    def run(self) -> int:
        """Compare what changed and what has its turn; and all names, where the counts differ from the folders."""
        repaired, doubted = 0, self._index.doubted()
        for _ in range(_LOOKS):
            repaired += self._compare_changed()
            if self._check.size() == self._turns.indexed.total():
                break
        else:
            return repaired + self._compare_all(doubted)
        if self._is_in_doubt():
            return repaired + self._compare_all(doubted)
        turn, ended = self._next(self._turns.in_turn)
        repaired += self._compare(dict.fromkeys([*filter(None, map(_shown_uid, doubted)), *turn]))
        if ended:
            repaired += self._count("stranger", self._check.remove_strays(self._is_kept))
        return repaired

    def _compare_changed(self) -> int:
        """Compare the studies that are not in the index, of the parents that changed, and count those that are."""
        turns, count = self._turns, 0
        turns.folders = turns.folders or self._spool.study_changes()
        for parent, uids in turns.folders.changed().items():
            count += self._forget_silent(uids)
            absent = self._check.missing(uids)
            missing = [uid for uid in absent if uid not in turns.silent]
            if len(missing) > turns.at_once:  # the index is rebuilt, or all are compared
                turns.folders.forget()
                break
            count += self._compare(missing)
            turns.indexed[parent] = len(uids) - len(self._check.missing(absent))
        return count

    def _is_in_doubt(self) -> bool:
        return time.monotonic() >= self._turns.search_again_at and not self._check.adds_up()

    def _is_kept(self, name: bytes) -> bool:
        uid = _shown_uid(name)
        return bool(uid) and uid not in self._turns.silent and self._spool.has_study(uid)

    def _compare_all(self, doubted: set[bytes]) -> int:
        turns, at_once = self._turns, self._turns.at_once
        if turns.folders:
            turns.folders.forget()  # the next sweep counts anew
        known = {uid.encode(): uid for uid in self._spool.study_uids()}
        indexed, halves = self._check.studies()
        names = self._to_be_listed(known, indexed)
        in_doubt = self._is_in_doubt()
        suspects = (names.keys() - indexed) | halves | doubted | (self._check.unlisted() if in_doubt else set())
        wanted = [names[each] for each in suspects if each in names]
        if len(wanted) > at_once:
            self._index.invalidate()
            return self._count("lost", len(wanted))
        turn, ended = self._next(turns.in_turn)
        repaired = self._compare(dict.fromkeys([*wanted, *turn]))
        repaired += sum(self._forget(each) for each in islice(indexed - names.keys(), at_once))
        if ended or in_doubt:
            repaired += self._count("stranger", self._check.remove_strays(names.__contains__))
        if in_doubt and not self._check.adds_up():
            turns.search_again_at = time.monotonic() + _RETRY_S  # of another release, or in motion: not each time
        return repaired

    def _to_be_listed(self, names: dict[bytes, str], indexed: set[bytes]) -> dict[bytes, str]:
        """Return the studies that have a place in the index; the record of each that it lacks is read once."""
        silent = self._turns.silent
        silent &= set(names.values())
        for name in [each for each in silent if each.encode() in indexed]:
            self._expected(name)
        lost = 0
        for name in (uid for each, uid in names.items() if each not in indexed and uid not in silent):
            self._expected(name)
            lost += name not in silent
            if lost > self._turns.at_once:  # the index is rebuilt, whatever the others are
                break
        return {each: uid for each, uid in names.items() if uid not in silent}

    def _next(self, count: int) -> tuple[list[str], bool]:
        """Return the studies whose turn it is, and whether all have had it."""
        turn = list(islice(self._turns.rest, count))
        ended = len(turn) < count
        if ended:
            self._turns.rest = self._spool.study_uids()
            turn += islice(self._turns.rest, count - len(turn))
        return turn, ended

    def _compare(self, uids: Iterable[str]) -> int:
        rest, count = iter(uids), 0
        while some := list(islice(rest, _CHUNK)):
            expected = [each for uid in some if (each := self._expected(uid)) is not None]
            for uid, where in self._check.differing(expected).items():
                count += self._repair(uid, where)
            count += self._forget_silent(some)
        return count

    def _forget_silent(self, uids: Iterable[str]) -> int:
        """Remove the entries of those studies that have no place in the index, as another program may give them one."""
        silent = [uid for uid in uids if uid in self._turns.silent]
        missing = set(self._check.missing(silent))
        return sum(self._forget(uid.encode()) for uid in silent if uid not in missing)

    def _expected(self, uid: str) -> ExpectedEntry | None:
        """Return the entry that the index should have; None without a decision, or for a silent or unreadable one."""
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
        except UNREADABLE:  # the rebuild logs it
            return None
        return ExpectedEntry(decision, read.at if read and read.revision == decision.revision else None)

    def _repair(self, uid: str, where: str) -> int:
        """Overwrite the entry of a study if it still differs under the study's lock, when no worker decides on it."""
        with suppress(*UNREADABLE), self._spool.study_lock(uid):
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
            self._log("sweep: the worklist differed from the files of study %s (%s): corrected", uid, where)
            return self._count(where.rpartition(":")[2].lower(), 1)
        return 0

    def _is_just_decided(self, uid: str) -> bool:
        return 0 <= time.time() - self._spool.decided_at(uid) < _JUST_DECIDED_S

    def _forget(self, name: bytes) -> int:
        """Remove an entry of the index whose study has no folder, or is silent."""
        with suppress(*UNREADABLE):
            found = self._spool.decision(name.decode())
            if found is not None and not found.get("silent"):
                return 0
        self._index.remove(name)
        self._log("sweep: the worklist had %s, which no file lists: removed", _shown(name))
        return self._count("stranger", 1)

    def _count(self, difference: str, number: int) -> int:
        if number:
            self._metrics.index_repairs.labels(difference).inc(number)
        return number

    def _log(self, text: str, *values: object) -> None:
        self._lines += 1
        if self._lines <= _LINES:
            logger.warning(text, *values)


def _shown(name: bytes) -> str:
    """Return an entry's name for the log; it is shown only if it is a UID, as others may have written it."""
    uid = _shown_uid(name)
    return f"study {uid}" if uid else "an entry that is no study's"


def _shown_uid(name: bytes) -> str:
    """Return a name in the index as a UID; empty if it is none."""
    return name.decode() if len(name) <= _LONGEST_UID and set(name) <= set(b"0123456789.") else ""
