"""Received objects of a STAT order, by their Requested Procedure Priority, before they are scored.

Where the attribute is wrong or cannot be read, the object has its turn like any other: its order is all that changes.
"""

from __future__ import annotations

from triage.decision.types import REQUESTED_PROCEDURE_PRIORITY, Priority
from triage.dicom.byte_source import OpenFileSource
from triage.dicom.file_meta import read_file_meta
from triage.dicom.header_scan import read_work
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store


def is_stat(spool: Store, instance: ReceivedInstance) -> bool:
    """Return whether an object in the inbox says STAT or HIGH; False for an unreadable object."""
    try:
        with spool.waiting_object(instance).open("rb") as file:
            source = OpenFileSource(file)
            said = read_work(source, read_file_meta(source)).order_priority.upper()
    except Exception:  # the edge: the file may hold anything, or be scored already
        return False
    return REQUESTED_PROCEDURE_PRIORITY.get(said) is Priority.HIGH
