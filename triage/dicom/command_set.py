"""DIMSE command sets (PS3.7 section 6.3 and annex E): some elements in Implicit VR Little Endian.

Not read with pydicom: it validates values and quotes them in warnings, and a peer may send anything as a UID.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import error as StructError  # noqa: N812
from struct import pack, unpack, unpack_from

C_STORE_RQ, C_ECHO_RQ, C_CANCEL_RQ = 0x0001, 0x0030, 0x0FFF
RESPONSE = 0x8000
"""Set in the Command Field of a response."""

SUCCESS = 0x0000
UNRECOGNIZED_OPERATION = 0x0211
OUT_OF_RESOURCES = 0xA700
DATA_SET_MISMATCH = 0xA900
CANNOT_UNDERSTAND = 0xC000

_NO_DATA_SET = 0x0101
_AFFECTED_CLASS, _REQUESTED_CLASS, _FIELD, _MESSAGE_ID = 0x0002, 0x0003, 0x0100, 0x0110
_RESPONDED_TO, _DATA_SET_TYPE, _STATUS, _COMMENT = 0x0120, 0x0800, 0x0900, 0x0902
_AFFECTED_INSTANCE, _REQUESTED_INSTANCE = 0x1000, 0x1001


@dataclass(frozen=True)
class Command:
    """A request. The UIDs are as the peer wrote them, without padding, and not validated."""

    field: int
    message_id: int
    has_data_set: bool
    sop_class_uid: str
    sop_instance_uid: str


def decode(command_set: bytes) -> Command:
    """Decode the request in ``command_set``. Raises ValueError if there is none."""
    try:
        elements = dict(_elements(command_set))
        return Command(
            field=unpack("<H", elements[_FIELD])[0],
            message_id=unpack("<H", elements.get(_MESSAGE_ID, b"\0\0"))[0],  # C-CANCEL has none of its own
            has_data_set=unpack("<H", elements[_DATA_SET_TYPE])[0] != _NO_DATA_SET,
            sop_class_uid=_text(elements.get(_AFFECTED_CLASS) or elements.get(_REQUESTED_CLASS, b"")),
            sop_instance_uid=_text(elements.get(_AFFECTED_INSTANCE) or elements.get(_REQUESTED_INSTANCE, b"")),
        )
    except (StructError, KeyError) as error:
        raise ValueError(f"not a command set: {error!r}") from error


def response(request: Command, status: int, comment: str = "") -> bytes:
    """Return the command set of the response to ``request``. ``comment`` is for readers of the sender's log."""
    elements = [
        (_AFFECTED_CLASS, request.sop_class_uid.encode("latin-1")),
        (_FIELD, pack("<H", request.field | RESPONSE)),
        (_RESPONDED_TO, pack("<H", request.message_id)),
        (_DATA_SET_TYPE, pack("<H", _NO_DATA_SET)),
        (_STATUS, pack("<H", status)),
        (_COMMENT, comment.encode("ascii", "replace")[:64]),
        (_AFFECTED_INSTANCE, request.sop_instance_uid.encode("latin-1")),
    ]
    body = b"".join(_element(number, value) for number, value in elements if value)
    return _element(0x0000, pack("<L", len(body))) + body


def _elements(command_set: bytes) -> Iterator[tuple[int, bytes]]:
    start = 0
    while start < len(command_set):
        group, number, length = unpack_from("<HHL", command_set, start)
        end = start + 8 + length
        if group != 0x0000 or end > len(command_set):
            raise ValueError(f"not a command set: element ({group:04x},{number:04x}) of {length} bytes")
        yield number, command_set[start + 8 : end]
        start = end


def _element(number: int, value: bytes) -> bytes:
    if len(value) % 2:
        value += b" " if number == _COMMENT else b"\0"
    return pack("<HHL", 0x0000, number, len(value)) + value


def _text(value: bytes) -> str:
    return value.decode("latin-1").strip("\0 ")
