"""The partition in which `triage validate --dicom` has its images scored: never listed, delivered or counted.

The listener stores the objects of the validation AE title there; they go
through the queue and the worker like any object, with the worker's models, decoders and settings; the command reads the
results and removes them.
"""

from __future__ import annotations

from contextlib import suppress

from triage.spool.store import Store

VALIDATION = "validation"
"""The partition's folder in the spool, and its name in the queue."""
FORGET_AFTER_S = 24 * 3600.0
"""Seconds after which the objects of a killed command are removed."""


def open_partition(spool: Store) -> Store:
    """Open the partition of ``spool``, and create it if it does not exist. Raises SpoolError and OSError."""
    return spool.open_partition(VALIDATION)


def close_partition(spool: Store) -> None:
    """Remove the partition with everything in it: the settings name no validation AE title any more."""
    spool.remove_partition(VALIDATION)


def remove_old_studies(partition: Store, before: float) -> None:
    """Remove every study that was last changed before ``before`` (POSIX seconds) and of which nothing waits."""
    waiting = {instance.study_instance_uid for instance in partition.waiting()}
    for uid in list(partition.study_uids()):
        if uid not in waiting and partition.touched(uid) < before:
            with suppress(FileNotFoundError):  # another process has removed it
                partition.remove_study(uid)
    partition.drop_dead_letters(before)
    partition.remove_old_parts(before)
