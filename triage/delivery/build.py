"""Decide whether a destination gets a new message about a study, and build it from the study's files."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from triage.channels.base import Built, Channel, DeliveryStatus, NothingToShowError, ObjectUnreadError, Skipped
from triage.decision.records import decision_from
from triage.decision.types import URGENCY_OF_TAG, Tag, TriageDecision
from triage.decision.urgency import lowers
from triage.delivery.correction import due_correction
from triage.delivery.outbox import Outbox
from triage.delivery.record import BEGUN, NOT_READ, DeliveryRecord, DeliveryState, OutgoingObject
from triage.delivery.unread import UnreadNotes
from triage.errors import cause
from triage.spool.clock import time_of
from triage.spool.store import Store
from triage.spool.study import (
    GIVEN_UP_AFTER_S,
    PreviousMessage,
    Study,
    StudyImage,
    attributes_known,
    read_study_with,
    revision,
)
from triage.spool.study_headers import read_headers

logger = logging.getLogger(__name__)

_REACHED = (
    DeliveryState.DELIVERED,
    DeliveryState.WAITING,
    DeliveryState.DEAD,
)  # DEAD, too: a peer that did not answer may have it


class BuildResult(StrEnum):
    """Result of the decision for one study and one destination."""

    BUILT = "built"
    REPAIRED = "repaired"  # built without some attributes that are odd in the images
    NOTHING = "nothing"  # not wanted there, or nothing new
    SKIPPED = "skipped"  # wanted there, and nothing can be made of it: recorded with the reason
    HELD = "held"  # it would lower what was raised
    WITHDRAWN = "withdrawn"  # what was said of another patient is taken back; the mark stays, for the result itself
    LATER = "later"  # that is on its way still
    UNREAD = "unread"  # its images cannot be read, for a moment perhaps; the mark stays


@dataclass(frozen=True)
class Builder:
    """Builds the messages of one destination.

    Attributes:
        spool: the patients' spool, or a partition of it.
        outbox: the messages of that spool.
        destination: the destination's name.
        channel: its channel.
        test: the studies are no patients'.
        pixels_given_up_after_s: seconds for which a message waits for an object that it cannot be built without.
    """

    spool: Store
    outbox: Outbox
    destination: str
    channel: Channel
    test: bool = False
    pixels_given_up_after_s: float = GIVEN_UP_AFTER_S


def build_if_changed(
    builder: Builder, study_instance_uid: str, now: float, *, may_be_noted: bool = True
) -> BuildResult:
    """Build the message that the destination lacks, if any, and remove the mark.

    The study's lock is taken when the headers of its objects are read: a store that is slow must not hold it.
    While the message waits for images (``UNREAD``), no message of the study waits that says less than its decision.

    Args:
        builder: the destination.
        study_instance_uid: the study.
        now: POSIX seconds.
        may_be_noted: false where no note about unread images is there, which would be removed.

    Raises:
        ObjectUnreadError: an object that the message needs cannot be read, and has been waited for.
        OSError: the spool cannot be read or written; the mark stays. So it does for what a channel raises while it
            builds.
    """
    headers = read_headers(builder.spool, study_instance_uid)
    with builder.spool.study_lock(study_instance_uid):
        known = read_study_with(headers, study_instance_uid)
        built = BuildResult.NOTHING
        if known is not None and known[1] and not known[0].silent:
            built = _build_with_images(builder, Study(*known, now=now, test=builder.test), may_be_noted=may_be_noted)
        if built not in (BuildResult.WITHDRAWN, BuildResult.LATER, BuildResult.UNREAD):
            builder.outbox.unmark(study_instance_uid, builder.destination)
        return built


def _build_with_images(builder: Builder, study: Study, *, may_be_noted: bool) -> BuildResult:
    """Build the message once the images can be read, or after some time without them; the note says which."""
    uid, notes = study.decision.study_instance_uid, UnreadNotes(builder.spool, builder.destination)
    if study.unread and _waited_s(notes, study) < GIVEN_UP_AFTER_S:
        return _wait(builder, study)
    try:
        built = _build_for(builder, study)
    except ObjectUnreadError:
        if not builder.spool.gives_objects() or _waited_s(notes, study) >= builder.pixels_given_up_after_s:
            raise
        return _wait(builder, study)
    if study.unread and built not in (BuildResult.WITHDRAWN, BuildResult.LATER):
        notes.told_without(uid)  # also where there was nothing to tell: with what the images say there may be
        if built in (BuildResult.BUILT, BuildResult.REPAIRED):
            logger.error(
                "%s: the images of study %s cannot be read since a quarter of an hour: its message names no patient "
                "that they alone name. It is sent again when they can be read; `triage store compare` says what is "
                "lost",
                *(builder.destination, uid),
            )
    elif may_be_noted and not study.unread:
        notes.forget(uid)
    return built


def _waited_s(notes: UnreadNotes, study: Study) -> float:
    """Return for how many seconds the images cannot be read, by the clock of all hosts."""
    return notes.waited_s(study.decision.study_instance_uid, time_of(notes.spool, lambda: study.now))


def _wait(builder: Builder, study: Study) -> BuildResult:
    """Leave the message for later. One that waits and says less than what is known now must not leave meanwhile."""
    _take_out_lesser(builder, study.decision, study.now)
    return BuildResult.UNREAD


def take_out_lesser(builder: Builder, study_instance_uid: str, now: float) -> None:
    """Take out what waits of a study that is put off and says less than its decision, which may be newer by now.

    Takes the study's lock. Raises as ``build_if_changed``.
    """
    with builder.spool.study_lock(study_instance_uid):
        record = builder.spool.decision(study_instance_uid)
        if record is not None:
            _take_out_lesser(builder, decision_from(record), now)


def _take_out_lesser(builder: Builder, decision: TriageDecision, now: float) -> None:
    records, unsent = _known(builder.outbox, decision.study_instance_uid, builder.destination, now)
    for record in records:  # but what is said of another patient is taken back in any case
        if not record.withdraws and _never_left(record, unsent) and _says_less(record, decision):
            builder.outbox.supersede(unsent[record.number], now)


def _says_less(record: DeliveryRecord, decision: TriageDecision) -> bool:
    """Return whether a message is less urgent than the decision, or says normal of what is not."""
    was_normal = record.tag == Tag.NORMAL and decision.tag is not Tag.NORMAL
    return was_normal or lowers(decision.urgency, record.told_urgency)


def _build_for(builder: Builder, study: Study) -> BuildResult:
    outbox, destination = builder.outbox, builder.destination
    uid = study.decision.study_instance_uid
    records, unsent = _known(outbox, uid, destination, study.now)
    if any(each.withdraws and each.number in unsent for each in records):
        return BuildResult.LATER
    reached = [each for each in records if each.state in _REACHED]
    there = [each for each in reached if not _never_left(each, unsent)]
    content = builder.channel.content(study)
    sent = [each for each in records if each.state is not DeliveryState.SUPERSEDED]
    told = {each.correction for each in sent if not _never_left(each, unsent)}
    study = replace(
        study, correction=due_correction(builder.spool, study, destination, there or reached, told, content)
    )
    if study.correction is None and (not builder.channel.wants(study) or _is_said(sent, content, study)):
        return BuildResult.NOTHING
    if _is_held(study, reached):
        logger.warning(
            "%s: study %s was delivered as %s and is not lowered; if it has to be: triage recall --study %s",
            *(destination, uid, _raised(reached[-1]), uid),
        )
        return BuildResult.HELD
    replaced = [unsent[each.number] for each in reached if _never_left(each, unsent)]
    if not there:  # what it corrects was never sent
        study = replace(study, correction=None)
    named = _named(builder, study, records[-1].number + 1 if records else 1, there)
    built = _built(builder.channel, named)
    for item in replaced:  # only now: what could not be built takes the place of nothing
        outbox.supersede(item, study.now)
    return _take_over(builder, named, content, built)


def _known(
    outbox: Outbox, uid: str, destination: str, now: float
) -> tuple[list[DeliveryRecord], dict[int, OutgoingObject]]:
    """Return the records of a study's messages, and by their numbers those that wait. Both as they are in its lock.

    A waiting record without bytes was never sent: a crash came between the two. What is built in its place has a
    number of its own (docs/adr/0088): a record of two messages says of the one what became of the other.
    """
    records = outbox.records(uid, destination)
    unsent = outbox.unsent(uid, records)
    lost = {each.number for each in records if each.state is DeliveryState.WAITING} - unsent.keys()
    return [outbox.give_up_lost(uid, each, now) if each.number in lost else each for each in records], unsent


def _is_said(sent: list[DeliveryRecord], content: list[object], study: Study) -> bool:
    """Return whether the last message says it; one that lacks images does not, once they can be read."""
    return bool(sent) and sent[-1].said == content and (study.unread or not sent[-1].lacks_images)


def _is_held(study: Study, reached: list[DeliveryRecord]) -> bool:
    """Return whether a message would lower what was raised further than a person has allowed."""
    now = study.decision.urgency
    if study.correction is not None and not lowers(study.correction.urgency, now):
        return False
    return bool(reached) and lowers(reached[-1].told_urgency, now)


def _raised(record: DeliveryRecord) -> str:
    """Return what a message said: the urgency where the tag implies another one."""
    return record.urgency or record.tag.lower()


def _never_left(record: DeliveryRecord, unsent: Mapping[int, OutgoingObject]) -> bool:
    """Return whether the message waits and cannot have reached the peer, as any attempt may have."""
    left = any(each["outcome"] in (BEGUN, DeliveryStatus.RETRY) for each in record.tries)
    return record.state is DeliveryState.WAITING and record.number in unsent and not left


def _take_over(builder: Builder, study: Study, content: list[object], built: Built | Skipped) -> BuildResult:
    record = DeliveryRecord(
        destination=builder.destination,
        number=study.number,
        revision=study.revision,
        state=DeliveryState.WAITING,
        tag=study.decision.tag,
        said=content,
        identity={},
        built_at=study.now,
        decided_at=study.decision.tagged_at,
        urgency="" if study.decision.urgency is URGENCY_OF_TAG[study.decision.tag] else study.decision.urgency,
        correction=study.correction.identifier if study.correction else "",
        left_out=(NOT_READ,) if study.unread else (),
    )
    uid = study.decision.study_instance_uid
    if isinstance(built, Skipped):
        skipped = replace(record, state=DeliveryState.SKIPPED)
        builder.outbox.skip(uid, skipped.tried(DeliveryState.SKIPPED, built.why, study.now))
        return BuildResult.SKIPPED
    if built.left_out:
        logger.warning(
            "%s: malformed attributes of study %s were left out of its message: %s",
            builder.destination,
            uid,
            "; ".join(built.left_out),
        )
    said = [] if built.withdraws else content
    record = replace(record, identity=built.identity, left_out=(*built.left_out, *record.left_out), said=said)
    builder.outbox.put(uid, record, built.payload)
    if built.withdraws:
        return BuildResult.WITHDRAWN
    return BuildResult.REPAIRED if record.left_out else BuildResult.BUILT


def _named(builder: Builder, study: Study, number: int, reached: list[DeliveryRecord]) -> Study:
    """Return the study with the number and the revision of its message, and the one before it."""
    # what the receiver has, or gets before this one
    there = [each for each in reached if each.state is not DeliveryState.DEAD]
    before = _previous(builder, study, there[-1]) if there else None
    encoder = builder.channel.encoder
    if study.correction:
        encoder = f"{encoder} correction {study.correction.identifier}"
    if study.unread:  # with the images it is another message, also for who may have this one
        encoder = f"{encoder} without images"
    name = revision(study.decision, study.images, encoder, before.revision if before else "")
    return replace(study, number=number, revision=name, before=before)


def _previous(builder: Builder, study: Study, last: DeliveryRecord) -> PreviousMessage:
    """Return the last message; with its bytes if this one corrects it."""
    uid = study.decision.study_instance_uid
    payload = builder.outbox.payload_sent(uid, last) if study.correction else b""
    return PreviousMessage(last.revision, last.tag, last.identity, payload, last.lacks_images, last.said)


def _built(channel: Channel, study: Study) -> Built | Skipped:
    """Build the message, without the devices' attributes of patient and order if it cannot be built with them.

    A result that names the study alone arrives and is read; one that is not built does neither.
    """
    try:
        return channel.build(study)
    except (OSError, NothingToShowError):
        raise
    except Exception as error:  # the edge: whatever an attribute does to an encoder
        built = channel.build(replace(study, images=tuple(map(_bare, study.images))))
        if isinstance(built, Skipped):
            return built
        why = f"all that the images say: the message could not be built with it ({cause(error)})"
        return replace(built, left_out=(*built.left_out, why))


def _bare(image: StudyImage) -> StudyImage:
    return replace(image, header=attributes_known(image.assessment))
