"""The times of a moved store: those of the source, so that retention and the order of delivery go on as they were."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Protocol

from triage.spool.cluster.address import ClusterAddress
from triage.spool.entries import Place
from triage.spool.file_entries import folder_below
from triage.spool.instance import ReceivedInstance
from triage.spool.opening import INSTALLATION_FILE
from triage.spool.result_files import DECISION
from triage.spool.spool import Spool

_DIGITS_S = 0.001
"""Seconds within which two times are one: file systems and databases keep different digits."""


class Backdating(Protocol):
    """The setting of times (POSIX seconds) in the target of a move, and of what a store makes but once."""

    def installed(self, uid: str) -> None:
        """Make ``uid`` that of the installation: its reports go on to name the same device."""

    def received(self, instance: ReceivedInstance, at: float) -> None:
        """Set when an object was received."""

    def decided(self, study_instance_uid: str, decided_at: float | None, touched: float) -> None:
        """Set when a study was decided, if it was, and last changed. Called last for a study."""

    def written(self, place: Place, name: str, at: float) -> None:
        """Set when an entry of the site was written."""


class FileBackdating:
    """The times of the files of a spool."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool

    def installed(self, uid: str) -> None:
        """Replace the file of the UID."""
        self._spool.write(self._spool.root / INSTALLATION_FILE, uid)

    def received(self, instance: ReceivedInstance, at: float) -> None:
        """Set the time of the object's file."""
        if (path := self._spool.find(instance)) is not None:
            _set(path, at)

    def decided(self, study_instance_uid: str, decided_at: float | None, touched: float) -> None:
        """Set the times of the decision's file and of the study's folder."""
        folder = self._spool.study_folder(study_instance_uid)
        if decided_at is not None:
            _set(folder / DECISION, decided_at)
        _set(folder, touched)

    def written(self, place: Place, name: str, at: float) -> None:
        """Set the time of the entry's file."""
        _set(folder_below(self._spool.root, place.words) / name, at)


def backdating(address: Path | ClusterAddress) -> Backdating:
    """Return the setting of times in the store at an address."""
    if isinstance(address, Path):
        return FileBackdating(Spool(address))
    from triage.spool.cluster.backdated_rows import backdated_rows
    from triage.spool.cluster.s3_bucket import S3Bucket

    return backdated_rows(address, S3Bucket(address.bucket))


def is_same_time(ours: float, theirs: float) -> bool:
    """Return whether the times of something in two stores (POSIX seconds) are one."""
    return abs(ours - theirs) < _DIGITS_S


def _set(path: Path, at: float) -> None:
    os.utime(path, (at, at))
