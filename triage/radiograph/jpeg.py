"""PURE: JPEG (ISO/IEC 10918-1), decoded only if libjpeg gives no warning.

libjpeg fills missing pixels with grey, warns and goes on; imagecodecs and OpenCV drop the warning. simplejpeg stops on
it, but decodes 8 bits only. The precision of a sample does not change how a scan is read: sizes and bits come from the
Huffman tables. So for 9 to 16 bits simplejpeg reads the same scans with the precision of the frame header set to 8: the
pixels are meaningless and dropped, and the check of the codestream is libjpeg's own. A lossless JPEG whose pixels need
exactly the bits that it has is proven to be whole by them (lossless_bits.py), and is not decoded a second time.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import imagecodecs
import numpy as np
import simplejpeg

from triage.radiograph.lossless_bits import lossless_scan, needs_every_bit
from triage.radiograph.types import Array
from triage.radiograph.undecodable import SeveralImagesError, UndecodableError, check_size

SOI, EOI = b"\xff\xd8", b"\xff\xd9"
_SOF = range(0xC0, 0xD0)
_DHT, _JPG, _DAC, _SOS, _SOF_LS = 0xC4, 0xC8, 0xCC, 0xDA, 0xF7
_SEQUENTIAL, _LOSSLESS = (0xC0, 0xC1), 0xC3
_ALL_COEFFICIENTS = b"\x00\x3f\x00"  # first and last coefficient, successive approximation
_NO_LENGTH = (0x01, *range(0xD0, 0xD9))

_AT_ONCE = 1 << 18  # bytes in which an end marker is looked for

LONGEST_ZERO_RUN = 64
"""Bytes of zeros in a row that no scan has, unless zeros mean "as before" in it (docs/adr/0025)."""

_MOST_BEHIND = 14  # bytes that are not zero behind the end marker: some writers pad with more than the one byte


@dataclass(frozen=True)
class JpegHeader:
    """Content of the markers before the first scan. ``process`` is the low byte of SOFn; ``precision`` is in bits.

    ``precision_at`` and ``scan_at`` are the positions of the precision and of the first scan's header.
    ``zeros_are_flat``: any number of zero bits may mean "no change" (the codes for no difference and end of block are
    zeros).
    """

    process: int
    precision: int
    rows: int
    columns: int
    components: int
    precision_at: int
    scan_at: int
    zeros_are_flat: bool

    @property
    def lossless(self) -> bool:
        """True if samples are coded as differences from their neighbours (process 14)."""
        return self.process == _LOSSLESS


def jpeg_header(codestream: bytes) -> JpegHeader:
    """Read the header. Raises UndecodableError without one before the first scan, or if we cannot check the rest."""
    zero_symbols: dict[int, int] = {}
    frame: tuple[int, int] | None = None
    for marker, at, length in _segments(codestream):
        if marker == _DHT:
            zero_symbols |= _zero_symbols(codestream[at + 4 : at + 2 + length])
        elif marker in _SOF and marker not in (_JPG, _DAC):
            frame = marker, at
        elif marker == _SOS:
            return _header(codestream, frame, at, zero_symbols)
    raise UndecodableError("the JPEG has no scan")


def decode_jpeg(codestream: bytes, *, several: bool = False) -> tuple[Array, JpegHeader]:
    """Decode an undamaged JPEG to (rows, columns) or RGB (rows, columns, 3); uint8 up to 8 bits, uint16 beyond.

    ``several`` allows more images behind the first: picture files end in previews and the like.

    Raises:
        UndecodableError: The codestream is damaged.
        SeveralImagesError: A second image is behind the first.
    """
    header = jpeg_header(codestream)
    end = _end_of_image(codestream, header.scan_at) if several else _check_ends(codestream, header.scan_at)
    if not header.zeros_are_flat:
        _check_zeros(codestream, header.scan_at, end)
    if (proven := _proven_whole(codestream, header, end)) is not None:
        return proven, header
    strict = _decoded_strictly(codestream, header, end)
    if header.precision == 8 and not header.lossless:
        return strict, header
    return _values(codestream), header


def _proven_whole(codestream: bytes, header: JpegHeader, end: int) -> Array | None:
    """Return the pixels of a lossless JPEG that they themselves prove to be whole: it is decoded once."""
    if not header.lossless or header.precision <= 8 or header.components != 1 or header.zeros_are_flat:
        return None
    scan = lossless_scan(codestream, _segments(codestream), header.precision, end)
    if scan is None:
        return None
    try:
        pixels = _values(codestream)
    except UndecodableError:
        return None  # the strict decoder says why
    whole = pixels.shape == (header.rows, header.columns) and pixels.dtype == np.uint16
    return pixels if whole and needs_every_bit(pixels, codestream, scan) else None


def _values(codestream: bytes) -> Array:
    """Decode to the values of all bits, whatever libjpeg warns of."""
    try:
        pixels: Array = imagecodecs.jpeg8_decode(codestream)
    except imagecodecs.Jpeg8Error as error:
        raise UndecodableError(f"the JPEG cannot be decoded: {error}") from None
    return pixels


def jpeg_ls_header(codestream: bytes) -> tuple[int, int, int, int]:
    """Return bits per sample, rows, columns and components of a JPEG-LS codestream (ISO/IEC 14495-1).

    Checks that its end markers and its zeros are those of one image. CharLS checks the rest, and refuses a codestream
    that is too short or too long.
    """
    frame: tuple[int, int, int, int] | None = None
    for marker, at, _ in _segments(codestream):
        if marker == _SOF_LS:
            frame = struct.unpack_from(">BHHB", codestream.ljust(at + 10, b"\0"), at + 4)
        elif marker == _SOS and frame and frame[0]:
            end = _check_ends(codestream, at)
            _check_zeros(codestream, at, end)
            return frame
    raise UndecodableError("the JPEG-LS has no frame header or no scan")


def _segments(codestream: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield marker, offset and length of each marker segment up to the first scan header."""
    if codestream[:2] != SOI:
        raise UndecodableError("the JPEG does not begin with its marker")
    at = 2
    while at + 4 <= len(codestream):
        if codestream[at] != 0xFF:
            raise UndecodableError("bytes that are no marker in the header of the JPEG")
        marker = codestream[at + 1]
        if marker == 0xFF or marker in _NO_LENGTH:
            at += 1 if marker == 0xFF else 2
            continue
        (length,) = struct.unpack_from(">H", codestream, at + 2)
        yield marker, at, length
        if marker == _SOS or length < 2:
            return
        at += 2 + length


def _header(codestream: bytes, frame: tuple[int, int] | None, scan_at: int, zero_symbols: dict[int, int]) -> JpegHeader:
    if frame is None:
        raise UndecodableError("the JPEG has no frame header")
    process, at = frame
    if process not in (*_SEQUENTIAL, _LOSSLESS):
        raise UndecodableError("a progressive or arithmetic-coded JPEG cannot be shown to be whole")
    precision, rows, columns, components = struct.unpack_from(">BHHB", codestream, at + 4)
    check_size(rows, columns)
    flat = bool(zero_symbols) and not any(zero_symbols.values())
    return JpegHeader(process, precision, rows, columns, components, at + 4, scan_at, flat)


def _zero_symbols(tables: bytes) -> dict[int, int]:
    """Return for each Huffman table the symbol whose code is all zeros: the first one."""
    symbols, at = {}, 0
    while at + 18 <= len(tables):
        symbols[tables[at]] = tables[at + 17]
        at += 17 + sum(tables[at + 1 : at + 17])
    return symbols


def _end_of_image(codestream: bytes, scan_at: int) -> int:
    """Return the position of the first end marker: no entropy-coded bytes are FFD9.

    ``bytes.find`` takes four times as long: it stops at each of the many bytes FF.
    """
    values = np.frombuffer(codestream, dtype=np.uint8)
    for start in range(scan_at, len(values) - 1, _AT_ONCE):
        part = values[start : start + _AT_ONCE + 1]
        marks = np.flatnonzero(part[:-1] == EOI[0])
        ends = marks[part[marks + 1] == EOI[1]]
        if len(ends):
            return start + int(ends[0])
    raise UndecodableError("the compressed image is cut short")


def _check_ends(codestream: bytes, scan_at: int) -> int:
    """Return the position of the end marker; raise if there is more than padding behind it."""
    end = _end_of_image(codestream, scan_at)
    behind = codestream[end + 2 :].rstrip(b"\0")
    if SOI + b"\xff" in behind:
        raise SeveralImagesError("a second JPEG stands behind the first")
    if len(behind) > _MOST_BEHIND:
        raise UndecodableError("bytes stand behind the end of the JPEG")
    return end


def _check_zeros(codestream: bytes, start: int, end: int) -> None:
    """Raise UndecodableError for zeroed bytes: they decode, but to pixels that occur in no image."""
    if codestream.find(bytes(LONGEST_ZERO_RUN), start, end) >= 0:
        raise UndecodableError("the JPEG has a run of zero bytes that no encoder writes")


def _decoded_strictly(codestream: bytes, header: JpegHeader, end: int) -> Array:
    """Decode strictly. Some writers pad to an even length before the end marker, not behind it."""
    try:
        return _strictly(_as_8_bits(codestream, header), header)
    except UndecodableError:
        if codestream[end - 1] != 0:
            raise
        return _strictly(_as_8_bits(codestream[: end - 1] + EOI, header), header)


def _as_8_bits(codestream: bytes, header: JpegHeader) -> bytes:
    """Return the same scans under a frame header of 8 bits, and with the parameters that a sequential scan must have.

    Sequential scans take no spectral selection (B.2.3, Table B.3); libjpeg warns of a wrong one, and ignores it.
    """
    parameters = header.scan_at + 5 + 2 * codestream[header.scan_at + 4]
    wrong = header.process in _SEQUENTIAL and codestream[parameters : parameters + 3] != _ALL_COEFFICIENTS
    if header.precision == 8 and not wrong:
        return codestream
    changed = bytearray(codestream)
    changed[header.precision_at] = 8
    if wrong:
        changed[parameters : parameters + 3] = _ALL_COEFFICIENTS
    return bytes(changed)


def _strictly(codestream: bytes, header: JpegHeader) -> Array:
    """Decode with libjpeg, any warning of which is an error; an eighth of the size where only the check is needed.

    A lossless JPEG must not be scaled: libjpeg-turbo 3.1 then writes beyond its rows.
    """
    scale = {"min_height": 1, "min_width": 1, "min_factor": 1} if header.precision > 8 and not header.lossless else {}
    colours = "GRAY" if header.components == 1 else "RGB"
    try:
        pixels: Array = simplejpeg.decode_jpeg(codestream, colours, strict=True, **scale)
    except ValueError as error:
        raise UndecodableError(f"the JPEG is damaged: {error}") from None
    return np.ascontiguousarray(pixels[..., 0]) if header.components == 1 else pixels
