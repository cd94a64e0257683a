"""File Meta Information of a DICOM file (group 0002, PS3.10 7.1), for each object several times: no value is parsed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from triage.dicom.byte_source import ByteSource
from triage.dicom.elements import LONG_VRS

TRANSFER_SYNTAX = 0x0010
_MAGIC_AT, _MAGIC = 128, b"DICM"
_GROUP = b"\x02\0"
_LONGEST = 1 << 16
"""Bytes of a value that is read, far above those of any element of the group that we write."""


@dataclass(frozen=True)
class FileMeta:
    """Values of group 0002 by element number, and the position of the data set behind it.

    ``is_file``: it stands behind a preamble and DICM. A value that is longer than any of ours is left out.
    """

    is_file: bool
    end: int
    values: Mapping[int, bytes] = field(default_factory=dict)

    def text(self, element: int) -> str:
        """Return a value without padding; empty if it is absent."""
        return self.values.get(element, b"").decode("latin-1").strip("\0 ")

    @property
    def transfer_syntax_uid(self) -> str:
        """Transfer Syntax UID; empty if it is absent."""
        return self.text(TRANSFER_SYNTAX)


def read_file_meta(file: ByteSource) -> FileMeta:
    """Read the group at the beginning of a file, as far as its elements ascend. Raises what ``file`` raises."""
    is_file = file.read(_MAGIC_AT, len(_MAGIC)) == _MAGIC
    at, before = _MAGIC_AT + len(_MAGIC) if is_file else 0, -1
    values: dict[int, bytes] = {}
    while (head := file.read(at, 12))[:2] == _GROUP and len(head) >= 8:
        element = int.from_bytes(head[2:4], "little")
        if element <= before:
            break
        value_at, length = _value(head, at)
        if length <= _LONGEST:
            values[element] = file.read(value_at, length)
        at, before = value_at + length, element
    return FileMeta(is_file, at, values)


def _value(head: bytes, at: int) -> tuple[int, int]:
    """Return position and length of a value whose header is at a position.

    What is no VR is taken for a length of 32 bits, as pydicom does: some programs write the group in implicit VR.
    """
    vr = head[4:6]
    if vr in LONG_VRS:
        return at + 12, int.from_bytes(head[8:12], "little")
    if b"AA" <= vr <= b"ZZ":
        return at + 8, int.from_bytes(head[6:8], "little")
    return at + 8, int.from_bytes(head[4:8], "little")
