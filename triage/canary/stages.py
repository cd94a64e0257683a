"""The stages of a canary, each checked by its files and by its job in the queue.

A check returns details for a person once the stage is passed. It raises StagePendingError while the stage may still
be passed, and StageFailedError when it will not be.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from redis.exceptions import RedisError

from triage.canary.partition import first_score
from triage.channels.registry import channel_of
from triage.channels.settings import Destination
from triage.decision.reasons import Reason
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryState
from triage.errors import TriageError
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.study import Study, read_study

STORED, QUEUED, SCORED, DECIDED, DELIVERED = "stored", "queued", "scored", "decided", "delivered"
STAGES = (STORED, QUEUED, SCORED, DECIDED)
"""The stages before delivery, which is ``delivered:NAME`` for each destination."""

EXPECTED = frozenset(
    {
        Reason.OUT_OF_DISTRIBUTION,  # a phantom is no patient: a model may well refuse it
        Reason.ORIENTATION_UNVERIFIED,
        Reason.FINDING_NOT_COVERED,
        Reason.PLUGIN_ALONE,
        Reason.AGE_NOT_COVERED,
        Reason.NO_MODEL,
        Reason.MODEL_SHADOW,
        Reason.MODEL_DISABLED,
    }
)
"""Reasons for NOT_ASSESSED that the site or its model chose, and that are no failure of the service."""

_SCORE_TOLERANCE = 1e-3
"""Another processor or provider changes a score by 1e-5 (docs/adr/0023). The phantom's pixels never change."""


class StagePendingError(TriageError):
    """The stage is not passed yet; the message names what is missing."""


class StageFailedError(TriageError):
    """The stage will not be passed; the message gives the reason."""


@dataclass(frozen=True)
class SentCanary:
    """A canary that the listener has stored. ``job_status`` is empty for no job, and raises RedisError."""

    partition: Store
    instance: ReceivedInstance
    job_status: Callable[[ReceivedInstance], str]

    @property
    def study(self) -> str:
        """Its Study Instance UID."""
        return self.instance.study_instance_uid


def check_queued(sent: SentCanary) -> str:
    """Check that its job is or was in the queue."""
    if sent.partition.assessments(sent.study):
        return ""
    try:
        status = sent.job_status(sent.instance)
    except RedisError as error:
        raise StagePendingError("Redis does not answer") from error
    if not status:
        raise StagePendingError("its job is not in the queue: see the log of listen, and whether all use one redis.url")
    return ""


def check_scored(sent: SentCanary) -> str:
    """Check that a worker has assessed it, or refused it as a model may."""
    _check_not_given_up(sent)
    assessments = sent.partition.assessments(sent.study)
    if not assessments:
        raise StagePendingError(f"no worker has scored it; its job is {_job_text(sent)}")
    (assessment,) = assessments
    if unexpected := [reason for reason in assessment["reasons"] if reason not in EXPECTED]:
        raise StageFailedError(f"not assessed: {', '.join(unexpected)} {assessment['detail']}".rstrip())
    reasons, probability = ", ".join(assessment["reasons"]), assessment["probability"]
    if probability is None:
        return f"{assessment['tag']} {reasons}".rstrip()
    model = assessment["model_id"]
    first = first_score(sent.partition, str(assessment["model_digest"]), probability)
    if abs(probability - first) > _SCORE_TOLERANCE:
        raise StageFailedError(f"{model} scores otherwise than before: {probability:.4f}, and {first:.4f} first")
    return f"{assessment['tag']} {probability:.3f} by {model} {reasons}".rstrip()


def check_decided(sent: SentCanary) -> str:
    """Check that its study has a decision that reached the worklist, and that it has left the inbox."""
    _check_not_given_up(sent)
    if sent.partition.decision(sent.study) is None or not sent.partition.is_filed(sent.instance):
        raise StagePendingError("its decision did not reach the worklist: see the log of work")
    return ""


def check_delivered(sent: SentCanary, destination: Destination, switches: Outbox) -> str:
    """Check that the destination has acknowledged its message, or needs none. ``switches``: the patients' outbox."""
    name, outbox = destination.name, Outbox(sent.partition)
    if switches.disabled(name):
        return "switched off by hand"
    if name in outbox.to_be_told(sent.study):  # before the records: a message is built first, and unmarked then
        raise StagePendingError("its message is not built: does deliver run, with these settings?")
    for *_, reason in outbox.dead.letters(name):
        raise StageFailedError(reason)
    records = outbox.records(sent.study, name)
    if not records:
        return _check_nothing_to_deliver(sent, destination)
    record = records[-1]
    last_try = str(record.tries[-1]["detail"]) if record.tries else ""
    if record.state is DeliveryState.WAITING:
        reason = last_try or outbox.pause(name)[2] or switches.pause(name)[2]
        raise StagePendingError(reason or "its message waits to be sent")
    if record.state is DeliveryState.DEAD:
        raise StageFailedError(last_try or "given up")
    return last_try or str(record.state)


def _check_not_given_up(sent: SentCanary) -> None:
    for _, note in sent.partition.dead_letters():
        raise StageFailedError(f"the worker gave it up: {note.get('error', 'no reason noted')}")


def _check_nothing_to_deliver(sent: SentCanary, destination: Destination) -> str:
    """Check that the channel sends nothing for such a study: no message was built, and none is marked to be built."""
    study = read_study(sent.partition, sent.study)
    if study is not None and channel_of(destination).wants(Study(*study, now=time.time(), test=True)):
        raise StageFailedError(
            "the worker did not mark it: start work again, so that it knows the destination and its canary = true"
        )
    return "nothing to say there"


def _job_text(sent: SentCanary) -> str:
    try:
        return sent.job_status(sent.instance) or "not in the queue"
    except RedisError:
        return "unknown, for Redis does not answer"
