"""Where `triage validate --dicom` has its images scored: a spool that no list, queue, count or channel reads.

It lies in the folder ``validation`` of the spool. The listener puts there what the validation AE title sends; a thread
of the worker scores it (``aside.py``); the command reads the results and removes them.
"""

from __future__ import annotations

from triage.spool import Spool

FOLDER = "validation"


def open_namespace(spool: Spool) -> Spool:
    """The namespace beside the patients of ``spool``. Raises SpoolError."""
    return Spool.open(spool.root / FOLDER)


def forget(namespace: Spool, before: float) -> None:
    """Remove every study that was last touched before ``before`` (POSIX seconds) and of which nothing waits."""
    waiting = {instance.study_instance_uid for instance in namespace.waiting()}
    for uid in list(namespace.study_uids()):
        if uid not in waiting and namespace.touched(uid) < before:
            namespace.remove_study(uid)
    for instance, _ in list(namespace.dead_letters()):
        for path in namespace.dead.glob(f"{instance.key}.*"):
            if path.stat().st_mtime < before:
                path.unlink()
    namespace.remove_old_parts(before)
