"""The messages to be delivered, as entries of the store: no state in memory is needed to go on.

    marks/<destination>/<study>           the study has a decision that this destination has not been told of
    outbox/<destination>/<due>+<tries>+<number>+<study>+<revision>
                                          the bytes to send, built once; the name says when it is next tried
    undeliverable/<destination>/<study>+<revision>    given up; a person can requeue it
    undeliverable/<destination>/<study>               a result that could not be built, with the error
    deliveries of the study: <destination>+<number>.json    the record: its content and its state
                             <destination>+<number>.sent    the bytes, once they are acknowledged

A listing of ``outbox/<destination>`` says what is due: no entry is read to find out that nothing is.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace

from triage.channels.base import DeliveryStatus
from triage.delivery.pauses import note_pause, pause_of
from triage.delivery.record import BEGUN, DeliveryKey, DeliveryRecord, DeliveryState, OutgoingObject, milliseconds
from triage.dicom.uid import valid_uid
from triage.errors import TriageError
from triage.spool.entries import Entries
from triage.spool.store import Store

logger = logging.getLogger(__name__)

_MARKS, _OUTBOX, _DEAD = _TOPS = ("marks", "outbox", "undeliverable")


class SupersededError(TriageError, ValueError):
    """A newer result was delivered in place of a dead letter, or needs no sending: drop the dead letter."""


class Outbox:
    """All reading and writing of what is to be delivered."""

    def __init__(self, spool: Store) -> None:
        self._spool = spool
        self._pauses = spool.entries("control", "destinations")

    def prepare(self, destinations: Iterable[str]) -> None:
        """Make the places of these destinations."""
        for name in destinations:
            for top in _TOPS:
                self._spool.entries(top, name).prepare()

    def known(self) -> frozenset[str]:
        """Every destination that has or had a place, in the settings or not."""
        return frozenset(name for top in _TOPS for name in self._spool.places(top))

    # Marks. Written and removed under the study's lock, so that no decision falls between.

    def mark(self, study_instance_uid: str, destination: str) -> None:
        """Note that the study has a decision to be told of, unless that is noted. Durable with ``Batch.settle``.

        The time of the first mark stands, so that a study whose images keep coming is not put off for ever.
        """
        marks = self._spool.entries(_MARKS, destination)
        marks.prepare()
        marks.note(valid_uid(study_instance_uid))

    def marked(self, destination: str) -> list[tuple[float, str]]:
        """Studies with a mark, each with the POSIX time of it, oldest first."""
        return self._spool.entries(_MARKS, destination).by_time()

    def to_be_told(self, study_instance_uid: str) -> tuple[str, ...]:
        """The destinations that have a mark of the study."""
        return tuple(sorted(self._places_with(_MARKS, valid_uid(study_instance_uid))))

    def unmark(self, study_instance_uid: str, destination: str) -> None:
        """The destination has been told, or need not be."""
        self._spool.entries(_MARKS, destination).remove(study_instance_uid)

    # Building.

    def records(self, study_instance_uid: str, destination: str | None = None) -> list[DeliveryRecord]:
        """Return the records of a study's messages, for one destination or all, in the order of building."""
        entries, begin = self._records(study_instance_uid), f"{destination}+" if destination else ""
        names = [each for each in entries.names() if each.startswith(begin) and "+" in each and each.endswith(".json")]
        found = [DeliveryRecord.from_json(entries.get(each)) for each in names]
        return sorted(found, key=lambda each: (each.destination, each.number))

    def put(self, study_instance_uid: str, record: DeliveryRecord, payload: bytes) -> None:
        """Take over what was built. The record first: one without payload was never sent, and is built again."""
        self._write_record(study_instance_uid, record)
        self._spool.entries(_OUTBOX, record.destination).put(_new(study_instance_uid, record).name, payload)

    def unsent(self, study_instance_uid: str, records: Sequence[DeliveryRecord]) -> dict[int, OutgoingObject]:
        """Return by their numbers those that wait of a study's messages to one destination. Hold the study's lock.

        A listing costs time where much waits, so there is none for a study of which nothing does.
        """
        waiting = {each.number: each.revision for each in records if each.state is DeliveryState.WAITING}
        if not waiting:
            return {}
        destination = records[0].destination
        names = self._spool.entries(_OUTBOX, destination).names()
        found = filter(None, (_read(destination, each) for each in names if f"+{study_instance_uid}+" in each))
        return {each.number: each for each in found if waiting.get(each.number) == each.revision}

    def give_up_lost(self, study_instance_uid: str, record: DeliveryRecord, at: float) -> DeliveryRecord:
        """Note in a record that its bytes are not there, so that it was never sent; return the record as it is now."""
        state = DeliveryState.SUPERSEDED
        lost = replace(record.tried(state, "its bytes are not there: a crash lost them", at), state=state)
        self._write_record(study_instance_uid, lost)
        return lost

    def skip(self, study_instance_uid: str, record: DeliveryRecord) -> None:
        """Take over that there is nothing to send of a result."""
        self._write_record(study_instance_uid, record)

    # Sending.

    def waiting(self, destination: str) -> list[OutgoingObject]:
        """Return the messages that wait for a destination, first due first."""
        names = self._spool.entries(_OUTBOX, destination).names()
        return sorted(filter(None, (_read(destination, name) for name in names)))

    def payload_sent(self, study_instance_uid: str, record: DeliveryRecord) -> bytes:
        """Return the bytes of a message that was sent or is a dead letter; empty where they are not kept."""
        item = _new(study_instance_uid, record)
        for entries, name in (
            (self._records(study_instance_uid), _sent(item)),
            (self._dead(item.destination), item.key.file_name),
        ):
            if entries.has(name):
                return entries.get(name)
        return b""

    def payload(self, item: OutgoingObject) -> bytes:
        """The bytes to send."""
        return self._outgoing(item).get(item.name)

    def state(self, item: OutgoingObject) -> DeliveryState:
        """Return what it is; only what is WAITING is to be sent. Hold its study's lock.

        As its record says: a crash may have come between the record and the move of the bytes. But it is SUPERSEDED
        beneath a newer message that was delivered, and if its record is that of another message of the same number.
        """
        records = {each.number: each for each in self.records(item.study_instance_uid, item.destination)}
        if (own := records.get(item.number)) is None:  # so long before that retention has removed the study since
            return DeliveryState.DROPPED
        newer = any(each.state is DeliveryState.DELIVERED and each.number > item.number for each in records.values())
        if own.revision != item.revision or (own.state is DeliveryState.WAITING and newer):
            return DeliveryState.SUPERSEDED
        return own.state

    def forget(self, item: OutgoingObject) -> None:
        """Remove what is of no study."""
        self._outgoing(item).remove(item.name)

    def tidy(self, item: OutgoingObject, state: DeliveryState, at: float) -> None:
        """Do with it what its ``state`` asks for, which is not WAITING. Hold its study's lock."""
        if state is DeliveryState.DELIVERED:
            self._outgoing(item).move(item.name, self._records(item.study_instance_uid).place, _sent(item))
        elif state is DeliveryState.DEAD:
            self._outgoing(item).move(item.name, self._dead(item.destination).place, item.key.file_name)
        else:
            if (own := self._own_record(item)) is not None and own.state is DeliveryState.WAITING:
                self._settle(item, state, state, "a newer result was delivered", at)
            self.forget(item)

    def delivered(self, item: OutgoingObject, detail: str, at: float) -> DeliveryRecord:
        """The peer has acknowledged it: the receipt first, then out of the outbox. Its record.

        A crash before the receipt sends the same bytes again, which receivers know by their identity.
        """
        record = self._settle(item, DeliveryState.DELIVERED, "delivered", detail, at)
        to = self._records(item.study_instance_uid).place
        with suppress(FileNotFoundError):  # a person dropped it while it was sent
            # Not durably: the receipt says it, and ``tidy`` repeats it.
            self._outgoing(item).move(item.name, to, _sent(item), durable=False)
        return record

    def supersede_dead(self, newer: OutgoingObject, at: float) -> None:
        """Remove earlier dead letters of a study of which ``newer`` was delivered: they need no requeue."""
        for record in self.records(newer.study_instance_uid, newer.destination):
            if record.state is DeliveryState.DEAD and record.number < newer.number:
                older = replace(newer, number=record.number, revision=record.revision)
                self._settle(
                    older, DeliveryState.SUPERSEDED, DeliveryState.SUPERSEDED, "a newer result was delivered", at
                )
                self._dead(older.destination).remove(older.key.file_name)

    def begin(self, item: OutgoingObject, at: float) -> None:
        """Note that an attempt begins, before the message leaves. Hold its study's lock.

        What cannot be written down afterwards would be sent again and again: this is refused first. Not durably, where
        that costs time: after a power failure the message is sent again, as ever.
        """
        record = self._record(item.study_instance_uid, item.destination, item.number)
        self._write_record(item.study_instance_uid, record.tried(BEGUN, "", at), durable=False)

    def did_not_begin(self, item: OutgoingObject) -> None:
        """Take back that an attempt began: nothing left. Hold its study's lock."""
        record = self._record(item.study_instance_uid, item.destination, item.number)
        self._write_record(item.study_instance_uid, record.not_begun(), durable=False)

    def waits(self, item: OutgoingObject) -> bool:
        """Return whether it is still there: a person may have dropped it while it was sent. Hold its study's lock."""
        return self._outgoing(item).has(item.name)

    def postpone(self, item: OutgoingObject, detail: str, at: float, wait_s: float) -> OutgoingObject:
        """Try it again in ``wait_s`` seconds."""
        later = replace(item, due=milliseconds(at + wait_s), tries=item.tries + 1)
        self._settle(item, DeliveryState.WAITING, DeliveryStatus.RETRY, detail, at)
        self._outgoing(item).move(item.name, self._outgoing(later).place, later.name)
        return later

    def bury(self, item: OutgoingObject, detail: str, at: float) -> None:
        """Give it up; visible until a person requeues or drops it."""
        self._settle(item, DeliveryState.DEAD, DeliveryStatus.DEAD, detail, at)
        self._outgoing(item).move(item.name, self._dead(item.destination).place, item.key.file_name)

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

    def bury_mark(self, study_instance_uid: str, destination: str, error: str) -> None:
        """Give up to build a study's result."""
        self._dead(destination).put(study_instance_uid, json.dumps({"error": error[:500]}))
        self.unmark(study_instance_uid, destination)

    # Dead letters.

    def dead_letters(self, destination: str) -> Iterator[tuple[DeliveryKey, float, int, str]]:
        """Yield the dead letters: key, POSIX time, tries, why."""
        dead = self._dead(destination)
        for written, name in dead.by_time():
            key = DeliveryKey(destination, name)
            if not key.is_built:
                yield key, written, 0, _error_in(dead, name)
                continue
            try:
                number = int(name.partition("+")[0])
                tries = self._record(key.study_instance_uid, destination, number).tries
                at, why = float(tries[-1]["at"]), str(tries[-1]["detail"])
                attempts = sum(each["outcome"] in (DeliveryStatus.RETRY, DeliveryStatus.DEAD) for each in tries)
            except (OSError, ValueError, KeyError, TypeError, IndexError):  # shown all the same, and the others
                at, attempts, why = written, 0, "its record cannot be read"
            yield key, at, attempts, why

    def dead_count(self, destination: str) -> int:
        """Return the number of dead letters."""
        return len(self._dead(destination).names())

    def requeue(self, key: DeliveryKey, at: float) -> None:
        """Try a dead letter again. Takes its study's lock: whether a newer result is being built is known only there.

        Raises:
            FileNotFoundError: there is no such dead letter.
            SupersededError: a newer result took its place.
        """
        with self._dead_item(key) as item:
            if item is None:
                self._spool.entries(_MARKS, key.destination).note(key.study_instance_uid)
                self._remove_dead(key)
                return
            if self._is_superseded(item):
                raise SupersededError(
                    f"{key}: a newer result of this study is delivered already, or needs no sending; drop it"
                )
            # The bytes first: a crash leaves them beneath a record that says DEAD, and ``tidy`` takes them back.
            again = replace(item, due=milliseconds(at), tries=0)
            self._dead(item.destination).move(item.key.file_name, self._outgoing(again).place, again.name)
            self._settle(item, DeliveryState.WAITING, "requeued", "", at)

    def drop(self, key: DeliveryKey, at: float) -> None:
        """Forget a dead letter. Takes its study's lock. FileNotFoundError if there is none."""
        with self._dead_item(key) as item:
            if item is not None and self._own_record(item) is not None:
                self._settle(item, DeliveryState.DROPPED, "dropped", "", at)
            self._remove_dead(key)

    def is_undelivered(self, study_instance_uid: str) -> bool:
        """Return whether a message about the study is still due: retention spares it. Hold its lock."""
        uid = valid_uid(study_instance_uid)
        if any(self._places_with(top, uid) for top in (_MARKS, _DEAD)):
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
        found = (self._spool.entries(top, destination).by_time() for top in (_MARKS, _OUTBOX))
        return min((seconds for each in found for seconds, _ in each if seconds), default=0.0)

    # Entries.

    def _settle(
        self, item: OutgoingObject, state: DeliveryState, outcome: str, detail: str, at: float
    ) -> DeliveryRecord:
        record = self._record(item.study_instance_uid, item.destination, item.number)
        self._write_record(item.study_instance_uid, replace(record.tried(outcome, detail, at), state=state))
        return record

    def _remove(self, item: OutgoingObject, state: DeliveryState, why: str, at: float) -> None:
        self._settle(item, state, state, why, at)
        self.forget(item)

    def _is_superseded(self, item: OutgoingObject) -> bool:
        records = self.records(item.study_instance_uid, item.destination)
        newer = {each.state for each in records if each.number > item.number}
        return self._own_record(item) is None or not newer.isdisjoint((DeliveryState.DELIVERED, DeliveryState.SKIPPED))

    @contextmanager
    def _dead_item(self, key: DeliveryKey) -> Iterator[OutgoingObject | None]:
        """Hold a dead letter's study, with its message; None where none could be built. Raises FileNotFoundError."""
        self._look_for(key)  # first: the lock makes the study
        item = OutgoingObject.from_name(key.destination, f"0+0+{key.file_name}") if key.is_built else None
        with self._spool.study_lock(key.study_instance_uid):
            self._look_for(key)  # another process may have taken it meanwhile
            yield item

    def _look_for(self, key: DeliveryKey) -> None:
        if key.destination not in self.known() or not self._dead(key.destination).has(key.file_name):
            raise FileNotFoundError(str(key))

    def _own_record(self, item: OutgoingObject) -> DeliveryRecord | None:
        """Return the record of a message; None if there is none, or that of another message of its number."""
        try:
            record = self._record(item.study_instance_uid, item.destination, item.number)
        except FileNotFoundError:
            return None
        return record if record.revision == item.revision else None

    def _remove_dead(self, key: DeliveryKey) -> None:
        if not self._dead(key.destination).remove(key.file_name):
            raise FileNotFoundError(str(key))

    def _dead(self, destination: str) -> Entries:
        return self._spool.entries(_DEAD, destination)

    def _places_with(self, top: str, study_instance_uid: str) -> list[str]:
        return [name for name in self._spool.places(top) if self._spool.entries(top, name).has(study_instance_uid)]

    def _record(self, study_instance_uid: str, destination: str, number: int) -> DeliveryRecord:
        return DeliveryRecord.from_json(self._records(study_instance_uid).get(f"{destination}+{number:04d}.json"))

    def _write_record(self, study_instance_uid: str, record: DeliveryRecord, *, durable: bool = True) -> None:
        records = self._records(study_instance_uid)
        records.prepare()
        records.put(f"{record.destination}+{record.number:04d}.json", record.to_json(), durable=durable)

    def _records(self, study_instance_uid: str) -> Entries:
        return self._spool.study_entries(study_instance_uid, "deliveries")

    def _outgoing(self, item: OutgoingObject) -> Entries:
        return self._spool.entries(_OUTBOX, item.destination)


def _sent(item: OutgoingObject) -> str:
    return f"{item.destination}+{item.number:04d}.sent"


def _new(study_instance_uid: str, record: DeliveryRecord) -> OutgoingObject:
    due = milliseconds(record.built_at)
    return OutgoingObject(due, 0, record.number, study_instance_uid, record.revision, record.destination)


def _read(destination: str, name: str) -> OutgoingObject | None:
    try:
        return OutgoingObject.from_name(destination, name)
    except ValueError:
        logger.warning("%r in the outbox of %s is no file of ours", name[:80], destination)
        return None


def _error_in(dead: Entries, name: str) -> str:
    try:
        return str(json.loads(dead.get(name))["error"])
    except (ValueError, KeyError, TypeError):
        return "why cannot be read"
