"""The partition in which `triage validate --dicom` has its images scored: never listed, delivered or counted.

It is the folder ``validation`` of the spool. The listener stores the objects of the validation AE title there; they go
through the queue and the worker like any object, with the worker's models, decoders and settings; the command reads the
results and removes them.
"""

from __future__ import annotations

import shutil
from contextlib import suppress

from triage.spool.spool import Spool

VALIDATION = "validation"
"""The partition's folder in the spool, and its name in the queue."""
FORGET_AFTER_S = 24 * 3600.0
"""Seconds after which the objects of a killed command are removed."""


def open_partition(spool: Spool) -> Spool:
    """Open the partition of ``spool``, and create it if it does not exist. Raises SpoolError and OSError."""
    return Spool.open(spool.root / VALIDATION)


def close_partition(spool: Spool) -> None:
    """Remove the partition with everything in it: the settings name no validation AE title any more."""
    shutil.rmtree(spool.root / VALIDATION, ignore_errors=True)


def remove_old_studies(partition: Spool, before: float) -> None:
    """Remove every study that was last changed before ``before`` (POSIX seconds) and of which nothing waits."""
    waiting = {instance.study_instance_uid for instance in partition.waiting()}
    for uid in list(partition.study_uids()):
        if uid not in waiting and partition.touched(uid) < before:
            with suppress(FileNotFoundError):  # another process has removed it
                partition.remove_study(uid)
    for instance, _ in list(partition.dead_letters()):
        for path in partition.dead.glob(f"{instance.key}.*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
    partition.remove_old_parts(before)
