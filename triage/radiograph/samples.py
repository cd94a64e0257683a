"""PURE: stored values of the one image of an object, by one decoder for each transfer syntax."""

from __future__ import annotations

import warnings

import numpy as np
from pydicom.dataset import Dataset, FileDataset
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
    RLELossless,
)

from triage.radiograph.depth import depth_of, values_of
from triage.radiograph.frames import check_native, check_rle, the_frame
from triage.radiograph.jpeg import decode_jpeg, jpeg_header, jpeg_ls_header
from triage.radiograph.jpeg2000 import check_jpeg2000
from triage.radiograph.types import Array
from triage.radiograph.undecodable import UndecodableError

# One decoder for each syntax, so that every installation computes the same pixels. libjpeg-turbo (in simplejpeg and
# imagecodecs), CharLS and OpenJPEG are BSD or alike; pydicom's other plugins do not decode 12-bit JPEG, or are GPL.
_TURBO = "libjpeg-turbo"
PLUGINS = {
    ExplicitVRLittleEndian: "",
    ImplicitVRLittleEndian: "",
    ExplicitVRBigEndian: "",
    DeflatedExplicitVRLittleEndian: "",
    RLELossless: "pydicom",
    JPEGLosslessSV1: _TURBO,
    JPEGLossless: _TURBO,
    JPEGLSLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
    HTJ2KLossless: "pylibjpeg",
    HTJ2KLosslessRPCL: "pylibjpeg",
    JPEGBaseline8Bit: _TURBO,
    JPEGExtended12Bit: _TURBO,
    JPEGLSNearLossless: "pyjpegls",
    JPEG2000: "pylibjpeg",
    HTJ2K: "pylibjpeg",
}
"""pydicom's plugin for each transfer syntax, in the order of preference: cheapest to decode first, lossy last."""

_J2K = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
_MAY_BE_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
_RLE_TOO_LONG = "The decoded RLE segment contains non-conformant padding"
_END_OF_IMAGE = b"\xff\xd9"
_LARGE = 4_000_000  # pixels that decode in a moment whatever they hold
_MOST_PER_BYTE = 500
"""Pixels for each byte of a codestream. At the strongest lossy compression that is used, 100 to 1, they are 50."""


def stored_values(dataset: FileDataset, syntax: UID) -> tuple[Array, int]:
    """Return stored values (rows, columns), unused bits cleared, or RGB (rows, columns, 3); and their depth in bits."""
    if not 1 < int(dataset.BitsStored) <= int(dataset.BitsAllocated) <= 16:
        raise UndecodableError(f"{dataset.BitsStored} bits stored in {dataset.BitsAllocated} allocated")
    if dataset.get("HighBit") not in (None, dataset.BitsStored - 1):  # as PS3.3 C.7.6.3.1 has it
        raise UndecodableError(f"High Bit is {dataset.HighBit} with {dataset.BitsStored} bits stored")
    array, precision = _samples(dataset, syntax)
    if array.shape[:2] != (dataset.Rows, dataset.Columns):
        raise UndecodableError(f"the codestream is {array.shape[:2]}, Rows and Columns say otherwise")
    bits, signed = depth_of(dataset, precision), bool(dataset.PixelRepresentation)
    if array.ndim == 3:
        return array, bits
    return values_of(array, bits, signed, overshoots=syntax in _MAY_BE_LOSSY and (syntax in _J2K or not signed)), bits


def _samples(dataset: FileDataset, syntax: UID) -> tuple[Array, int]:
    """Decode a whole image; return its samples and the precision that a codestream states, or 0."""
    if PLUGINS[syntax] == _TURBO:
        frame = the_frame(dataset)
        stated = jpeg_header(frame)
        _check_stated(dataset, stated.rows, stated.columns, stated.components)
        array, header = decode_jpeg(frame)
        signed = dataset.PixelRepresentation and array.ndim == 2
        return array.view(np.dtype(f"i{array.dtype.itemsize}")) if signed else array, header.precision
    if syntax in _J2K:
        frame = the_frame(dataset)
        codestream = check_jpeg2000(frame)  # before anything in it is believed
        _check_stated(dataset, codestream.rows, codestream.columns, codestream.components)
        _check_not_empty(frame, codestream.rows * codestream.columns)
        return _by_pydicom(dataset, syntax), codestream.precision
    if syntax in _JPEG_LS:
        return _jpeg_ls(dataset, syntax)
    if syntax == RLELossless:
        check_rle(dataset)
        warnings.filterwarnings("error", message=_RLE_TOO_LONG)
    else:
        check_native(dataset)
    return _by_pydicom(dataset, syntax), 0


def _check_stated(dataset: FileDataset, rows: int, columns: int, components: int) -> None:
    """Raise UndecodableError unless a codestream is of the size that Rows and Columns say, before it is decoded."""
    if (rows, columns) != (int(dataset.Rows), int(dataset.Columns)):
        raise UndecodableError(f"the codestream is {(rows, columns)}, Rows and Columns say otherwise")
    if components not in (1, 3):
        raise UndecodableError(f"the codestream has {components} components")


def _check_not_empty(frame: bytes, pixels: int) -> None:
    """Raise UndecodableError for a large image in next to no bytes: it shows nothing, and takes seconds to decode."""
    if pixels > _LARGE and pixels > _MOST_PER_BYTE * len(frame):
        raise UndecodableError(f"{pixels} pixels in {len(frame)} bytes: no radiograph is so empty")


def _jpeg_ls(dataset: FileDataset, syntax: UID) -> tuple[Array, int]:
    """Decode JPEG-LS. Some writers pad a codestream before its end marker, where CharLS allows nothing."""
    frame = the_frame(dataset)
    precision, *stated = jpeg_ls_header(frame)
    _check_stated(dataset, *stated)
    _check_not_empty(frame, int(dataset.Rows) * int(dataset.Columns))
    try:
        return _by_pydicom(dataset, syntax), precision
    except RuntimeError:
        end = frame.rindex(_END_OF_IMAGE)
        if frame[end - 1] != 0:
            raise
        mended = Dataset(dataset)
        mended.PixelData = encapsulate([frame[: end - 1] + _END_OF_IMAGE])
        return _by_pydicom(mended, syntax), precision


def _by_pydicom(dataset: Dataset, syntax: UID) -> Array:
    """Decode with pydicom; the unused bits are kept, which may show that Bits Stored is wrong."""
    array, _ = get_decoder(syntax).as_array(
        dataset,
        index=0,
        decoding_plugin=PLUGINS[syntax],
        correct_unused_bits=False,  # type: ignore[arg-type]  # pydicom's types have the options wrong
        view_only=True,  # type: ignore[arg-type]  # nothing writes to it, and a copy costs as much as reading the file
    )
    return array.astype(array.dtype.newbyteorder("="), copy=False)
