"""PURE: check of a PNG (ISO/IEC 15948): the check sums of its chunks and of its compressed pixels."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from triage.radiograph.undecodable import UndecodableError, check_size

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_AT_ONCE = 1 << 20  # bytes


def check_png(data: bytes) -> None:
    """Raise UndecodableError unless every chunk to IEND and the pixels themselves agree with their check sums."""
    unpacking = zlib.decompressobj()
    left = 0
    for kind, content in _chunks(data):
        if kind == b"IHDR":
            left = _most_bytes(content)
        elif kind == b"IDAT":
            left -= _size_unpacked(unpacking, content, left)
    if not unpacking.eof or unpacking.unused_data:  # the Adler-32 at the end has been read, and was right
        raise UndecodableError("the pixels of the PNG are not whole")


def _most_bytes(header: bytes) -> int:
    """Return the most bytes that the pixels can unpack to; an interlaced image has more rows, with a byte each.

    Raises UndecodableError for an image that is larger than any radiograph.
    """
    width, height, depth, colour = struct.unpack_from(">LLBB", header.ljust(10, b"\0"))
    check_size(height, width)
    return int(height * (width * _CHANNELS.get(colour, 4) * depth // 8 + 16) + 64)


def _size_unpacked(unpacking: zlib._Decompress, content: bytes, most: int) -> int:
    """Return the bytes in a chunk of compressed pixels. Raises UndecodableError for damage, or more than ``most``."""
    size, rest = 0, content
    try:
        while rest and size <= most:
            size += len(unpacking.decompress(rest, _AT_ONCE))
            rest = unpacking.unconsumed_tail
    except zlib.error:
        raise UndecodableError("the pixels of the PNG are damaged") from None
    if size > most:
        raise UndecodableError("the PNG unpacks to more pixels than it states")
    return size


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield type and content of each chunk up to IEND."""
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        if at + 12 > len(data):
            raise UndecodableError("the PNG is cut short")
        length, kind = struct.unpack_from(">L4s", data, at)
        content = data[at + 8 : at + 8 + length]
        if zlib.crc32(kind + content) != int.from_bytes(data[at + 8 + length : at + 12 + length], "big"):
            raise UndecodableError("a chunk of the PNG is damaged")
        yield kind, content
        at += 12 + length
