"""Radiographs in every accepted encoding, and seeded damage to them: the corpus of docs/explanation/robustness.md.

An intact file is ``ENCODINGS[name](pixels)``; ``damaged(file, damage, random)`` is a copy of it with one damage: to the
codestream of the one frame, to the compressed part of a deflated data set, to native pixel data, or to a picture file.
What is left is closed and encapsulated again, as an unsuspecting archive would do it.
"""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
from PIL import Image
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from tests.support.radiographs import a_dataset, as_file, encoded

Pixels = npt.NDArray[Any]
Damage = Callable[[bytes, Random], bytes]

END = b"\xff\xd9"
FEWEST_ZEROED, MOST_ZEROED = 512, 20_000
_FRAGMENTS = (2, 24)


def _in_dicom(pixels: Pixels, bits: int, syntax: str, codestream: bytes | None = None, **changes: Any) -> bytes:
    window = {"WindowCenter": 1 << (bits - 1), "WindowWidth": 1 << bits}
    dataset = a_dataset(pixels, bits, **window, **changes)
    if codestream is None:
        return encoded(dataset, syntax)
    dataset.PixelData = encapsulate([codestream])
    return as_file(dataset, syntax)


def _eight(pixels: Pixels) -> Pixels:
    return (pixels >> 4).astype(np.uint8)


def _jpeg8(pixels: Pixels, quality: int, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality, *options])[1].tobytes()


def _baseline(quality: int, *options: int) -> Callable[[Pixels], bytes]:
    return lambda pixels: _in_dicom(_eight(pixels), 8, JPEGBaseline8Bit, _jpeg8(_eight(pixels), quality, *options))


def _coloured(pixels: Pixels, factor: int) -> bytes:
    """A radiograph on a display's colours, with the chroma sampled as ``factor`` says."""
    image = cv2.applyColorMap(_eight(pixels), cv2.COLORMAP_BONE)
    return _jpeg8(image, 92, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor)


def _baseline_420(pixels: Pixels) -> bytes:
    rgb = np.dstack([_eight(pixels)] * 3)
    changes = {"SamplesPerPixel": 3, "PhotometricInterpretation": "YBR_FULL_422", "PlanarConfiguration": 0}
    codestream = _coloured(pixels, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420)
    return _in_dicom(rgb, 8, JPEGBaseline8Bit, codestream, **changes)


def _extended(level: int) -> Callable[[Pixels], bytes]:
    return lambda pixels: _in_dicom(
        pixels, 12, JPEGExtended12Bit, bytes(imagecodecs.jpeg8_encode(pixels, level=level, bitspersample=12))
    )


def _lossless(syntax: str, predictor: int, bits: int) -> Callable[[Pixels], bytes]:
    def encode(pixels: Pixels) -> bytes:
        image = _eight(pixels) if bits == 8 else pixels << (bits - 12)
        options = {"lossless": True, "predictor": predictor, "bitspersample": bits}
        return _in_dicom(image, bits, syntax, bytes(imagecodecs.jpeg8_encode(image, **options)))

    return encode


def _by_pydicom(syntax: str) -> Callable[[Pixels], bytes]:
    return lambda pixels: _in_dicom(pixels, 12, syntax)


def _jpeg2000(syntax: str, bits: int, **options: Any) -> Callable[[Pixels], bytes]:
    """As Pillow encodes it: it makes tiles, of 8 bits alone, and precincts."""

    def encode(pixels: Pixels) -> bytes:
        image = _eight(pixels) if bits == 8 else pixels << 4
        buffer = BytesIO()
        Image.fromarray(image).save(buffer, "JPEG2000", no_jp2=True, **options)
        return _in_dicom(image, bits, syntax, buffer.getvalue())

    return encode


def _png(bits: int) -> Callable[[Pixels], bytes]:
    return lambda pixels: cv2.imencode(".png", _eight(pixels) if bits == 8 else pixels << 4)[1].tobytes()


_RESTART, _ON = cv2.IMWRITE_JPEG_RST_INTERVAL, 1
ENCODINGS: dict[str, Callable[[Pixels], bytes]] = {
    "JPEG baseline, quality 75": _baseline(75),
    "JPEG baseline, quality 92": _baseline(92),
    "JPEG baseline, quality 100": _baseline(100),
    "JPEG baseline, optimized tables": _baseline(90, cv2.IMWRITE_JPEG_OPTIMIZE, _ON),
    "JPEG baseline, restart intervals": _baseline(90, _RESTART, 24),
    "JPEG baseline, colour 4:2:0": _baseline_420,
    "JPEG extended, 12 bits, quality 75": _extended(75),
    "JPEG extended, 12 bits, quality 95": _extended(95),
    "JPEG lossless SV1, 12 bits": _lossless(JPEGLosslessSV1, 1, 12),
    "JPEG lossless SV1, 16 bits": _lossless(JPEGLosslessSV1, 1, 16),
    "JPEG lossless SV1, 8 bits": _lossless(JPEGLosslessSV1, 1, 8),
    "JPEG lossless, predictor 5": _lossless(JPEGLossless, 5, 12),
    "JPEG lossless, predictor 7": _lossless(JPEGLossless, 7, 12),
    "JPEG-LS lossless": _by_pydicom(JPEGLSLossless),
    "JPEG-LS near-lossless": _by_pydicom(JPEGLSNearLossless),
    "JPEG 2000 lossless": _by_pydicom(JPEG2000Lossless),
    "JPEG 2000 lossy": _by_pydicom(JPEG2000),
    "JPEG 2000 lossless, tiles": _jpeg2000(JPEG2000Lossless, 8, tile_size=(128, 128)),
    "JPEG 2000 lossy, layers and precincts": _jpeg2000(
        JPEG2000, 16, irreversible=True, quality_layers=(40, 20, 10), precinct_size=(128, 128), progression="RPCL"
    ),
    "HTJ2K lossless": _by_pydicom(HTJ2KLossless),
    "HTJ2K lossy": _by_pydicom(HTJ2K),
    "RLE lossless": _by_pydicom(RLELossless),
    "deflated": _by_pydicom(DeflatedExplicitVRLittleEndian),
    "uncompressed": _by_pydicom(ExplicitVRLittleEndian),
    "PNG, 8 bits": _png(8),
    "PNG, 16 bits": _png(16),
    "picture, JPEG": lambda pixels: _jpeg8(_eight(pixels), 92),
    "picture, JPEG, quality 60": lambda pixels: _jpeg8(_eight(pixels), 60),
    "picture, JPEG with restart intervals": lambda pixels: _jpeg8(_eight(pixels), 92, _RESTART, 16),
    "picture, JPEG colour 4:2:0": lambda pixels: _coloured(pixels, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420),
}
"""Files of a radiograph of 12 bits, uint16 (rows, columns)."""

UNPROVABLE = {("uncompressed", "zeroed"), ("uncompressed", "zeroed fragment")}
"""Native pixel data has nothing by which black that is meant could be told from black that is not."""


def _cut(data: bytes, random: Random) -> bytes:
    return data[: random.randrange(len(data) // 20, len(data) - 64)]


def _cut_and_closed(data: bytes, random: Random) -> bytes:
    return _cut(data, random) + END


def _hole(data: bytes, random: Random) -> bytes:
    start, end = _range(data, random, 64, len(data) // 4)
    return data[:start] + data[end:]


def _zeroed(data: bytes, random: Random) -> bytes:
    start, end = _range(data, random, FEWEST_ZEROED, MOST_ZEROED)
    return data[:start] + bytes(end - start) + data[end:]


def _fragment(data: bytes, random: Random) -> tuple[int, int]:
    """One of the fragments, neither the first nor the last, into which a sender would have cut the codestream."""
    size = max(len(data) // random.randint(*_FRAGMENTS), FEWEST_ZEROED) & ~1
    which = random.randrange(1, max(len(data) // size, 2))
    return which * size, min((which + 1) * size, len(data) - 2)


def _lost_fragment(data: bytes, random: Random) -> bytes:
    start, end = _fragment(data, random)
    return data[:start] + data[end:]


def _zeroed_fragment(data: bytes, random: Random) -> bytes:
    start, end = _fragment(data, random)
    return data[:start] + bytes(end - start) + data[end:]


def _flipped(data: bytes, random: Random) -> bytes:
    at = random.randrange(_HEADER, len(data) - 2)
    return data[:at] + bytes([data[at] ^ (1 << random.randrange(8))]) + data[at + 1 :]


_HEADER = 700  # bytes of markers and tables before the first scan, or more

DAMAGES: dict[str, Damage] = {
    "cut": _cut,
    "cut and closed": _cut_and_closed,
    "hole": _hole,
    "lost fragment": _lost_fragment,
    "zeroed": _zeroed,
    "zeroed fragment": _zeroed_fragment,
}
"""What must never be scored."""

FLIPPED: Damage = _flipped
"""One bit of the pixels: often nothing tells."""


def _range(data: bytes, random: Random, fewest: int, most: int) -> tuple[int, int]:
    length = random.randint(fewest, max(min(most, len(data) // 3), fewest))
    start = random.randrange(min(_HEADER, len(data) // 4), max(len(data) - length - 2, len(data) // 4 + 1))
    return start, min(start + length, len(data) - 2)


def damaged(file: bytes, damage: Damage, random: Random) -> bytes:
    """A copy of an intact file with one damage to its pixels."""
    if file[128:132] != b"DICM":
        return damage(file, random)
    dataset = dcmread(BytesIO(file))
    syntax = UID(dataset.file_meta.TransferSyntaxUID)
    if syntax == DeflatedExplicitVRLittleEndian:
        start = 132 + 12 + dataset.file_meta.FileMetaInformationGroupLength
        return file[:start] + damage(file[start:], random)
    if not syntax.is_encapsulated:
        dataset.PixelData = damage(dataset.PixelData, random)
        return as_file(dataset, syntax)
    frame = damage(next(generate_frames(dataset.PixelData, number_of_frames=1)), random)
    dataset.PixelData = encapsulate([frame], fragments_per_frame=min(random.randint(1, 4), len(frame) // 2))
    return as_file(dataset, syntax)
