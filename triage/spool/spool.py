"""The spool: the durable truth about every object we were given and every result we made.

Files are renamed and fsynced through triage/runtime/durable.py. Layout, version 1:

    VERSION                                        "1": the oldest layout that a program must know (spool/layout.py)
    LAYOUT                                         "1": the layout that it has
    INSTALLATION                                   a UID of this installation, made when first needed
    incoming/   <random>.part                      being received; worthless after a crash
    inbox/      <study>+<sop>+<digest>.dcm         acknowledged and not yet tagged: the list of work
    dead/       <study>+<sop>+<digest>.dcm|.json   given up after the last try; a person can requeue
    quarantine/ <random>.dcm                       refused as unparsable, kept to be looked at
    studies/<hh>/<study>/                          hh: two hex digits of a hash, to keep folders small
                  <sop>+<digest>.dcm               a tagged object, byte for byte as received
                  <sop>+<digest>.json              its assessment
                  decision.json                    the study's one current result
                  history.jsonl                    every result the study ever had
                  workitem.json                    what others made of its workitem: worklist/workitem_store.py
                  reading.jsonl                    what readers did with it: worklist/reader_acts.py
                  deliveries/                      what was built of it: delivery/outbox.py
    marks/ outbox/ undeliverable/                  what is to be delivered: delivery/outbox.py
    reports/    <time>-<hash>.json                 reports that came before their study: inbound_reports/early_store.py
    control/disabled-models/<name>                 kill switches
    control/disabled-channels/<name>
    control/destinations/<name>.json               why nothing is sent there now, and when it is tried again
    locks/                                         one file per live worker, held by flock
    canary/ validation/                            spools of their own, of what is no patient's
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property, partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Self
from uuid import uuid4

from triage.dicom.uid import InvalidUIDError, valid_uid
from triage.runtime.durable import (
    file_lock,
    fsync_folder,
    private_folder,
    private_opener,
    rename_file,
    replace_file,
    settle_name,
)
from triage.runtime.storage import FileSystem, file_system_of, sync_file_system
from triage.spool.instance import ReceivedInstance
from triage.spool.layout import LAYOUT, LAYOUT_FILE, LayoutError, at_start, layout_of
from triage.spool.locks import WorkerLocks
from triage.spool.switches import Switches

logger = logging.getLogger(__name__)

VERSION = "1"
DECISION = "decision.json"
HISTORY = "history.jsonl"
_FOLDERS = (
    "incoming",
    "inbox",
    "dead",
    "quarantine",
    "studies",
    "marks",
    "outbox",
    "undeliverable",
    "control/disabled-models",
    "control/disabled-channels",
    "control/destinations",
    "locks",
)


class SpoolError(Exception):
    """The spool cannot be used as it is; the message says what to do."""


def check_version(root: Path) -> None:
    """Raise SpoolError for a spool that this program would misread; a later layout that it can read is logged."""
    found = (root / "VERSION").read_text().strip()
    if found != VERSION:
        raise SpoolError(
            f"spool {root} has version {found}, this program writes version {VERSION}: "
            "run the release that wrote it, or move it away and start with an empty folder"
        )
    try:
        layout = layout_of(root)
    except LayoutError as error:
        raise SpoolError(str(error)) from error
    if layout > LAYOUT:
        logger.warning("spool %s has layout %d of a later release, which this one (%d) can read", root, layout, LAYOUT)


@dataclass(frozen=True)
class SpoolUsage:
    """Bytes and inodes of the file system under the spool."""

    total_bytes: int
    free_bytes: int
    total_inodes: int
    free_inodes: int

    @property
    def used_fraction(self) -> float:
        """The fuller of bytes and inodes, 0..1."""
        bytes_used = 1 - self.free_bytes / max(self.total_bytes, 1)
        inodes_used = 1 - self.free_inodes / self.total_inodes if self.total_inodes else 0.0
        return max(bytes_used, inodes_used)


class Spool:
    """All reading and writing of the spool. Safe to share between threads; made once per process."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.incoming = root / "incoming"
        self.inbox = root / "inbox"
        self.dead = root / "dead"
        self.quarantined = root / "quarantine"
        self.studies = root / "studies"
        self.workers = WorkerLocks(root / "locks")
        self._disabled = root / "control" / "disabled-models"
        self.model_switches = Switches(self._disabled, self.write)

    @classmethod
    def open(cls, root: Path) -> Self:
        """Open the spool at ``root``, creating it (mode 0700) if it is not there.

        Raises SpoolError for a folder that is not ours or of another version.
        """
        spool = cls(root.absolute())
        version = spool.root / "VERSION"
        if not version.exists():
            spool._create(version)
        spool.refuse_what_is_not_ours()
        try:
            at_start(spool.root)
        except LayoutError as error:
            raise SpoolError(str(error)) from error
        spool._make_folders()
        return spool

    def partition(self, name: str) -> Self:
        """The spool ``name`` in this one's folder, for what is no patient's; made if it is not there.

        Never raises: trouble with it is its own, and is met when it is used.
        """
        try:
            return self.open(self.root / name)
        except (OSError, SpoolError) as error:
            logger.error("the folder %s of the spool cannot be used, what belongs there fails: %s", name, error)
            return type(self)(self.root / name)

    def exists(self) -> bool:
        """Whether there is a spool at ``root`` that we may look into."""
        return os.access(self.root / "VERSION", os.R_OK) and os.access(self._disabled, os.R_OK | os.X_OK)

    def refuse_what_is_not_ours(self) -> None:
        """Raise SpoolError if the folder is no spool, of another version, or others can read it; OSError.

        Changes nothing. One that is not there, or is empty, is no error.
        """
        if not (self.root / "VERSION").exists():
            self._refuse_strange()
            return
        check_version(self.root)
        if self.root.stat().st_mode & 0o077:
            raise SpoolError(f"spool {self.root} can be read by others: chmod 0700 {self.root}")

    def _refuse_strange(self) -> None:
        if self.root.exists() and any(entry.name not in _top_level() for entry in self.root.iterdir()):
            raise SpoolError(f"{self.root} is neither empty nor a spool: choose another folder")

    def _create(self, version: Path) -> None:
        private_folder(self.root)
        self._refuse_strange()
        self.root.chmod(0o700)
        self._make_folders()
        self._write(self.root / LAYOUT_FILE, f"{LAYOUT}\n")
        # Last, so that a spool with a VERSION is a whole one; two processes may both come here.
        self._write(version, VERSION + "\n")
        fsync_folder(self.root.parent)

    def _make_folders(self) -> None:
        """Durably: what is synced in a folder is lost with the folder's own name."""
        for folder in _FOLDERS:
            path = self.root
            for part in folder.split("/"):
                path = path / part
                self.make_folder(path)

    @cached_property
    def file_system(self) -> FileSystem:
        """What the spool lies on, asked once: how writing is made durable depends on it (docs/adr/0001)."""
        return file_system_of(self.root)

    def installation_uid(self) -> str:
        """The UID of this installation alone: what its reports name as the device that made them."""
        path = self.root / "INSTALLATION"
        if not path.exists():
            self._write(path, f"2.25.{uuid4().int}")
        return path.read_text()

    # Receiving.

    def new_part(self) -> Path:
        """A path in incoming/ for an object that is being received; on the spool's own file system."""
        return self.incoming / f"{uuid4().hex}.part"

    def remove_old_parts(self, before: float) -> None:
        """Remove what a crash left half-received or half-removed, if last written to before ``before`` (POSIX s)."""
        for part in self.incoming.iterdir():
            try:
                if part.stat().st_mtime < before:
                    shutil.rmtree(part) if part.is_dir() else part.unlink()
            except FileNotFoundError:  # finished meanwhile
                continue
            except OSError as error:  # worthless, and no reason to leave anything else undone
                logger.error("%s in the spool's incoming cannot be removed: %s", part.name, error.strerror)

    def receive(self, part: Path, file_descriptor: int, instance: ReceivedInstance) -> bool:
        """Make a complete object durable; only after this may a sender hear 0x0000.

        ``file_descriptor`` is the open, fully written ``part``. Returns False for a content that we have already, whose
        part is dropped. Raises OSError with nothing half-written in the inbox; the caller removes the part.
        """
        if (found := self.find(instance)) is not None:
            part.unlink()
            try:
                settle_name(found)  # another sender's copy of it may have been renamed this very moment
            except FileNotFoundError:
                settle_name(self.filed_path(instance))  # and a worker may have filed it
            return False
        os.fsync(file_descriptor)
        self._rename(part, self.inbox / f"{instance.key}.dcm")
        return True

    def quarantine(self, part: Path, why: str) -> Path:
        """Keep an unparsable object for a person, with a note of why beside it. Returns where it went."""
        kept = self.quarantined / f"{part.stem}.dcm"
        self._rename(part, kept)
        self._write(kept.with_suffix(".json"), json.dumps({"why": why}))
        return kept

    # Work.

    def waiting(self) -> Iterator[ReceivedInstance]:
        """What is acknowledged and not tagged, in no particular order."""
        return _instances(self.inbox)

    def inbox_path(self, instance: ReceivedInstance) -> Path:
        """Where the object lies while it is untagged."""
        return self.inbox / f"{instance.key}.dcm"

    def waits(self, instance: ReceivedInstance) -> bool:
        """Whether the object is still in the inbox. One that cannot be looked at is: reading it says what is wrong."""
        try:
            return self.inbox_path(instance).exists()
        except OSError:
            return True

    def filed_path(self, instance: ReceivedInstance) -> Path:
        """Where the object lies once it is tagged."""
        return self.study_folder(instance.study_instance_uid) / f"{instance.filed_name}.dcm"

    def find(self, instance: ReceivedInstance) -> Path | None:
        """The object's file, wherever it is; None if the spool does not have it."""
        places = (self.inbox_path(instance), self.filed_path(instance), self.dead / f"{instance.key}.dcm")
        return next((path for path in places if path.exists()), None)

    def write_assessment(self, instance: ReceivedInstance, assessment: dict[str, Any]) -> None:
        """Write what was found about one object, replacing what was there. Durable after ``sync``."""
        folder = self._make_study_folder(instance.study_instance_uid)
        self._write(folder / f"{instance.filed_name}.json", json.dumps(assessment, indent=1), durable=False)

    def assessments(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """All assessments of a study, ordered by name; empty for a study we do not have."""
        folder = self.study_folder(study_instance_uid)
        found = (_object(path.read_bytes()) for path in sorted(folder.glob("*+*.json")))
        return [assessment for assessment in found if assessment is not None]

    def write_decision(self, study_instance_uid: str, decision: dict[str, Any]) -> None:
        """Make ``decision`` the study's current one and append it to its history. Hold ``study_lock``.

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

    def sync(self) -> None:
        """Make everything written so far durable: once for a batch, before its objects leave the inbox.

        One syncfs instead of four fsyncs for each object, which is most of the cost of a tag on ordinary disks. Until
        then the inbox still has the objects, so that a power failure repeats their work and loses nothing. Where
        syncfs is not believed (FUSE, NFS), there is nothing left to do: each file was synced as it was written.
        """
        if self.file_system.syncs_whole:
            sync_file_system(self.root)

    def decision(self, study_instance_uid: str) -> dict[str, Any] | None:
        """The study's current decision; None before the first."""
        try:
            content = (self.study_folder(study_instance_uid) / DECISION).read_bytes()
        except FileNotFoundError:
            return None
        return _object(content)

    def history(self, study_instance_uid: str) -> list[dict[str, Any]]:
        """Every decision that the study had, oldest first."""
        path = self.study_folder(study_instance_uid) / HISTORY
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("}")]  # a crash may have cut a line

    def decisions(self) -> Iterator[dict[str, Any]]:
        """The current decision of every study, in no particular order. Reads the whole spool: for rebuilding."""
        for path in self.studies.glob(f"*/*/{DECISION}"):
            try:
                decision = _object(path.read_bytes())
            except FileNotFoundError:  # retention removed the study meanwhile
                continue
            except OSError as error:  # it must not hide the others
                logger.error("a decision in the spool cannot be read (%s): %s", error.strerror, path.parent.name)
                continue
            if decision is not None:
                yield decision

    def file(self, instance: ReceivedInstance) -> None:
        """Move a tagged object from the inbox to its study: the last step, after ``sync``; it is work no longer."""
        self._make_study_folder(instance.study_instance_uid)
        try:
            self._rename(self.inbox_path(instance), self.filed_path(instance), durable=False)
        except FileNotFoundError:
            if not self.filed_path(instance).exists():
                raise

    @contextmanager
    def study_lock(self, study_instance_uid: str) -> Iterator[None]:
        """Hold the study alone among all processes; released by the kernel if the process dies.

        The study's folder is there while it is held, whoever removed the study until then.
        """
        with file_lock(self.study_folder(study_instance_uid) / ".lock", blocking=True):
            yield

    # Dead letters.

    def bury(self, instance: ReceivedInstance, note: dict[str, Any]) -> None:
        """Move an object from the inbox to the dead letters, with a note of what failed."""
        self._write(self.dead / f"{instance.key}.json", json.dumps(note, indent=1))
        self._rename(self.inbox_path(instance), self.dead / f"{instance.key}.dcm")

    def dead_letters(self) -> Iterator[tuple[ReceivedInstance, dict[str, Any]]]:
        """What was given up, each with its note."""
        for instance in _instances(self.dead):
            note = self.dead / f"{instance.key}.json"
            yield instance, json.loads(note.read_bytes()) if note.exists() else {}

    def requeue(self, instance: ReceivedInstance) -> None:
        """Move a dead letter back to the inbox; FileNotFoundError if it is none."""
        self._rename(self.dead / f"{instance.key}.dcm", self.inbox_path(instance))
        (self.dead / f"{instance.key}.json").unlink(missing_ok=True)

    # Studies and retention.

    def study_folder(self, study_instance_uid: str) -> Path:
        """The study's folder, whether or not it exists."""
        uid = valid_uid(study_instance_uid)
        return self.studies / sha256(uid.encode()).hexdigest()[:2] / uid

    def study_uids(self) -> Iterator[str]:
        """Every study that has a folder."""
        for folder in self.studies.glob("*/*/"):
            with suppress(InvalidUIDError):  # not ours
                yield valid_uid(folder.name)

    def is_unfinished(self, study_instance_uid: str) -> bool:
        """Whether an object of the study waits or is dead. Looks through both folders."""
        pattern = f"{valid_uid(study_instance_uid)}+*.dcm"
        return any(any(folder.glob(pattern)) for folder in (self.inbox, self.dead))

    def touched(self, study_instance_uid: str) -> float:
        """When something last happened to the study's folder, in POSIX seconds; a cheap lower bound of its age."""
        try:
            return self.study_folder(study_instance_uid).stat().st_mtime
        except FileNotFoundError:
            return time.time()

    def remove_study(self, study_instance_uid: str) -> None:
        """Forget a study. The caller holds its lock and knows that nothing of it waits, is dead or is undelivered."""
        # Out of the way in one step, so that a crash in the midst of it leaves no half study behind.
        removed = self.new_part()
        self._rename(self.study_folder(study_instance_uid), removed)
        shutil.rmtree(removed)

    def takes_studies(self) -> bool:
        """Whether a study that is not there yet could be written. Tries it, and leaves nothing."""
        probe = f"2.25.{uuid4().int}"
        try:
            self._write(self._make_study_folder(probe) / DECISION, "{}", durable=False)
            self.remove_study(probe)
        except OSError:
            return False
        return True

    def usage(self) -> SpoolUsage:
        """How full the file system under the spool is."""
        stat = os.statvfs(self.root)
        return SpoolUsage(
            total_bytes=stat.f_blocks * stat.f_frsize,
            free_bytes=stat.f_bavail * stat.f_frsize,
            total_inodes=stat.f_files,
            free_inodes=stat.f_favail,
        )

    # Files.

    def write(self, path: Path, content: str | bytes) -> None:
        """Replace the file at ``path``, durably and whole: nobody ever sees a part of it."""
        self._write(path, content)

    def make_folder(self, folder: Path) -> None:
        """Make a folder in an existing one, durably, unless it is there."""
        if not folder.is_dir():
            folder.mkdir(mode=0o700, exist_ok=True)
            fsync_folder(folder.parent)

    def move(self, source: Path, target: Path, *, durable: bool = True) -> None:
        """Rename, durably in both folders unless it can be done again. FileNotFoundError if ``source`` is gone."""
        self._rename(source, target, durable=durable)
        if durable and source.parent != target.parent:
            fsync_folder(source.parent)

    def touch(self, path: Path) -> None:
        """Make an empty file unless it is there. Durable after ``sync``."""
        path.touch(0o600)
        if not self.file_system.syncs_whole:
            settle_name(path)

    def _make_study_folder(self, study_instance_uid: str) -> Path:
        folder = self.study_folder(study_instance_uid)
        if not folder.exists():
            private_folder(folder)
        if not self.file_system.syncs_whole:  # also where the lock has made it
            for path in (folder, folder.parent):
                settle_name(path)
        return folder

    def _write(self, path: Path, content: str | bytes, *, durable: bool = True) -> None:
        durable = durable or not self.file_system.syncs_whole
        temporary = self.incoming / f"{uuid4().hex}.part"
        replace_file(path, content, temporary, partial(self._rename, durable=durable), durable=durable)

    def _rename(self, source: Path, target: Path, *, durable: bool = True) -> None:
        rename_file(source, target, durable=durable)


def _object(content: bytes) -> dict[str, Any] | None:
    """A JSON object; None for one that a power failure cut, whose work is still in the inbox."""
    try:
        value: dict[str, Any] = json.loads(content)
    except ValueError:
        logger.warning("a record in the spool is cut short; its object is done again")
        return None
    return value


def _top_level() -> set[str]:
    return {folder.split("/")[0] for folder in _FOLDERS} | {"VERSION", "INSTALLATION", LAYOUT_FILE}


def _instances(folder: Path) -> Iterator[ReceivedInstance]:
    with os.scandir(folder) as entries:
        for entry in entries:
            if not entry.name.endswith(".dcm"):
                continue
            try:
                yield ReceivedInstance.from_key(entry.name.removesuffix(".dcm"))
            except ValueError:  # somebody else put it there; it must not stop the work on what is ours
                logger.warning("%s holds a file that is not ours; it is passed over", folder)
