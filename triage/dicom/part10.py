"""The DICOM file around a received data set: preamble, File Meta Information and our receipt (PS3.10 section 7.1).

The data set's own bytes follow as they were received, whatever their transfer syntax.
"""

from __future__ import annotations

import json
import logging
from dataclasses import dataclass
from hashlib import sha256
from struct import error, pack, unpack_from

from triage.dicom.byte_source import ByteSource, MemorySource, Openable, OpenFileSource
from triage.dicom.file_meta import TRANSFER_SYNTAX, FileMeta, read_file_meta
from triage.dicom.uid import InvalidUIDError, valid_uid

logger = logging.getLogger(__name__)

IMPLEMENTATION_CLASS_UID = "2.25.233871496107349253487155913902563840772"
IMPLEMENTATION_VERSION_NAME = "CXR_TRIAGE"

_META_GROUP = 0x0002
_SOP_CLASS, _SOP_INSTANCE, _SOURCE_AE_TITLE, _RECEIPT = 0x0002, 0x0003, 0x0016, 0x0102
_LATEST = 1e10
"""A time in POSIX seconds, in three hundred years: none that is later was a clock's."""
_LENGTH_AT = 140
"""Where the value of (0002,0000), the group's length, is in a file: behind preamble, DICM, tag, VR and length."""


@dataclass(frozen=True)
class Receipt:
    """The listener's record in the File Meta Information of a received object.

    ``received_at`` is in POSIX seconds. ``sop_class_uid`` is the one that the sender announced, read from there.
    ``association`` is the name of the association in the log.
    """

    received_at: float | None = None
    calling_ae_title: str = ""
    called_ae_title: str = ""
    peer: str = ""
    transfer_syntax_uid: str = ""
    sop_class_uid: str = ""
    association: str = ""


def header(sop_class_uid: str, sop_instance_uid: str, transfer_syntax_uid: str, receipt: Receipt) -> bytes:
    """Return the bytes before the data set: 128 zeros, DICM, and group 0002 in Explicit VR Little Endian.

    The receipt goes into Private Information (0002,0102) as JSON. A text that is no UID is left out.
    """
    record = {
        "received_at": receipt.received_at,
        "calling_ae_title": receipt.calling_ae_title,
        "called_ae_title": receipt.called_ae_title,
        "peer": receipt.peer,
        "association": receipt.association,
    }
    elements = b"".join(
        (
            _element(0x0001, "OB", b"\x00\x01"),
            _element(_SOP_CLASS, "UI", _uid(sop_class_uid)),
            _element(_SOP_INSTANCE, "UI", _uid(sop_instance_uid)),
            _element(TRANSFER_SYNTAX, "UI", _uid(transfer_syntax_uid)),
            _element(0x0012, "UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(0x0013, "SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
            _element(_SOURCE_AE_TITLE, "AE", receipt.calling_ae_title.encode("ascii", "replace")[:16]),
            _element(0x0100, "UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(_RECEIPT, "OB", json.dumps(record).encode("ascii")),
        )
    )
    return bytes(128) + b"DICM" + _element(0x0000, "UL", pack("<L", len(elements))) + elements


def read_receipt(stored: Openable) -> Receipt:
    """Read the receipt in a file's File Meta Information; an empty one where it has none."""
    try:
        with stored.open("rb") as file:
            return _receipt_in(OpenFileSource(file), stored.name)
    except OSError as failure:
        _log_without(stored.name, failure)
        return Receipt()


def receipt_in(data: bytes, name: str) -> Receipt:
    """Return the receipt in the bytes of the file ``name``; an empty one where they have none."""
    return _receipt_in(MemorySource(data), name)


def _receipt_in(file: ByteSource, name: str) -> Receipt:
    try:
        meta = read_file_meta(file)
        if not meta.is_file:
            raise ValueError("it is no DICOM file")
        return receipt_of(meta)
    except (ValueError, AttributeError, RecursionError) as failure:
        _log_without(name, failure)
        return Receipt()


def _log_without(name: str, failure: Exception) -> None:
    logger.warning("%s: no receipt can be read from it: %s", name, failure)


def data_set_in(file: bytes) -> memoryview:
    """Return the data set in the bytes of a file of ours. Raises ValueError where there is no group 0002."""
    try:
        (length,) = unpack_from("<L", file, _LENGTH_AT)
    except error:
        raise ValueError("the bytes end within the File Meta Information") from None
    return memoryview(file)[_LENGTH_AT + 4 + length :]


def data_set_digest(file: bytes) -> str:
    """Return the SHA-256 of the data set in the bytes of a file of ours, in hex. Raises as ``data_set_in``."""
    return sha256(data_set_in(file)).hexdigest()


def receipt_of(meta: FileMeta) -> Receipt:
    """Return the receipt in File Meta Information. Raises ValueError, AttributeError, RecursionError for other bytes.

    Without a receipt of ours there are AE title and UIDs that the file states.
    """
    record = json.loads(meta.values.get(_RECEIPT, b"{}").rstrip(b"\0 "))
    return Receipt(
        received_at=_time(record.get("received_at")),
        calling_ae_title=str(record.get("calling_ae_title") or meta.text(_SOURCE_AE_TITLE)),
        called_ae_title=str(record.get("called_ae_title", "")),
        peer=str(record.get("peer", "")),
        transfer_syntax_uid=meta.transfer_syntax_uid,
        sop_class_uid=meta.text(_SOP_CLASS),
        association=str(record.get("association", "")),
    )


def _time(value: object) -> float | None:
    """Return a time of receipt; None for what is none: bytes on a disk alter, and a text cannot be compared."""
    return float(value) if isinstance(value, int | float) and 0 < value < _LATEST else None


def _element(number: int, vr: str, value: bytes) -> bytes:
    if len(value) % 2:
        value += b"\0" if vr == "UI" else b" "
    length = pack("<xxL", len(value)) if vr == "OB" else pack("<H", len(value))
    return pack("<HH", _META_GROUP, number) + vr.encode("ascii") + length + value


def _uid(uid: str) -> bytes:
    try:
        return valid_uid(uid).encode("ascii")
    except InvalidUIDError:
        return b""
