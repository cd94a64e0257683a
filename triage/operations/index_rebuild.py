"""Rebuild the worklist's index in Redis from the decisions in the spool."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from itertools import islice

from triage.decision.records import decision_from
from triage.decision.types import TriageDecision
from triage.errors import cause
from triage.metrics.reconcile import ReconcileMetrics
from triage.operations.one_study import UNREADABLE, one_study
from triage.spool.store import Store
from triage.worklist.index import IndexedWorklist
from triage.worklist.reader_acts import restore

logger = logging.getLogger(__name__)

_AT_ONCE = 500


def rebuild(spool: Store, index: IndexedWorklist, metrics: ReconcileMetrics) -> bool:
    """Fill the index from the studies' decisions if Redis lost it, or may have lost a part of it.

    Return whether it was rebuilt. Raises RedisError.
    """
    if index.is_built():
        return False
    token = index.begin_building()
    decisions = _readable(spool.decisions())
    while some := list(islice(decisions, _AT_ONCE)):
        for decision in some:  # first, so that what was read is not listed for a moment
            if not decision.silent:
                _restore(spool, index, decision.study_instance_uid)
        index.put_all(some)
    for uid in index.study_uids():
        with one_study(uid):
            if (found := spool.decision(uid)) is None or found.get("silent"):
                index.remove(uid)
    metrics.index_rebuilds.inc()
    return index.end_building(token)


def _restore(spool: Store, index: IndexedWorklist, uid: str) -> None:
    try:
        restore(spool, index, uid)
    except UNREADABLE as error:  # broken, or of another release; it must not hide the other studies
        logger.error("the readings of study %s cannot be read (%s): it is listed", uid, cause(error))


def _readable(records: Iterable[dict[str, object]]) -> Iterator[TriageDecision]:
    for record in records:
        try:
            yield decision_from(record)
        except UNREADABLE as error:  # of another release; it must not hide the others
            uid = record.get("study_instance_uid")
            logger.error("the decision of study %s cannot be read (%s): send it again", uid, cause(error))
