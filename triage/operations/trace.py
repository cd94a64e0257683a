"""All records of one study in spool and queue, for ``triage explain`` and the study page."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from redis.exceptions import RedisError

from triage.decision.correction import Correction
from triage.decision.records import assessment_from, decision_from
from triage.decision.rejection import with_rejections
from triage.decision.types import ImageAssessment, TriageDecision
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord
from triage.dicom.part10 import Receipt, read_receipt
from triage.dicom.uid import valid_uid
from triage.errors import cause
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import corrections_of
from triage.spool.receipts import by_store_clock
from triage.spool.store import Store
from triage.spool.stored_object import StoredObject
from triage.worklist.claims import ClaimEntry, claims_of
from triage.worklist.shown import ShownResult, shown_of

JobState = Callable[[ReceivedInstance], str]
"""Returns the state of an instance's job in words; may raise RedisError."""


@dataclass(frozen=True)
class ObjectTrace:
    """One received object: ``stored``: where it lies (None: removed), ``note`` the record of a dead letter."""

    instance: ReceivedInstance
    stored: StoredObject | None
    size_bytes: int
    receipt: Receipt
    assessment: ImageAssessment | None
    note: Mapping[str, object] | None
    waiting: bool
    job: str


@dataclass(frozen=True)
class StudyTrace:
    """One study: its current decision, every earlier one (oldest first), every object, and every delivery.

    ``undecided_destinations``: those for which it is not decided yet whether its present result is delivered.
    ``shown``: what was shown to whom; ``claims``: who claimed its workitem.
    """

    study_instance_uid: str
    decision: TriageDecision | None
    history: tuple[TriageDecision, ...]
    objects: tuple[ObjectTrace, ...]
    disabled_models: frozenset[str] = frozenset()
    deliveries: tuple[DeliveryRecord, ...] = ()
    undecided_destinations: tuple[str, ...] = ()
    corrections: tuple[Correction, ...] = ()
    shown: tuple[ShownResult, ...] = ()
    claims: tuple[ClaimEntry, ...] = ()


def gather(study_instance_uid: str, spool: Store, job_state: JobState | None = None) -> StudyTrace:
    """Return all records of a study in the spool and the queue.

    Raises InvalidUIDError for a text that is no UID, and LookupError for an unknown study.
    """
    uid = valid_uid(study_instance_uid)
    decision = spool.decision(uid)
    assessments = {(each.sop_instance_uid, each.content_digest): each for each in _assessments(spool, uid)}
    notes = {instance: note for instance, note in spool.dead_letters() if instance.study_instance_uid == uid}
    instances = {*spool.objects_of(uid), *(ReceivedInstance(uid, *key) for key in assessments)}
    if decision is None and not instances:
        raise LookupError(f"nothing is known of study {uid}: it never came, or was removed after its retention")
    outbox = Outbox(spool)
    objects = [
        _object(spool, each, assessments.get((each.sop_instance_uid, each.content_digest)), notes.get(each), job_state)
        for each in instances
    ]
    return StudyTrace(
        study_instance_uid=uid,
        decision=None if decision is None else decision_from(decision),
        history=tuple(decision_from(each) for each in spool.history(uid)),
        objects=tuple(sorted(objects, key=lambda each: (each.receipt.received_at or 0.0, each.instance))),
        disabled_models=spool.model_switches.disabled(),
        deliveries=tuple(outbox.records(uid)),
        undecided_destinations=outbox.to_be_told(uid),
        corrections=tuple(corrections_of(spool, uid)),
        shown=tuple(shown_of(spool, uid)),
        claims=tuple(claims_of(spool, uid)),
    )


def _assessments(spool: Store, uid: str) -> Iterator[ImageAssessment]:
    yield from with_rejections(assessment_from(record) for record in spool.assessments(uid))


def _object(
    spool: Store,
    instance: ReceivedInstance,
    assessment: ImageAssessment | None,
    note: Mapping[str, object] | None,
    job_state: JobState | None,
) -> ObjectTrace:
    stored = spool.stored_object(instance)
    waiting = stored is not None and spool.waits(instance)
    receipt = Receipt() if stored is None else read_receipt(stored)
    if not receipt.received_at and assessment is not None:
        receipt = _receipt_of(assessment, receipt)
    return ObjectTrace(
        instance=instance,
        stored=stored,
        size_bytes=0 if stored is None else _size(stored),
        receipt=receipt if stored is None else by_store_clock(receipt, stored),
        assessment=assessment,
        note=note,
        waiting=waiting,
        job=_job(instance, job_state) if waiting else "",
    )


def _receipt_of(assessment: ImageAssessment, receipt: Receipt) -> Receipt:
    """Return the receipt as the assessment has it, for an object whose file is gone or has none."""
    return Receipt(
        received_at=assessment.received_at,
        calling_ae_title=receipt.calling_ae_title or assessment.calling_ae_title,
        transfer_syntax_uid=receipt.transfer_syntax_uid,
        association=assessment.association,
    )


def _size(stored: StoredObject) -> int:
    try:
        return stored.size()
    except FileNotFoundError:  # it was tagged or removed this moment
        return 0


def _job(instance: ReceivedInstance, job_state: JobState | None) -> str:
    if job_state is None:
        return "not asked"
    try:
        return job_state(instance)
    except RedisError as error:
        return f"unknown, Redis does not answer ({cause(error)})"
