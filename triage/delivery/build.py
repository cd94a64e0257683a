"""What a destination is to be told of a study, if anything: decided and built from the study's files."""

from __future__ import annotations

import logging
from collections.abc import Collection
from dataclasses import replace
from enum import StrEnum

from triage.channels.base import Built, Channel, NothingToShowError, Skipped
from triage.decision.types import Tag
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord, DeliveryState, OutgoingObject
from triage.spool.spool import Spool
from triage.spool.study import PreviousMessage, Study, StudyImage, attributes_known, read_study, revision

logger = logging.getLogger(__name__)

_REACHED = (
    DeliveryState.DELIVERED,
    DeliveryState.WAITING,
    DeliveryState.DEAD,
)  # of DEAD nobody knows: a peer that is silent may have it


class BuildResult(StrEnum):
    """What came of looking at a study for a destination."""

    BUILT = "built"
    REPAIRED = "repaired"  # built without some attributes that are odd in the images
    NOTHING = "nothing"  # not wanted there, or nothing new
    SKIPPED = "skipped"  # wanted there, and nothing can be made of it: recorded with the reason
    HELD = "held"  # it would lower what was raised


def build_if_changed(
    spool: Spool,
    outbox: Outbox,
    destination: str,
    channel: Channel,
    study_instance_uid: str,
    waiting: Collection[OutgoingObject],
    now: float,
    *,
    test: bool = False,
) -> BuildResult:
    """Build what ``destination`` has not heard of the study, and take away the mark. ``waiting`` is what waits for it.

    ``test``: the study is no patient's.

    Raises OSError, and whatever a message that cannot be built raises; the mark then stays.
    """
    with spool.study_lock(study_instance_uid):
        known = read_study(spool, study_instance_uid)
        told = BuildResult.NOTHING
        if known is not None and known[1] and not known[0].silent:
            study = Study(*known, now=now, test=test)
            if channel.wants(study):
                told = _tell(outbox, destination, channel, study, waiting)
        outbox.unmark(study_instance_uid, destination)
        return told


def _tell(
    outbox: Outbox, destination: str, channel: Channel, study: Study, waiting: Collection[OutgoingObject]
) -> BuildResult:
    uid = study.decision.study_instance_uid
    unsent = {each.number: each for each in waiting if each.study_instance_uid == uid}
    # A waiting record whose payload is not there: a crash came between them. It was never sent, and is built again.
    records = [
        each
        for each in outbox.records(uid, destination)
        if each.state is not DeliveryState.WAITING or each.number in unsent
    ]
    said = channel.content(study)
    heard = [each for each in records if each.state is not DeliveryState.SUPERSEDED]
    if heard and heard[-1].said == said:
        return BuildResult.NOTHING
    reached = [each for each in records if each.state in _REACHED]
    if reached and reached[-1].tag == Tag.ABNORMAL and study.decision.tag is not Tag.ABNORMAL:
        logger.warning("%s: study %s was delivered as abnormal and is not lowered", destination, uid)
        return BuildResult.HELD
    reached = _supersede(outbox, reached, unsent, study.now)
    return _build(outbox, destination, channel, study, said, records, reached)


def _supersede(
    outbox: Outbox, reached: list[DeliveryRecord], unsent: dict[int, OutgoingObject], now: float
) -> list[DeliveryRecord]:
    """Take out what waits and never left: the new result says all that it would have. Returns the others."""
    kept = []
    for record in reached:
        item = unsent.get(record.number)
        if record.state is DeliveryState.WAITING and item is not None and not _left(record):
            outbox.remove(item, DeliveryState.SUPERSEDED, "a newer result took its place", now)
        else:
            kept.append(record)
    return kept


def _left(record: DeliveryRecord) -> bool:
    """Whether it may have reached the peer: any attempt may have, even one that had no answer."""
    return any(each["outcome"] == "retry" for each in record.tries)


def _build(
    outbox: Outbox,
    destination: str,
    channel: Channel,
    study: Study,
    said: list[object],
    records: list[DeliveryRecord],
    reached: list[DeliveryRecord],
) -> BuildResult:
    there = [
        each for each in reached if each.state is not DeliveryState.DEAD
    ]  # what the receiver has, or gets before this
    before = PreviousMessage(there[-1].revision, there[-1].tag, there[-1].identity) if there else None
    named = replace(
        study,
        number=records[-1].number + 1 if records else 1,
        revision=revision(study.decision, study.images, channel.encoder, before.revision if before else ""),
        before=before,
    )
    built = _built(channel, named)
    record = DeliveryRecord(
        destination=destination,
        number=named.number,
        revision=named.revision,
        state=DeliveryState.WAITING,
        tag=study.decision.tag,
        said=said,
        identity={},
        built_at=study.now,
        decided_at=study.decision.tagged_at,
    )
    uid = study.decision.study_instance_uid
    if isinstance(built, Skipped):
        outbox.skip(
            uid, replace(record, state=DeliveryState.SKIPPED).tried(DeliveryState.SKIPPED, built.why, study.now)
        )
        return BuildResult.SKIPPED
    if built.left_out:
        logger.warning(
            "%s: odd attributes of study %s were left out of its message: %s",
            destination,
            uid,
            "; ".join(built.left_out),
        )
    outbox.put(uid, replace(record, identity=built.identity, left_out=built.left_out), built.payload)
    return BuildResult.REPAIRED if built.left_out else BuildResult.BUILT


def _built(channel: Channel, study: Study) -> Built | Skipped:
    """The message; without what devices wrote about the patient and the order where it cannot be built with it.

    A result that names the study alone arrives, and is looked at; one that is not built does neither.
    """
    try:
        return channel.build(study)
    except (OSError, NothingToShowError):
        raise
    except Exception as error:  # the edge: whatever an attribute does to an encoder
        built = channel.build(replace(study, images=tuple(map(_bare, study.images))))
        if isinstance(built, Skipped):
            return built
        why = f"all that the images say: the message could not be built with it ({type(error).__name__})"
        return replace(built, left_out=(*built.left_out, why))


def _bare(image: StudyImage) -> StudyImage:
    return replace(image, header=attributes_known(image.assessment))
