"""C-STORE: one object from its first fragment to a status. Invariant 1: 0x0000 only after it is durable."""

from __future__ import annotations

import hashlib
import logging
import os
import time
import zlib
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian

from triage.metrics import Outcome
from triage.part10 import Receipt, header
from triage.spool import InvalidUIDError, ReceivedInstance, Spool, valid_uid

logger = logging.getLogger(__name__)

SUCCESS = 0x0000
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_STUDY_INSTANCE_UID = 0x0020000D
_INFLATED_AT_MOST = 64 << 20  # of a deflated data set, only the beginning is needed


@dataclass(frozen=True)
class Announced:
    """What the C-STORE-RQ and its presentation context say of the object."""

    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Stored:
    """What became of an object: the status to answer, and the instance if it is new work."""

    status: int
    outcome: Outcome
    comment: str = ""
    instance: ReceivedInstance | None = None


@dataclass(frozen=True)
class HighWater:
    """When the spool is too full to take more; see the settings of the spool."""

    fraction: float
    min_free_bytes: int

    def reached(self, spool: Spool) -> bool:
        """Whether the file system under the spool is too full now."""
        usage = spool.usage()
        return usage.used_fraction > self.fraction or usage.free_bytes < self.min_free_bytes


class IncomingObject:
    """An object that is being received. ``write`` each fragment, then ``finish``, or ``discard``."""

    def __init__(self, spool: Spool, announced: Announced, receipt: Receipt, high_water: HighWater) -> None:
        self._spool = spool
        self._announced = announced
        self._part = spool.new_part()
        self._descriptor = -1
        self._digest = hashlib.sha256()
        self._refusal: Stored | None = None
        self._offset = 0
        self.size = 0
        if high_water.reached(spool):
            self._refuse("the spool is above its high-water mark")
            return
        self._try(lambda: self._open(header_of(announced, receipt)))

    def write(self, fragment: memoryview) -> None:
        """Take a fragment of the data set. After a failure the rest is swallowed: the peer sends it all the same."""
        self.size += len(fragment)
        if self._refusal is None:
            self._digest.update(fragment)
            self._try(lambda: _write_all(self._descriptor, fragment))

    def finish(self) -> Stored:
        """Make the object durable and say what to answer."""
        try:
            return self._refusal or self._settle()
        except OSError as error:
            return _out_of_resources(str(error))
        finally:
            self.discard()

    def discard(self) -> None:
        """Forget what was received; nothing half-written stays."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1
        with suppress(OSError):
            self._part.unlink(missing_ok=True)

    def _open(self, head: bytes) -> None:
        self._descriptor = os.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        _write_all(self._descriptor, memoryview(head))
        self._offset = len(head)

    def _settle(self) -> Stored:
        try:
            identity = read_identity(self._part, self._offset, self._announced.transfer_syntax_uid)
            valid_uid(identity.study_instance_uid)
        except OSError:
            raise
        except Exception as error:  # pydicom raises many kinds for bytes that are no data set
            return self._quarantined(error)
        if (identity.sop_class_uid, identity.sop_instance_uid) != (
            self._announced.sop_class_uid,
            self._announced.sop_instance_uid,
        ):
            return Stored(DATA_SET_MISMATCH, Outcome.MISMATCH, "data set and command disagree on class or UID")
        try:
            instance = ReceivedInstance(
                identity.study_instance_uid, identity.sop_instance_uid, self._digest.hexdigest()
            )
        except InvalidUIDError as error:
            return self._quarantined(error)
        new = self._spool.receive(self._part, self._descriptor, instance)
        return Stored(SUCCESS, Outcome.STORED if new else Outcome.DUPLICATE, instance=instance)

    def _quarantined(self, error: Exception) -> Stored:
        why = f"no valid header ({type(error).__name__})"
        kept = self._spool.quarantine(self._part, why)
        logger.error("an object is unparsable, %s: kept as quarantine/%s", why, kept.name)
        return Stored(CANNOT_UNDERSTAND, Outcome.QUARANTINED, "the data set cannot be parsed")

    def _try(self, step: Callable[[], None]) -> None:
        try:
            step()
        except OSError as error:
            self._refuse(str(error))

    def _refuse(self, why: str) -> None:
        self._refusal = _out_of_resources(why)
        self.discard()


@dataclass(frozen=True)
class Identity:
    """The UIDs in a data set."""

    sop_class_uid: str
    sop_instance_uid: str
    study_instance_uid: str


def header_of(announced: Announced, receipt: Receipt) -> bytes:
    """The Part 10 header of an announced object."""
    return header(announced.sop_class_uid, announced.sop_instance_uid, announced.transfer_syntax_uid, receipt)


def read_identity(path: Path, offset: int, transfer_syntax_uid: str) -> Identity:
    """The UIDs of the data set at ``offset``, read up to Study Instance UID. Raises for bytes that are no data set."""
    syntax = UID(transfer_syntax_uid)
    with path.open("rb") as file:
        file.seek(offset)
        source = file
        if syntax == DeflatedExplicitVRLittleEndian:
            inflated = zlib.decompressobj(-zlib.MAX_WBITS).decompress(file.read(), _INFLATED_AT_MOST)
            source = BytesIO(inflated)  # type: ignore[assignment]
        dataset = read_dataset(
            source,
            is_implicit_VR=syntax.is_implicit_VR,
            is_little_endian=syntax.is_little_endian,
            stop_when=_past_study_instance_uid,
        )
        return Identity(
            str(dataset.SOPClassUID).rstrip("\0 "),
            str(dataset.SOPInstanceUID).rstrip("\0 "),
            str(dataset.StudyInstanceUID).rstrip("\0 "),
        )


def now_receipt(calling_ae_title: str, called_ae_title: str, peer: str) -> Receipt:
    """A receipt of this moment."""
    return Receipt(time.time(), calling_ae_title, called_ae_title, peer)


def _past_study_instance_uid(tag: BaseTag, _vr: str | None, _length: int) -> bool:
    return int(tag) > _STUDY_INSTANCE_UID


def _out_of_resources(why: str) -> Stored:
    logger.error("refused an object (0xA700): %s", why)
    return Stored(OUT_OF_RESOURCES, Outcome.REFUSED, why[:64])


def _write_all(descriptor: int, data: memoryview) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
