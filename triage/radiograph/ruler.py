"""PURE: the millimetres that a length on a radiograph means, as far as its object states them (PS3.3 10.7).

A projection magnifies: a length at the detector is longer than the same length in the patient, by a factor that
depends on the depth. So a length is only worth what is said with it, and where the attributes contradict each other
there is none.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from pydicom.dataset import Dataset

from triage.dicom.attribute_text import text_of
from triage.errors import TriageError
from triage.radiograph.values import number, numbers

_SAME = 1e-3  # relative: values that differ by how they were rounded
_SQUARE = 0.01
_MAGNIFICATION = 0.05  # relative: how far factor and spacings may be apart
_SMALLEST_MM, _LARGEST_MM = 0.005, 10.0  # of a pixel

Spacing = tuple[float, float]
"""Millimetres from row to row, and from column to column."""


class LengthMeaning(StrEnum):
    """Place at which a length on the image is true."""

    GEOMETRY = "geometry"  # Pixel Spacing Calibration Type GEOMETRY: at an assumed depth in the patient
    FIDUCIAL = "fiducial"  # likewise FIDUCIAL: at the depth of an object of known size
    CORRECTED = "corrected"  # Pixel Spacing differs from that at the detector, and how is not said
    DETECTOR = "detector"  # at the detector, magnified
    FILM = "film"  # on the film that was scanned, magnified
    UNDETERMINED = "undetermined"  # Pixel Spacing alone: whether it was corrected cannot be determined


class NoRuler(StrEnum):
    """Reason why a length cannot be given."""

    NOT_STATED = "not_stated"  # neither Pixel Spacing nor Imager Pixel Spacing
    NO_NUMBERS = "no_numbers"  # values that are no spacing
    NOT_SQUARE = "not_square"  # pixels that are not square, which the picture does not show
    UNKNOWN_CALIBRATION = "unknown_calibration"  # a calibration type that PS3.3 does not have
    CALIBRATION_WITHOUT_SPACING = "calibration_without_spacing"
    CALIBRATION_WITHOUT_EFFECT = "calibration_without_effect"  # calibrated, and the same as at the detector
    LARGER_THAN_AT_DETECTOR = "larger_than_at_detector"  # no projection makes things smaller
    OTHER_MAGNIFICATION = "other_magnification"  # than Estimated Radiographic Magnification Factor


@dataclass(frozen=True)
class Ruler:
    """The spacing of the pixels and what it means, or why there is none: one of both is set."""

    spacing: Spacing | None = None
    meaning: LengthMeaning | None = None
    why_none: NoRuler | None = None


NOT_STATED = Ruler(why_none=NoRuler.NOT_STATED)


class NoRulerError(TriageError):
    """The attributes give no length."""

    def __init__(self, why: NoRuler) -> None:
        super().__init__(why)
        self.why = why


def ruler_of(dataset: Dataset) -> Ruler:
    """Return what a length on the image of an object means. Never raises for odd values: then there is no ruler."""
    try:
        spacing, meaning = _stated(dataset)
    except NoRulerError as error:
        return Ruler(why_none=error.why)
    return Ruler(spacing, meaning)


def _stated(dataset: Dataset) -> tuple[Spacing, LengthMeaning]:
    pixel, detector, film = (
        _spacing(dataset, keyword) for keyword in ("PixelSpacing", "ImagerPixelSpacing", "NominalScannedPixelSpacing")
    )
    _check_aspect(dataset)
    calibration = text_of(dataset, "PixelSpacingCalibrationType").upper()
    if pixel is None:
        if calibration:
            raise NoRulerError(NoRuler.CALIBRATION_WITHOUT_SPACING)
        if detector is None:
            raise NoRulerError(NoRuler.NOT_STATED)
        return detector, LengthMeaning.DETECTOR
    if detector is not None and pixel[0] > detector[0] * (1 + _SAME):
        raise NoRulerError(NoRuler.LARGER_THAN_AT_DETECTOR)
    if calibration:
        return pixel, _calibrated(
            calibration, pixel, detector, number(dataset, "EstimatedRadiographicMagnificationFactor")
        )
    return pixel, _uncalibrated(pixel, detector, film)


def _calibrated(calibration: str, pixel: Spacing, detector: Spacing | None, factor: float | None) -> LengthMeaning:
    """PS3.3 10.7.1.2: the type of calibration is one of two Enumerated Values."""
    meanings = {"GEOMETRY": LengthMeaning.GEOMETRY, "FIDUCIAL": LengthMeaning.FIDUCIAL}
    if calibration not in meanings:
        raise NoRulerError(NoRuler.UNKNOWN_CALIBRATION)
    if detector is not None and _same(pixel, detector):
        raise NoRulerError(NoRuler.CALIBRATION_WITHOUT_EFFECT)
    stated = factor if calibration == "GEOMETRY" else None
    if detector and stated is not None and abs(detector[0] / pixel[0] - stated) > _MAGNIFICATION * stated:
        raise NoRulerError(NoRuler.OTHER_MAGNIFICATION)
    return meanings[calibration]


def _uncalibrated(pixel: Spacing, detector: Spacing | None, film: Spacing | None) -> LengthMeaning:
    """PS3.3 10.7.1.1: without a type, the other spacings tell whether the image was corrected."""
    if detector is not None:
        return LengthMeaning.DETECTOR if _same(pixel, detector) else LengthMeaning.CORRECTED
    if film is not None:
        return LengthMeaning.FILM if _same(pixel, film) else LengthMeaning.CORRECTED
    return LengthMeaning.UNDETERMINED


def _spacing(dataset: Dataset, keyword: str) -> Spacing | None:
    """Return a spacing in mm; None where it is absent or empty."""
    values = numbers(dataset, keyword)
    if not values or values == (None,):
        if text_of(dataset, keyword):
            raise NoRulerError(NoRuler.NO_NUMBERS)
        return None
    if len(values) != 2:
        raise NoRulerError(NoRuler.NO_NUMBERS)
    rows, columns = values
    if rows is None or columns is None or not all(_SMALLEST_MM <= each <= _LARGEST_MM for each in (rows, columns)):
        raise NoRulerError(NoRuler.NO_NUMBERS)
    if abs(rows - columns) > _SQUARE * rows:
        raise NoRulerError(NoRuler.NOT_SQUARE)
    return rows, columns


def _check_aspect(dataset: Dataset) -> None:
    """Raise unless Pixel Aspect Ratio (0028,0034), where it is stated, is that of squares."""
    values = numbers(dataset, "PixelAspectRatio")
    if len(values) == 2 and values[0] != values[1]:
        raise NoRulerError(NoRuler.NOT_SQUARE)


def _same(one: Spacing, other: Spacing) -> bool:
    return all(abs(ours - theirs) <= _SAME * theirs for ours, theirs in zip(one, other, strict=True))
