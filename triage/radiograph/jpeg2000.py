"""PURE: check of a JPEG 2000 codestream (ISO/IEC 15444-1) for completeness, by its markers and its zeros.

Each tile-part states its length (A.4.2), so that no bytes can be missing between two of them. Their content is
arithmetically coded: any bytes decode. Only zeros can be detected: a packet without data is one zero byte, so there are
not more zeros in a row than packets in a tile, except for a few by chance.
"""

from __future__ import annotations

import struct
from collections import Counter
from dataclasses import dataclass

from triage.radiograph.undecodable import SeveralImagesError, UndecodableError, check_size

_SOC, _SIZ, _COD, _SOT, _EOC = 0xFF4F, 0xFF51, 0xFF52, 0xFF90, 0xFFD9
_START = b"\xff\x4f\xff\x51"
_CHANCE = 64  # zero bytes in a row that are no empty packets
_WHOLE = 15  # exponent of a precinct that is as large as can be


@dataclass(frozen=True)
class Jpeg2000Header:
    """Size and depth of the image, and the most packets that a tile of it has.

    ``precision`` is that of the first component, in bits; ``tiles`` counts them.
    """

    rows: int
    columns: int
    components: int
    precision: int
    is_signed: bool
    tiles: int
    packets: int


def check_jpeg2000(data: bytes) -> Jpeg2000Header:
    """Return the header of a codestream, bare or in a JP2 file. Raises unless it is whole and the only one."""
    start = data.find(_START)
    if start < 0:
        raise UndecodableError("no JPEG 2000 codestream")
    codestream = data[start:]
    header, at = _main_header(codestream)
    end = _end_of_tile_parts(codestream, at, header.tiles)
    behind = codestream[end + 2 :].rstrip(b"\0")
    if _START in behind:
        raise SeveralImagesError("a second JPEG 2000 codestream stands behind the first")
    longest = _CHANCE + header.packets
    if longest <= end - at and codestream.find(bytes(longest), at, end) >= 0:
        raise UndecodableError("the JPEG 2000 codestream has a run of zero bytes that no encoder writes")
    return header


def _main_header(codestream: bytes) -> tuple[Jpeg2000Header, int]:
    """Return the header and the position of the first tile-part."""
    at, size, style = 2, b"", b""
    while (marker := _marker(codestream, at)) != _SOT:
        length = _uint16(codestream, at + 2)
        segment = codestream[at + 4 : at + 2 + length]
        if marker == _SIZ:
            size = segment
        elif marker == _COD:
            style = segment
        at += 2 + length
    if len(size) < 39 or len(style) < 10:
        raise UndecodableError("the JPEG 2000 header is not whole")
    return _header(size, style), at


def _header(size: bytes, style: bytes) -> Jpeg2000Header:
    """Return the header from SIZ (A.5.1) and COD (A.6.1)."""
    right, bottom, left, top, tile_width, tile_height, tile_left, tile_top = struct.unpack_from(">8L", size, 2)
    if not tile_width or not tile_height:
        raise UndecodableError("the JPEG 2000 header states tiles without a size")
    (components,) = struct.unpack_from(">H", size, 34)
    columns, rows = right - left, bottom - top
    check_size(rows, columns)
    tiles = _ceil(right - tile_left, tile_width) * _ceil(bottom - tile_top, tile_height)
    per_component = _packets(style, min(tile_width, columns), min(tile_height, rows))
    precision, is_signed = (size[36] & 0x7F) + 1, bool(size[36] & 0x80)
    return Jpeg2000Header(rows, columns, components, precision, is_signed, tiles, per_component * components)


def _packets(style: bytes, width: int, height: int) -> int:
    """Return the most packets of one component of a tile: layers times precincts of all resolutions."""
    layers = int.from_bytes(style[2:4], "big")
    levels = style[5]
    sizes = style[10:] if style[0] & 1 else bytes([_WHOLE << 4 | _WHOLE]) * (levels + 1)
    count = 0
    for resolution, exponents in enumerate(sizes[: levels + 1]):
        shrunk = 1 << (levels - resolution)
        across = _ceil(_ceil(width, shrunk), 1 << (exponents & 15)) + 1
        down = _ceil(_ceil(height, shrunk), 1 << (exponents >> 4)) + 1
        count += 1 if exponents == (_WHOLE << 4 | _WHOLE) else across * down
    return layers * count


def _end_of_tile_parts(codestream: bytes, at: int, tiles: int) -> int:
    """Return the position of the EOC, to which the lengths of all tile-parts (Psot) lead."""
    seen: Counter[int] = Counter()
    stated: dict[int, int] = {}
    while _marker(codestream, at) == _SOT:
        tile, length, part, parts = struct.unpack_from(">HLBB", codestream.ljust(at + 12, b"\0"), at + 4)
        if part != seen[tile]:
            raise UndecodableError("a tile-part of the JPEG 2000 codestream is missing")
        seen[tile] += 1
        stated[tile] = parts or stated.get(tile, 0)
        at = at + length if length else codestream.rfind(b"\xff\xd9")
        if length == 0 and at < 0:
            break
    if at < 0 or _marker(codestream, at) != _EOC:
        raise UndecodableError("the compressed image is cut short")
    if len(seen) != tiles or any(count and count != seen[tile] for tile, count in stated.items()):
        raise UndecodableError("a tile-part of the JPEG 2000 codestream is missing")
    return at


def _marker(codestream: bytes, at: int) -> int:
    marker = _uint16(codestream, at)
    if marker < 0xFF00:
        raise UndecodableError("the JPEG 2000 codestream has no marker where its lengths lead to")
    return marker


def _uint16(codestream: bytes, at: int) -> int:
    if at + 2 > len(codestream):
        raise UndecodableError("the compressed image is cut short")
    return int.from_bytes(codestream[at : at + 2], "big")


def _ceil(dividend: int, divisor: int) -> int:
    return -(-dividend // divisor)
