"""The DICOM file around a received data set: preamble, File Meta Information and our receipt (PS3.10 section 7.1).

The data set's own bytes follow as they were received, whatever their transfer syntax.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from struct import error, pack, unpack_from
from typing import BinaryIO

from pydicom import dcmread
from pydicom.dataset import FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.filereader import read_dataset, read_preamble
from pydicom.tag import BaseTag

from triage.dicom.byte_source import Openable
from triage.dicom.uid import InvalidUIDError, valid_uid

logger = logging.getLogger(__name__)

IMPLEMENTATION_CLASS_UID = "2.25.233871496107349253487155913902563840772"
IMPLEMENTATION_VERSION_NAME = "CXR_TRIAGE"

_META_GROUP = 0x0002
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
            _element(0x0002, "UI", _uid(sop_class_uid)),
            _element(0x0003, "UI", _uid(sop_instance_uid)),
            _element(0x0010, "UI", _uid(transfer_syntax_uid)),
            _element(0x0012, "UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(0x0013, "SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
            _element(0x0016, "AE", receipt.calling_ae_title.encode("ascii", "replace")[:16]),
            _element(0x0100, "UI", _uid(IMPLEMENTATION_CLASS_UID)),
            _element(0x0102, "OB", json.dumps(record).encode("ascii")),
        )
    )
    return bytes(128) + b"DICM" + _element(0x0000, "UL", pack("<L", len(elements))) + elements


def read_receipt(stored: Openable) -> Receipt:
    """Read the receipt in a file's File Meta Information; an empty one where it has none."""
    return _read(lambda: stored.open("rb"), stored.name)


def receipt_in(data: bytes, name: str) -> Receipt:
    """Return the receipt in the bytes of the file ``name``; an empty one where they have none."""
    return _read(lambda: BytesIO(data), name)


def _read(opened: Callable[[], BinaryIO], name: str) -> Receipt:
    try:
        with opened() as file:
            read_preamble(file, force=False)
            meta = read_dataset(file, is_implicit_VR=False, is_little_endian=True, stop_when=_is_behind_meta)
        return _receipt(FileMetaDataset(meta))
    except (OSError, InvalidDicomError, ValueError, AttributeError) as error:
        logger.warning("%s: no receipt can be read from it: %s", name, error)
        return Receipt()


def data_set_in(file: bytes) -> memoryview:
    """Return the data set in the bytes of a file of ours. Raises ValueError where there is no group 0002."""
    try:
        (length,) = unpack_from("<L", file, _LENGTH_AT)
    except error:
        raise ValueError("the bytes end within the File Meta Information") from None
    return memoryview(file)[_LENGTH_AT + 4 + length :]


def parse_receipt(head: bytes) -> Receipt:
    """Return the receipt in the bytes before a data set. Raises what pydicom and json raise for other bytes."""
    return _receipt(dcmread(BytesIO(head), force=True).file_meta)


def _is_behind_meta(tag: BaseTag, vr: str | None, length: int) -> bool:
    return tag.group != _META_GROUP


def _receipt(meta: FileMetaDataset) -> Receipt:
    record = json.loads(meta.get("PrivateInformation", b"{}").rstrip(b"\0 "))
    return Receipt(
        received_at=record.get("received_at"),
        calling_ae_title=str(record.get("calling_ae_title") or meta.get("SourceApplicationEntityTitle", "")),
        called_ae_title=str(record.get("called_ae_title", "")),
        peer=str(record.get("peer", "")),
        transfer_syntax_uid=str(meta.get("TransferSyntaxUID", "")),
        sop_class_uid=str(meta.get("MediaStorageSOPClassUID", "")),
        association=str(record.get("association", "")),
    )


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
