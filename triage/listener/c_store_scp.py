"""C-STORE: one object from its first fragment to a status. Invariant 1: 0x0000 only after it is durable."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

from triage.dicom.command_set import CANNOT_UNDERSTAND, DATA_SET_MISMATCH, OUT_OF_RESOURCES, SUCCESS, Command
from triage.dicom.header_scan import read_identity
from triage.dicom.part10 import Receipt, header
from triage.dicom.uid import valid_uid
from triage.metrics.labels import StoreOutcome
from triage.spool.instance import ReceivedInstance
from triage.spool.spool import Spool
from triage.spool.usage import HighWater

_AT_ONCE = 1 << 20  # bytes that are hashed and written at once
ABOVE_HIGH_WATER = "the spool is above its high-water mark"


@dataclass(frozen=True)
class StoreResult:
    """What became of an object: the status to answer and what to say with it, and the instance if it is stored.

    ``in_partition``: it lies in a partition, not in the patients' spool.
    """

    status: int
    outcome: StoreOutcome
    comment: str = ""
    instance: ReceivedInstance | None = None
    in_partition: bool = False


class IncomingObject:
    """An object that is being received. ``write`` each fragment, then ``finish``, or ``discard``; none of them raises.

    ``command`` is its C-STORE-RQ, ``receipt`` has the transfer syntax of its presentation context. ``partition_of`` may
    name another spool, on the same file system, for a content.
    """

    def __init__(
        self,
        spool: Spool,
        command: Command,
        receipt: Receipt,
        high_water: HighWater,
        partition_of: Callable[[ReceivedInstance], Spool | None] = lambda instance: None,
    ) -> None:
        self._spool = spool
        self._command = command
        self._partition_of = partition_of
        self._syntax = receipt.transfer_syntax_uid
        self._part = spool.new_part()
        self._descriptor = -1
        self._data_set_at = 0
        self._digest = hashlib.sha256()
        self._pending = bytearray()
        self._refusal: StoreResult | None = None
        self.size = 0
        if not command.has_data_set:
            self._refusal = StoreResult(CANNOT_UNDERSTAND, StoreOutcome.QUARANTINED, "a C-STORE without a data set")
        else:
            self._try(lambda: self._open(receipt, high_water))

    def write(self, fragment: memoryview) -> None:
        """Take a fragment of the data set. After a failure the rest is swallowed: the peer sends it all the same."""
        self.size += len(fragment)
        if self._refusal is None:
            self._pending += fragment
            if len(self._pending) >= _AT_ONCE:
                self._try(self._flush)

    def finish(self) -> StoreResult:
        """Make the object durable and say what to answer."""
        if self._refusal is None:
            try:
                return self._settle()
            except OSError as error:
                self._refuse(_words(error))
            finally:
                self.discard()
        assert self._refusal is not None
        return self._refusal

    def discard(self) -> None:
        """Forget what was received; nothing half-written stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
            with suppress(OSError):  # gone if it was stored; otherwise what cannot be removed is worthless, not harmful
                self._part.unlink(missing_ok=True)

    def _open(self, receipt: Receipt, high_water: HighWater) -> None:
        if high_water.reached(self._spool):
            self._refuse(ABOVE_HIGH_WATER)
            return
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        head = header(self._command.sop_class_uid, self._command.sop_instance_uid, self._syntax, receipt)
        self._data_set_at = len(head)
        _write_all(self._descriptor, memoryview(head))

    def _flush(self) -> None:
        # Few large steps: each gives up the interpreter's lock and has to get it back from the other associations.
        _write_all(self._descriptor, memoryview(self._pending))
        self._digest.update(self._pending)
        self._pending.clear()

    def _settle(self) -> StoreResult:
        self._flush()
        try:
            # A descriptor has no Path.
            with open(self._descriptor, "rb", closefd=False) as file:
                file.seek(self._data_set_at)
                identity = read_identity(file, self._syntax)
            valid_uid(identity.sop_instance_uid)
            valid_uid(identity.study_instance_uid)
        except ValueError:
            return self._quarantine("no data set, or none with a valid Study and SOP Instance UID before a fault in it")
        announced = (self._command.sop_class_uid, self._command.sop_instance_uid)
        if (identity.sop_class_uid, identity.sop_instance_uid) != announced:
            return StoreResult(DATA_SET_MISMATCH, StoreOutcome.MISMATCH, "data set and command differ in class or UID")
        instance = ReceivedInstance(identity.study_instance_uid, identity.sop_instance_uid, self._digest.hexdigest())
        partition = self._partition_of(instance)
        new = (partition or self._spool).receive(self._part, self._descriptor, instance)
        outcome = StoreOutcome.STORED if new else StoreOutcome.DUPLICATE
        return StoreResult(SUCCESS, outcome, instance=instance, in_partition=partition is not None)

    def _quarantine(self, why: str) -> StoreResult:
        self._spool.quarantine(self._part, why)
        return StoreResult(CANNOT_UNDERSTAND, StoreOutcome.QUARANTINED, why)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._refuse(_words(error))

    def _refuse(self, why: str) -> None:
        self._refusal = StoreResult(OUT_OF_RESOURCES, StoreOutcome.REFUSED, why)
        self.discard()


def receipt_now(
    calling_ae_title: str, called_ae_title: str, peer: str, transfer_syntax_uid: str, association: str = ""
) -> Receipt:
    """A receipt of this moment."""
    return Receipt(time.time(), calling_ae_title, called_ae_title, peer, transfer_syntax_uid, association=association)


def _words(error: OSError) -> str:
    # Without the path: the sender sees this too, and our folders are none of its business.
    return error.strerror or type(error).__name__


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
