"""PURE: check of a deflated data set (PS3.5 A.5, RFC 1951) for zeroed bytes; it has no check sum."""

from __future__ import annotations

import re
import zlib

from triage.radiograph.undecodable import UndecodableError

_PREAMBLE = 132
_GROUP_LENGTH = 12  # bytes of (0002,0000) itself, which counts from its end
_RUN = re.compile(rb"\0{64,}")
_AT_ONCE = 1 << 20  # bytes
_FEWEST_FOR_EACH = 60
"""Inflated bytes for each zero byte, at least. Zeros are one code repeated: it has to mean "258 bytes as before", for
an encoder joins shorter ones, and it takes at most 30 bits of the stream."""


def check_deflated(data: bytes, most: int = 1 << 30) -> None:
    """Raise UndecodableError for a Part 10 file of a deflated data set in which bytes were zeroed.

    Bytes behind the first ``most`` inflated bytes are not checked.
    """
    unpacking = zlib.decompressobj(-zlib.MAX_WBITS)
    at = _start(data)
    for run in _RUN.finditer(data, at, len(data) - 8):
        most -= _unpacked(unpacking, data[at : run.start()], most)
        if unpacking.eof or most <= 0:
            return
        made = _unpacked(unpacking, run[0], most)
        if made < min(_FEWEST_FOR_EACH * len(run[0]), most):
            raise UndecodableError("the deflated data set has a run of zero bytes that no encoder writes")
        most -= made
        at = run.end()


def _unpacked(unpacking: zlib._Decompress, packed: bytes, most: int) -> int:
    """Inflate more of a stream; return the number of bytes, none of which is kept. Ends beyond ``most``."""
    size = made = len(unpacking.decompress(packed, _AT_ONCE))
    while size <= most and (unpacking.unconsumed_tail or made == _AT_ONCE):
        made = len(unpacking.decompress(unpacking.unconsumed_tail, _AT_ONCE))
        size += made
    return size


def _start(data: bytes) -> int:
    """Return where the deflated part begins: behind the File Meta Information, by its group length (PS3.10 7.1)."""
    at = _PREAMBLE + 8
    return _PREAMBLE + _GROUP_LENGTH + int.from_bytes(data[at : at + 4], "little")
