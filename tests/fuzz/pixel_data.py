"""Encapsulated and deflated pixel data, up to the point where a decoder is called: what it is called for is bounded."""

from __future__ import annotations

import tracemalloc
import zlib
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NoReturn
from unittest.mock import patch

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.uid import (
    JPEG2000,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.support.dicom_peer import a_data_set, encoded
from triage.dicom.part10 import Receipt, header
from triage.radiograph import decode, jpeg, samples
from triage.radiograph.types import Rejected

SYNTAXES = (
    DeflatedExplicitVRLittleEndian,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    JPEG2000Lossless,
    JPEG2000,
    HTJ2KLossless,
    RLELossless,
)
_NEEDS_BYTES = SYNTAXES[4:9]
"""Those of which a few bytes may state a large image, and cost as much as one."""
_RECEIPT = Receipt(1.0, "FUZZ", "CXR_TRIAGE", "127.0.0.1")
_SIDE = 64
_MOST_PIXELS = 100_000_000
_LARGE, _MOST_PER_BYTE = 4_000_000, 500
_COPIES, _ROOM = 40, 8 << 20
"""Memory that an input may cost: so many times its own bytes, and so many bytes beside."""
_INFLATED_COPIES, _IN_FRONT, _RATIO = 8, 18 << 20, 1032
"""Of what is deflated: as often as this what it inflates to, which is no more than attributes and their image need."""


class _ReachedError(Exception):
    """A decoder would be called now."""


@dataclass
class _Decoders:
    """Stand for the decoders: note what they would be called for, and whether that is within bounds."""

    defects: list[str] = field(default_factory=list)
    reached: int = 0

    def pydicom(self, dataset: Dataset, syntax: str) -> NoReturn:
        pixels = int(dataset.Rows) * int(dataset.Columns)
        if not 0 < pixels <= _MOST_PIXELS:
            self.defects.append(f"{pixels} pixels")
        if syntax in _NEEDS_BYTES and pixels > max(_LARGE, _MOST_PER_BYTE * len(dataset.PixelData)):
            self.defects.append(f"{pixels} pixels of {len(dataset.PixelData)} bytes")
        self._reach()

    def turbo(self, codestream: bytes, found: jpeg.JpegHeader, end: int) -> NoReturn:
        if not (0 < found.rows * found.columns <= _MOST_PIXELS and 0 < found.scan_at < end <= len(codestream)):
            self.defects.append(f"{found} of {len(codestream)} bytes")
        self._reach()

    def _reach(self) -> NoReturn:
        self.reached += 1
        raise _ReachedError


def pixel_data(data: bytes) -> None:
    """An object is refused, or a decoder is called for what its codestream and its attributes agree on.

    The first byte says in which transfer syntax the rest is sent.
    """
    decoders_reached(data)


def decoders_reached(data: bytes) -> int:
    """How often a decoder would be called."""
    syntax = SYNTAXES[data[0] % len(SYNTAXES)] if data else SYNTAXES[0]
    file = header("1.2.840.10008.5.1.4.1.1.1.1", "1.2.3", syntax, _RECEIPT) + data[1:]
    decoders = _Decoders()
    tracemalloc.start()
    try:
        pixels = _opened(file, decoders)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert not decoders.defects, decoders.defects
    allowed = _COPIES * len(file) + _ROOM
    if syntax == DeflatedExplicitVRLittleEndian:
        allowed += _INFLATED_COPIES * min(_RATIO * len(file), _IN_FRONT + 6 * pixels)
    assert most <= allowed, f"{most} bytes of memory for an input of {len(file)} bytes"
    return decoders.reached


def _opened(file: bytes, decoders: _Decoders) -> int:
    """Open a file, up to the decoder; Rows times Columns."""
    with (
        patch.object(samples, "_by_pydicom", decoders.pydicom),
        patch.object(jpeg, "_decoded_strictly", decoders.turbo),
    ):
        opened = decode.open_dicom(file)
        if isinstance(opened, Rejected):
            return 0
        decode.decode_pixels(*opened)
    dataset = opened[0]
    with suppress(Exception):  # pydicom raises many kinds
        return int(dataset.get("Rows") or 0) * int(dataset.get("Columns") or 0)
    return 0


@cache
def objects() -> list[bytes]:
    """A small image in each transfer syntax: its codestream in one fragment, and in several with an offset table."""
    image = np.arange(_SIDE * _SIDE, dtype=np.uint16).reshape(_SIDE, _SIDE)
    grey = (image % 256).astype(np.uint8)
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    seeds = [b"\0" + packer.compress(encoded(_image(12, image.tobytes()))) + packer.flush()]
    for number, (bits, codestream) in enumerate(_codestreams(image, grey), start=1):
        table: dict[str, Any] = {}
        pixels, table["ExtendedOffsetTable"], table["ExtendedOffsetTableLengths"] = encapsulate_extended([codestream])
        seeds.append(bytes([number]) + _encapsulated(_image(bits, encapsulate([codestream], fragments_per_frame=3))))
        seeds.append(bytes([number]) + _encapsulated(_image(bits, pixels, **table)))
    return seeds


def _codestreams(image: npt.NDArray[np.uint16], grey: npt.NDArray[np.uint8]) -> list[tuple[int, bytes]]:
    import imagecodecs

    found = [
        (8, imagecodecs.jpeg8_encode(grey)),
        (12, imagecodecs.jpeg8_encode(image, bitspersample=12)),
        (12, imagecodecs.ljpeg_encode(image, bitspersample=12)),
        (12, imagecodecs.jpegls_encode(image)),
        (12, imagecodecs.jpegls_encode(image, level=2)),
        (12, imagecodecs.jpeg2k_encode(image, codecformat="j2k", bitspersample=12)),
        (12, imagecodecs.jpeg2k_encode(image, codecformat="j2k", bitspersample=12, level=30)),
        (12, imagecodecs.htj2k_encode(image)),
    ]
    rle = _image(12, image.tobytes())
    rle.file_meta = FileMetaDataset()
    rle.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    rle.compress(RLELossless, encoding_plugin="pydicom")
    return [*((bits, bytes(codestream)) for bits, codestream in found), (12, next(generate_frames(rle.PixelData)))]


def _image(bits: int, pixels: bytes, **more: Any) -> Dataset:
    return a_data_set(
        PixelData=pixels,
        Rows=_SIDE,
        Columns=_SIDE,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=8 if bits == 8 else 16,
        BitsStored=bits,
        HighBit=bits - 1,
        PixelRepresentation=0,
        **more,
    )


def _encapsulated(dataset: Dataset) -> bytes:
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    return encoded(dataset)
