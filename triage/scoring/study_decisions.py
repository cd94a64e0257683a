"""Decisions of studies, from the assessments in the spool to the record of the decision."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace

from triage.decision.decide import decide
from triage.decision.records import Record, assessment_from, to_record
from triage.decision.silence import is_silent
from triage.decision.types import ImageAssessment, PriorityPolicy, TriageDecision
from triage.errors import cause
from triage.runtime.log_context import about
from triage.runtime.logs import where_raised
from triage.scoring.decision_outputs import do_nothing
from triage.spool.clock import time_of
from triage.spool.errors import LockedError
from triage.spool.store import Store
from triage.spool.study_errors import is_of_one_study

logger = logging.getLogger(__name__)


class StudyErrors:
    """Errors of a batch that concern one study each, by Study Instance UID. Errors of the whole spool are raised.

    ``locked``: those of them whose lock another process holds: nothing is wrong with them, and they are for later.
    """

    def __init__(self, spool: Store) -> None:
        self._spool = spool
        self.by_study: dict[str, str] = {}
        self.locked: set[str] = set()

    @contextmanager
    def isolate(self, study_instance_uid: str) -> Iterator[None]:
        """Record an OSError that concerns this study alone; raise every other one."""
        try:
            yield
        except OSError as error:
            if not is_of_one_study(error, self._spool):
                raise
            if isinstance(error, LockedError):
                self.locked.add(study_instance_uid)
                self.by_study[study_instance_uid] = f"the study is locked: {cause(error)}"
            else:
                self.by_study[study_instance_uid] = f"the study cannot be written: {cause(error)}"


@dataclass(frozen=True)
class DecisionRules:
    """Rules of the site for its decisions.

    ``silent``: studies that begin now are recorded, and neither listed nor delivered. ``clock_in_doubt``: True after a
    jump of the clock; then no study counts as a prior. ``choose`` is called with each decision before it is written,
    under the study's lock, and with True for the first one of a study.
    """

    priorities: PriorityPolicy
    silent: bool = False
    clock_in_doubt: Callable[[], bool] = lambda: False
    choose: Callable[[TriageDecision, bool], None] = lambda decision, first: None


class StudyDecider:
    """Decide studies and write their decisions. Each decision of a study has the next number."""

    def __init__(self, spool: Store, rules: DecisionRules, mark: Callable[[str], None]) -> None:
        """``mark`` is called with the UID of each study whose decision is to be delivered, under its lock."""
        self._spool = spool
        self._rules = rules
        self._mark = mark

    def decide_all(
        self, studies: Iterable[str], errors: StudyErrors, decided: Callable[[str], None] = do_nothing
    ) -> dict[str, TriageDecision]:
        """Return the decisions by study; a study that cannot be decided is in ``errors`` instead.

        ``decided`` is called with the UID of each, under its lock.
        """
        decisions: dict[str, TriageDecision] = {}
        for uid in sorted(studies):
            with errors.isolate(uid):
                try:
                    decisions[uid] = self._decide(uid, decided)
                except (ValueError, KeyError, TypeError) as error:
                    errors.by_study[uid] = f"the study's records cannot be read: {where_raised(error)}"
        return decisions

    def _decide(self, study_instance_uid: str, decided: Callable[[str], None]) -> TriageDecision:
        in_doubt = self._rules.clock_in_doubt()
        priorities = self._rules.priorities
        if in_doubt:
            priorities = replace(priorities, prior_after_days=0.0)
        with self._spool.study_lock(study_instance_uid):
            images = [assessment_from(record) for record in self._spool.assessments(study_instance_uid)]
            earlier = self._earlier(study_instance_uid)
            decision = replace(
                decide(images, priorities, time_of(self._spool)),
                sequence=1 + max((int(each.get("sequence") or 0) for each in earlier), default=0),
                silent=self._is_silent(earlier, images, in_doubt),
            )
            self._rules.choose(decision, not earlier)
            self._spool.write_decision(study_instance_uid, to_record(decision))
            decided(study_instance_uid)
            if not decision.silent:
                self._mark(study_instance_uid)
        return decision

    def _earlier(self, study_instance_uid: str) -> Sequence[Record]:
        """Return the study's last decision or, where that is lost, its history. The caller holds the study's lock."""
        last = self._spool.decision(study_instance_uid)
        return [last] if last is not None else self._spool.history(study_instance_uid)

    def _is_silent(self, earlier: Sequence[Record], images: Sequence[ImageAssessment], in_doubt: bool) -> bool:
        before = bool(earlier[-1].get("silent")) if earlier else None
        tagged_at = float(earlier[-1].get("tagged_at") or 0.0) if earlier else 0.0
        newest = max(image.received_at for image in images)
        return is_silent(before, tagged_at, newest, self._rules.silent, clock_in_doubt=in_doubt)


def log_decision(decision: TriageDecision, assessments: Iterable[ImageAssessment]) -> None:
    """Log that a study has a result, and from which associations. The result itself is in the spool alone."""
    uid = decision.study_instance_uid
    associations = sorted({each.association for each in assessments if each.study_instance_uid == uid} - {""})
    with about(study=uid, result=decision.revision[:16], association=" ".join(associations)):
        logger.info("study %s is tagged, result %d", uid, decision.sequence, extra={"source": uid})
