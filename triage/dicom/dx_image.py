"""Digital X-Ray images (PS3.3 A.26) made of grey values: of pictures by `triage send`, and of phantoms."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO

import numpy as np
import numpy.typing as npt
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    DigitalXRayImageStorageForPresentation,
    DigitalXRayImageStorageForProcessing,
    ExplicitVRLittleEndian,
)

from triage.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME

# CID 4010 "DX View", each with the directions of a row and of a column (PS3.3 C.7.6.1.1.1).
_VIEWS = {
    "PA": ("272479007", "postero-anterior", ["L", "F"]),
    "AP": ("399348003", "antero-posterior", ["L", "F"]),
    "LL": ("399173006", "left lateral", ["A", "F"]),
}


GreyValues = npt.NDArray[np.uint8] | npt.NDArray[np.uint16]


@dataclass(frozen=True)
class DXDescription:
    """Attributes of an image; empty where a value is not known.

    ``age`` as DICOM writes it (``050Y``), ``view`` one of PA, AP, LL, ``priority`` as in Requested Procedure Priority
    (0040,1003), ``acquired`` as (date, time) of DICOM.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str
    patient_name: str = ""
    patient_id: str = ""
    age: str = ""
    view: str = ""
    accession_number: str = ""
    priority: str = ""
    acquired: tuple[str, str] = ("", "")
    instance_number: int = 1
    for_processing: bool = False


def dx_image(stored: GreyValues, bits: int, description: DXDescription) -> Dataset:
    """Return a DX image of grey values (rows, columns), uint8 or uint16 with ``bits`` used, dense tissue bright.

    Imager Pixel Spacing (0018,1164) is left for the caller to set if it is known.
    """
    dataset = Dataset()
    _identify(dataset, description)
    _describe_acquisition(dataset, description)
    _describe_pixels(dataset, stored, bits, description.for_processing)
    return dataset


def part10(dataset: Dataset) -> bytes:
    """Return the data set as a DICOM file in Explicit VR Little Endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.ImplementationClassUID = UID(IMPLEMENTATION_CLASS_UID)
    meta.ImplementationVersionName = IMPLEMENTATION_VERSION_NAME
    dataset.file_meta = meta
    buffer = BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()


def _identify(dataset: Dataset, description: DXDescription) -> None:
    """Set modules Patient, General Study, Patient Study, General and DX Series, General Equipment, SOP Common."""
    processing = description.for_processing
    dataset.SOPClassUID = DigitalXRayImageStorageForProcessing if processing else DigitalXRayImageStorageForPresentation
    dataset.SOPInstanceUID = description.sop_instance_uid
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.PatientName = description.patient_name
    dataset.PatientID = description.patient_id
    dataset.PatientBirthDate = ""
    dataset.PatientSex = ""
    if description.age:
        dataset.PatientAge = description.age
    dataset.StudyInstanceUID = description.study_instance_uid
    dataset.StudyDate, dataset.StudyTime = description.acquired
    dataset.StudyID = ""
    dataset.ReferringPhysicianName = ""
    dataset.AccessionNumber = description.accession_number
    if description.priority:
        dataset.RequestedProcedurePriority = description.priority
    dataset.SeriesInstanceUID = description.series_instance_uid
    dataset.SeriesNumber = None
    dataset.Modality = "DX"
    dataset.PresentationIntentType = "FOR PROCESSING" if processing else "FOR PRESENTATION"
    dataset.Manufacturer = ""


def _describe_acquisition(dataset: Dataset, description: DXDescription) -> None:
    """Set modules General Image, DX Anatomy Imaged, DX Positioning, DX Detector, Acquisition Context."""
    dataset.InstanceNumber = description.instance_number
    dataset.AcquisitionDate, dataset.AcquisitionTime = description.acquired
    dataset.ContentDate, dataset.ContentTime = description.acquired
    dataset.BodyPartExamined = "CHEST"
    dataset.ImageLaterality = "U"
    dataset.AnatomicRegionSequence = Sequence([_code("51185008", "Chest")])
    dataset.PatientOrientation = ""
    if description.view:
        code, meaning, orientation = _VIEWS[description.view]
        dataset.ViewPosition = description.view
        dataset.PatientOrientation = orientation
        dataset.ViewCodeSequence = Sequence([_code(code, meaning)])
        dataset.ViewCodeSequence[0].ViewModifierCodeSequence = Sequence()
    dataset.PositionerType = ""
    dataset.DetectorType = ""
    dataset.AcquisitionContextSequence = Sequence()


def _describe_pixels(dataset: Dataset, stored: GreyValues, bits: int, for_processing: bool) -> None:
    """Set modules Image Pixel, DX Image, VOI LUT."""
    dataset.ImageType = ["ORIGINAL", "PRIMARY", ""]
    dataset.SamplesPerPixel = 1
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.Rows, dataset.Columns = stored.shape
    dataset.BitsAllocated = stored.dtype.itemsize * 8
    dataset.BitsStored = bits
    dataset.HighBit = bits - 1
    dataset.PixelRepresentation = 0
    dataset.PixelIntensityRelationship = "LOG"
    dataset.PixelIntensityRelationshipSign = -1  # bright where little came through
    dataset.RescaleIntercept = 0
    dataset.RescaleSlope = 1
    dataset.RescaleType = "US"
    dataset.PresentationLUTShape = "IDENTITY"
    dataset.LossyImageCompression = "00"
    dataset.BurnedInAnnotation = "NO"
    if not for_processing:  # every stored value is shown: the lowest black, the highest white
        dataset.WindowCenter = 1 << (bits - 1)
        dataset.WindowWidth = 1 << bits
    content = np.ascontiguousarray(stored, dtype=stored.dtype.newbyteorder("<")).tobytes()
    dataset.add_new("PixelData", "OB" if bits <= 8 else "OW", content + b"\0" * (len(content) % 2))


def _code(value: str, meaning: str) -> Dataset:
    item = Dataset()
    item.CodeValue = value
    item.CodingSchemeDesignator = "SCT"
    item.CodeMeaning = meaning
    return item
