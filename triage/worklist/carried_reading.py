"""Readings that outlast a recall: tens of thousands of read studies must not come back because they are scored again.

A study comes back that is raised now and was not abnormal when it was read: its finding may have been missed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triage.decision.decide import current_assessments
from triage.decision.records import assessment_from
from triage.decision.types import Tag, TriageDecision
from triage.spool.recall_file import recalled_assessments
from triage.spool.store import Store
from triage.worklist.reader_acts import ReaderAct, acts_of, append_act, leaving_act, update_index
from triage.worklist.worklist import Worklist


def put_with_reading(spool: Store, index: Worklist, decisions: Sequence[TriageDecision]) -> None:
    """Put decisions into the index; of a study that was scored again, with its reading. Raises RedisError, OSError."""
    for decision in decisions:
        if not decision.silent and recalled_assessments(spool, decision.study_instance_uid):
            carry_reading(spool, index, decision)
    index.put_all(decisions)


def carry_reading(spool: Store, index: Worklist, decision: TriageDecision) -> None:
    """Record that the present result of a study is read, if the one before the recall was."""
    uid = decision.study_instance_uid
    with spool.study_lock(uid):
        last = leaving_act(acts_of(spool, uid))
        if last is None or not _holds(spool, decision, last):
            return
        act = replace(last, revision=decision.revision, tag=decision.tag)
        if act.revision != last.revision:
            append_act(spool, uid, act)
        if index.is_of_store:
            update_index(index, uid, act)
    if not index.is_of_store:
        update_index(index, uid, act)


def _holds(spool: Store, decision: TriageDecision, last: ReaderAct) -> bool:
    """Return whether the reader saw every image, before the recall, and missed nothing that is raised now."""
    uid = decision.study_instance_uid
    if decision.raised and last.tag != Tag.ABNORMAL:
        return False
    images = current_assessments(assessment_from(each) for each in spool.assessments(uid))
    newest = max((image.received_at for image in images if image.counts), default=0.0)
    return newest <= last.at and any(at >= last.at for at, _ in recalled_assessments(spool, uid))
