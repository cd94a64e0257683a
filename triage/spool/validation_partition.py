"""Where `triage validate --dicom` has its images scored: a spool that no list, queue, count or channel reads.

It lies in the folder ``validation`` of the spool. The listener puts there what the validation AE title sends; it goes
through the queue and the worker like any object, with the worker's models, decoders and settings; the command reads the
results and removes them.
"""

from __future__ import annotations

import shutil
from contextlib import suppress

from triage.spool.spool import Spool

VALIDATION = "validation"
"""Its folder in the spool, and its name in the queue."""
FORGET_AFTER_S = 24 * 3600.0
"""What a command that was killed left there goes after a day."""


def open_partition(spool: Spool) -> Spool:
    """The partition beside the patients of ``spool``. Raises SpoolError."""
    return Spool.open(spool.root / VALIDATION)


def close_partition(spool: Spool) -> None:
    """Remove it with everything in it: no validation's sender is named any more."""
    shutil.rmtree(spool.root / VALIDATION, ignore_errors=True)


def forget(partition: Spool, before: float) -> None:
    """Remove every study that was last touched before ``before`` (POSIX seconds) and of which nothing waits."""
    waiting = {instance.study_instance_uid for instance in partition.waiting()}
    for uid in list(partition.study_uids()):
        if uid not in waiting and partition.touched(uid) < before:
            with suppress(FileNotFoundError):  # somebody else was quicker
                partition.remove_study(uid)
    for instance, _ in list(partition.dead_letters()):
        for path in partition.dead.glob(f"{instance.key}.*"):
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
    partition.remove_old_parts(before)
