"""PURE: decoding of bytes to a Radiograph, as PS3.3 and PS3.4 have a display show it, or to a reason why not.

Modality LUT, VOI LUT and the one inversion are computed once for every stored value and then looked up per pixel, which
is exact and costs one pass over the image.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace

import cv2
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

from triage.decision.reasons import Reason
from triage.dicom.byte_source import InflatedSource
from triage.dicom.data_set import Survey, read_data_set
from triage.radiograph.attributes import read_attributes
from triage.radiograph.deflated import check_deflated
from triage.radiograph.depth import depth_of, values_of
from triage.radiograph.encoding_faults import with_damage
from triage.radiograph.frames import check_native, check_one_image, check_rle, the_frame
from triage.radiograph.grayscale import grey_table
from triage.radiograph.jpeg import SOI, decode_jpeg, jpeg_header, jpeg_ls_header
from triage.radiograph.jpeg2000 import check_jpeg2000
from triage.radiograph.mask import valid_pixels
from triage.radiograph.png import SIGNATURE, check_png
from triage.radiograph.types import Array, Attributes, FloatImage, Radiograph, Rejected
from triage.radiograph.undecodable import UndecodableError, check_size

# One decoder for each syntax, so that every installation computes the same pixels. libjpeg-turbo (in simplejpeg and
# imagecodecs), CharLS and OpenJPEG are BSD or alike; pydicom's other plugins do not decode 12-bit JPEG, or are GPL.
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
"""Transfer syntaxes that we decode, in the order of preference: cheapest to decode first, lossy last."""

_AS_SHOWN = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR

_J2K = frozenset({JPEG2000Lossless, JPEG2000, HTJ2KLossless, HTJ2KLosslessRPCL, HTJ2K})
_JPEG_LS = frozenset({JPEGLSLossless, JPEGLSNearLossless})
_MAY_BE_LOSSY = frozenset({JPEGBaseline8Bit, JPEGExtended12Bit, JPEGLSNearLossless, JPEG2000, HTJ2K})
_RLE_TOO_LONG = "The decoded RLE segment contains non-conformant padding"
_END_OF_IMAGE = b"\xff\xd9"
_LARGE = 4_000_000  # pixels that decode in a moment whatever they hold
_MOST_PER_BYTE = 500
"""Pixels for each byte of a codestream. At the strongest lossy compression that is used, 100 to 1, they are 50."""


@dataclass(frozen=True, eq=False)
class TabledRadiograph(Radiograph):
    """A radiograph with its stored values: ``pixels`` is ``table[index]``.

    ``index``: integers (rows, columns), stored values counted from the lowest possible one; ``table``: float32, the
    grey of each.
    """

    index: Array
    table: FloatImage


def open_dicom(data: bytes) -> tuple[FileDataset, Attributes] | Rejected:
    """Read the data set of a DICOM file and its attributes, without decoding the pixels.

    Attributes are read even if the pixels are damaged, and of a damaged data set up to the damage, which they name.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            dataset, survey = read_data_set(data)
            if "SOPClassUID" not in dataset:  # any bytes can be read as some elements
                return Rejected(Reason.UNDECODABLE, "not a DICOM object")
            syntax = dataset.file_meta.get("TransferSyntaxUID", ImplicitVRLittleEndian)
            attributes = with_damage(read_attributes(dataset, str(syntax)), survey)
            if syntax == DeflatedExplicitVRLittleEndian:
                attributes = _with_damaged_deflation(attributes, data, survey)
            if not attributes.sop_class_uid:
                return Rejected(Reason.UNDECODABLE, "not a DICOM object: no SOP Class UID")
            return dataset, attributes
    except MemoryError:  # ours, and not the object's
        raise
    except Exception as error:  # pydicom raises many kinds for broken bytes; all of them mean the same here
        return Rejected(Reason.UNDECODABLE, f"not readable as DICOM ({type(error).__name__})")


def _with_damaged_deflation(attributes: Attributes, data: bytes, survey: Survey | None) -> Attributes:
    """Return the attributes with the damage of a deflated data set in which bytes were zeroed: all are in doubt."""
    if survey is None or not isinstance(survey.source, InflatedSource):
        return attributes
    try:
        check_deflated(data, survey.source.most)
    except UndecodableError as error:
        return replace(attributes, damage=attributes.damage or str(error), whole=False)
    return attributes


def decode_pixels(dataset: FileDataset, attributes: Attributes) -> Radiograph | Rejected:
    """Decode the image of an opened data set, if it is whole and the only one.

    Rejected with UNDECODABLE for any damage, with MULTI_FRAME for more than one image. Raises MemoryError only.
    """
    if attributes.damage:
        return Rejected(Reason.UNDECODABLE, attributes.damage)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return _decoded(dataset, UID(attributes.transfer_syntax_uid))
    except UndecodableError as error:
        return Rejected(error.reason, str(error))
    except MemoryError:  # ours, and not the object's
        raise
    except Exception as error:  # decoders raise many kinds for broken bytes
        return Rejected(Reason.UNDECODABLE, f"pixels cannot be decoded ({type(error).__name__})")


def decode_picture(data: bytes) -> Radiograph | Rejected:
    """Decode a PNG or JPEG, 8 or 16 bits, grey or colour, turned as its EXIF states; no mask.

    Rejected with UNDECODABLE if it is not whole.
    """
    if not is_picture(data):
        return Rejected(Reason.UNDECODABLE, "neither a PNG nor a JPEG")
    try:
        image = _jpeg_picture(data) if data[:2] == SOI else _png_picture(data)
    except UndecodableError as error:
        return Rejected(error.reason, str(error))
    except MemoryError:  # ours, and not the object's
        raise
    except Exception as error:  # decoders raise many kinds for broken bytes
        return Rejected(Reason.UNDECODABLE, f"the picture cannot be decoded ({type(error).__name__})")
    if image.ndim == 3:
        image = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    highest = np.float32(255 if image.dtype == np.uint8 else 65535)
    pixels: FloatImage = image.astype(np.float32) / highest
    return Radiograph(pixels, np.ones(pixels.shape, dtype=bool))


def _jpeg_picture(data: bytes) -> Array:
    """Decode a JPEG to grey or BGR. One with EXIF is decoded once more, to be turned."""
    pixels, header = decode_jpeg(data, several=True)
    if header.precision != 8:
        raise UndecodableError("a JPEG of more than 8 bits is no picture")
    if b"Exif" in data[: header.scan_at]:
        return _as_opencv_shows(data)
    return pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR)


def _png_picture(data: bytes) -> Array:
    check_png(data)
    return _as_opencv_shows(data)


def _as_opencv_shows(data: bytes) -> Array:
    image: Array | None = cv2.imdecode(np.frombuffer(data, dtype=np.uint8), _AS_SHOWN)
    if image is None or image.dtype not in (np.uint8, np.uint16) or image.size == 0:
        raise UndecodableError("the picture cannot be decoded")
    return image


def is_picture(data: bytes) -> bool:
    """Return whether the bytes begin like a PNG or a JPEG."""
    return data[:8] == SIGNATURE or data[:3] == b"\xff\xd8\xff"


def _decoded(dataset: FileDataset, syntax: UID) -> Radiograph:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if "PixelData" not in dataset:
        raise UndecodableError("no Pixel Data")
    check_size(rows, columns)
    if syntax not in _PLUGINS:
        raise UndecodableError(f"transfer syntax {syntax.name} is not supported")
    check_one_image(dataset)
    stored, bits = _stored_values(dataset, syntax)
    photometric = str(dataset.PhotometricInterpretation)
    if stored.ndim == 3:
        return _from_colour(stored, dataset, photometric)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UndecodableError(f"{photometric} with one sample per pixel is not supported")
    valid = valid_pixels(dataset, stored)
    if not valid.any():
        raise UndecodableError("padding and shutter leave nothing of the image")
    table, lowest = grey_table(dataset, stored, valid, bits)
    index = stored.astype(np.int32) - lowest if lowest else stored
    return TabledRadiograph(table[index], valid, index, table)


def _stored_values(dataset: FileDataset, syntax: UID) -> tuple[Array, int]:
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
    if _PLUGINS[syntax] == _TURBO:
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
        decoding_plugin=_PLUGINS[syntax],
        correct_unused_bits=False,  # type: ignore[arg-type]  # pydicom's types have the options wrong
    )
    return array


def _from_colour(stored: Array, dataset: FileDataset, photometric: str) -> Radiograph:
    """Return the luminance of an image that was stored in colour."""
    if not photometric.startswith(("RGB", "YBR")) or stored.dtype != np.uint8 or stored.shape[2] != 3:
        raise UndecodableError(f"{photometric} with {stored.shape[2]} samples per pixel is not supported")
    grey = cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY)
    pixels: FloatImage = grey.astype(np.float32) / np.float32(255)
    return Radiograph(pixels, valid_pixels(dataset, grey, padding=False))
