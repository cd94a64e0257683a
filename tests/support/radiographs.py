"""Radiographs for tests: a picture, the data set around it, and its bytes in every transfer syntax."""

from __future__ import annotations

import struct
import warnings
from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import numpy.typing as npt
from pydicom import dcmread
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filewriter import dcmwrite
from pydicom.uid import (
    HTJ2K,
    JPEG2000,
    UID,
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from triage.radiograph.decode import decode_pixels, open_dicom
from triage.radiograph.types import Attributes, Radiograph, Rejected

Pixels = npt.NDArray[Any]


def a_picture(bits: int = 12, rows: int = 96, columns: int = 80) -> Pixels:
    """Smooth shapes and some noise over the whole range of ``bits``; uint8 or uint16."""
    y, x = np.mgrid[0 : 1 : rows * 1j, 0 : 1 : columns * 1j]
    lungs = np.exp(-(((x - 0.3) / 0.15) ** 2 + ((y - 0.5) / 0.3) ** 2)) + np.exp(
        -(((x - 0.7) / 0.15) ** 2 + ((y - 0.5) / 0.3) ** 2)
    )
    image = 0.8 - 0.7 * lungs + 0.2 * y + np.random.default_rng(5).normal(0, 0.01, lungs.shape)
    stretched = (image - image.min()) / (image.max() - image.min())
    return np.rint(stretched * ((1 << bits) - 1)).astype(np.uint8 if bits <= 8 else np.uint16)


def a_dataset(pixels: Pixels | None = None, bits: int | None = None, **changes: Any) -> Dataset:
    """A frontal chest CR of a person of 50; ``changes`` set attributes by keyword, None removes one."""
    image = a_picture() if pixels is None else pixels
    size = image.dtype.itemsize * 8
    dataset = Dataset()
    dataset.SOPClassUID = ComputedRadiographyImageStorage
    dataset.SOPInstanceUID, dataset.StudyInstanceUID, dataset.SeriesInstanceUID = "1.2.3.4", "1.2.3", "1.2.3.1"
    dataset.Modality, dataset.BodyPartExamined, dataset.ViewPosition = "CR", "CHEST", "PA"
    dataset.PatientAge, dataset.StudyDate = "050Y", "20200131"
    dataset.SamplesPerPixel, dataset.PhotometricInterpretation = 1, "MONOCHROME2"
    dataset.Rows, dataset.Columns = image.shape[:2]
    dataset.BitsAllocated, dataset.BitsStored = size, bits or (12 if size == 16 else 8)
    dataset.HighBit, dataset.PixelRepresentation = dataset.BitsStored - 1, int(image.dtype.kind == "i")
    dataset.PixelData = image.tobytes()
    for name, value in changes.items():
        if value is None:
            delattr(dataset, name)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of values that the standard does not allow
                setattr(dataset, name, value)
    return dataset


def as_file(dataset: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The data set as a Part 10 file. Pixel Data must already be as ``syntax`` wants it, save for its byte order."""
    uid = UID(syntax)
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.file_meta.TransferSyntaxUID = uid
    if "PixelData" in dataset:
        compressed = uid.is_encapsulated
        dataset["PixelData"].VR = "OB" if compressed or dataset.BitsAllocated == 8 else "OW"
        dataset["PixelData"].is_undefined_length = compressed
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def encoded(dataset: Dataset, syntax: str) -> bytes:
    """The file of a native data set, compressed as ``syntax`` says. JPEG-LS and JPEG 2000 as pydicom encodes them."""
    copy = dcmread(BytesIO(as_file(dataset)))
    codestream = _codestream(copy, syntax)
    if codestream is not None:
        copy.PixelData = encapsulate([codestream])
    elif UID(syntax).is_encapsulated:
        copy.compress(syntax, **_OPTIONS.get(UID(syntax), {}), generate_instance_uid=False)
    elif syntax == ExplicitVRBigEndian and copy.BitsAllocated == 16:
        copy.PixelData = np.frombuffer(copy.PixelData, "<u2").byteswap().tobytes()
    return as_file(copy, syntax)


_OPTIONS: dict[UID, dict[str, Any]] = {
    JPEGLSNearLossless: {"jls_error": 2},
    JPEG2000: {"j2k_cr": [4]},
}


def _codestream(dataset: Dataset, syntax: str) -> bytes | None:
    bits = dataset.BitsStored
    pixels = np.frombuffer(dataset.PixelData, f"<u{dataset.BitsAllocated // 8}").reshape(dataset.Rows, dataset.Columns)
    if dataset.PixelRepresentation:
        pixels = pixels & np.array((1 << bits) - 1, dtype=pixels.dtype)
    match UID(syntax):
        case x if x in (JPEGLossless, JPEGLosslessSV1):
            predictor = 1 if x == JPEGLosslessSV1 else 5
            return bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=predictor, bitspersample=bits))
        case x if x == JPEGBaseline8Bit:
            return bytes(imagecodecs.jpeg8_encode(pixels, level=95))
        case x if x == JPEGExtended12Bit:
            return bytes(imagecodecs.jpeg8_encode(pixels, level=95, bitspersample=12))
        case x if x in (HTJ2KLossless, HTJ2KLosslessRPCL):
            return bytes(imagecodecs.htj2k_encode(pixels, reversible=True))
        case x if x == HTJ2K:
            return bytes(imagecodecs.htj2k_encode(pixels, level=0.001, reversible=False))
    return None


LOSSLESS = (
    RLE := "1.2.840.10008.1.2.5",
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEG2000Lossless,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
)


def sof_of(file: bytes) -> int:
    """The marker of the JPEG frame header in a file's first codestream: 0xC0 baseline, 0xC1 extended, 0xC3 lossless."""
    at = file.index(b"\xff\xd8\xff") + 2
    while True:
        marker, length = struct.unpack(">HH", file[at : at + 4])
        if 0xFFC0 <= marker <= 0xFFCF and marker not in (0xFFC4, 0xFFC8, 0xFFCC):
            return marker & 0xFF
        at += 2 + length


def opened(file: bytes) -> tuple[Dataset, Attributes]:
    found = open_dicom(file)
    assert not isinstance(found, Rejected), found
    return found


def decoded(file: bytes | Dataset) -> Radiograph:
    """The radiograph in a file or data set, which must be readable."""
    result = attempted(file)
    assert isinstance(result, Radiograph), result
    return result


def attempted(file: bytes | Dataset) -> Radiograph | Rejected:
    return decode_pixels(*opened(as_file(file) if isinstance(file, Dataset) else file))  # type: ignore[arg-type]
