"""Receipts of stored objects, by the clock that all hosts of a store share (docs/adr/0100)."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

from triage.dicom.part10 import Receipt
from triage.spool.stored_object import StoredObject


def by_store_clock(receipt: Receipt, stored: StoredObject) -> Receipt:
    """Return the receipt that an object has in its bytes, with the time of receipt that the store knows.

    The receipt was written by the host that received it. Of several hosts the clocks differ, and neither which content
    of an image came last nor whether an image is newer than a report may depend on that. In a store of files it is the
    receipt's, and the file's own where that cannot be read: were it now, an image that is scored again would be newer
    than its correction.
    """
    at = stored.received_by_store()
    if at is None and receipt.received_at is None:
        with suppress(OSError):  # it was filed, or is gone
            at = stored.received_at()
    return receipt if at is None else replace(receipt, received_at=at)
