"""Corrections as a person's act: recorded with each study, then told to every destination that was told otherwise."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.decision.correction import correction_of
from triage.decision.reasons import Reason
from triage.decision.records import decision_from, to_record
from triage.decision.statement import states_of
from triage.decision.types import ImageAssessment, Tag, TriageDecision
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.operations.recall import ImageState, RecalledImage, RecallScope, recalled_images
from triage.spool.recall_file import add_correction, add_scored_again
from triage.spool.store import Store

_REACHED = (DeliveryState.DELIVERED, DeliveryState.WAITING, DeliveryState.DEAD)


class CorrectionOutcome(StrEnum):
    """Result of the act for one study."""

    CORRECTED = "corrected"
    ALREADY = "corrected before, by the same act"
    NOT_SCORED = "not corrected: it waits to be scored again"
    NOT_RENEWED = "not corrected: score it again first (--score-again)"
    NOTHING_TOLD = "nothing was delivered"
    UNCHANGED = "the result is what was said"
    SILENT = "silent: nothing was delivered"


@dataclass(frozen=True)
class CorrectionAct:
    """The act of a person: name, reason, account of the operating system, and time (POSIX seconds)."""

    by: str
    reason: str
    account: str
    at: float


@dataclass(frozen=True)
class Correcting:
    """The spool, the destinations and the decider of a correction.

    ``destinations`` are those that are switched on; ``redecide`` decides a study anew and lists it.
    """

    spool: Store
    destinations: Collection[str]
    redecide: Callable[[str], object]


def correct(
    correcting: Correcting, study_instance_uid: str, scope: RecallScope, act: CorrectionAct
) -> CorrectionOutcome:
    """Correct what was delivered of one study; the same act twice is one.

    What was said of images whose bytes are not kept is withdrawn: they are NOT_ASSESSED (``recalled``) from then on.
    Raises OSError, ValueError, KeyError and TypeError for records that cannot be read or written; then call it again.
    """
    spool = correcting.spool
    if spool.decision(study_instance_uid) is None:
        return CorrectionOutcome.NOTHING_TOLD
    images = recalled_images(spool, study_instance_uid, scope)
    states = {each.state for each in images}
    if ImageState.WAITING in states:
        return CorrectionOutcome.NOT_SCORED
    if scope.names_results:
        if ImageState.STANDS in states:
            return CorrectionOutcome.NOT_RENEWED
        if gone := [each for each in images if each.state is ImageState.GONE]:
            _withdraw(spool, study_instance_uid, gone)
            correcting.redecide(study_instance_uid)
    with spool.study_lock(study_instance_uid):
        return _record(correcting, study_instance_uid, act)


def _record(correcting: Correcting, uid: str, act: CorrectionAct) -> CorrectionOutcome:
    """Record the act, and mark the study for the destinations that it concerns. The caller holds its lock."""
    spool, outbox = correcting.spool, Outbox(correcting.spool)
    record = spool.decision(uid)
    if record is None:  # retention removed it meanwhile
        return CorrectionOutcome.NOTHING_TOLD
    decision = decision_from(record)
    if decision.silent:
        return CorrectionOutcome.SILENT
    told = {each.destination: each.number for each in outbox.records(uid) if each.state in _REACHED}
    if not told:
        return CorrectionOutcome.NOTHING_TOLD
    if all(_facts(decision_from(each)) == _facts(decision) for each in spool.history(uid)):
        return CorrectionOutcome.UNCHANGED
    correction = replace(correction_of(decision, act.by, act.reason, act.at, told), account=act.account)
    with spool.batch() as batch:
        for name in sorted(told.keys() & set(correcting.destinations)):
            outbox.mark(uid, name)
        batch.settle()  # the marks first: an act that is recorded is told, whenever this process ends
    new = add_correction(spool, uid, correction)
    return CorrectionOutcome.CORRECTED if new else CorrectionOutcome.ALREADY


def _withdraw(spool: Store, uid: str, images: list[RecalledImage]) -> None:
    """Replace what was said of images that are no longer kept; what it was is recorded first."""
    with spool.study_lock(uid):
        now = time.time()
        add_scored_again(spool, uid, now, [to_record(each.said) for each in images])
        for each in images:
            spool.write_assessment(each.instance, to_record(_withdrawn(each.said, now)))


def _withdrawn(said: ImageAssessment, now: float) -> ImageAssessment:
    return replace(
        said,
        assessed_at=max(now, said.assessed_at) + 1e-6,  # later than the act, so that it is renewed
        tag=Tag.NOT_ASSESSED,
        probability=None,
        calibrated_probability=None,
        reasons=(Reason.RECALLED,),
        detail=f"what {said.model_id} said was recalled, and the object is no longer kept",
        model_id=None,
        model_digest=None,
        operating_point=None,
        activation_map=None,
        results=(),
    )


def _facts(decision: TriageDecision) -> tuple[object, ...]:
    return decision.tag, decision.urgency, states_of(decision.findings), decision.reasons
