"""The messages to be delivered, as files: no state in memory is needed to go on. Written through the spool only.

    marks/<destination>/<study>           the study has a decision that this destination has not been told of
    outbox/<destination>/<due>+<tries>+<number>+<study>+<revision>
                                          the bytes to send, built once; the name says when it is next tried
    undeliverable/<destination>/<study>+<revision>    given up; a person can requeue it
    undeliverable/<destination>/<study>               a result that could not be built, with the error
    studies/<hh>/<study>/deliveries/<destination>+<number>.json    the record: its content and its state
    studies/<hh>/<study>/deliveries/<destination>+<number>.sent    the bytes, once they are acknowledged

A listing of ``outbox/<destination>`` says what is due: no file is opened to find out that nothing is.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from triage.channels.base import DeliveryStatus
from triage.delivery.record import DeliveryKey, DeliveryRecord, DeliveryState, OutgoingObject, milliseconds
from triage.dicom.uid import valid_uid
from triage.errors import TriageError
from triage.spool.spool import Spool
from triage.spool.switches import Switches

logger = logging.getLogger(__name__)


class SupersededError(TriageError, ValueError):
    """A newer result was delivered in place of a dead letter, or needs no sending: drop the dead letter."""


class Outbox:
    """All reading and writing of what is to be delivered."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._marks = spool.root / "marks"
        self._outbox = spool.root / "outbox"
        self._dead = spool.root / "undeliverable"
        self._switches = Switches(spool.root / "control" / "disabled-channels", spool.write)
        self._destinations = spool.root / "control" / "destinations"

    def prepare(self, destinations: Iterable[str]) -> None:
        """Make the folders of these destinations."""
        for name in destinations:
            for parent in (self._marks, self._outbox, self._dead):
                self._spool.make_folder(parent / name)

    def known(self) -> frozenset[str]:
        """Every destination that has or had a folder, in the settings or not."""
        return frozenset(entry.name for top in (self._marks, self._outbox, self._dead) for entry in top.iterdir())

    # Marks. Written and removed under the study's lock, so that no decision falls between.

    def mark(self, study_instance_uid: str, destination: str) -> None:
        """Note that the study has a decision to be told of, unless that is noted. Durable after ``Spool.sync``.

        The time of the first mark stands, so that a study whose images keep coming is not put off for ever.
        """
        path = self._marks / destination / valid_uid(study_instance_uid)
        self._spool.make_folder(path.parent)
        if not path.exists():
            self._spool.touch(path)

    def marked(self, destination: str) -> list[tuple[float, str]]:
        """Studies with a mark, each with the POSIX time of it, oldest first."""
        return sorted((_written(path), path.name) for path in _entries(self._marks / destination))

    def to_be_told(self, study_instance_uid: str) -> tuple[str, ...]:
        """The destinations that have a mark of the study."""
        return tuple(sorted(path.parent.name for path in self._marks.glob(f"*/{valid_uid(study_instance_uid)}")))

    def unmark(self, study_instance_uid: str, destination: str) -> None:
        """The destination has been told, or need not be."""
        (self._marks / destination / study_instance_uid).unlink(missing_ok=True)

    # Building.

    def records(self, study_instance_uid: str, destination: str | None = None) -> list[DeliveryRecord]:
        """Return the records of a study's messages, for one destination or all, in the order of building."""
        folder = self._records(study_instance_uid)
        pattern = f"{destination}+*.json" if destination else "*+*.json"
        found = [DeliveryRecord.from_json(path.read_bytes()) for path in folder.glob(pattern)]
        return sorted(found, key=lambda each: (each.destination, each.number))

    def put(self, study_instance_uid: str, record: DeliveryRecord, payload: bytes) -> None:
        """Take over what was built. The record first: one without payload was never sent, and is built again."""
        self._write_record(study_instance_uid, record)
        self._spool.write(self._outbox / record.destination / _new(study_instance_uid, record).name, payload)

    def skip(self, study_instance_uid: str, record: DeliveryRecord) -> None:
        """Take over that there is nothing to send of a result."""
        self._write_record(study_instance_uid, record)

    # Sending.

    def waiting(self, destination: str) -> list[OutgoingObject]:
        """Return the messages that wait for a destination, first due first."""
        return sorted(filter(None, (_read(destination, path.name) for path in _entries(self._outbox / destination))))

    def payload_sent(self, study_instance_uid: str, record: DeliveryRecord) -> bytes:
        """Return the bytes of a message that was sent or is a dead letter; empty where they are not kept."""
        item = _new(study_instance_uid, record)
        for path in (self._sent(item), self._dead_path(item.key)):
            if path.exists():
                return path.read_bytes()
        return b""

    def payload(self, item: OutgoingObject) -> bytes:
        """The bytes to send."""
        return self._path(item).read_bytes()

    def state(self, item: OutgoingObject) -> DeliveryState:
        """Return the state in its record. Anything but WAITING: a crash came between the record and the file's move."""
        try:
            return self._record(item.study_instance_uid, item.destination, item.number).state
        except FileNotFoundError:  # so long before that retention has removed the study since
            return DeliveryState.DROPPED

    def tidy(self, item: OutgoingObject, state: DeliveryState) -> None:
        """Finish what a crash interrupted."""
        if state is DeliveryState.DELIVERED:
            self._spool.move(self._path(item), self._sent(item))
        elif state is DeliveryState.DEAD:
            self._spool.move(self._path(item), self._dead_path(item.key))
        else:
            self._path(item).unlink(missing_ok=True)

    def delivered(self, item: OutgoingObject, detail: str, at: float) -> DeliveryRecord:
        """The peer has acknowledged it: the receipt first, then out of the outbox. Its record.

        A crash before the receipt sends the same bytes again, which receivers know by their identity.
        """
        record = self._settle(item, DeliveryState.DELIVERED, "delivered", detail, at)
        self._spool.move(self._path(item), self._sent(item), durable=False)  # the receipt says it; ``tidy`` repeats it
        return record

    def supersede_dead(self, newer: OutgoingObject, at: float) -> None:
        """Remove earlier dead letters of a study of which ``newer`` was delivered: they need no requeue."""
        for number in range(1, newer.number):
            record = self._record(newer.study_instance_uid, newer.destination, number)
            if record.state is DeliveryState.DEAD:
                older = replace(newer, number=number, revision=record.revision)
                self._settle(
                    older, DeliveryState.SUPERSEDED, DeliveryState.SUPERSEDED, "a newer result was delivered", at
                )
                self._dead_path(older.key).unlink(missing_ok=True)

    def postpone(self, item: OutgoingObject, detail: str, at: float, wait_s: float) -> OutgoingObject:
        """Try it again in ``wait_s`` seconds."""
        later = replace(item, due=milliseconds(at + wait_s), tries=item.tries + 1)
        self._settle(item, DeliveryState.WAITING, DeliveryStatus.RETRY, detail, at)
        self._spool.move(self._path(item), self._path(later))
        return later

    def bury(self, item: OutgoingObject, detail: str, at: float) -> None:
        """Give it up; visible until a person requeues or drops it."""
        self._settle(item, DeliveryState.DEAD, DeliveryStatus.DEAD, detail, at)
        self._spool.move(self._path(item), self._dead_path(item.key))

    def remove(self, item: OutgoingObject, state: DeliveryState, why: str, at: float) -> None:
        """Take what waits out unsent, as superseded or dropped."""
        self._settle(item, state, state, why, at)
        self._path(item).unlink(missing_ok=True)

    def bury_mark(self, study_instance_uid: str, destination: str, error: str) -> None:
        """Give up to build a study's result."""
        self._spool.write(self._dead / destination / study_instance_uid, json.dumps({"error": error[:500]}))
        self.unmark(study_instance_uid, destination)

    # Dead letters.

    def dead_letters(self, destination: str) -> Iterator[tuple[DeliveryKey, float, int, str]]:
        """Yield the dead letters: key, POSIX time, tries, why."""
        for path in _entries(self._dead / destination):
            key = DeliveryKey(destination, path.name)
            if not key.is_built:
                yield key, path.stat().st_mtime, 0, _error_in(path)
                continue
            try:
                number = int(path.name.partition("+")[0])
                tries = self._record(key.study_instance_uid, destination, number).tries
                at, why = float(tries[-1]["at"]), str(tries[-1]["detail"])
                attempts = sum(each["outcome"] in (DeliveryStatus.RETRY, DeliveryStatus.DEAD) for each in tries)
            except (OSError, ValueError, KeyError, TypeError, IndexError):  # shown all the same, and the others
                at, attempts, why = path.stat().st_mtime, 0, "its record cannot be read"
            yield key, at, attempts, why

    def dead_count(self, destination: str) -> int:
        """Return the number of dead letters."""
        return len(_entries(self._dead / destination))

    def requeue(self, key: DeliveryKey, at: float) -> None:
        """Try a dead letter again.

        Raises:
            FileNotFoundError: there is no such dead letter.
            SupersededError: a newer result took its place.
        """
        item = self._dead_item(key)
        if item is None:
            study = valid_uid(key.file_name)
            self._spool.touch(self._marks / key.destination / study)
            (self._dead / key.destination / study).unlink()
            return
        last = self.records(item.study_instance_uid, key.destination)[-1]
        if last.number != item.number and last.state in (DeliveryState.DELIVERED, DeliveryState.SKIPPED):
            raise SupersededError(
                f"{key}: a newer result of this study is delivered already, or needs no sending; drop it"
            )
        self._settle(item, DeliveryState.WAITING, "requeued", "", at)
        self._spool.move(self._dead_path(item.key), self._path(replace(item, due=milliseconds(at), tries=0)))

    def drop(self, key: DeliveryKey, at: float) -> None:
        """Forget a dead letter. FileNotFoundError if there is none."""
        item = self._dead_item(key)
        if item is None:
            (self._dead / key.destination / valid_uid(key.file_name)).unlink()
            return
        self._settle(item, DeliveryState.DROPPED, "dropped", "", at)
        self._dead_path(item.key).unlink()

    def is_undelivered(self, study_instance_uid: str) -> bool:
        """Return whether a message about the study is still due: retention spares it. Hold its lock."""
        uid = valid_uid(study_instance_uid)
        if any(path.exists() for top in (self._marks, self._dead) for path in top.glob(f"*/{uid}")):
            return True
        return any(each.state in (DeliveryState.WAITING, DeliveryState.DEAD) for each in self.records(uid))

    # Destinations.

    def disabled(self, destination: str) -> bool:
        """Return whether a person has switched the destination off."""
        return self._switches.is_disabled(destination)

    def set_disabled(self, destination: str, disabled: bool) -> None:
        """Switch a destination off or on again, at once and across restarts. What waits is kept."""
        self._switches.set_disabled(destination, disabled)

    def pause(self, destination: str) -> tuple[int, float, str]:
        """Return the number of failures in a row, the POSIX time of the next attempt, and why.

        A note that is none of ours pauses nothing.
        """
        try:
            noted = json.loads((self._destinations / f"{destination}.json").read_bytes())
            failures, next_try, why = int(noted["failures"]), float(noted["next_try"]), str(noted["why"])
        except (FileNotFoundError, ValueError, KeyError, TypeError, OverflowError):
            return 0, 0.0, ""
        return (failures, next_try, why) if math.isfinite(next_try) else (0, 0.0, "")

    def set_pause(self, destination: str, failures: int, next_try: float, why: str) -> None:
        """Try nothing there until ``next_try``; 0 failures: go on."""
        path = self._destinations / f"{destination}.json"
        if failures:
            self._spool.write(path, json.dumps({"failures": failures, "next_try": next_try, "why": why[:500]}))
        else:
            path.unlink(missing_ok=True)

    def oldest(self, destination: str) -> float:
        """The POSIX time of the oldest thing that the destination has to hear of; 0 if there is none."""
        paths = [*_entries(self._marks / destination), *_entries(self._outbox / destination)]
        return min((seconds for path in paths if (seconds := _written(path))), default=0.0)

    # Files.

    def _settle(
        self, item: OutgoingObject, state: DeliveryState, outcome: str, detail: str, at: float
    ) -> DeliveryRecord:
        record = self._record(item.study_instance_uid, item.destination, item.number)
        self._write_record(item.study_instance_uid, replace(record.tried(outcome, detail, at), state=state))
        return record

    def _dead_item(self, key: DeliveryKey) -> OutgoingObject | None:
        """Return the message of a dead letter; None for a study of which none could be built."""
        if key.destination not in self.known() or "/" in key.file_name:
            raise FileNotFoundError(str(key))
        if not key.is_built:
            return None
        item = _named(key.destination, f"0+0+{key.file_name}")
        if not self._dead_path(item.key).exists():
            raise FileNotFoundError(str(key))
        return item

    def _dead_path(self, key: DeliveryKey) -> Path:
        return self._dead / key.destination / key.file_name

    def _record(self, study_instance_uid: str, destination: str, number: int) -> DeliveryRecord:
        path = self._records(study_instance_uid) / f"{destination}+{number:04d}.json"
        return DeliveryRecord.from_json(path.read_bytes())

    def _write_record(self, study_instance_uid: str, record: DeliveryRecord) -> None:
        folder = self._records(study_instance_uid)
        self._spool.make_folder(folder)
        path = folder / f"{record.destination}+{record.number:04d}.json"
        self._spool.write(path, record.to_json())

    def _records(self, study_instance_uid: str) -> Path:
        return self._spool.study_folder(study_instance_uid) / "deliveries"

    def _sent(self, item: OutgoingObject) -> Path:
        return self._records(item.study_instance_uid) / f"{item.destination}+{item.number:04d}.sent"

    def _path(self, item: OutgoingObject) -> Path:
        return self._outbox / item.destination / item.name


def _new(study_instance_uid: str, record: DeliveryRecord) -> OutgoingObject:
    due = milliseconds(record.built_at)
    return OutgoingObject(due, 0, record.number, study_instance_uid, record.revision, record.destination)


def _read(destination: str, name: str) -> OutgoingObject | None:
    try:
        return _named(destination, name)
    except ValueError:
        logger.warning("%r in the outbox of %s is no file of ours", name[:80], destination)
        return None


def _named(destination: str, name: str) -> OutgoingObject:
    return OutgoingObject.from_name(destination, name)


def _error_in(path: Path) -> str:
    try:
        return str(json.loads(path.read_bytes())["error"])
    except (ValueError, KeyError, TypeError):
        return "why cannot be read"


def _entries(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def _written(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # delivered meanwhile
        return 0.0
