"""PURE: proof that a lossless JPEG is whole, from its pixels: they need exactly the bits that its scan has.

A decoder that runs out of bits, or meets a code that is in no table, goes on with made-up differences. Those need
other bits than the scan has. Both at once can make up for each other in number; then the codes of the last pixels do
not stand where the scan ends, and these are compared bit by bit (docs/adr/0086). What is not proven here is not damaged
for that: libjpeg has to give its own verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
import numpy.typing as npt

from triage.radiograph.types import Array

_DHT, _DRI = 0xC4, 0xDD
_LEFT_NEIGHBOUR = 1  # predictor of Table H.1
_CATEGORIES = 17
_NO_CODE = 255  # in the place of bits
_BAD_CODE_BITS = 17  # that libjpeg reads of a code that is in no table, before it takes "no difference" for it
_MOST_PADDING = 7
_COMPARED_PIXELS = 160
_LEAST_COMPARED = 256  # bits
_LEAST_OVERLAP = 64  # bits that repeat by chance in no scan

Segment = tuple[int, int, int]
"""Marker, offset and length of a marker segment."""


@dataclass(frozen=True)
class LosslessScan:
    """The one scan of one component without restarts. ``codes``: code and its bits by category of difference.

    ``begin`` and ``end`` are the positions of the first entropy-coded byte and of the end marker.
    """

    codes: Mapping[int, tuple[int, int]]
    precision: int
    begin: int
    end: int


def lossless_scan(codestream: bytes, segments: Iterable[Segment], precision: int, end: int) -> LosslessScan | None:
    """Return the scan that the last of ``segments`` begins; None for one of which nothing can be proven here."""
    tables: dict[int, bytes] = {}
    *before, (_, at, length) = segments
    for marker, table_at, size in before:
        if marker == _DRI:
            return None
        if marker == _DHT:
            tables |= _tables(codestream[table_at + 4 : table_at + 2 + size])
    header = codestream[at + 4 : at + 2 + length]
    if len(header) != 6 or header[0] != 1 or header[3] != _LEFT_NEIGHBOUR or header[5] != 0:
        return None
    codes = _codes(tables.get(header[2] >> 4, b""))
    if codes is None or _BAD_CODE_BITS - codes.get(0, (0, 0))[1] <= _MOST_PADDING:
        return None  # a wrong code would be as long as the right one and padding
    return LosslessScan(codes, precision, at + 2 + length, end)


def needs_every_bit(pixels: Array, codestream: bytes, scan: LosslessScan) -> bool:
    """Return True if uint16 ``pixels`` need the bits of the scan, all of them and no other: then it is whole."""
    there = _bits_there(codestream, scan)
    differences = _differences(pixels, scan.precision)
    lengths = cv2.LUT(differences, _lengths(scan.codes))
    if int(lengths.max()) == _NO_CODE:
        return False
    padding = there - int(cv2.sumElems(lengths)[0])
    return 0 <= padding <= _MOST_PADDING and _ends_alike(differences.ravel(), codestream, scan, padding)


def _tables(segment: bytes) -> dict[int, bytes]:
    """Return DC tables by their number: 16 counts of codes by length, and the categories in the order of codes."""
    found, at = {}, 0
    while at + 17 <= len(segment):
        size = 17 + sum(segment[at + 1 : at + 17])
        found[segment[at]] = segment[at + 1 : at + size]
        at += size
    return found


def _codes(table: bytes) -> dict[int, tuple[int, int]] | None:
    """Return code and length of each category; None for a table that libjpeg refuses or in which two codes are one."""
    categories = table[16:]
    if not categories or len(set(categories)) != len(categories) or max(categories) >= _CATEGORIES:
        return None
    codes, code, at = {}, 0, 0
    for bits, count in enumerate(table[:16], 1):
        for category in categories[at : at + count]:
            codes[category] = code, bits
            code += 1
        if code > 1 << bits:
            return None
        at, code = at + count, code << 1
    return codes


def _bits_there(codestream: bytes, scan: LosslessScan) -> int:
    """Return the bits of the scan without stuffed bytes; -1 if there is a marker in it."""
    values = np.frombuffer(codestream, dtype=np.uint8, count=scan.end - scan.begin + 1, offset=scan.begin)
    marks = np.flatnonzero(values[:-1] == 0xFF)
    if values[marks + 1].any():
        return -1
    return 8 * (scan.end - scan.begin - len(marks))


def _differences(pixels: Array, precision: int) -> Array:
    """Return what stands in the scan for each pixel, modulo 65,536 (H.1.2.1)."""
    found = np.empty_like(pixels)
    np.subtract(pixels[:, 1:], pixels[:, :-1], out=found[:, 1:])
    np.subtract(pixels[1:, :1], pixels[:-1, :1], out=found[1:, :1])
    np.subtract(pixels[:1, :1], np.uint16(1 << (precision - 1)), out=found[:1, :1])
    return found


@cache
def _category_of_each() -> npt.NDArray[np.uint8]:
    """Return the category of every difference: the bits of its size (Table H.2)."""
    sizes = np.abs(np.arange(1 << 16).astype(np.uint16).astype(np.int16).astype(np.int32))
    return np.asarray(np.frexp(sizes)[1], dtype=np.uint8)


def _lengths(codes: Mapping[int, tuple[int, int]]) -> npt.NDArray[np.uint8]:
    """Return the bits of every difference, with those that follow its code."""
    bits = np.full(_CATEGORIES, _NO_CODE, dtype=np.uint8)
    for category, (_, length) in codes.items():
        bits[category] = length + _following(category)
    return np.asarray(bits[_category_of_each()])


def _following(category: int) -> int:
    return category if category < _CATEGORIES - 1 else 0


def _ends_alike(differences: Array, codestream: bytes, scan: LosslessScan, padding: int) -> bool:
    """Return True if the scan ends with the codes of the last pixels, and they could stand nowhere else near."""
    wanted, bits = _written(map(int, differences[-_COMPARED_PIXELS:]), scan.codes)
    tail = codestream[max(scan.begin, scan.end - bits) : scan.end].replace(b"\xff\x00", b"\xff")
    there = (int.from_bytes(tail, "big") >> padding) & ((1 << bits) - 1)
    return bits >= _LEAST_COMPARED and there == wanted and not _repeats(wanted, bits)


def _written(differences: Iterable[int], codes: Mapping[int, tuple[int, int]]) -> tuple[int, int]:
    """Return the bits of differences (modulo 65,536) as a number, and how many they are."""
    written = count = 0
    for each in differences:
        signed = each - (1 << 16) if each >> 15 else each
        category = abs(signed).bit_length()
        code, length = codes[category]
        following = _following(category)
        value = (signed if signed > 0 else signed - 1) & ((1 << following) - 1)
        written = (written << (length + following)) | (code << following) | value
        count += length + following
    return written, count


def _repeats(written: int, count: int) -> bool:
    """Return True if the bits are the same some bits further on, as those of a flat border are."""
    return (
        any(
            (written ^ (written >> shift)) & ((1 << (count - shift)) - 1) == 0
            for shift in range(1, count - _LEAST_OVERLAP)
        )
        or written & ((1 << (count - _LEAST_OVERLAP)) - 1) == 0
    )
