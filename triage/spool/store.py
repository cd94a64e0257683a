"""The store: everything durable that the service shares, and the one interface to it (docs/adr/0071).

A room is handed a ``Store`` and knows no files: where the bytes are is for the implementation alone. Today there is
one, a spool of files (spool.py). Unless it says so, every method raises OSError, and InvalidUIDError for a malformed
UID.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Protocol

from triage.decision.records import Record
from triage.spool.entries import Entries
from triage.spool.file_system_usage import SpoolState, SpoolUsage
from triage.spool.instance import ReceivedInstance
from triage.spool.processes import LiveWorkers, SwitchSet
from triage.spool.stored_object import StoredObject, Upload
from triage.spool.tables import Tables


class Objects(Protocol):
    """Received objects, from their first byte to their study. What is acknowledged and not tagged is the inbox."""

    def begin_upload(self) -> Upload:
        """Begin to receive an object."""

    def keep(self, upload: Upload, instance: ReceivedInstance) -> bool:
        """Make a whole object durable and put it into the inbox; only then may its sender receive status 0x0000.

        The upload may have begun in the store of which this is a partition. Returns False for a content that is here
        already. Nothing is in the inbox after an OSError.
        """

    def set_aside(self, upload: Upload, why: str) -> None:
        """Keep an unparsable object for inspection, durably, with the reason: an entry ``<name>.dcm`` of quarantine."""

    def waiting(self) -> Iterator[ReceivedInstance]:
        """Yield the objects in the inbox, in no particular order."""

    def waits(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is in the inbox; true if that cannot be determined: a read reports the error."""

    def waiting_object(self, instance: ReceivedInstance) -> StoredObject:
        """Return an object of the inbox. Does not look for it: who opens it meets FileNotFoundError if it is gone."""

    def stored_object(self, instance: ReceivedInstance) -> StoredObject | None:
        """Return the object, wherever it is; None if the store does not have it."""

    def gives_objects(self) -> bool:
        """Return whether the place of the objects answers. Never raises.

        If it does not, an object that cannot be read is no failure of this object.
        """

    def is_filed(self, instance: ReceivedInstance) -> bool:
        """Return whether the object is with its study, tagged."""

    def objects_of(self, study_instance_uid: str) -> Iterator[ReceivedInstance]:
        """Yield the study's objects in the inbox, among the dead letters and with the study; one may come twice."""

    def take_back(self, instance: ReceivedInstance) -> None:
        """Put a tagged object back into the inbox, durably. Hold the study's lock. Raises FileNotFoundError."""

    def bury(self, instance: ReceivedInstance, record: Record) -> None:
        """Take an object out of the inbox as a dead letter, with a record of the failure, durably."""

    def dead_letters(self) -> Iterator[tuple[ReceivedInstance, Record]]:
        """Yield the dead letters, each with the record of its failure."""

    def requeue(self, instance: ReceivedInstance) -> None:
        """Put a dead letter back into the inbox. Raises FileNotFoundError if there is none of this key."""

    def remove_old_parts(self, before: float) -> None:
        """Remove what uploads left that a crash ended, if last written before ``before`` (POSIX seconds)."""

    def remove_dead_keys(self) -> None:
        """Delete the bytes that nothing names any more; where files are the store, there are none.

        What is dead was given up or removed before, and deadlines are the database's: no host's clock counts.
        """

    def remove_local_parts(self, before: float) -> None:
        """Remove what uploads left on this machine: for one that stands by while another one's sweep does the rest."""

    def drop_unfinished(self) -> None:
        """Remove all that waits and all dead letters: of a partition, whose objects are no patient's."""

    def drop_dead_letters(self, before: float) -> None:
        """Remove the dead letters of a partition that came before ``before`` (POSIX seconds)."""


class Batch(Protocol):
    """The writing of a worker about several studies at a time. The thread that opened it writes through the store."""

    def settle(self) -> None:
        """Make everything that was written in this batch durable: before the worklist shows any of it."""

    def file(self, instance: ReceivedInstance) -> None:
        """Take a tagged object out of the inbox, to its study: the last step of its work, after ``settle``."""


class Results(Protocol):
    """Findings on objects, and decisions on studies."""

    def batch(self) -> AbstractContextManager[Batch]:
        """Open a batch. What is written in it may be lost in a crash until it is settled; its objects wait then."""

    def write_assessment(self, instance: ReceivedInstance, assessment: Record) -> None:
        """Write the assessment of one object, replacing an earlier one. Durable with ``Batch.settle``."""

    def assessments(self, study_instance_uid: str) -> list[Record]:
        """Return all assessments of a study, ordered by SOP Instance UID and content; empty for an unknown study."""

    def write_decision(self, study_instance_uid: str, decision: Record) -> None:
        """Make ``decision`` the study's current one and append it to the history, which never lacks it. Hold its lock.

        Durable with ``Batch.settle``.
        """

    def decision(self, study_instance_uid: str) -> Record | None:
        """Return the study's current decision; None before the first."""

    def decided_at(self, study_instance_uid: str) -> float:
        """Return when the current decision was written, in POSIX seconds. Raises FileNotFoundError without one."""

    def history(self, study_instance_uid: str) -> list[Record]:
        """Return every decision of the study, oldest first."""

    def decisions(self) -> Iterator[Record]:
        """Yield the current decision of every study, in no particular order. Reads all: for a rebuild."""


class StudyChanges(Protocol):
    """The studies of a store in groups, of which those without a change are not read again. For one process."""

    def changed(self) -> Mapping[str, Sequence[str]]:
        """Return all UIDs in each group to or from which a study came since the last call, by its name; first all."""

    def forget(self) -> None:
        """Read all groups anew at the next call."""


class Studies(Protocol):
    """The studies that are kept, and the locks under which they change."""

    def study_lock(self, study_instance_uid: str) -> AbstractContextManager[None]:
        """Hold the lock of a study, exclusive among all processes; released if the process dies.

        There is a study to write into while it is held, even if it was removed before. Raises LockedError where another
        process holds it for longer than the store waits; files wait without limit.
        """

    def when_durable(self, study_instance_uid: str, act: Callable[[], None]) -> None:
        """Call ``act`` under the study's lock once what was written under it is durable: for what others are told.

        That is now, or at the end of the lock or batch that the thread is in, in a lock taken anew: ``act`` reads again
        what it tells. Its errors are raised from there; what was written stays.
        """

    def study_uids(self) -> Iterator[str]:
        """Yield every study, also one without a decision."""

    def has_study(self, study_instance_uid: str) -> bool:
        """Return whether there is a study of this UID."""

    def study_changes(self) -> StudyChanges:
        """Return a new observer of the studies."""

    def studies_with(self, entry: str) -> Iterator[str]:
        """Yield the studies that have an entry or log of this name, in order. Reads all."""

    def is_unfinished(self, study_instance_uid: str) -> bool:
        """Return whether an object of the study waits or is a dead letter."""

    def touched(self, study_instance_uid: str) -> float:
        """Return a cheap lower bound of when the study last changed, in POSIX seconds; now for an unknown one."""

    def remove_study(self, study_instance_uid: str) -> None:
        """Remove a study with all its entries. Hold its lock; nothing of it waits, is dead or is undelivered.

        A crash leaves no part of it that is seen.
        """

    def takes_studies(self) -> bool:
        """Return whether a new study can be written. Writes one, and removes it. Never raises."""


class Store(Objects, Results, Studies, Protocol):
    """All of it. Safe to share between threads; made once for each process."""

    @property
    def name(self) -> str:
        """Its name for people: where it is."""

    @property
    def caution(self) -> str:
        """Warning for what is kept here, as the end of a sentence that begins with its name; empty if there is none."""

    @property
    def workers(self) -> LiveWorkers:
        """The live processes."""

    @property
    def model_switches(self) -> SwitchSet:
        """The kill switches of models."""

    @property
    def channel_switches(self) -> SwitchSet:
        """The kill switches of destinations."""

    @property
    def tables(self) -> Tables | None:
        """Its database, for a room that has tables of its own there; None where it is files."""

    def exists(self) -> bool:
        """Return whether it is there and can be read. Never raises."""

    def close(self) -> None:
        """End what this process has open at other programs, as far as it is idle; the store can be used again."""

    def why_away(self) -> str:
        """Return why nothing can be received now, as its engines say; empty if they do not. Never raises.

        Asks engines that are other programs, and may wait for them. Empty for files, of which each use tells.
        """

    def installation_uid(self) -> str:
        """Return the UID of this installation alone, by which its reports name the device; made when first used."""

    def partition(self, name: str) -> Store:
        """Return the partition ``name``: a store in this one, for objects that are no patient's, made if missing.

        Never raises: a partition that cannot be used fails when it is used.
        """

    def open_partition(self, name: str) -> Store:
        """Return the partition ``name``, made if missing. Raises SpoolError too."""

    def remove_partition(self, name: str) -> None:
        """Remove the partition with everything in it, if there is one."""

    def entries(self, *words: str) -> Entries:
        """Return the site's entries of the place that the words name."""

    def study_entries(self, study_instance_uid: str, *words: str) -> Entries:
        """Return a study's own entries of the place that the words name, or of the study itself."""

    def places(self, *words: str) -> list[str]:
        """Return the last word of every place of the site one word longer than ``words``; none where there is none."""

    def scratch_file(self) -> AbstractContextManager[Path]:
        """Return the path of a file on this machine, which is removed at the end; nothing is there yet."""

    def usage(self) -> SpoolUsage:
        """Return how full it is."""

    def state(self) -> SpoolState:
        """Return the parts of it that should be small. Reads no study: the cost does not grow with those kept."""

    def oldest_waiting(self) -> float | None:
        """Return when the oldest object in the inbox was received, in POSIX seconds; None if none waits."""
