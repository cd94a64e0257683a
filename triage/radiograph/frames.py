"""PURE: the one image of an object that says it has one; an object that holds more is refused (PS3.5 A.4, 8.2)."""

from __future__ import annotations

import struct

from pydicom.dataset import Dataset
from pydicom.encaps import generate_fragments, generate_frames, parse_basic_offsets
from pydicom.pixels.utils import get_expected_length

from triage.radiograph.undecodable import SeveralImagesError, UndecodableError

_RLE_HEADER = 64


def check_one_image(dataset: Dataset) -> None:
    """Raise SeveralImagesError for an enhanced object: functional groups hold its gray scale (PS3.3 C.7.6.16)."""
    if "PerFrameFunctionalGroupsSequence" in dataset or "SharedFunctionalGroupsSequence" in dataset:
        raise SeveralImagesError("an enhanced object, with functional groups of frames")


def check_native(dataset: Dataset) -> None:
    """Raise unless native Pixel Data is as long as Rows and Columns say; zeros behind them are padding."""
    expected, data = get_expected_length(dataset), dataset.PixelData
    if len(data) < expected:
        raise UndecodableError(f"{len(data)} bytes of pixel data cannot be decoded: {expected} are needed")
    if len(data) >= 2 * expected:
        raise SeveralImagesError("pixel data for more than one frame")
    if len(data) > expected + 1 and data[expected:].strip(b"\0"):
        raise UndecodableError("more pixel data than Rows and Columns say")


def the_frame(dataset: Dataset) -> bytes:
    """The codestream of the only frame of encapsulated Pixel Data, its fragments joined.

    Raises SeveralImagesError if an offset table tells of more frames, UndecodableError for a lost or cut fragment.
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
    """Encapsulated Pixel Data from its first fragment on."""
    return data[8 + int.from_bytes(data[4:8], "little") :]


def check_rle(dataset: Dataset) -> None:
    """Raise SeveralImagesError if an offset table or the header of a second fragment tells of more (PS3.5 G.5)."""
    the_frame(dataset)
    first, *others = generate_fragments(_behind_offsets(dataset.PixelData))
    if any(len(other) > _RLE_HEADER and other[:8] == first[:8] for other in others):
        raise SeveralImagesError("a second RLE frame stands behind the first")
