"""Remove from spool and worklist what is past the ages that the site has set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import islice

from triage.adjudication import retention as cases
from triage.delivery.outbox import Outbox
from triage.operations.one_study import one_study
from triage.spool.store import Store
from triage.worklist.reader_acts import NotTaggedError, acts_of, expire, leaving_act
from triage.worklist.worklist import Worklist

_EXPIRED_AT_ONCE = 200
_REMOVED_AT_ONCE = 200
_EXAMINED_AT_ONCE = 1000
"""Studies whose age a sweep reads, in turn, so that its cost does not grow with the studies kept."""
_DAY_S = 24 * 3600.0
OLD_PART_S = 3600.0
"""Seconds after which a part is of an association that ended: none lives that long without progress."""
_OLD_LOCK_S = 7 * _DAY_S


@dataclass(frozen=True)
class AgeLimits:
    """Ages in days from which studies go; 0 days keep everything. ``now`` in POSIX seconds.

    ``retention_days`` removes a study's files, ``expire_after_days`` takes it off the list. A study with a case to be
    judged stays ``case_days`` from when the case came up; 0 days keep none. Unless ``clock_is_steady`` nothing goes by
    its age.
    """

    now: float
    retention_days: float = 0.0
    expire_after_days: float = 0.0
    case_days: float = 0.0
    clock_is_steady: bool = True


@dataclass
class RetentionTurns:
    """Progress of the retention from sweep to sweep; each process has its own.

    ``rest`` are the studies whose turn has not come, ``counted`` those of this round that are past their age and stay,
    ``overdue`` all of them in the last whole round.
    """

    rest: Iterator[str] = field(default_factory=lambda: iter(()))
    counted: int = 0
    overdue: int = 0

    def next(self, spool: Store) -> tuple[list[str], bool]:
        """Return the studies whose turn it is, and whether all have had theirs then."""
        turn = list(islice(self.rest, _EXAMINED_AT_ONCE))
        if not turn:
            self.rest, self.counted = spool.study_uids(), 0
            turn = list(islice(self.rest, _EXAMINED_AT_ONCE))
        return turn, len(turn) < _EXAMINED_AT_ONCE


@dataclass(frozen=True)
class AgedStudies:
    """Numbers of studies removed, past their retention and kept, and taken off the list."""

    removed: int = 0
    overdue: int = 0
    expired: int = 0


def remove_aged(spool: Store, index: Worklist, limits: AgeLimits, turns: RetentionTurns | None = None) -> AgedStudies:
    """Remove old studies, unfinished transfers, and locks of workers that ended. Raises RedisError.

    While the clock is in doubt only that goes which goes by no host's clock: bytes that were given up before.

    ``turns`` are those of the sweep before. None: begin anew.
    """
    if not limits.clock_is_steady:
        spool.remove_dead_keys()
        return AgedStudies()
    removed, overdue, expired = 0, 0, 0
    if limits.retention_days:
        removed, overdue = remove_old(spool, index, limits, turns)
    if limits.expire_after_days:
        expired = expire_old(spool, index, limits.expire_after_days, limits.now)
    spool.remove_old_parts(limits.now - OLD_PART_S)
    spool.workers.remove_old(limits.now - _OLD_LOCK_S)
    return AgedStudies(removed, overdue, expired)


def remove_old(
    spool: Store, index: Worklist, limits: AgeLimits, turns: RetentionTurns | None = None
) -> tuple[int, int]:
    """Remove studies that were tagged longer ago than the retention and have left the list.

    A study stays while an object of it waits, is dead or is undelivered, and for a time while a case of it has to be
    judged. A call looks at a bounded number, in turn, so that studies that have to stay do not block the others, and
    removes a bounded number. Return the number removed, and the number as old that was left in the last whole round.
    """
    before, turns = limits.now - limits.retention_days * _DAY_S, turns or RetentionTurns()
    turn, ended = turns.next(spool)
    old = [uid for uid in turn if spool.touched(uid) < before]
    count = 0
    for uid in old:
        with one_study(uid), spool.study_lock(uid):
            # Only now: what came since the list was made must not go with the old.
            if _is_finished(spool, uid, before) and not _is_awaited(spool, uid, limits):
                index.remove(uid)
                cases.forget(spool, uid, limits.now)
                spool.remove_study(uid)
                count += 1
        if count >= _REMOVED_AT_ONCE:  # a wrong setting costs so many studies in one sweep, and no more
            break
    turns.counted += len(old) - count
    if ended:
        turns.overdue = turns.counted
    return count, turns.overdue


def expire_old(spool: Store, index: Worklist, expire_after_days: float, now: float) -> int:
    """Take off the list, in bounded number, what was last tagged longer ago; a late image renews a study's time.

    Return the number of studies.
    """
    before = now - expire_after_days * _DAY_S
    count = 0
    for uid in index.arrived_before(before):
        with one_study(uid), suppress(NotTaggedError):  # retention removed it meanwhile
            count += expire(spool, index, uid, before, now)
        if count >= _EXPIRED_AT_ONCE:  # the next sweep goes on: what waits for work must not wait for this
            break
    return count


def _is_finished(spool: Store, study_instance_uid: str, before: float) -> bool:
    decision = spool.decision(study_instance_uid)
    return (
        decision is not None
        and decision.get("tagged_at", before) < before
        and _has_left_the_list(spool, study_instance_uid, decision)
        and not spool.is_unfinished(study_instance_uid)
        and not Outbox(spool).is_undelivered(study_instance_uid)
    )


def _is_awaited(spool: Store, study_instance_uid: str, limits: AgeLimits) -> bool:
    return cases.is_awaited(spool, study_instance_uid, limits.now - limits.case_days * _DAY_S)


def _has_left_the_list(spool: Store, study_instance_uid: str, decision: Mapping[str, object]) -> bool:
    """Return whether the present revision of the study was read, or expired: no unread result is ever removed.

    A silent study was never on the list.
    """
    if decision.get("silent"):
        return True
    read = leaving_act(acts_of(spool, study_instance_uid))
    return read is not None and read.revision == decision.get("revision")
