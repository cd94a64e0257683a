"""Cases and the removal of old studies: a study waits for its judgement, and what was removed unjudged is counted."""

from __future__ import annotations

import logging

from triage.adjudication.acts import study_cases
from triage.adjudication.marks import CaseMarks, LapsedCase
from triage.spool.store import Store

logger = logging.getLogger(__name__)


def is_awaited(spool: Store, study_instance_uid: str, opened_after: float) -> bool:
    """Return whether a case of the study that came up after a time (POSIX seconds) has to be judged.

    Raises OSError, and ValueError for a damaged journal.
    """
    if not CaseMarks(spool).is_open(study_instance_uid):
        return False
    cases = study_cases(spool, study_instance_uid)
    return any(case.judgement is None and case.since > opened_after for case in cases)


def forget(spool: Store, study_instance_uid: str, now: float) -> None:
    """Remove a study from the list of cases. Those that have to be judged are counted, without the study's name."""
    marks = CaseMarks(spool)
    if marks.is_open(study_instance_uid):
        unjudged = [case for case in study_cases(spool, study_instance_uid) if case.judgement is None]
        for case in unjudged:
            marks.lapse(LapsedCase(case.chosen_by, case.finding == "", case.since, now))
        if unjudged:
            logger.warning("study %s: retention removes it before its case was judged", study_instance_uid)
    marks.remove(study_instance_uid)
