"""PURE: decoding of bytes to a Radiograph, as PS3.3 and PS3.4 have a display show it, or to a reason why not.

Modality LUT, VOI LUT and the one inversion are computed once for every stored value and then looked up per pixel, which
is exact and costs one pass over the image.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace

import cv2
import numpy as np
from pydicom.dataset import FileDataset
from pydicom.uid import UID, DeflatedExplicitVRLittleEndian, ImplicitVRLittleEndian

from triage.decision.reasons import Reason
from triage.dicom.byte_source import InflatedSource
from triage.dicom.data_set import Survey, read_data_set
from triage.errors import cause
from triage.radiograph.attributes import read_attributes
from triage.radiograph.deflated import check_deflated
from triage.radiograph.encoding_faults import with_damage
from triage.radiograph.frames import check_one_image
from triage.radiograph.grayscale import grey_table
from triage.radiograph.jpeg import SOI, decode_jpeg
from triage.radiograph.mask import valid_pixels
from triage.radiograph.memory_errors import memory_errors
from triage.radiograph.png import SIGNATURE, check_png
from triage.radiograph.samples import PLUGINS, stored_values
from triage.radiograph.types import Array, Attributes, FloatImage, Radiograph, Rejected
from triage.radiograph.undecodable import UndecodableError, check_size

TRANSFER_SYNTAXES: tuple[str, ...] = tuple(str(uid) for uid in PLUGINS)
"""Transfer syntaxes that we decode, in the order of preference: cheapest to decode first, lossy last."""

_AS_SHOWN = cv2.IMREAD_ANYDEPTH | cv2.IMREAD_ANYCOLOR


@dataclass(frozen=True, eq=False)
class TabledRadiograph(Radiograph):
    """A radiograph with its stored values: ``pixels`` is ``table[index]``.

    ``index``: uint8 or uint16 (rows, columns), stored values counted from the lowest possible one; ``table``: float32,
    the grey of each.
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
        return Rejected(Reason.UNDECODABLE, f"not readable as DICOM ({cause(error)})")


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
    return _guarded(lambda: _image(dataset, UID(attributes.transfer_syntax_uid)), "pixels cannot be decoded")


def decode_picture(data: bytes) -> Radiograph | Rejected:
    """Decode a PNG or JPEG, 8 or 16 bits, grey or colour, turned as its EXIF states; no mask.

    Rejected with UNDECODABLE if it is not whole.
    """
    if not is_picture(data):
        return Rejected(Reason.UNDECODABLE, "neither a PNG nor a JPEG")
    return _guarded(lambda: _picture(data), "the picture cannot be decoded")


def decode_file(data: bytes) -> Radiograph | Rejected:
    """Decode a file: a PNG or JPEG by ``decode_picture``, any other as DICOM. Raises MemoryError only."""
    if is_picture(data):
        return decode_picture(data)
    opened = open_dicom(data)
    return opened if isinstance(opened, Rejected) else decode_pixels(*opened)


def _guarded(decode: Callable[[], Radiograph], failure: str) -> Radiograph | Rejected:
    """Return what ``decode`` returns, or the reason why it raises. Raises MemoryError only."""
    try:
        with memory_errors():
            return decode()
    except UndecodableError as error:
        return Rejected(error.reason, str(error))
    except MemoryError:  # ours, and not the object's
        raise
    except Exception as error:  # decoders raise many kinds for broken bytes
        return Rejected(Reason.UNDECODABLE, f"{failure} ({cause(error)})")


def _picture(data: bytes) -> Radiograph:
    image = _jpeg_picture(data) if data[:2] == SOI else _png_picture(data)
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


def _image(dataset: FileDataset, syntax: UID) -> Radiograph:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return _decoded(dataset, syntax)


def _decoded(dataset: FileDataset, syntax: UID) -> Radiograph:
    rows, columns = int(dataset.get("Rows") or 0), int(dataset.get("Columns") or 0)
    if "PixelData" not in dataset:
        raise UndecodableError("no Pixel Data")
    check_size(rows, columns)
    if syntax not in PLUGINS:
        raise UndecodableError(f"transfer syntax {syntax.name} is not supported")
    check_one_image(dataset)
    stored, bits = stored_values(dataset, syntax)
    photometric = str(dataset.PhotometricInterpretation)
    if stored.ndim == 3:
        return _from_colour(stored, dataset, photometric)
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise UndecodableError(f"{photometric} with one sample per pixel is not supported")
    valid = valid_pixels(dataset, stored)
    if not valid.any():
        raise UndecodableError("padding and shutter leave nothing of the image")
    table, lowest = grey_table(dataset, stored, valid, bits)
    index = (stored.astype(np.int32) - lowest).astype(np.uint16) if lowest else stored
    return TabledRadiograph(_looked_up(table, index), valid, index, table)


def _looked_up(table: FloatImage, index: Array) -> FloatImage:
    """Return ``table[index]``, in a quarter of NumPy's time, which turns ``index`` into 64 bits first.

    ``index``: uint8 or uint16 (rows, columns). Raises IndexError as NumPy does.
    """
    if int(index.max()) >= len(table):
        raise IndexError(f"a stored value beyond the {len(table)} that the depth allows")
    whole = np.zeros(1 << (8 * index.dtype.itemsize), dtype=np.float32)
    whole[: len(table)] = table[: len(whole)]
    return np.asarray(cv2.LUT(index, whole), dtype=np.float32)


def _from_colour(stored: Array, dataset: FileDataset, photometric: str) -> Radiograph:
    """Return the luminance of an image that was stored in colour."""
    if not photometric.startswith(("RGB", "YBR")) or stored.dtype != np.uint8 or stored.shape[2] != 3:
        raise UndecodableError(f"{photometric} with {stored.shape[2]} samples per pixel is not supported")
    grey = cv2.cvtColor(stored, cv2.COLOR_RGB2GRAY)
    pixels: FloatImage = grey.astype(np.float32) / np.float32(255)
    return Radiograph(pixels, valid_pixels(dataset, grey, padding=False))
