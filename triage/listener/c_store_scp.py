"""C-STORE: one object from its first fragment to its status. Status 0x0000 is returned only once it is durable."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from triage.dicom.command_set import CANNOT_UNDERSTAND, DATA_SET_MISMATCH, OUT_OF_RESOURCES, SUCCESS, Command
from triage.dicom.header_scan import read_identity
from triage.dicom.part10 import Receipt, header
from triage.dicom.uid import valid_uid
from triage.errors import cause
from triage.listener.storage import Redirect, StorageTarget, no_redirect
from triage.metrics.labels import StoreOutcome
from triage.spool.instance import ReceivedInstance
from triage.spool.store import Store
from triage.spool.stored_object import Upload
from triage.spool.usage import HighWater

_AT_ONCE = 1 << 20  # bytes that are hashed and written at once
_ABOVE_HIGH_WATER = "the spool is above its high-water mark"


@dataclass(frozen=True)
class StoreResult:
    """The result of a C-STORE: the status and error comment to return, and the instance if it is stored.

    ``redirected_to``: where it is stored, if not in its sender's target. ``above_high_water``: refused for this reason.
    """

    status: int
    outcome: StoreOutcome
    comment: str = ""
    instance: ReceivedInstance | None = None
    redirected_to: StorageTarget | None = None
    above_high_water: bool = False


class IncomingObject:
    """An object that is being received. ``write`` each fragment, then ``finish``, or ``discard``; none of them raises.

    ``command`` is its C-STORE-RQ, ``receipt`` has the transfer syntax of its presentation context. ``redirect`` may
    return another target, on the same file system, once the content is known.
    """

    def __init__(
        self,
        spool: Store,
        command: Command,
        receipt: Receipt,
        high_water: HighWater,
        redirect: Redirect = no_redirect,
    ) -> None:
        self._spool = spool
        self._command = command
        self._redirect = redirect
        self._syntax = receipt.transfer_syntax_uid
        self._upload: Upload | None = None
        self._data_set_at = 0
        self._digest = hashlib.sha256()
        self._pending = memoryview(bytearray(_AT_ONCE))  # kept: a buffer that grows anew is new pages each time
        self._filled = 0
        self._refusal: StoreResult | None = None
        self.size = 0
        if not command.has_data_set:
            self._refusal = StoreResult(CANNOT_UNDERSTAND, StoreOutcome.QUARANTINED, "a C-STORE without a data set")
        else:
            self._try(lambda: self._open(receipt, high_water))

    def write(self, fragment: memoryview) -> None:
        """Append a fragment of the data set. After a failure the rest is discarded: the peer sends it all the same."""
        self.size += len(fragment)
        while fragment and self._refusal is None:
            piece = fragment[: _AT_ONCE - self._filled]
            self._pending[self._filled : self._filled + len(piece)] = piece
            self._filled += len(piece)
            if self._filled == _AT_ONCE:
                self._try(self._flush)
            fragment = fragment[len(piece) :]

    def finish(self) -> StoreResult:
        """Make the object durable, and return the status to respond with."""
        if self._refusal is None:
            try:
                return self._settle()
            except OSError as error:
                self._refuse(_out_of_resources(error))
            finally:
                self.discard()
        assert self._refusal is not None
        return self._refusal

    def discard(self) -> None:
        """Remove what was received; no partial file is left."""
        if self._upload is not None:
            self._upload.discard()
            self._upload = None

    def _open(self, receipt: Receipt, high_water: HighWater) -> None:
        if high_water.reached(self._spool):
            self._refuse(StoreResult(OUT_OF_RESOURCES, StoreOutcome.REFUSED, _ABOVE_HIGH_WATER, above_high_water=True))
            return
        self._upload = self._spool.begin_upload()
        head = header(self._command.sop_class_uid, self._command.sop_instance_uid, self._syntax, receipt)
        self._data_set_at = len(head)
        self._upload.write(memoryview(head))

    def _flush(self) -> None:
        # Few large steps: each gives up the interpreter's lock and has to get it back from the other associations.
        filled = self._pending[: self._filled]
        self._begun.write(filled)
        self._digest.update(filled)
        self._filled = 0

    def _settle(self) -> StoreResult:
        self._flush()
        try:
            with self._begun.reader() as file:
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
        target = self._redirect(instance)
        new = (target.spool if target else self._spool).keep(self._begun, instance)
        outcome = StoreOutcome.STORED if new else StoreOutcome.DUPLICATE
        return StoreResult(SUCCESS, outcome, instance=instance, redirected_to=target)

    @property
    def _begun(self) -> Upload:
        assert self._upload is not None
        return self._upload

    def _quarantine(self, why: str) -> StoreResult:
        self._spool.set_aside(self._begun, why)
        return StoreResult(CANNOT_UNDERSTAND, StoreOutcome.QUARANTINED, why)

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._refuse(_out_of_resources(error))

    def _refuse(self, refusal: StoreResult) -> None:
        self._refusal = refusal
        self.discard()


def receipt_now(
    calling_ae_title: str, called_ae_title: str, peer: str, transfer_syntax_uid: str, association: str = ""
) -> Receipt:
    """Return the receipt of an object that begins now."""
    return Receipt(time.time(), calling_ae_title, called_ae_title, peer, transfer_syntax_uid, association=association)


def _out_of_resources(error: OSError) -> StoreResult:
    # Without the path: the sender receives this text, and must not learn the names of our folders.
    return StoreResult(OUT_OF_RESOURCES, StoreOutcome.REFUSED, cause(error))
