"""Receipts of stored objects, by the clock that all hosts of a store share (docs/adr/0100)."""

from __future__ import annotations

from dataclasses import replace

from triage.dicom.part10 import Receipt
from triage.spool.stored_object import StoredObject


def by_store_clock(receipt: Receipt, stored: StoredObject) -> Receipt:
    """Return the receipt that an object has in its bytes, with the time of receipt that the store knows.

    The receipt was written by the host that received it. Of several hosts the clocks differ, and neither which content
    of an image came last nor whether an image is newer than a report may depend on that. In a store of files nothing
    changes.
    """
    at = stored.received_by_store()
    return receipt if at is None else replace(receipt, received_at=at)
