"""The spool as a source of backups: read while the service runs, in a state that a crash could have left.

The order ensures that (docs/adr/0047). Received objects are read before the studies: an object moves from the inbox to
its study, and back by a recall alone, when its assessment names it. So it is found at least once. A study is read under
its lock, which the processes that decide, mark and build hold too. Only sending goes on meanwhile: a record is read
again until its message is found.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from errno import EIO
from pathlib import Path
from typing import BinaryIO

from triage.backup.item import BackupItem, Known, file_item, folder_item, read_item, unreadable
from triage.delivery.outbox import Outbox
from triage.delivery.record import DeliveryRecord, DeliveryState, OutgoingObject
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool

_BY_STUDY = ("inbox", "dead", "studies", "marks", "outbox", "undeliverable")
_TRANSIENT = ("incoming", "locks")  # unfinished transfers and living workers, of this machine and this moment
_PARTITIONS = ("canary", "validation")
_TRIES = 20


def spool_source(path: Path) -> SpoolSource:
    """Return the source of the spool at ``path``, which must be there. A backup of files is that of their folders."""
    return SpoolSource(Spool(path))


@dataclass(frozen=True)
class _FoundObject:
    """A received object, and whether it is filed in its study."""

    item: BackupItem
    filed: bool


@dataclass(frozen=True)
class _FoundMessage:
    """The message of a delivery record: one file or none, and whether it waits in the outbox."""

    items: tuple[BackupItem, ...] = ()
    waits: bool = False


class SpoolSource:
    """A spool and the partitions in it; ``place`` is its folder in the backup."""

    def __init__(self, spool: Spool, place: str = "spool") -> None:
        self._spool, self._place = spool, place
        self._deliveries = _DeliveryFiles(spool, place)

    def groups(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """See ``BackupSource``."""
        yield from self._the_rest(known)
        for name in _PARTITIONS:
            partition = Spool(self._spool.root / name)
            if partition.exists():
                yield from SpoolSource(partition, f"{self._place}/{name}").groups(known)
        yield from self._received(known)
        for uid in list(self._spool.study_uids()):
            try:
                yield self._study(uid, known)
            except FileNotFoundError:  # retention removed it
                continue
            except (OSError, ValueError) as error:  # it must not keep the others out of the backup
                yield (unreadable(self._path(self._spool.study_folder(uid)), error),)

    def _the_rest(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """Yield switches, the clock, early reports, quarantine, and folders of a later release."""
        for entry in sorted(self._spool.root.iterdir()):
            if entry.name in (*_BY_STUDY, *_TRANSIENT, *_PARTITIONS):
                continue
            for file in _files(entry):
                with suppress(FileNotFoundError):
                    yield (read_item(self._path(file), file, known),)

    def _received(self, known: Known) -> Iterator[Sequence[BackupItem]]:
        """Yield the inbox and the dead letters; an object that leaves them meanwhile is found in its study."""
        # What is requeued between the first two lists is in the third.
        lists = (self._spool.waiting(), (instance for instance, _ in self._spool.dead_letters()), self._spool.waiting())
        for instance in dict.fromkeys(each for objects in lists for each in objects):
            found = self._object(instance)
            if found is None or found.filed:
                continue
            yield (found.item, *self._note(instance.key, known))

    def _note(self, key: str, known: Known) -> Iterator[BackupItem]:
        note = self._spool.dead / f"{key}.json"
        with suppress(FileNotFoundError):
            yield read_item(self._path(note), note, known)

    def _study(self, uid: str, known: Known) -> list[BackupItem]:
        folder = self._spool.study_folder(uid)
        items = [folder_item(self._path(folder), folder)]
        with self._spool.study_lock(uid):
            # First filed objects: each of them has its assessment, and is in the decision.
            stems = [file.name.removesuffix(".dcm") for file in folder.glob("*.dcm")]
            for file in folder.glob("*.json*"):
                items.append(read_item(self._path(file), file, known))
                if "+" in file.name:
                    stems.append(file.name.removesuffix(".json"))
            for stem in dict.fromkeys(stems):
                items += self._image(uid, stem)
            items += self._deliveries.of(uid, known)
        return items[1:] and items

    def _image(self, uid: str, stem: str) -> Iterator[BackupItem]:
        with suppress(ValueError):  # not ours
            if found := self._object(ReceivedInstance.from_key(f"{uid}+{stem}")):
                yield found.item

    def _object(self, instance: ReceivedInstance) -> _FoundObject | None:
        """Return the object at its present place; its bytes are the same wherever it is when they are read."""
        for _ in range(_TRIES):
            if (found := self._spool.find(instance)) is None:
                continue
            with suppress(FileNotFoundError):  # moved meanwhile
                item = file_item(self._path(found), found, f"{self._place}: {instance.key}")
                item = BackupItem(**{**item.__dict__, "open": lambda: self._opened(instance)})
                return _FoundObject(item, found == self._spool.filed_path(instance))
        return None

    def _opened(self, instance: ReceivedInstance) -> BinaryIO:
        for _ in range(_TRIES):
            if found := self._spool.find(instance):
                with suppress(FileNotFoundError):
                    return found.open("rb")
        raise FileNotFoundError(instance.key)

    def _path(self, file: Path) -> str:
        return f"{self._place}/{file.relative_to(self._spool.root).as_posix()}"


class _DeliveryFiles:
    """Marks, records and messages of a study's deliveries. The caller holds the study's lock."""

    def __init__(self, spool: Spool, place: str) -> None:
        self._spool, self._place = spool, place
        self._outbox = Outbox(spool)
        self._listed: dict[str, dict[tuple[str, int], str]] = {}

    def of(self, uid: str, known: Known) -> Iterator[BackupItem]:
        """Yield all delivery files of the study ``uid``."""
        for destination in sorted(self._outbox.known()):
            yield from self._marks(destination, uid, known)
        folder = self._spool.study_folder(uid) / "deliveries"
        if folder.is_dir():
            for record in sorted(folder.glob("*.json")):
                yield from self._delivery(uid, record, known)
            yield folder_item(self._path(folder), folder)

    def _marks(self, destination: str, uid: str, known: Known) -> Iterator[BackupItem]:
        mark = self._spool.root / "marks" / destination / uid
        unbuilt = self._spool.root / "undeliverable" / destination / uid
        # A mark that was given up becomes the latter, and the latter a mark when it is tried again: so three tries.
        for file in (mark, unbuilt, mark):
            with suppress(FileNotFoundError):
                yield read_item(self._path(file), file, known)

    def _delivery(self, uid: str, file: Path, known: Known) -> list[BackupItem]:
        """Return a record and its message, which may be sent at this moment."""
        found: list[BackupItem] = []
        for _ in range(_TRIES):
            before = file.read_bytes()
            record = DeliveryRecord.from_json(before)
            message = self._message(uid, record, file.with_suffix(".sent"), known)
            found = [read_item(self._path(file), file, known), *message.items]
            settled = record.state is not DeliveryState.WAITING or message.waits
            if settled and file.read_bytes() == before:
                return found
        if message.items or (self._spool.root / "marks" / record.destination / uid).exists():  # or it is built again
            return found
        nowhere = OSError(EIO, "its message is missing, and no mark has it built again")
        return [*found, unreadable(f"{self._path(file)} (message)", nowhere)]

    def _message(self, uid: str, record: DeliveryRecord, sent: Path, known: Known) -> _FoundMessage:
        if record.state not in (DeliveryState.WAITING, DeliveryState.DELIVERED, DeliveryState.DEAD):
            return _FoundMessage()
        if record.state is not DeliveryState.WAITING:
            with suppress(FileNotFoundError):
                return _FoundMessage((file_item(self._path(sent), sent),))
        if waiting := self._waiting(uid, record, known):
            return waiting
        dead = OutgoingObject(0, 0, record.number, uid, record.revision, record.destination).key
        file = self._spool.root / "undeliverable" / dead.destination / dead.file_name
        with suppress(FileNotFoundError):
            return _FoundMessage((read_item(self._path(file), file, known),))
        # It was put off, which changes its name, or built since the folder was listed.
        self._listed.pop(record.destination, None)
        return self._waiting(uid, record, known) or _FoundMessage()

    def _waiting(self, uid: str, record: DeliveryRecord, known: Known) -> _FoundMessage | None:
        with suppress(FileNotFoundError):
            if file := self._in_outbox(uid, record):
                return _FoundMessage((read_item(self._path(file), file, known),), waits=True)
        return None

    def _in_outbox(self, uid: str, record: DeliveryRecord) -> Path | None:
        destination = record.destination
        if destination not in self._listed:
            waiting = self._outbox.waiting(destination)
            self._listed[destination] = {(each.study_instance_uid, each.number): each.name for each in waiting}
        name = self._listed[destination].get((uid, record.number))
        return self._spool.root / "outbox" / destination / name if name else None

    def _path(self, file: Path) -> str:
        return f"{self._place}/{file.relative_to(self._spool.root).as_posix()}"


def _files(entry: Path) -> list[Path]:
    if entry.is_dir():
        return sorted(each for each in entry.rglob("*") if each.is_file())
    return [entry]
