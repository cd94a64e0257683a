"""Arrays and pictures as DICOM files, so that they go the one way that received objects go."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from triage.api.asserted import Asserted, ImageInputError
from triage.dicom.dx_image import DXDescription, dx_image, part10
from triage.dicom.uid import uid_of
from triage.radiograph.decode import decode_picture
from triage.radiograph.types import Rejected
from triage.sender.picture import stored_values

Pixels = npt.NDArray[Any]
_MOST_ROWS = 0xFFFF  # Rows and Columns are US


def check_array(pixels: Pixels, asserted: Asserted) -> None:
    """Raise ImageInputError unless ``pixels`` and what is asserted of them are an image.

    Args:
        pixels: Grey values (rows, columns), uint8 or uint16.
        asserted: Has to say the photometric interpretation, and of uint16 the bits stored.
    """
    if isinstance(pixels, np.ma.MaskedArray):
        raise ImageInputError("a masked array is not taken: fill what is masked, and crop to the exposed field")
    if pixels.ndim != 2 or not all(0 < count <= _MOST_ROWS for count in pixels.shape):
        raise ImageInputError(f"an image is an array of shape (rows, columns), not {pixels.shape}")
    if pixels.dtype.kind != "u" or pixels.dtype.itemsize > 2:
        raise ImageInputError(
            f"an image is an array of uint8 or uint16, not {pixels.dtype}: scale floats to 0 to 65535, convert them to "
            "uint16 and assert bits_stored=16"
        )
    if asserted.photometric_interpretation is None:
        raise ImageInputError(
            "assert photometric_interpretation: MONOCHROME2 if the highest value of the array is shown white, "
            "MONOCHROME1 if it is shown black"
        )
    _check_bits(pixels, asserted)


def _check_bits(pixels: Pixels, asserted: Asserted) -> None:
    if asserted.bits_stored is None and pixels.dtype.itemsize > 1:
        raise ImageInputError("assert bits_stored of an array of uint16: 12 for values of 0 to 4095")
    bits = int(asserted.bits_stored or 8)
    if bits > 8 * pixels.dtype.itemsize:
        raise ImageInputError(f"bits_stored is {bits}, and the array has {8 * pixels.dtype.itemsize}")
    if int(pixels.max()) >= 1 << bits:
        raise ImageInputError(f"the array has values up to {int(pixels.max())}, more than {bits} bits can hold")


def array_file(pixels: Pixels, asserted: Asserted) -> bytes:
    """Return the DICOM file of a checked array: each stored value is shown, from black to white."""
    return _file(pixels, int(asserted.bits_stored or 8), asserted)


def picture_file(content: bytes, asserted: Asserted) -> bytes | Rejected:
    """Return the DICOM file of a PNG or JPEG, with the grey values that it displays, or why it cannot be decoded."""
    radiograph = decode_picture(content)
    return radiograph if isinstance(radiograph, Rejected) else _file(*stored_values(radiograph.pixels), asserted)


def _file(stored: Pixels, bits: int, asserted: Asserted) -> bytes:
    study = uid_of("array", stored.tobytes())
    dataset = dx_image(stored, bits, DXDescription(study, uid_of(study, "series"), uid_of(study, repr(asserted))))
    del dataset.AnatomicRegionSequence  # the chest, which may not have been asserted
    dataset.BodyPartExamined = asserted.body_part_examined or ""
    dataset.ViewPosition = asserted.view_position or ""
    dataset.PatientAge = asserted.patient_age
    dataset.StationName = asserted.station_name
    if asserted.photometric_interpretation == "MONOCHROME1":
        dataset.PhotometricInterpretation, dataset.PresentationLUTShape = "MONOCHROME1", "INVERSE"
    return part10(dataset)
