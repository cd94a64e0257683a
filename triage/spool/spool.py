"""The store as files: every received object and every result, from which Redis can be rebuilt; see spool/layout.py."""

from __future__ import annotations

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from uuid import uuid4

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.runtime.file_lock import file_lock
from triage.spool.entries import Place
from triage.spool.errors import SpoolError
from triage.spool.file_entries import FileEntries, folder_below
from triage.spool.file_system_usage import SpoolState, SpoolUsage, folder_usage, usage_of
from triage.spool.instance import ReceivedInstance
from triage.spool.layout import at_start
from triage.spool.locks import WorkerLocks
from triage.spool.object_files import ObjectFiles
from triage.spool.opening import INSTALLATION_FILE, VERSION_FILE, check_folder, create, make_folders
from triage.spool.result_files import DECISION, ResultFiles
from triage.spool.study_folders import StudyFolders
from triage.spool.switches import Switches

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _FileBatch:
    """A batch of files: each is complete for its readers at once, and durable with ``settle``."""

    _spool: Spool

    def settle(self) -> None:
        """Make everything that was written so far durable."""
        self._spool.sync()

    def file(self, instance: ReceivedInstance) -> None:
        """Move a tagged object from the inbox to its study."""
        self._spool.file(instance)


class Spool(ObjectFiles, ResultFiles):
    """The one spool of a ``Store``. Safe to share between threads; made once for each process."""

    tables = None

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.workers = WorkerLocks(root / "locks")
        self._disabled = root / "control" / "disabled-models"
        self.model_switches = Switches(self._disabled, self.write)
        self.channel_switches = Switches(root / "control" / "disabled-channels", self.write)
        self._entries: dict[tuple[str, ...], FileEntries] = {}

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
            return self.open_partition(name)
        except (OSError, SpoolError) as error:
            logger.error("the folder %s of the spool cannot be used, its objects will fail: %s", name, error)
            return type(self)(self.root / name)

    def open_partition(self, name: str) -> Self:
        """Return the partition ``name``, made if it is missing. Raises SpoolError and OSError."""
        return self.open(self.root / name)

    def remove_partition(self, name: str) -> None:
        """Remove the partition with everything in it, if there is one."""
        shutil.rmtree(self.root / name, ignore_errors=True)

    def exists(self) -> bool:
        """Return whether there is a spool at ``root`` that we may read."""
        return os.access(self.root / VERSION_FILE, os.R_OK) and os.access(self._disabled, os.R_OK | os.X_OK)

    def close(self) -> None:
        """Do nothing: each use closes the files that it opens."""

    def why_away(self) -> str:
        """Return an empty text: there is no other program to ask."""
        return ""

    def gives_objects(self) -> bool:
        """Return whether there is a spool at ``root``: objects and facts lie in one place."""
        return self.exists()

    def installation_uid(self) -> str:
        """Return the UID of this installation alone, by which its reports name the device; created when first used."""
        path = self.root / INSTALLATION_FILE
        if not path.exists():
            self._write(path, f"2.25.{uuid4().int}")
        return path.read_text()

    @property
    def name(self) -> str:
        """The path of its folder."""
        return str(self.root)

    @property
    def caution(self) -> str:
        """Warning for what is stored on its file system; empty if there is none."""
        return self.file_system.caution

    @contextmanager
    def batch(self) -> Iterator[_FileBatch]:
        """Open a batch of files."""
        yield _FileBatch(self)

    @contextmanager
    def scratch_file(self) -> Iterator[Path]:
        """Return the path of a file in incoming/, which is removed at the end."""
        part = self.new_part()
        try:
            yield part
        finally:
            part.unlink(missing_ok=True)

    # Entries.

    def entries(self, *words: str) -> FileEntries:
        """Return the site's entries in the folder that the words name."""
        known = self._entries.get(words)  # there are few places, and they are asked for again and again
        return known or self._entries.setdefault(words, FileEntries(self, Place(words), self._folder_of))

    def study_entries(self, study_instance_uid: str, *words: str) -> FileEntries:
        """Return the entries in a folder of the study's own, or in its own folder."""
        return FileEntries(self, Place(words, study_instance_uid), self._folder_of)

    def places(self, *words: str) -> list[str]:
        """Return the names of the folders in a folder; none where there is none."""
        try:
            with os.scandir(folder_below(self.root, words)) as entries:
                return [each.name for each in entries if each.is_dir()]
        except FileNotFoundError:
            return []

    def _folder_of(self, place: Place) -> Path:
        uid = place.study_instance_uid
        return folder_below(self.study_folder(uid) if uid else self.root, place.words)

    # Studies and retention.

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        """Hold the lock of a study, exclusive among all processes; the kernel releases it if the process dies.

        The study's folder exists while the lock is held, even if the study was removed before. It goes at the end if
        nothing is in it: retention would never remove a study without a decision.
        """
        lock = self.study_folder(study_instance_uid) / ".lock"
        with file_lock(lock, blocking=True):
            yield
            _remove_if_alone(lock)

    def when_durable(self, study_instance_uid: str, act: Callable[[], None]) -> None:
        """Call ``act`` now: entries are durable when they are written."""
        act()

    def study_uids(self) -> Iterator[str]:
        """Yield every study that has a folder."""
        for folder in self.studies.glob("*/*/"):
            with suppress(InvalidUIDError):  # not ours
                yield valid_uid(folder.name)

    def has_study(self, study_instance_uid: str) -> bool:
        """Return whether the study has a folder."""
        return self.study_folder(study_instance_uid).is_dir()

    def study_changes(self) -> StudyFolders:
        """Return a new observer of the studies' folders."""
        return StudyFolders(self.studies)

    def studies_with(self, entry: str) -> Iterator[str]:
        """Yield the studies whose folder has a file of this name, in the order of the folders. Reads all."""
        for path in sorted(self.studies.glob(f"*/*/{entry}")):
            yield path.parent.name

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

    def state(self) -> SpoolState:
        """Return the parts of the spool that should be small. Raises OSError."""
        inbox, dead, quarantine = map(folder_usage, (self.inbox, self.dead, self.quarantined))
        return SpoolState(inbox, dead, quarantine, self.usage())

    def oldest_waiting(self) -> float | None:
        """Return when the oldest object in the inbox was received, in POSIX seconds; None if none waits."""
        return folder_usage(self.inbox).oldest


def _remove_if_alone(lock: Path) -> None:
    """Remove a lock, which we hold, and its folder if nothing else is in it."""
    with suppress(OSError):  # the study was removed, or a file came without the lock: then the folder stays
        if list(lock.parent.iterdir()) == [lock]:
            lock.unlink()
            lock.parent.rmdir()
