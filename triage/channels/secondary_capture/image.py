"""PURE: one Secondary Capture image (PS3.3 A.8.1): radiograph, activation map, and what it is burned in below."""

from __future__ import annotations

import cv2
import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID, SecondaryCaptureImageStorage
from pydicom.valuerep import DA, TM

from triage.channels.base import TEST
from triage.channels.patient_study import (
    SOFTWARE_VERSION,
    encoded,
    local_time,
    of_patient_and_study,
)
from triage.decision.findings import FindingScore
from triage.decision.statement import label
from triage.decision.types import ImageAssessment
from triage.dicom.fitting import fitted
from triage.dicom.uid import uid_of
from triage.model.activation_map import Picture, coloured, mixed, strength
from triage.spool.study import Study, StudyImage, referenced

WARNING = "AI activation map, not for diagnosis"
LONGEST = 1024
"""Pixels on the longer side of the radiograph."""
BAND = 96
"""Rows of text below it."""

_NARROWEST = 640
_SERIES_NUMBER = 9102
_LONGEST_TITLE = 60
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LINES = ((30, 0.9, 255), (58, 0.5, 200), (82, 0.5, 200))  # baseline, size, grey
_LOSSY = ("LossyImageCompression", "LossyImageCompressionRatio", "LossyImageCompressionMethod")


def secondary_capture(
    study: Study, image: StudyImage, grey: Picture, number: int, device_uid: str
) -> tuple[str, bytes]:
    """SOP Instance UID and file of the map of one image. Same facts, same bytes: its times are the assessment's.

    ``grey`` is the radiograph as it opens (rows, columns); ``number`` counts the images of this result from 1.
    """
    made = of_patient_and_study(image.header, study.decision.study_instance_uid)
    _identify(made, study, image, number, device_uid)
    _describe(made, image)
    _put_pixels(made, drawn(grey, image.assessment))
    return str(made.SOPInstanceUID), encoded(made)


def drawn(grey: Picture, assessment: ImageAssessment) -> Picture:
    """RGB (rows, columns, 3): the radiograph in the middle, the map over all of it, and the band of text below."""
    found, probability, point = assessment.activation_map, assessment.probability, assessment.operating_point
    assert found is not None
    assert probability is not None
    assert point is not None
    rows, columns = grey.shape
    over = mixed(grey, coloured(strength(found, probability, point, rows, columns)))
    canvas = np.zeros((rows + BAND, max(columns, _NARROWEST), 3), dtype=np.uint8)
    left = left_of(columns)
    canvas[:rows, left : left + columns] = over
    shade = "colour: strongest places above the operating point; it shows what drew the score and outlines no finding"
    digest = (assessment.model_digest or "")[:12]
    said = f"{_scored(assessment)} {probability:.3f}, {_from(assessment)} {point:.3f}"
    model = f"{assessment.model_id}  sha256 {digest}  {said}"
    for (baseline, size, level), text in zip(_LINES, (WARNING, model, shade), strict=True):
        _write(canvas, text, rows + baseline, size, level)
    return canvas


def mapped_finding(assessment: ImageAssessment) -> FindingScore | None:
    """Return the finding that the map and the score are of; None in a record of a release before findings."""
    results = (each for each in assessment.results if each.model_digest == assessment.model_digest)
    score = (assessment.probability, assessment.operating_point)
    found = (finding for result in results for finding in result.findings)
    return next((each for each in found if (each.probability, each.threshold) == score), None)


def _scored(assessment: ImageAssessment) -> str:
    finding = mapped_finding(assessment)
    return "probability" if finding is None else f"{label(finding)[:_LONGEST_TITLE]}: score"


def _from(assessment: ImageAssessment) -> str:
    return "abnormal from" if mapped_finding(assessment) is None else "positive from"


def left_of(columns: int) -> int:
    """The column at which a radiograph of so many columns begins."""
    return max(_NARROWEST - columns, 0) // 2


def _write(canvas: Picture, text: str, baseline: int, size: float, level: int) -> None:
    room = canvas.shape[1] - 16
    width = cv2.getTextSize(text, _FONT, size, 1)[0][0]
    cv2.putText(canvas, text, (8, baseline), _FONT, size * min(room / width, 1), (level,) * 3, 1, cv2.LINE_AA)


def _identify(made: Dataset, study: Study, image: StudyImage, number: int, device_uid: str) -> None:
    """Modules General Series, General Equipment, SC Equipment and SOP Common."""
    assessment = image.assessment
    made.SOPClassUID = SecondaryCaptureImageStorage
    made.SOPInstanceUID = UID(
        uid_of("secondary capture", study.revision, assessment.sop_instance_uid, assessment.content_digest)
    )
    made.SeriesInstanceUID = uid_of("secondary capture series", study.decision.study_instance_uid)
    made.SeriesNumber = _SERIES_NUMBER
    made.SeriesDescription = f"{TEST}AI activation map" if study.test else "AI activation map"
    made.Modality = "OT"
    made.BodyPartExamined = "CHEST"
    made.InstanceNumber = (study.number - 1) * 100 + number
    made.ConversionType = "WSD"
    made.Manufacturer = made.SecondaryCaptureDeviceManufacturer = "cxr-triage"
    made.ManufacturerModelName = made.SecondaryCaptureDeviceManufacturerModelName = "cxr-triage"
    made.DeviceSerialNumber = "1"
    made.DeviceUID = device_uid
    # The digest fills a value of LO; at the end, the space that makes a length even would be one too many for some.
    versions = [SOFTWARE_VERSION, *filter(None, (assessment.model_digest, assessment.model_id))]
    made.SoftwareVersions = made.SecondaryCaptureDeviceSoftwareVersions = versions
    at = local_time(made, assessment.assessed_at, image.header)
    for keyword in ("ContentDate", "InstanceCreationDate", "SeriesDate", "DateOfSecondaryCapture"):
        setattr(made, keyword, DA(at.date()))
    for keyword in ("ContentTime", "InstanceCreationTime", "SeriesTime", "TimeOfSecondaryCapture"):
        setattr(made, keyword, TM(at.time().replace(microsecond=0)))


def _describe(made: Dataset, image: StudyImage) -> None:
    """Modules General Image and General Reference: derived, from what, how, and what is burned in."""
    assessment, header = image.assessment, image.header
    taken = fitted(header, ("PatientOrientation", *_LOSSY)).attributes
    made.ImageType = ["DERIVED", "SECONDARY"]
    made.PatientOrientation = taken.get("PatientOrientation") or ""
    made.DerivationDescription = (
        f"Class activation map of {assessment.model_id} (model sha256 {assessment.model_digest}), which outlines no "
        f"finding, over the windowed image; {_scored(assessment)} {assessment.probability:.6f}, {_from(assessment)} "
        f"{assessment.operating_point}. Not for diagnosis."
    )
    made.DerivationCodeSequence = [_code("113085", "Spatial resampling")]
    source = Dataset()
    source.ReferencedSOPClassUID, source.ReferencedSOPInstanceUID, _ = referenced(image)
    source.PurposeOfReferenceCodeSequence = [_code("121322", "Source image for image processing operation")]
    made.SourceImageSequence = [source]
    made.ImageComments = WARNING
    # Our texts name no patient, but what is burned into the radiograph is unknown: the careful value.
    made.BurnedInAnnotation = "YES"
    made.RecognizableVisualFeatures = "NO"
    made.LossyImageCompression = "00"
    for keyword in _LOSSY:  # what was lossy once stays so (PS3.3 C.7.6.1.1.5)
        if taken.get("LossyImageCompression") == "01" and keyword in taken:
            made[keyword] = taken[keyword]


def _put_pixels(made: Dataset, pixels: Picture) -> None:
    """Module Image Pixel: RGB, 8 bits, colour by pixel, uncompressed."""
    made.Rows, made.Columns, made.SamplesPerPixel = pixels.shape
    made.PhotometricInterpretation = "RGB"
    made.PlanarConfiguration = 0
    made.BitsAllocated = made.BitsStored = 8
    made.HighBit = 7
    made.PixelRepresentation = 0
    content = pixels.tobytes()
    made.add_new("PixelData", "OB", content + b"\0" * (len(content) % 2))


def _code(value: str, meaning: str) -> Dataset:
    made = Dataset()
    made.CodeValue, made.CodingSchemeDesignator, made.CodeMeaning = value, "DCM", meaning
    return made
