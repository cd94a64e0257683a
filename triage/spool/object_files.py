"""Received objects in the folders of a spool: inbox/, dead/, quarantine/, and those of their studies."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from triage.decision.records import Record
from triage.errors import cause
from triage.runtime.durable import settle_name
from triage.spool.file_objects import FileObject, FileUpload
from triage.spool.files import SpoolFiles
from triage.spool.instance import ReceivedInstance
from triage.spool.stored_object import Upload

logger = logging.getLogger(__name__)


class ObjectFiles(SpoolFiles):
    """The received objects of one spool; see ``Objects`` in store.py."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inbox = root / "inbox"
        self.dead = root / "dead"
        self.quarantined = root / "quarantine"

    # Receiving.

    def remove_old_parts(self, before: float) -> None:
        """Remove partial files and folders that a crash left, if last written before ``before`` (POSIX seconds)."""
        for part in self.incoming.iterdir():
            try:
                if part.stat().st_mtime < before:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            except FileNotFoundError:  # finished meanwhile
                continue
            except OSError as error:  # worthless; the others must still be removed
                logger.error("%s in the spool's incoming cannot be removed: %s", part.name, cause(error))

    def remove_dead_keys(self) -> None:
        """Do nothing: a file that is removed is gone."""

    def remove_local_parts(self, before: float) -> None:
        """Remove what uploads left: all of it is on this machine."""
        self.remove_old_parts(before)

    def begin_upload(self) -> FileUpload:
        """Begin to receive an object, into a file of incoming/. Raises OSError."""
        return FileUpload(self.new_part())

    def keep(self, upload: Upload, instance: ReceivedInstance) -> bool:
        """Make a complete object durable and put it into the inbox; see ``receive``."""
        file = _file_of(upload)
        return self.receive(file.part, file.descriptor, instance)

    def set_aside(self, upload: Upload, why: str) -> None:
        """Keep an unparsable object in the quarantine, durably, with the reason. Raises OSError."""
        self.quarantine(_file_of(upload).part, why)

    def receive(self, part: Path, file_descriptor: int, instance: ReceivedInstance) -> bool:
        """Make a complete object durable; only after this may its sender receive status 0x0000.

        ``file_descriptor`` is the open, fully written ``part``. Returns False for a content that the spool has already;
        its part is removed. Raises OSError with no partial file in the inbox; the caller removes the part.
        """
        if (found := self.find(instance)) is not None:
            part.unlink()
            try:
                settle_name(found)  # the copy of another sender may have been renamed at this moment
            except FileNotFoundError:
                settle_name(self.filed_path(instance))  # a worker has filed it meanwhile
            return False
        os.fsync(file_descriptor)
        self._rename(part, self.inbox / f"{instance.key}.dcm")
        return True

    def quarantine(self, part: Path, reason: str) -> Path:
        """Move an unparsable object to the quarantine, with a record of the reason, and return its new path."""
        path = self.quarantined / f"{part.stem}.dcm"
        self._rename(part, path)
        self._write(path.with_suffix(".json"), json.dumps({"why": reason}))
        return path

    # Work.

    def waiting(self) -> Iterator[ReceivedInstance]:
        """Yield the objects that are acknowledged and not yet tagged, in no particular order."""
        return _instances(self.inbox)

    def inbox_path(self, instance: ReceivedInstance) -> Path:
        """Return the path of an object that is not yet tagged."""
        return self.inbox / f"{instance.key}.dcm"

    def waits(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is in the inbox; true if that cannot be determined: a read reports the error."""
        try:
            return self.inbox_path(instance).exists()
        except OSError:
            return True

    def filed_path(self, instance: ReceivedInstance) -> Path:
        """Return the path of an object once it is tagged."""
        return self.study_folder(instance.study_instance_uid) / f"{instance.filed_name}.dcm"

    def find(self, instance: ReceivedInstance) -> Path | None:
        """Return the object's file, in whichever folder it is; None if the spool does not have it."""
        paths = (self.inbox_path(instance), self.filed_path(instance), self.dead / f"{instance.key}.dcm")
        return next((path for path in paths if path.exists()), None)

    def waiting_object(self, instance: ReceivedInstance) -> FileObject:
        """Return an object of the inbox, without a look at it."""
        return FileObject(self.inbox_path(instance))

    def stored_object(self, instance: ReceivedInstance) -> FileObject | None:
        """Return the object, in whichever folder it is; None if the spool does not have it."""
        path = self.find(instance)
        return None if path is None else FileObject(path)

    def is_filed(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is in its study's folder."""
        return self.filed_path(instance).exists()

    def objects_of(self, study_instance_uid: str) -> Iterator[ReceivedInstance]:
        """Yield the study's objects in the inbox, among the dead letters and in its folder; one may come twice."""
        filed = self.study_folder(study_instance_uid)
        for folder in (self.inbox, self.dead):
            for path in folder.glob(f"{study_instance_uid}+*.dcm"):  # a valid UID has no wildcard
                yield ReceivedInstance.from_key(path.name.removesuffix(".dcm"))
        for path in filed.glob("*+*.dcm"):
            try:
                yield ReceivedInstance.from_key(f"{study_instance_uid}+{path.name.removesuffix('.dcm')}")
            except ValueError:
                logger.warning("%s is no file of ours", path)

    def file(self, instance: ReceivedInstance) -> None:
        """Move a tagged object from the inbox to its study: the last step of its work, after ``sync``."""
        self._make_study_folder(instance.study_instance_uid)
        try:
            self._rename(self.inbox_path(instance), self.filed_path(instance), durable=False)
        except FileNotFoundError:
            if not self.filed_path(instance).exists():
                raise

    def take_back(self, instance: ReceivedInstance) -> None:
        """Move a tagged object back to the inbox, durably. Raises FileNotFoundError if it is not with its study."""
        self.move(self.filed_path(instance), self.inbox_path(instance))

    # Dead letters.

    def bury(self, instance: ReceivedInstance, record: Record) -> None:
        """Move an object from the inbox to the dead letters, with a record of the failure."""
        self._write(self.dead / f"{instance.key}.json", json.dumps(record, indent=1))
        self._rename(self.inbox_path(instance), self.dead / f"{instance.key}.dcm")

    def dead_letters(self) -> Iterator[tuple[ReceivedInstance, Record]]:
        """Yield the dead letters, each with the record of its failure."""
        for instance in _instances(self.dead):
            record = self.dead / f"{instance.key}.json"
            yield instance, json.loads(record.read_bytes()) if record.exists() else {}

    def requeue(self, instance: ReceivedInstance) -> None:
        """Move a dead letter back to the inbox. Raises FileNotFoundError if there is none of this key.

        ``queue.requeue`` also queues it.
        """
        self._rename(self.dead / f"{instance.key}.dcm", self.inbox_path(instance))
        (self.dead / f"{instance.key}.json").unlink(missing_ok=True)

    def drop_unfinished(self) -> None:
        """Remove all that waits and all dead letters: of a partition, whose objects are no patient's."""
        for folder in (self.inbox, self.dead):
            for path in folder.glob("*"):
                path.unlink(missing_ok=True)

    def drop_dead_letters(self, before: float) -> None:
        """Remove the dead letters of a partition that came before ``before`` (POSIX seconds)."""
        for instance, _ in list(self.dead_letters()):
            for path in self.dead.glob(f"{instance.key}.*"):
                with suppress(FileNotFoundError):
                    if path.stat().st_mtime < before:
                        path.unlink()


def _file_of(upload: Upload) -> FileUpload:
    if not isinstance(upload, FileUpload):
        raise TypeError("an upload of another store")
    return upload


def _instances(folder: Path) -> Iterator[ReceivedInstance]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".dcm"):
                continue
            try:
                yield ReceivedInstance.from_key(entry.name.removesuffix(".dcm"))
            except ValueError:  # another program put it there; it must not stop our work
                logger.warning("%s holds a file that is not ours; it is skipped", folder)
