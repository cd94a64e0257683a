"""Pictures as DX images, without attributes that the caller did not state."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset

from triage.dicom.dx_image import DXDescription, dx_image
from triage.dicom.uid import uid_of
from triage.errors import TriageError
from triage.radiograph.decode import decode_picture
from triage.radiograph.types import FloatImage, Rejected

_JPEG = b"\xff\xd8\xff"


class PictureError(TriageError, ValueError):
    """A picture that cannot be wrapped; the message says why."""


def wrap(content: bytes, view: str | None = None, age: int | None = None) -> Dataset:
    """Return a PNG or JPEG of a chest as a DX image For Presentation with the grey values of the picture.

    Patient, dates and pixel spacing stay empty, although DX requires Imager Pixel Spacing (0018,1164). The same picture
    with the same ``view`` and ``age`` gets the same UIDs, and with others the same study.

    Args:
        content: The file.
        view: PA or AP. None: not written.
        age: Patient's Age in years. None: not written.

    Raises:
        PictureError: The picture cannot be read.
    """
    radiograph = decode_picture(content)
    if isinstance(radiograph, Rejected):
        raise PictureError(radiograph.detail)
    stored, bits = stored_values(radiograph.pixels)
    study = uid_of("picture", content)
    description = DXDescription(
        study_instance_uid=study,
        series_instance_uid=uid_of(study, "series"),
        sop_instance_uid=uid_of(study, view or "", "" if age is None else str(age)),
        view=view or "",
        age="" if age is None else f"{age:03d}Y",
    )
    dataset = dx_image(stored, bits, description)
    _describe_origin(dataset, content, stored.nbytes)
    return dataset


def stored_values(pixels: FloatImage) -> tuple[npt.NDArray[np.uint8] | npt.NDArray[np.uint16], int]:
    """Return the integers that the ``pixels`` of a decoded picture are fractions of, and their bits: 8 or 16."""
    eight = np.rint(pixels * 255).astype(np.uint8)
    if np.array_equal(eight.astype(np.float32) / np.float32(255), pixels):
        return eight, 8
    return np.rint(pixels * 65535).astype(np.uint16), 16


def _describe_origin(dataset: Dataset, content: bytes, stored_bytes: int) -> None:
    lossy = content.startswith(_JPEG)
    dataset.ImageType = ["DERIVED", "PRIMARY", ""]
    dataset.DerivationDescription = f"Wrapped from a {'JPEG' if lossy else 'PNG'} picture, grey values unchanged"
    dataset.BurnedInAnnotation = "YES"  # not inspected: the careful one of the two values
    if lossy:
        dataset.LossyImageCompression = "01"
        dataset.LossyImageCompressionRatio = f"{max(stored_bytes / len(content), 1):.3f}"
        dataset.LossyImageCompressionMethod = "ISO_10918_1"
