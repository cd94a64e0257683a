"""Received objects that are priors, by the dates in their attributes, before they are scored.

A prior may wait. If its date is wrong here, it is only scored later: ``decision.is_prior`` decides on its study.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import islice

from triage.decision.decide import is_old
from triage.dicom.byte_source import OpenFileSource
from triage.dicom.file_meta import read_file_meta
from triage.dicom.header_scan import read_identity
from triage.dicom.part10 import receipt_of
from triage.radiograph.attributes import latest_date
from triage.spool.instance import ReceivedInstance
from triage.spool.recall_file import was_scored_again
from triage.spool.store import Store


def is_prior(spool: Store, instance: ReceivedInstance, after_days: float) -> bool:
    """Return whether an object in the inbox was taken more than ``after_days`` before it came; 0: none was.

    True for one that a recall has scored again. False for an unreadable object, and for one without a date.
    """
    if was_scored_again(spool, instance):
        return True
    if not after_days:
        return False
    stored = spool.waiting_object(instance)
    try:
        with stored.open("rb") as file:
            meta = read_file_meta(OpenFileSource(file))
            file.seek(meta.end)
            dates = read_identity(file, meta.transfer_syntax_uid).dates
        return is_old(latest_date(dates), receipt_of(meta).received_at or stored.received_at(), after_days)
    except Exception:  # the edge: the file may hold anything; it is scored as if urgent
        return False


def oldest_awaited(
    spool: Store, is_of_priors: Callable[[Sequence[ReceivedInstance]], list[bool]], at_once: int = 1000
) -> float:
    """Return when the oldest object came that waits and is no prior, in POSIX seconds; 0 if none waits."""
    oldest = 0.0
    waiting = spool.waiting()
    while some := list(islice(waiting, at_once)):
        for instance, prior in zip(some, is_of_priors(some), strict=True):
            if not prior:
                with suppress(FileNotFoundError):  # tagged meanwhile
                    came = spool.waiting_object(instance).received_at()
                    oldest = min(oldest or came, came)
    return oldest
