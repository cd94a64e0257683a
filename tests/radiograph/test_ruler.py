"""A length is given where an object states what it means, with that, and nowhere else (PS3.3 10.7)."""

from __future__ import annotations

import pytest
from pydicom.dataset import Dataset

from triage.radiograph.ruler import LengthMeaning, NoRuler, Ruler, ruler_of

FINE, COARSE = [0.12, 0.12], [0.14, 0.14]


def ruler(**attributes: object) -> Ruler:
    dataset = Dataset()
    for name, value in attributes.items():
        setattr(dataset, name, value)
    return ruler_of(dataset)


STATED: dict[str, tuple[dict[str, object], LengthMeaning]] = {
    "calibrated by geometry": (
        {"PixelSpacing": FINE, "PixelSpacingCalibrationType": "GEOMETRY", "ImagerPixelSpacing": COARSE},
        LengthMeaning.GEOMETRY,
    ),
    "and the factor agrees": (
        {
            "PixelSpacing": FINE,
            "PixelSpacingCalibrationType": "GEOMETRY",
            "ImagerPixelSpacing": COARSE,
            "EstimatedRadiographicMagnificationFactor": 1.167,
        },
        LengthMeaning.GEOMETRY,
    ),
    "by an object of known size": (
        {"PixelSpacing": FINE, "PixelSpacingCalibrationType": "FIDUCIAL"},
        LengthMeaning.FIDUCIAL,
    ),
    "at the detector": ({"ImagerPixelSpacing": COARSE}, LengthMeaning.DETECTOR),
    "Pixel Spacing that only repeats the detector's": (
        {"PixelSpacing": COARSE, "ImagerPixelSpacing": ["0.1400", "0.140"]},
        LengthMeaning.DETECTOR,
    ),
    "corrected, and how is not said": ({"PixelSpacing": FINE, "ImagerPixelSpacing": COARSE}, LengthMeaning.CORRECTED),
    "a scanned film": ({"PixelSpacing": FINE, "NominalScannedPixelSpacing": FINE}, LengthMeaning.FILM),
    "Pixel Spacing alone": ({"PixelSpacing": FINE}, LengthMeaning.UNDETERMINED),
    "an empty Pixel Spacing": ({"PixelSpacing": None, "ImagerPixelSpacing": COARSE}, LengthMeaning.DETECTOR),
}


@pytest.mark.parametrize("name", STATED)
def test_a_length_means_what_the_object_states(name: str) -> None:
    attributes, meaning = STATED[name]
    found = ruler(**attributes)
    assert (found.meaning, found.why_none) == (meaning, None)
    assert found.spacing == tuple(attributes.get("PixelSpacing") or attributes["ImagerPixelSpacing"])


CALIBRATED = {"PixelSpacing": FINE, "PixelSpacingCalibrationType": "GEOMETRY"}
NONE: dict[str, tuple[dict[str, object], NoRuler]] = {
    "nothing": ({}, NoRuler.NOT_STATED),
    "a scanned film alone": ({"NominalScannedPixelSpacing": FINE}, NoRuler.NOT_STATED),
    "one value": ({"ImagerPixelSpacing": 0.14}, NoRuler.NO_NUMBERS),
    "zero": ({"ImagerPixelSpacing": [0, 0]}, NoRuler.NO_NUMBERS),
    "below zero": ({"PixelSpacing": [-0.14, -0.14], "ImagerPixelSpacing": COARSE}, NoRuler.NO_NUMBERS),
    "metres": ({"ImagerPixelSpacing": [140, 140]}, NoRuler.NO_NUMBERS),
    "not square": ({"ImagerPixelSpacing": [0.14, 0.2]}, NoRuler.NOT_SQUARE),
    "another aspect": ({"ImagerPixelSpacing": COARSE, "PixelAspectRatio": [1, 2]}, NoRuler.NOT_SQUARE),
    "an unknown calibration": ({**CALIBRATED, "PixelSpacingCalibrationType": "BY EYE"}, NoRuler.UNKNOWN_CALIBRATION),
    "a calibration of nothing": (
        {"PixelSpacingCalibrationType": "GEOMETRY", "ImagerPixelSpacing": COARSE},
        NoRuler.CALIBRATION_WITHOUT_SPACING,
    ),
    "calibrated and unchanged": ({**CALIBRATED, "ImagerPixelSpacing": FINE}, NoRuler.CALIBRATION_WITHOUT_EFFECT),
    "a projection that makes smaller": (
        {"PixelSpacing": COARSE, "ImagerPixelSpacing": FINE},
        NoRuler.LARGER_THAN_AT_DETECTOR,
    ),
    "another factor": (
        {**CALIBRATED, "ImagerPixelSpacing": COARSE, "EstimatedRadiographicMagnificationFactor": 1.5},
        NoRuler.OTHER_MAGNIFICATION,
    ),
}


@pytest.mark.parametrize("name", NONE)
def test_in_doubt_there_is_no_ruler_and_it_is_said_why(name: str) -> None:
    attributes, why = NONE[name]
    assert ruler(**attributes) == Ruler(why_none=why)


@pytest.mark.parametrize("value", [b"\xff\xfe0.14\\x", b"0.14", b"0.14\\abc", b"1e999\\1e999", b"nan\\nan"])
def test_values_of_any_kind_give_no_ruler(value: bytes) -> None:
    from pydicom.dataelem import RawDataElement
    from pydicom.tag import Tag

    dataset = Dataset()
    dataset[Tag(0x0018, 0x1164)] = RawDataElement(Tag(0x0018, 0x1164), "DS", len(value), value, 0, False, True)
    assert ruler_of(dataset).why_none is NoRuler.NO_NUMBERS
