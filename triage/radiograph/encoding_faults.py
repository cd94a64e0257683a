"""PURE: faults of a data set that forbid to decode its pixels, and those that put its attributes in doubt."""

from __future__ import annotations

from dataclasses import replace

from pydicom.datadict import tag_for_keyword

from triage.dicom.data_set import Survey
from triage.dicom.elements import PIXEL_DATA
from triage.dicom.fault import Fault, Kind
from triage.radiograph.types import Attributes

_GROUPS = frozenset((0x0010, 0x0018, 0x0020, 0x0028, 0x0054, 0x2050, 0x5200, 0x5400, 0x7FE0))
"""Patient, acquisition, relationship, image pixel and LUTs, view codes, presentation LUT shape, functional groups,
pixels: nothing is read of an image, its view, its part or a patient's age that is not of these or the next."""
_OF_GROUP_0008 = frozenset(
    tag_for_keyword(keyword)
    for keyword in (
        "SpecificCharacterSet",
        "ImageType",
        "SOPClassUID",
        "SOPInstanceUID",
        "StudyDate",
        "SeriesDate",
        "AcquisitionDate",
        "ContentDate",
        "AcquisitionDateTime",
        "Modality",
        "PresentationIntentType",
        "StationName",
        "StudyDescription",
        "SeriesDescription",
        "AnatomicRegionSequence",
    )
)
_HARMLESS_BEHIND_THE_PIXELS = frozenset((Kind.NO_ELEMENT, Kind.TOO_MANY))


def describes_an_image(tag: int) -> bool:
    """Return whether scoring depends on the element: grey scale, view, part of the body, age, identity."""
    return tag >> 16 in _GROUPS or tag in _OF_GROUP_0008


def with_damage(attributes: Attributes, survey: Survey | None) -> Attributes:
    """Return the attributes with the fault that forbids to decode the pixels, if there is one.

    That is an early end of the data set, or a fault in an element that describes an image.
    """
    forbidding = [fault for fault in survey.faults if _forbids(fault, survey)] if survey else []
    if survey is None or not forbidding:
        return attributes
    in_the_pixels = survey.orderly and all(each.tag == PIXEL_DATA and not each.after for each in forbidding)
    return replace(attributes, damage=f"the data set is damaged: {forbidding[0]}", whole=in_the_pixels)


def _forbids(fault: Fault, survey: Survey) -> bool:
    if not fault.ends:
        return fault.hides or (not fault.after and describes_an_image(fault.tag))
    behind = survey.orderly and any(each.tag == PIXEL_DATA for each in survey.elements)
    return not (behind and fault.kind in _HARMLESS_BEHIND_THE_PIXELS)
