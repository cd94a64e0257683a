"""Where a canary is: what its files and its job in the queue say of each stage of the way."""

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
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.study import Study, read_study

STORED, QUEUED, SCORED, DECIDED, DELIVERED = "stored", "queued", "scored", "decided", "delivered"
STAGES = (STORED, QUEUED, SCORED, DECIDED)
"""The stages before delivery, which is ``delivered:NAME`` for each destination."""

EXPECTED = frozenset(
    {
        Reason.OUT_OF_DISTRIBUTION,  # a phantom is no patient: a model may well refuse it
        Reason.ORIENTATION_UNVERIFIED,
        Reason.FINDING_NOT_COVERED,
        Reason.AGE_NOT_COVERED,
        Reason.NO_MODEL,
        Reason.MODEL_SHADOW,
        Reason.MODEL_DISABLED,
    }
)
"""Reasons why a canary is not assessed that are what the site or its model chose, and no failure of the service's."""

_SAME = 1e-3
"""Another processor or provider gives scores that differ by 1e-5 (docs/adr/0023). The phantom's pixels never change."""


class NotYet(Exception):  # noqa: N818
    """The stage is not passed; the message says what is waited for."""


class Stuck(Exception):  # noqa: N818
    """The stage will not be passed; the message says why."""


@dataclass(frozen=True)
class Facts:
    """What is known of a canary. ``state`` is that of its job, empty for none; RedisError if Redis is away."""

    partition: Spool
    instance: ReceivedInstance
    state: Callable[[ReceivedInstance], str]

    @property
    def study(self) -> str:
        """Its Study Instance UID."""
        return self.instance.study_instance_uid


def queued(facts: Facts) -> str:
    """Its job is or was in the queue."""
    if facts.partition.assessments(facts.study):
        return ""
    try:
        state = facts.state(facts.instance)
    except RedisError as error:
        raise NotYet("Redis does not answer") from error
    if not state:
        raise NotYet("its job is not in the queue: see the log of listen, and whether all use one redis.url")
    return ""


def scored(facts: Facts) -> str:
    """A worker has assessed it, or refused it as a model may."""
    for _, note in facts.partition.dead_letters():
        raise Stuck(f"the worker gave it up: {note.get('error', 'no reason noted')}")
    found = facts.partition.assessments(facts.study)
    if not found:
        raise NotYet(f"no worker has scored it; its job is {_job(facts)}")
    (assessment,) = found
    if wrong := [reason for reason in assessment["reasons"] if reason not in EXPECTED]:
        raise Stuck(f"not assessed: {', '.join(wrong)} {assessment['detail']}".rstrip())
    probability = assessment["probability"]
    if probability is None:
        return f"{assessment['tag']} {', '.join(assessment['reasons'])}".rstrip()
    figures = f" {probability:.3f} by {assessment['model_id']}"
    first = first_score(facts.partition, str(assessment["model_digest"]), probability)
    if abs(probability - first) > _SAME:
        raise Stuck(f"{assessment['model_id']} scores otherwise than before: {probability:.4f}, and {first:.4f} first")
    return f"{assessment['tag']}{figures} {', '.join(assessment['reasons'])}".rstrip()


def decided(facts: Facts) -> str:
    """Its study has a decision that was listed, and it has left the inbox."""
    for _, note in facts.partition.dead_letters():
        raise Stuck(f"the worker gave it up: {note.get('error', 'no reason noted')}")
    if facts.partition.decision(facts.study) is None or not facts.partition.filed_path(facts.instance).exists():
        raise NotYet("its decision did not reach the worklist: see the log of work")
    return ""


def delivered(facts: Facts, destination: Destination, switches: Outbox) -> str:
    """The destination has acknowledged its message, or is not to hear of it."""
    name, outbox = destination.name, Outbox(facts.partition)
    if switches.disabled(name):
        return "switched off by hand"
    if name in outbox.to_be_told(facts.study):  # before the records: a message is built first, and unmarked then
        raise NotYet("its message is not built: does deliver run, with these settings?")
    for *_, why in outbox.dead_letters(name):
        raise Stuck(why)
    records = outbox.records(facts.study, name)
    if not records:
        return _not_wanted(facts, destination)
    tried = records[-1].tries[-1]["detail"] if records[-1].tries else ""
    if records[-1].state is DeliveryState.WAITING:
        raise NotYet(tried or outbox.pause(name)[2] or switches.pause(name)[2] or "its message waits to be sent")
    if records[-1].state is DeliveryState.DEAD:
        raise Stuck(tried or "given up")
    return str(tried or records[-1].state)


def _not_wanted(facts: Facts, destination: Destination) -> str:
    """Nothing was built and nothing is to be built: right only if the channel has nothing to say of such a study."""
    known = read_study(facts.partition, facts.study)
    if known is not None and channel_of(destination).wants(Study(*known, now=time.time(), test=True)):
        raise Stuck(
            "the worker did not mark it: start work again, so that it knows the destination and its canary = true"
        )
    return "nothing to say there"


def _job(facts: Facts) -> str:
    try:
        return facts.state(facts.instance) or "not in the queue"
    except RedisError:
        return "unknown, for Redis does not answer"
