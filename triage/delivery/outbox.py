"""The messages to be delivered (``places`` says where they lie): marked, built, sent, tried again."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import replace

from triage.channels.base import DeliveryStatus
from triage.delivery.message_records import MessageRecords
from triage.delivery.pauses import note_pause, pause_of
from triage.delivery.places import DEAD, MARKS, OUTBOX, TOPS, UNREAD
from triage.delivery.record import BEGUN, DeliveryRecord, DeliveryState, OutgoingObject, milliseconds
from triage.delivery.undeliverable import Undeliverable
from triage.dicom.uid import valid_uid
from triage.spool.entries import Entries
from triage.spool.store import Store

logger = logging.getLogger(__name__)


class Outbox:
    """All reading and writing of what is to be delivered; ``dead`` has what was given up."""

    def __init__(self, spool: Store) -> None:
        self._spool = spool
        self._records = MessageRecords(spool)
        self.dead = Undeliverable(spool, self._records)
        self._pauses = spool.entries("control", "destinations")

    def prepare(self, destinations: Iterable[str]) -> None:
        """Make the places of these destinations."""
        for name in destinations:
            for top in TOPS:
                self._spool.entries(top, name).prepare()

    def known(self) -> frozenset[str]:
        """Every destination that has or had a place, in the settings or not."""
        return frozenset(name for top in TOPS for name in self._spool.places(top))

    # Marks. Written and removed under the study's lock, so that no decision falls between.

    def mark(self, study_instance_uid: str, destination: str) -> None:
        """Note that the study has a decision to be told of, unless that is noted. Durable with ``Batch.settle``.

        The time of the first mark stands, so that a study whose images keep coming is not put off for ever.
        """
        marks = self._spool.entries(MARKS, destination)
        marks.prepare()
        marks.note(valid_uid(study_instance_uid))

    def marked(self, destination: str) -> list[tuple[float, str]]:
        """Studies with a mark, each with the POSIX time of it, oldest first."""
        return self._spool.entries(MARKS, destination).by_time()

    def to_be_told(self, study_instance_uid: str) -> tuple[str, ...]:
        """The destinations that have a mark of the study."""
        return tuple(sorted(self._places_with(MARKS, valid_uid(study_instance_uid))))

    def unmark(self, study_instance_uid: str, destination: str) -> None:
        """The destination has been told, or need not be."""
        self._spool.entries(MARKS, destination).remove(study_instance_uid)

    def forget_unread(self, destination: str) -> None:
        """Forget what the destination was told without images: it is not told again when they can be read."""
        self._spool.entries(UNREAD, destination).clear()

    # Building.

    def records(self, study_instance_uid: str, destination: str | None = None) -> list[DeliveryRecord]:
        """Return the records of a study's messages, for one destination or all, in the order of building."""
        return self._records.of_study(study_instance_uid, destination)

    def put(self, study_instance_uid: str, record: DeliveryRecord, payload: bytes) -> None:
        """Take over what was built. The record first: one without payload was never sent, and is built again."""
        self._records.put(study_instance_uid, record)
        self._spool.entries(OUTBOX, record.destination).put(_new(study_instance_uid, record).name, payload)

    def unsent(self, study_instance_uid: str, records: Sequence[DeliveryRecord]) -> dict[int, OutgoingObject]:
        """Return by their numbers those that wait of a study's messages to one destination. Hold the study's lock.

        A listing costs time where much waits, so there is none for a study of which nothing does.
        """
        waiting = {each.number: each.revision for each in records if each.state is DeliveryState.WAITING}
        if not waiting:
            return {}
        destination = records[0].destination
        names = self._spool.entries(OUTBOX, destination).names()
        found = filter(None, (_read(destination, each) for each in names if f"+{study_instance_uid}+" in each))
        return {each.number: each for each in found if waiting.get(each.number) == each.revision}

    def give_up_lost(self, study_instance_uid: str, record: DeliveryRecord, at: float) -> DeliveryRecord:
        """Note in a record that its bytes are not there, so that it was never sent; return the record as it is now."""
        state = DeliveryState.SUPERSEDED
        lost = replace(record.tried(state, "its bytes are not there: a crash lost them", at), state=state)
        self._records.put(study_instance_uid, lost)
        return lost

    def skip(self, study_instance_uid: str, record: DeliveryRecord) -> None:
        """Take over that there is nothing to send of a result."""
        self._records.put(study_instance_uid, record)

    # Sending.

    def waiting(self, destination: str) -> list[OutgoingObject]:
        """Return the messages that wait for a destination, first due first."""
        names = self._spool.entries(OUTBOX, destination).names()
        return sorted(filter(None, (_read(destination, name) for name in names)))

    def payload_sent(self, study_instance_uid: str, record: DeliveryRecord) -> bytes:
        """Return the bytes of a message that was sent or is a dead letter; empty where they are not kept."""
        item = _new(study_instance_uid, record)
        sent = self._records.sent(item)
        return (self.dead.payload(item) or b"") if sent is None else sent

    def payload(self, item: OutgoingObject) -> bytes:
        """The bytes to send."""
        return self._outgoing(item).get(item.name)

    def state(self, item: OutgoingObject) -> DeliveryState:
        """Return what it is; only what is WAITING is to be sent. Hold its study's lock.

        As its record says: a crash may have come between the record and the move of the bytes. But it is SUPERSEDED
        beneath a newer message that was delivered, and if its record is that of another message of the same number.
        """
        try:
            own = self._records.of(item)
        except FileNotFoundError:  # so long before that retention has removed the study since
            return DeliveryState.DROPPED
        if own.revision != item.revision:
            return DeliveryState.SUPERSEDED
        if own.state is DeliveryState.WAITING and DeliveryState.DELIVERED in self._records.after(item):
            return DeliveryState.SUPERSEDED
        return own.state

    def forget(self, item: OutgoingObject) -> None:
        """Remove what is of no study."""
        self._outgoing(item).remove(item.name)

    def tidy(self, item: OutgoingObject, state: DeliveryState, at: float) -> None:
        """Do with it what its ``state`` asks for, which is not WAITING. Hold its study's lock."""
        if state is DeliveryState.DELIVERED:
            self._outgoing(item).move(item.name, *self._records.place_of_sent(item))
        elif state is DeliveryState.DEAD:
            self.dead.take(item)
        else:
            if (own := self._records.own(item)) is not None and own.state is DeliveryState.WAITING:
                self._records.settle(item, state, state, "a newer result was delivered", at)
            self.forget(item)

    def delivered(self, item: OutgoingObject, detail: str, at: float) -> DeliveryRecord:
        """The peer has acknowledged it: the receipt first, then out of the outbox. Its record.

        A crash before the receipt sends the same bytes again, which receivers know by their identity.
        """
        record = self._records.settle(item, DeliveryState.DELIVERED, "delivered", detail, at)
        with suppress(FileNotFoundError):  # a person dropped it while it was sent
            # Not durably: the receipt says it, and ``tidy`` repeats it.
            self._outgoing(item).move(item.name, *self._records.place_of_sent(item), durable=False)
        return record

    def begin(self, item: OutgoingObject, at: float) -> None:
        """Note that an attempt begins, before the message leaves. Hold its study's lock.

        What cannot be written down afterwards would be sent again and again: this is refused first. Not durably, where
        that costs time: after a power failure the message is sent again, as ever.
        """
        record = self._records.of(item)
        self._records.put(item.study_instance_uid, record.tried(BEGUN, "", at), durable=False)

    def did_not_begin(self, item: OutgoingObject) -> None:
        """Take back that an attempt began: nothing left. Hold its study's lock."""
        record = self._records.of(item)
        self._records.put(item.study_instance_uid, record.not_begun(), durable=False)

    def waits(self, item: OutgoingObject) -> bool:
        """Return whether it is still there: a person may have dropped it while it was sent. Hold its study's lock."""
        return self._outgoing(item).has(item.name)

    def postpone(self, item: OutgoingObject, detail: str, at: float, wait_s: float) -> OutgoingObject:
        """Try it again in ``wait_s`` seconds."""
        later = replace(item, due=milliseconds(at + wait_s), tries=item.tries + 1)
        self._records.settle(item, DeliveryState.WAITING, DeliveryStatus.RETRY, detail, at)
        self._outgoing(item).move(item.name, self._outgoing(later).place, later.name)
        return later

    def supersede(self, item: OutgoingObject, at: float) -> None:
        """Take what waits out unsent, as a newer result takes its place. Hold its study's lock."""
        self._remove(item, DeliveryState.SUPERSEDED, "a newer result took its place", at)

    def drop_waiting(self, item: OutgoingObject, at: float) -> bool:
        """Take what waits out, as a person asks for it; return whether it was there still. Takes its study's lock."""
        with self._spool.study_lock(item.study_instance_uid):
            there = self.waits(item)
            if there and self.state(item) is DeliveryState.WAITING:
                self._remove(item, DeliveryState.DROPPED, "dropped by hand", at)
            elif there:
                self.forget(item)
            return there

    def is_undelivered(self, study_instance_uid: str) -> bool:
        """Return whether a message about the study is still due: retention spares it. Hold its lock."""
        uid = valid_uid(study_instance_uid)
        if any(self._places_with(top, uid) for top in (MARKS, DEAD)):
            return True
        return any(each.state in (DeliveryState.WAITING, DeliveryState.DEAD) for each in self.records(uid))

    # Destinations.

    def disabled(self, destination: str) -> bool:
        """Return whether a person has switched the destination off."""
        return self._spool.channel_switches.is_disabled(destination)

    def set_disabled(self, destination: str, disabled: bool) -> None:
        """Switch a destination off or on again, at once and across restarts. What waits is kept."""
        self._spool.channel_switches.set_disabled(destination, disabled)

    def pause(self, destination: str) -> tuple[int, float, str]:
        """Return the number of failures in a row, the POSIX time of the next attempt, and why."""
        return pause_of(self._pauses, destination)

    def set_pause(self, destination: str, failures: int, next_try: float, why: str) -> None:
        """Try nothing there until ``next_try``; 0 failures: go on."""
        note_pause(self._pauses, destination, failures, next_try, why)

    def oldest(self, destination: str) -> float:
        """The POSIX time of the oldest thing that the destination has to hear of; 0 if there is none."""
        found = (self._spool.entries(top, destination).by_time() for top in (MARKS, OUTBOX))
        return min((seconds for each in found for seconds, _ in each if seconds), default=0.0)

    # Entries.

    def _remove(self, item: OutgoingObject, state: DeliveryState, why: str, at: float) -> None:
        self._records.settle(item, state, state, why, at)
        self.forget(item)

    def _places_with(self, top: str, study_instance_uid: str) -> list[str]:
        return [name for name in self._spool.places(top) if self._spool.entries(top, name).has(study_instance_uid)]

    def _outgoing(self, item: OutgoingObject) -> Entries:
        return self._spool.entries(OUTBOX, item.destination)


def _new(study_instance_uid: str, record: DeliveryRecord) -> OutgoingObject:
    due = milliseconds(record.built_at)
    return OutgoingObject(due, 0, record.number, study_instance_uid, record.revision, record.destination)


def _read(destination: str, name: str) -> OutgoingObject | None:
    try:
        return OutgoingObject.from_name(destination, name)
    except ValueError:
        logger.warning("%r in the outbox of %s is no file of ours", name[:80], destination)
        return None
