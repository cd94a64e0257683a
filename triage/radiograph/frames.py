"""PURE: the image of an object of one frame; an object that contains more is refused (PS3.5 A.4, 8.2)."""

from __future__ import annotations

import struct
from itertools import pairwise

from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets
from pydicom.pixels.utils import get_expected_length

from triage.radiograph.undecodable import SeveralImagesError, UndecodableError

_RLE_HEADER = 64
_NO_RUN = 128  # the code of no bytes


def check_one_image(dataset: Dataset) -> None:
    """Raise SeveralImagesError for an enhanced object: functional groups hold its gray scale (PS3.3 C.7.6.16)."""
    if "PerFrameFunctionalGroupsSequence" in dataset or "SharedFunctionalGroupsSequence" in dataset:
        raise SeveralImagesError("an enhanced object, with functional groups of frames")


def check_native(dataset: Dataset) -> None:
    """Raise unless native Pixel Data is as long as Rows and Columns state; zeros behind it are padding."""
    expected, data = get_expected_length(dataset), dataset.PixelData
    if len(data) < expected:
        raise UndecodableError(f"{len(data)} bytes of pixel data cannot be decoded: {expected} are needed")
    if len(data) >= 2 * expected:
        raise SeveralImagesError("pixel data for more than one frame")
    if len(data) > expected + 1 and bytes(data[expected:]).strip(b"\0"):
        raise UndecodableError("more pixel data than Rows and Columns say")


def the_frame(dataset: Dataset) -> bytes:
    """Return the codestream of the only frame of encapsulated Pixel Data, its fragments joined.

    Raises SeveralImagesError if an offset table has more frames, UndecodableError for a lost or cut fragment.
    """
    data = dataset.PixelData
    if len(parse_basic_offsets(data)) > 1 or len(dataset.get("ExtendedOffsetTable") or b"") > 8:
        raise SeveralImagesError("an offset table of more than one frame")
    frame = next(generate_frames(data, number_of_frames=1), b"")
    lengths = dataset.get("ExtendedOffsetTableLengths") or b""
    if len(lengths) == 8 and len(frame) < struct.unpack("<Q", lengths)[0]:
        raise UndecodableError("the frame is shorter than the offset table says")
    return frame


def _behind_offsets(data: bytes) -> bytes:
    """Return encapsulated Pixel Data from its first fragment on."""
    return data[8 + int.from_bytes(data[4:8], "little") :]


def check_rle(dataset: Dataset) -> None:
    """Raise unless RLE Pixel Data has one frame of at most one byte for each pixel in a segment.

    SeveralImagesError if an offset table or the header of a second fragment shows another frame (PS3.5 G.5),
    UndecodableError for a longer segment: two of its bytes may encode 128.
    """
    frame = the_frame(dataset)
    first, *others = generate_fragments(_behind_offsets(dataset.PixelData))
    if any(len(other) > _RLE_HEADER and other[:8] == first[:8] for other in others):
        raise SeveralImagesError("a second RLE frame stands behind the first")
    pixels = int(dataset.Rows) * int(dataset.Columns)
    if any(_runs_on(segment, pixels) for segment in _rle_segments(frame)):
        raise UndecodableError("an RLE segment has more bytes than the image has pixels")


def _rle_segments(frame: bytes) -> list[bytes]:
    """Return the segments by the header (PS3.5 G.5), 15 at most; its other faults are found by the decoder."""
    count, *offsets = struct.unpack("<16L", frame[:_RLE_HEADER].ljust(_RLE_HEADER, b"\0"))
    bounds = [*offsets[:count], len(frame)]
    return [frame[start:end] for start, end in pairwise(bounds)]


def _runs_on(segment: bytes, pixels: int) -> bool:
    """Return whether a segment decodes to more bytes than pixels (PS3.5 G.3.2), or is longer than any encoder's."""
    if len(segment) > 2 * pixels + _RLE_HEADER:
        return True
    at, count, end = 0, 0, len(segment)
    while at < end and count <= pixels:
        code = segment[at]
        if code < _NO_RUN:
            count += min(code + 1, end - at - 1)
            at += code + 2
        else:
            count += 257 - code if code > _NO_RUN and at + 1 < end else 0
            at += 2 if code > _NO_RUN else 1
    return count > pixels
