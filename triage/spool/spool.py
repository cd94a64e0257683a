"""The spool: every received object and every result, as files, from which Redis can be rebuilt; see spool/layout.py."""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self
from uuid import uuid4

from triage.decision.records import Record
from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.errors import cause
from triage.runtime.durable import private_opener, settle_name
from triage.runtime.file_lock import file_lock
from triage.spool.errors import SpoolError
from triage.spool.file_system_usage import SpoolUsage, usage_of
from triage.spool.files import SpoolFiles
from triage.spool.instance import ReceivedInstance
from triage.spool.layout import at_start
from triage.spool.locks import WorkerLocks
from triage.spool.opening import INSTALLATION_FILE, VERSION_FILE, check_folder, create, make_folders
from triage.spool.switches import Switches

logger = logging.getLogger(__name__)

DECISION = "decision.json"
HISTORY = "history.jsonl"


class Spool(SpoolFiles):
    """The objects and results of one spool. Safe to share between threads; made once for each process."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.inbox = root / "inbox"
        self.dead = root / "dead"
        self.quarantined = root / "quarantine"
        self.workers = WorkerLocks(root / "locks")
        self._disabled = root / "control" / "disabled-models"
        self.model_switches = Switches(self._disabled, self.write)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at ``root``, and create it (mode 0700) if it does not exist.

        Raises SpoolError for a folder that is no spool or one of another version; OSError.
        """
        spool = cls(root.absolute())
        if not (spool.root / VERSION_FILE).exists():
            create(spool)
        check_folder(spool.root)
        at_start(spool.root)
        make_folders(spool)
        return spool

    def partition(self, name: str) -> Self:
        """Return the partition ``name``: a spool in this one's folder, for objects that are no patient's.

        It is created if it does not exist. Never raises: a partition that cannot be used fails when it is used.
        """
        try:
            return self.open(self.root / name)
        except (OSError, SpoolError) as error:
            logger.error("the folder %s of the spool cannot be used, its objects will fail: %s", name, error)
            return type(self)(self.root / name)

    def exists(self) -> bool:
        """Return whether there is a spool at ``root`` that we may read."""
        return os.access(self.root / VERSION_FILE, os.R_OK) and os.access(self._disabled, os.R_OK | os.X_OK)

    def installation_uid(self) -> str:
        """Return the UID of this installation alone, by which its reports name the device; created when first used."""
        path = self.root / INSTALLATION_FILE
        if not path.exists():
            self._write(path, f"2.25.{uuid4().int}")
        return path.read_text()

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

    def write_assessment(self, instance: ReceivedInstance, assessment: Record) -> None:
        """Write the assessment of one object, replacing an earlier one. Durable after ``sync``."""
        folder = self._make_study_folder(instance.study_instance_uid)
        self._write(folder / f"{instance.filed_name}.json", json.dumps(assessment, indent=1), durable=False)

    def assessments(self, study_instance_uid: str) -> list[Record]:
        """Return all assessments of a study, ordered by file name; empty for an unknown study."""
        folder = self.study_folder(study_instance_uid)
        found = (_object(path.read_bytes()) for path in sorted(folder.glob("*+*.json")))
        return [assessment for assessment in found if assessment is not None]

    def write_decision(self, study_instance_uid: str, decision: Record) -> None:
        """Write ``decision`` as the study's current one and append it to the history. Hold ``study_lock``.

        Durable after ``sync``.
        """
        folder = self._make_study_folder(study_instance_uid)
        # History first: a crash in between repeats a line at worst, and never loses one.
        with open(folder / HISTORY, "a", opener=private_opener) as history:
            # The line break comes first, so that a line that a crash cut does not spoil the next one.
            history.write("\n" + json.dumps(decision))
            if not self.file_system.syncs_whole:
                history.flush()
                os.fsync(history.fileno())
        self._write(folder / DECISION, json.dumps(decision, indent=1), durable=False)

    def decision(self, study_instance_uid: str) -> Record | None:
        """Return the study's current decision; None before the first."""
        try:
            content = (self.study_folder(study_instance_uid) / DECISION).read_bytes()
        except FileNotFoundError:
            return None
        return _object(content)

    def history(self, study_instance_uid: str) -> list[Record]:
        """Return every decision of the study, oldest first."""
        path = self.study_folder(study_instance_uid) / HISTORY
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]  # a crash may have cut a line

    def decisions(self) -> Iterator[Record]:
        """Yield the current decision of every study, in no particular order. Reads the whole spool: for a rebuild."""
        for path in self.studies.glob(f"*/*/{DECISION}"):
            try:
                decision = _object(path.read_bytes())
            except FileNotFoundError:  # retention removed the study meanwhile
                continue
            except OSError as error:  # it must not hide the others
                logger.error("a decision in the spool cannot be read (%s): %s", cause(error), path.parent.name)
                continue
            if decision is not None:
                yield decision

    def file(self, instance: ReceivedInstance) -> None:
        """Move a tagged object from the inbox to its study: the last step of its work, after ``sync``."""
        self._make_study_folder(instance.study_instance_uid)
        try:
            self._rename(self.inbox_path(instance), self.filed_path(instance), durable=False)
        except FileNotFoundError:
            if not self.filed_path(instance).exists():
                raise

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        """Hold the lock of a study, exclusive among all processes; the kernel releases it if the process dies.

        The study's folder exists while the lock is held, even if the study was removed before.
        """
        with file_lock(self.study_folder(study_instance_uid) / ".lock", blocking=True):
            yield

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

    # Studies and retention.

    def study_uids(self) -> Iterator[str]:
        """Yield every study that has a folder."""
        for folder in self.studies.glob("*/*/"):
            with suppress(InvalidUIDError):  # not ours
                yield valid_uid(folder.name)

    def is_unfinished(self, study_instance_uid: str) -> bool:
        """Return whether an object of the study waits or is a dead letter. Reads both folders."""
        pattern = f"{valid_uid(study_instance_uid)}+*.dcm"
        return any(any(folder.glob(pattern)) for folder in (self.inbox, self.dead))

    def touched(self, study_instance_uid: str) -> float:
        """Return when the study's folder was last changed, in POSIX seconds; a cheap lower bound of its age."""
        try:
            return self.study_folder(study_instance_uid).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def remove_study(self, study_instance_uid: str) -> None:
        """Remove a study. The caller holds its lock and knows that nothing of it waits, is dead or is undelivered."""
        # Renamed in one step, so that a crash during the removal leaves no part of a study behind.
        removed = self.new_part()
        self._rename(self.study_folder(study_instance_uid), removed)
        shutil.rmtree(removed)

    def takes_studies(self) -> bool:
        """Return whether a new study can be written. Writes one, and removes it."""
        probe = f"2.25.{uuid4().int}"
        try:
            self._write(self._make_study_folder(probe) / DECISION, "{}", durable=False)
            self.remove_study(probe)
        except OSError:
            return False
        return True

    def usage(self) -> SpoolUsage:
        """Return the usage of the file system under the spool. Raises OSError."""
        return usage_of(self.root)


def _object(content: bytes) -> Record | None:
    """Return a JSON object; None for one that a power failure cut short, whose work is still in the inbox."""
    try:
        value: Record = json.loads(content)
    except ValueError:
        logger.warning("a record in the spool is cut short; its object is done again")
        return None
    return value


def _instances(folder: Path) -> Iterator[ReceivedInstance]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".dcm"):
                continue
            try:
                yield ReceivedInstance.from_key(entry.name.removesuffix(".dcm"))
            except ValueError:  # another program put it there; it must not stop our work
                logger.warning("%s holds a file that is not ours; it is skipped", folder)
