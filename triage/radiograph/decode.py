"""PURE: bytes to a Radiograph, as PS3.3 and PS3.4 say a display must show it, or to a reason why not.

Modality LUT, VOI LUT and the one inversion are computed once for every stored value and then looked up per pixel, which
is exact and costs one pass over the image.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import cv2
import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import FileDataset
from pydicom.encaps import generate_frames
from pydicom.errors import InvalidDicomError
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

from triage.decision.reasons import Reason
from triage.radiograph.attributes import read_attributes
from triage.radiograph.grayscale import grey_table
from triage.radiograph.mask import valid_pixels
from triage.radiograph.types import Attributes, FloatImage, Radiograph, Rejected

# One decoder for each syntax, so that every installation computes the same pixels. libjpeg-turbo (in imagecodecs),
# CharLS and OpenJPEG are BSD or alike; pydicom's other plugins do not decode 12-bit JPEG, or are GPL.
_TURBO = "libjpeg-turbo"
_PLUGINS = {
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
TRANSFER_SYNTAXES: tuple[str, ...] = tuple(str(uid) for uid in _PLUGINS)
"""What we can decode, in the order in which we prefer to be sent it: cheapest to decode first, lossy last."""

MOST_PIXELS = 100_000_000
"""Rows times columns beyond which an image is not decoded: no radiograph is that large, and memory is not endless."""

Array = npt.NDArray[Any]

_AS_SHOWN = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR

_J2K = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
_MAY_BE_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
_END_OF_CODESTREAM = b"\xff\xd9"  # EOI of JPEG and JPEG-LS, EOC of JPEG 2000


@dataclass(frozen=True, eq=False)
class TabledRadiograph(Radiograph):
    """A radiograph that still knows its stored values: ``pixels`` is ``table[index]``.

    ``index``: whole numbers (rows, columns), stored values counted from the lowest possible one; ``table``: float32,
    the grey of each.
    """

    index: Array
    table: FloatImage


class _UndecodableError(Exception):
    """What is wrong with the pixels; becomes a Rejected."""


def open_dicom(data: bytes) -> tuple[FileDataset, Attributes] | Rejected:
    """The data set of a DICOM file and its attributes, the pixels not yet decoded."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                dataset = dcmread(BytesIO(data))
            except InvalidDicomError:
                dataset = dcmread(BytesIO(data), force=True)  # a bare data set without preamble
            if "SOPClassUID" not in dataset:  # whatever bytes are, reading them by force finds elements in them
                return Rejected(Reason.UNDECODABLE, "not a DICOM object")
            syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
            attributes = read_attributes(dataset, str(syntax))
            if not attributes.sop_class_uid:  # bytes of anything can be read as some elements
                return Rejected(Reason.UNDECODABLE, "not a DICOM object: no SOP Class UID")
            return dataset, attributes
    except Exception as error:  # pydicom raises many kinds for broken bytes; all of them mean the same here
        return Rejected(Reason.UNDECODABLE, f"not readable as DICOM ({type(error).__name__})")


def decode_pixels(dataset: FileDataset, attributes: Attributes) -> Radiograph | Rejected:
    """The image of an opened data set; Rejected with UNDECODABLE for whatever is broken, never an exception."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(dataset, UID(attributes.transfer_syntax_uid))
    except _UndecodableError as error:
        return Rejected(Reason.UNDECODABLE, str(error))
    except Exception as error:  # decoders raise many kinds for broken bytes
        return Rejected(Reason.UNDECODABLE, f"pixels cannot be decoded ({type(error).__name__})")


def decode_picture(data: bytes) -> Radiograph | Rejected:
    """A PNG or JPEG, 8 or 16 bits, grey or colour, as a display would show it (turned as its EXIF says); no mask."""
    if not _whole_picture(data):
        return Rejected(Reason.UNDECODABLE, "neither a whole PNG nor a whole JPEG")
    try:
        image: Array | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _AS_SHOWN)
    except cv2.error:
        image = None
    if image is None or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        return Rejected(Reason.UNDECODABLE, "the picture cannot be decoded")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    highest = np.float32(255 if image.dtype == np.uint8 else 65535)
    pixels: FloatImage = image.astype(np.float32) / highest
    return Radiograph(pixels, np.ones(pixels.shape, dtype=bool))


def is_picture(data: bytes) -> bool:
    """Whether the bytes begin like a PNG or a JPEG."""
    return data[:8] == b"\x89PNG\r\n\x1a\n" or data[:3] == b"\xff\xd8\xff"


def _whole_picture(data: bytes) -> bool:
    if data[:3] == b"\xff\xd8\xff":
        return _END_OF_CODESTREAM in data[-64:]
    return data[:8] == b"\x89PNG\r\n\x1a\n" and b"IEND" in data[-64:]


def _decoded(dataset: FileDataset, syntax: UID) -> Radiograph:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if "PixelData" not in dataset:
        raise _UndecodableError("no Pixel Data")
    if not (rows > 0 and columns > 0 and rows * columns <= MOST_PIXELS):
        raise _UndecodableError(f"{rows} rows and {columns} columns are no radiograph")
    if syntax not in _PLUGINS:
        raise _UndecodableError(f"transfer syntax {syntax.name} is not supported")
    stored = _stored_values(dataset, syntax)
    photometric = str(dataset.PhotometricInterpretation)
    if stored.ndim == 3:
        return _from_colour(stored, dataset, photometric)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise _UndecodableError(f"{photometric} with one sample per pixel is not supported")
    valid = valid_pixels(dataset, stored)
    if not valid.any():
        raise _UndecodableError("padding and shutter leave nothing of the image")
    table, lowest = grey_table(dataset, stored, valid)
    index = stored.astype(np.int32) - lowest if lowest else stored
    return TabledRadiograph(table[index], valid, index, table)


def _stored_values(dataset: FileDataset, syntax: UID) -> Array:
    """Stored pixel values (rows, columns), unused bits cleared, or RGB (rows, columns, 3)."""
    if not 1 < int(dataset.BitsStored) <= int(dataset.BitsAllocated) <= 16:
        raise _UndecodableError(f"{dataset.BitsStored} bits stored in {dataset.BitsAllocated} allocated")
    if dataset.get("HighBit") not in (None, dataset.BitsStored - 1):  # as PS3.3 C.7.6.3.1 has it
        raise _UndecodableError(f"High Bit is {dataset.HighBit} with {dataset.BitsStored} bits stored")
    if syntax.is_compressed and syntax != DeflatedExplicitVRLittleEndian and syntax != RLELossless:
        _check_codestream(dataset.PixelData)
    if _PLUGINS[syntax] == _TURBO:
        array = _jpeg(dataset)
    else:
        array, _ = get_decoder(syntax).as_array(dataset, index=0, decoding_plugin=_PLUGINS[syntax])
    if array.shape[:2] != (dataset.Rows, dataset.Columns):
        raise _UndecodableError(f"the codestream is {array.shape[:2]}, Rows and Columns say otherwise")
    if array.ndim == 3:
        return array
    bits, signed = int(dataset.BitsStored), bool(dataset.PixelRepresentation)
    if syntax in _MAY_BE_LOSSY and (syntax in _J2K or not signed):
        return _limited(array, bits, signed)
    return _without_unused_bits(array, bits, signed)


def _jpeg(dataset: FileDataset) -> Array:
    """JPEG of 8 to 16 bits, lossy or lossless; colour comes back as RGB."""
    frame = next(generate_frames(dataset.PixelData, number_of_frames=1))
    array: Array = imagecodecs.jpeg8_decode(frame)
    if dataset.PixelRepresentation and array.ndim == 2:
        array = array.view(np.dtype(f"i{array.dtype.itemsize}"))
    return array


def _check_codestream(pixel_data: bytes) -> None:
    """Decoders fill the rest of a cut image with grey and report success; a whole codestream ends in its end marker."""
    frame = next(generate_frames(pixel_data, number_of_frames=1))
    if _END_OF_CODESTREAM not in frame.rstrip(b"\0")[-16:]:  # some writers pad with more than the one byte
        raise _UndecodableError("the compressed image is cut short")


def _limited(array: Array, bits: int, signed: bool) -> Array:
    """Lossy codecs overshoot: what is beyond white is white, and must not come round to black."""
    lowest = -(1 << (bits - 1)) if signed else 0
    return np.clip(array, lowest, lowest + (1 << bits) - 1) if bits < array.dtype.itemsize * 8 else array


def _without_unused_bits(array: Array, bits: int, signed: bool) -> Array:
    if not signed:
        limit = (1 << bits) - 1
        return array & np.array(limit, dtype=array.dtype) if int(array.max()) > limit else array
    spare = array.dtype.itemsize * 8 - bits
    extended: Array = (array << spare) >> spare  # the sign bit is the highest stored one
    return extended


def _from_colour(stored: Array, dataset: FileDataset, photometric: str) -> Radiograph:
    """A grey picture that was stored in colour: its luminance."""
    if not photometric.startswith(("RGB", "YBR")) or stored.dtype != np.uint8 or stored.shape[2] != 3:
        raise _UndecodableError(f"{photometric} with {stored.shape[2]} samples per pixel is not supported")
    grey = cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY)
    pixels: FloatImage = grey.astype(np.float32) / np.float32(255)
    return Radiograph(pixels, valid_pixels(dataset, grey, padding=False))
