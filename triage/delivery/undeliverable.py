"""The dead letters of delivery: what was given up, and waits for a person."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from triage.channels.base import DeliveryStatus
from triage.delivery.message_records import MessageRecords
from triage.delivery.places import DEAD, MARKS, OUTBOX
from triage.delivery.record import DeliveryKey, DeliveryState, OutgoingObject, milliseconds
from triage.errors import TriageError
from triage.spool.entries import Entries
from triage.spool.store import Store


class SupersededError(TriageError, ValueError):
    """A newer result was delivered in place of a dead letter, or needs no sending: drop the dead letter."""


class Undeliverable:
    """All reading and writing of dead letters: messages, and studies of which none could be built."""

    def __init__(self, spool: Store, records: MessageRecords) -> None:
        self._spool, self._records = spool, records

    def letters(self, destination: str) -> Iterator[tuple[DeliveryKey, float, int, str]]:
        """Yield the dead letters: key, POSIX time, tries, why."""
        dead = self._entries(destination)
        for written, name in dead.by_time():
            key = DeliveryKey(destination, name)
            at, attempts, why = self._history(key, written) if key.is_built else (written, 0, _error_in(dead, name))
            yield key, at, attempts, why

    def count(self, destination: str) -> int:
        """Return the number of dead letters."""
        return len(self._entries(destination).names())

    def payload(self, item: OutgoingObject) -> bytes | None:
        """Return the bytes of a dead letter; None if there is none of the message."""
        dead, name = self._entries(item.destination), item.key.file_name
        return dead.get(name) if dead.has(name) else None

    def bury(self, item: OutgoingObject, detail: str, at: float) -> None:
        """Give a message up; visible until a person requeues or drops it. Hold its study's lock."""
        self._records.settle(item, DeliveryState.DEAD, DeliveryStatus.DEAD, detail, at)
        self.take(item)

    def take(self, item: OutgoingObject) -> None:
        """Take the bytes out of the outbox."""
        outgoing = self._spool.entries(OUTBOX, item.destination)
        outgoing.move(item.name, self._entries(item.destination).place, item.key.file_name)

    def bury_study(self, study_instance_uid: str, destination: str, error: str) -> None:
        """Give up to build a study's result: it is marked no more."""
        self._entries(destination).put(study_instance_uid, json.dumps({"error": error[:500]}))
        self._spool.entries(MARKS, destination).remove(study_instance_uid)

    def supersede(self, newer: OutgoingObject, at: float) -> None:
        """Remove earlier ones of a study of which ``newer`` was delivered: they need no requeue."""
        state = DeliveryState.SUPERSEDED
        for record in self._records.of_study(newer.study_instance_uid, newer.destination):
            if record.state is DeliveryState.DEAD and record.number < newer.number:
                older = replace(newer, number=record.number, revision=record.revision)
                self._records.settle(older, state, state, "a newer result was delivered", at)
                self._entries(older.destination).remove(older.key.file_name)

    def requeue(self, key: DeliveryKey, at: float) -> None:
        """Try a dead letter again. Takes its study's lock: whether a newer result is being built is known only there.

        Raises:
            FileNotFoundError: there is no such dead letter.
            SupersededError: a newer result took its place.
        """
        with self._held(key) as item:
            if item is None:
                self._spool.entries(MARKS, key.destination).note(key.study_instance_uid)
                self._remove(key)
                return
            if self._is_superseded(item):
                raise SupersededError(
                    f"{key}: a newer result of this study is delivered already, or needs no sending; drop it"
                )
            # The bytes first: a crash leaves them beneath a record that says DEAD, and ``tidy`` takes them back.
            again = replace(item, due=milliseconds(at), tries=0)
            to = self._spool.entries(OUTBOX, item.destination).place
            self._entries(item.destination).move(item.key.file_name, to, again.name)
            self._records.settle(item, DeliveryState.WAITING, "requeued", "", at)

    def drop(self, key: DeliveryKey, at: float) -> None:
        """Forget a dead letter. Takes its study's lock. FileNotFoundError if there is none."""
        with self._held(key) as item:
            if item is not None and self._records.own(item) is not None:
                self._records.settle(item, DeliveryState.DROPPED, "dropped", "", at)
            self._remove(key)

    def _history(self, key: DeliveryKey, written: float) -> tuple[float, int, str]:
        try:
            number = int(key.file_name.partition("+")[0])
            tries = self._records.get(key.study_instance_uid, key.destination, number).tries
            attempts = sum(each["outcome"] in (DeliveryStatus.RETRY, DeliveryStatus.DEAD) for each in tries)
            return float(tries[-1]["at"]), attempts, str(tries[-1]["detail"])
        except (OSError, ValueError, KeyError, TypeError, IndexError):  # shown all the same, and the others
            return written, 0, "its record cannot be read"

    def _is_superseded(self, item: OutgoingObject) -> bool:
        settled = {DeliveryState.DELIVERED, DeliveryState.SKIPPED}
        return self._records.own(item) is None or not settled.isdisjoint(self._records.after(item))

    @contextmanager
    def _held(self, key: DeliveryKey) -> Iterator[OutgoingObject | None]:
        """Hold a dead letter's study, with its message; None where none could be built. Raises FileNotFoundError."""
        self._look_for(key)  # first: the lock makes the study
        item = OutgoingObject.from_name(key.destination, f"0+0+{key.file_name}") if key.is_built else None
        with self._spool.study_lock(key.study_instance_uid):
            self._look_for(key)  # another process may have taken it meanwhile
            yield item

    def _look_for(self, key: DeliveryKey) -> None:
        if key.destination not in self._spool.places(DEAD) or not self._entries(key.destination).has(key.file_name):
            raise FileNotFoundError(str(key))

    def _remove(self, key: DeliveryKey) -> None:
        if not self._entries(key.destination).remove(key.file_name):
            raise FileNotFoundError(str(key))

    def _entries(self, destination: str) -> Entries:
        return self._spool.entries(DEAD, destination)


def _error_in(dead: Entries, name: str) -> str:
    try:
        return str(json.loads(dead.get(name))["error"])
    except (ValueError, KeyError, TypeError):
        return "why cannot be read"
