"""The grey scale against formulas of its own, and what is masked before any statistic."""

from __future__ import annotations

import math
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import ExplicitVRBigEndian, ImplicitVRLittleEndian

from tests.support.radiographs import a_dataset, a_picture, as_file, attempted, decoded, encoded
from triage.decision.reasons import Reason
from triage.radiograph.preprocess import PreprocessSpec, normalise
from triage.radiograph.types import Radiograph, Rejected

SPEC = PreprocessSpec(size=48)
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)
"""Every stored value of 12 bits once."""


def levels(radiograph: Radiograph) -> npt.NDArray[np.float32]:
    return normalise(radiograph.pixels, radiograph.valid, SPEC)


def a_lut(entries: npt.ArrayLike, first: int, bits: int, vr: str = "US") -> Sequence:
    """One LUT item; ``vr`` OW gives LUT Data as bytes."""
    item, values = Dataset(), [int(entry) for entry in np.asarray(entries)]
    item.add_new("LUTDescriptor", "US", [len(values) & 0xFFFF, first & 0xFFFF, bits])
    item.add_new("LUTData", vr, np.asarray(values, "<u2").tobytes() if vr == "OW" else values)
    return Sequence([item])


# One inversion.


def test_the_same_picture_in_either_photometric_interpretation_is_the_same_input() -> None:
    picture, window = a_picture(), {"WindowCenter": 1500, "WindowWidth": 2000}
    plain = decoded(a_dataset(picture, **window))
    window["WindowCenter"] = 4096 - 1500
    inverse = decoded(a_dataset(4095 - picture, PhotometricInterpretation="MONOCHROME1", **window))
    assert np.allclose(inverse.pixels, plain.pixels, atol=1e-6)
    assert np.allclose(levels(inverse), levels(plain), atol=1e-5)


def test_without_a_window_either_photometric_interpretation_is_the_same_input() -> None:
    picture = a_picture()
    inverse = decoded(a_dataset(4095 - picture, PhotometricInterpretation="MONOCHROME1"))
    assert np.allclose(inverse.pixels, decoded(a_dataset(picture)).pixels, atol=1e-6)


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", None, False),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME1", None, True),
        ("MONOCHROME1", "IDENTITY", True),
        ("MONOCHROME1", "INVERSE", True),
    ],
)
def test_an_image_is_inverted_once_or_not_at_all(photometric: str, shape: str | None, inverted: bool) -> None:
    changes: dict[str, Any] = {"PresentationLUTShape": shape} if shape else {}
    found = decoded(a_dataset(RAMP, PhotometricInterpretation=photometric, **changes)).pixels
    expected = RAMP / 4095
    assert np.allclose(found, 1 - expected if inverted else expected, atol=1e-6)


def test_the_inversion_is_over_the_output_range_and_not_the_image_s_own() -> None:
    found = decoded(a_dataset(RAMP, PhotometricInterpretation="MONOCHROME1", WindowCenter=2048, WindowWidth=8192))
    assert found.pixels.min() == pytest.approx(0.25, abs=1e-3)
    assert found.pixels.max() == pytest.approx(0.75, abs=1e-3)


# Windows (PS3.3 C.11.2.1.2 and C.11.2.1.3), as the standard's pseudo-code writes them, value by value.


def linear(x: float, c: float, w: float) -> float:
    if x <= c - 0.5 - (w - 1) / 2:
        return 0.0
    if x > c - 0.5 + (w - 1) / 2:
        return 1.0
    return (x - (c - 0.5)) / (w - 1) + 0.5


def linear_exact(x: float, c: float, w: float) -> float:
    if x <= c - w / 2:
        return 0.0
    if x > c + w / 2:
        return 1.0
    return (x - c) / w + 0.5


def sigmoid(x: float, c: float, w: float) -> float:
    return 0.5 + 0.5 * math.tanh(2 * (x - c) / w)  # the same, where exp would overflow


FUNCTIONS: dict[str, Callable[[float, float, float], float]] = {
    "LINEAR": linear,
    "LINEAR_EXACT": linear_exact,
    "SIGMOID": sigmoid,
}


@settings(max_examples=60)
@given(
    st.sampled_from(sorted(FUNCTIONS)),
    st.integers(-1000, 5000),
    st.one_of(st.integers(1, 9000), st.just(4096)),
    st.sampled_from([(1, 0), (2, -1024), (0.5, 10), (-1, 4095)]),
)
def test_a_window_is_what_the_standard_says(name: str, center: int, width: int, rescale: tuple[float, float]) -> None:
    slope, intercept = rescale
    dataset = a_dataset(RAMP, WindowCenter=center, WindowWidth=width, VOILUTFunction=name)
    dataset.RescaleSlope, dataset.RescaleIntercept = slope, intercept
    found = decoded(dataset).pixels.ravel()
    for stored in (0, 1, 17, 1000, 2047, 2048, 3333, 4094, 4095):
        expected = FUNCTIONS[name](stored * slope + intercept, center, width)
        assert found[stored] == pytest.approx(expected, abs=1e-6)


def test_of_several_windows_the_first_counts() -> None:
    several = decoded(a_dataset(RAMP, WindowCenter=[1000, 3000], WindowWidth=[500, 100]))
    assert np.array_equal(several.pixels, decoded(a_dataset(RAMP, WindowCenter=1000, WindowWidth=500)).pixels)


@pytest.mark.parametrize("width", [0, -5])
def test_a_window_without_width_is_no_window(width: int) -> None:
    assert np.allclose(decoded(a_dataset(RAMP, WindowCenter=10, WindowWidth=width)).pixels, RAMP / 4095, atol=1e-6)


def test_without_a_window_the_range_of_the_image_is_shown() -> None:
    part = np.clip(RAMP, 500, 900)
    assert np.allclose(decoded(a_dataset(part)).pixels, (part - 500.0) / 400, atol=1e-6)


# Lookup tables (PS3.3 C.11.1.1 and C.11.2.1.1).


@pytest.mark.parametrize("vr", ["US", "OW"])
@pytest.mark.parametrize("syntax", [None, ImplicitVRLittleEndian, ExplicitVRBigEndian])
def test_a_voi_lut_goes_before_a_window(vr: str, syntax: str | None) -> None:
    entries = np.rint(np.linspace(0, 1, 512) ** 2 * 1023)
    dataset = a_dataset(RAMP, WindowCenter=10, WindowWidth=20, VOILUTSequence=a_lut(entries, 1000, 10, vr))
    if syntax == ExplicitVRBigEndian and vr == "OW":
        data = np.frombuffer(dataset.VOILUTSequence[0].LUTData, "<u2")
        dataset.VOILUTSequence[0].LUTData = data.byteswap().tobytes()
        dataset.PixelData = RAMP.byteswap().tobytes()
        file = as_file(dataset, syntax)
    else:
        file = encoded(dataset, syntax) if syntax else as_file(dataset)
    expected = entries[np.clip(RAMP.astype(int) - 1000, 0, 511)] / 1023
    assert np.allclose(decoded(file).pixels, expected, atol=1e-6)


def test_of_several_voi_luts_the_first_counts() -> None:
    first, second = a_lut(np.arange(256), 0, 8), a_lut(np.zeros(256), 0, 8)
    dataset = a_dataset(RAMP, VOILUTSequence=Sequence([first[0], second[0]]))
    assert np.allclose(decoded(dataset).pixels, np.clip(RAMP, 0, 255) / 255, atol=1e-6)


@pytest.mark.parametrize("count", [255, 256])
def test_entries_of_eight_bits_may_be_packed_two_to_a_word(count: int) -> None:
    entries = np.arange(count, dtype=np.uint8)[::-1]
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [count, 100, 8])
    item.add_new("LUTData", "OW", entries.tobytes() + b"\0" * (count % 2))
    found = decoded(a_dataset(RAMP, VOILUTSequence=Sequence([item]))).pixels
    assert np.allclose(found, entries[np.clip(RAMP.astype(int) - 100, 0, count - 1)] / 255, atol=1e-6)


def test_a_table_of_65536_entries_says_zero() -> None:
    wide = np.arange(65536, dtype=np.uint16).reshape(256, 256)
    lut = a_lut(65535 - np.arange(65536), 0, 16, "OW")
    assert lut[0].LUTDescriptor[0] == 0
    assert np.allclose(decoded(a_dataset(wide, 16, VOILUTSequence=lut)).pixels, 1 - wide / 65535, atol=1e-6)


def test_a_modality_lut_comes_before_the_window() -> None:
    entries = 4095 - np.arange(4096)
    dataset = a_dataset(RAMP, WindowCenter=1000, WindowWidth=500, ModalityLUTSequence=a_lut(entries, 0, 12))
    expected = [linear(4095 - value, 1000, 500) for value in range(4096)]
    assert np.allclose(decoded(dataset).pixels.ravel(), expected, atol=1e-6)


def test_a_modality_lut_need_not_be_monotonic() -> None:
    entries = 1000 + np.abs(2048 - np.arange(4096))  # the greatest stored values are the greatest and least of nothing
    found = decoded(a_dataset(RAMP, ModalityLUTSequence=a_lut(entries, 0, 16))).pixels
    assert np.allclose(found.ravel(), (entries - 1000) / 2048, atol=1e-6)


def test_tables_of_signed_pixels_may_begin_below_zero() -> None:
    signed = RAMP.astype(np.int16) - 2048
    entries = np.linspace(0, 4095, 201).astype(int)
    found = decoded(a_dataset(signed, 12, VOILUTSequence=a_lut(entries, -100, 12))).pixels
    assert np.allclose(found, entries[np.clip(signed + 100, 0, 200)] / 4095, atol=1e-6)
    modality = decoded(a_dataset(signed, 12, ModalityLUTSequence=a_lut(entries, -100, 12))).pixels
    assert np.allclose(modality, entries[np.clip(signed + 100, 0, 200)] / 4095, atol=1e-6)


def test_signed_and_unsigned_pixels_of_one_picture_are_the_same_input() -> None:
    picture = a_picture()
    signed = decoded(a_dataset(picture.astype(np.int16) - 2048, 12, WindowCenter=-500, WindowWidth=900))
    plain = decoded(a_dataset(picture, 12, WindowCenter=1548, WindowWidth=900))
    assert np.array_equal(signed.pixels, plain.pixels)


def broken_lut(count: int, bits: int, data: list[int] | None) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [count, 0, bits])
    if data is not None:
        item.add_new("LUTData", "US", data)
    return Sequence([item])


@pytest.mark.parametrize("name", ["VOILUTSequence", "ModalityLUTSequence"])
@pytest.mark.parametrize(
    "lut",
    [
        broken_lut(256, 12, list(range(100))),  # cut
        broken_lut(4, 32, [0, 1, 2, 3]),
        broken_lut(4, 0, [0, 1, 2, 3]),
        broken_lut(4, 8, None),
        Sequence([Dataset()]),
    ],
    ids=["cut", "too deep", "no depth", "no data", "empty"],
)
def test_a_broken_table_is_undecodable(name: str, lut: Sequence) -> None:
    rejected = attempted(a_dataset(RAMP, **{name: lut}))
    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("name", ["RescaleSlope", "RescaleIntercept", "WindowCenter", "WindowWidth"])
@pytest.mark.parametrize("text", [b"abc ", b"nan ", b"inf ", b"1E999 "])
def test_a_number_that_is_none_never_becomes_a_grey(name: str, text: bytes) -> None:
    numbers = {"RescaleSlope": 1, "RescaleIntercept": 0, "WindowCenter": 2048, "WindowWidth": 4096}
    file = as_file(a_dataset(RAMP, **numbers))
    tag = dcmread(BytesIO(file))[name].tag
    start = tag.group.to_bytes(2, "little") + tag.element.to_bytes(2, "little") + b"DS"
    at = file.index(start)
    length = int.from_bytes(file[at + 6 : at + 8], "little")
    damaged = file[: at + 6] + len(text).to_bytes(2, "little") + text + file[at + 8 + length :]
    result = attempted(damaged)
    if isinstance(result, Rejected):
        assert result.reason is Reason.UNDECODABLE
    else:
        assert np.isfinite(result.pixels).all() and result.pixels.max() > result.pixels.min()


# What is no image: padding (C.7.5.1.1.2) and shutters (C.7.6.11).


def statistics_ignore(outside: npt.NDArray[np.bool_], dataset: Dataset) -> None:
    """Pixels outside are masked, and their values change nothing of the rest."""
    found = decoded(dataset)
    assert np.array_equal(found.valid, ~outside)
    other = np.frombuffer(dataset.PixelData, np.uint16).reshape(outside.shape).copy()
    if "PixelPaddingValue" not in dataset:
        other[outside] = 4095 - other[outside]
        dataset.PixelData = other.tobytes()
    again = decoded(dataset)
    assert np.array_equal(found.pixels[~outside], again.pixels[~outside])
    assert np.array_equal(levels(found), levels(again))
    shown = found.pixels[~outside]
    assert (shown.min(), shown.max()) == (0, 1)


@pytest.mark.parametrize(
    ("changes", "padding"),
    [
        ({"PixelPaddingValue": 0}, [0]),
        ({"PixelPaddingValue": 4095}, [4095]),
        ({"PixelPaddingValue": 10, "PixelPaddingRangeLimit": 0}, range(11)),
        ({"PixelPaddingValue": 0, "PixelPaddingRangeLimit": 20}, range(21)),
        ({"PixelPaddingValue": 4000, "PixelPaddingRangeLimit": 4095}, range(4000, 4096)),
    ],
)
@pytest.mark.parametrize("syntax", ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
def test_padding_is_masked_before_statistics(changes: dict[str, int], padding: list[int], syntax: str) -> None:
    picture = np.clip(RAMP, 500, 3000)
    outside = np.zeros(picture.shape, dtype=bool)
    outside[:, :7] = True
    picture[outside] = np.resize(np.array(padding, dtype=np.uint16), int(outside.sum()))
    file = encoded(a_dataset(picture, **changes), syntax)
    statistics_ignore(outside, dcmread(BytesIO(file)))


@pytest.mark.parametrize("vr", ["US", "SS"])
@pytest.mark.parametrize("signed", [False, True])
def test_a_padding_value_may_have_the_wrong_sign(vr: str, signed: bool) -> None:
    kind, padding, fill = (np.int16, -2000, 0) if signed else (np.uint16, 63536, 40000)
    picture = np.linspace(fill, fill + 1000, 4096).reshape(64, 64).astype(kind)
    picture[:5] = padding
    dataset = a_dataset(picture, 16)
    dataset.add_new("PixelPaddingValue", vr, padding & 0xFFFF if vr == "US" else -2000)
    found = decoded(dataset)
    assert not found.valid[:5].any() and found.valid[5:].all()


def shutter(shape: str | list[str], **values: Any) -> dict[str, Any]:
    return {"ShutterShape": shape, **values}


RECTANGLE = {
    "ShutterLeftVerticalEdge": 11,
    "ShutterRightVerticalEdge": 50,
    "ShutterUpperHorizontalEdge": 5,
    "ShutterLowerHorizontalEdge": 60,
}


def rectangle(row: int, column: int) -> bool:
    return 5 <= row <= 60 and 11 <= column <= 50


def test_what_is_outside_a_rectangular_shutter_is_masked() -> None:
    statistics_ignore(~where(rectangle), a_dataset(scene(rectangle), **shutter("RECTANGULAR", **RECTANGLE)))


def test_what_is_outside_a_circular_shutter_is_masked() -> None:
    def inside(row: int, column: int) -> bool:
        return (row - 30) ** 2 + (column - 40) ** 2 <= 20**2

    changes = shutter("CIRCULAR", CenterOfCircularShutter=[30, 40], RadiusOfCircularShutter=20)
    statistics_ignore(~where(inside), a_dataset(scene(inside), **changes))


def test_what_is_outside_a_polygonal_shutter_is_masked() -> None:
    def inside(row: int, column: int) -> bool:  # below the diagonal
        return 10 <= column <= row <= 60

    changes = shutter("POLYGONAL", VerticesOfThePolygonalShutter=[10, 10, 60, 60, 60, 10])
    statistics_ignore(~where(inside), a_dataset(scene(inside), **changes))


def test_of_several_shutters_the_common_part_is_image() -> None:
    def inside(row: int, column: int) -> bool:
        return rectangle(row, column) and (row - 30) ** 2 + (column - 40) ** 2 <= 20**2

    changes = shutter(["RECTANGULAR", "CIRCULAR"], CenterOfCircularShutter=[30, 40], RadiusOfCircularShutter=20)
    statistics_ignore(~where(inside), a_dataset(scene(inside), **changes, **RECTANGLE))


@pytest.mark.parametrize(
    "changes",
    [
        shutter("RECTANGULAR"),
        shutter("CIRCULAR", CenterOfCircularShutter=[30], RadiusOfCircularShutter=20),
        shutter("POLYGONAL", VerticesOfThePolygonalShutter=[10, 10, 60]),
        shutter("RECTANGULAR", **{**RECTANGLE, "ShutterLeftVerticalEdge": 63, "ShutterRightVerticalEdge": 2}),
        shutter("CIRCULAR", CenterOfCircularShutter=[500, 500], RadiusOfCircularShutter=5),
    ],
)
def test_a_shutter_that_says_nothing_or_hides_everything_is_undecodable(changes: dict[str, Any]) -> None:
    rejected = attempted(a_dataset(RAMP, **changes))
    assert isinstance(rejected, Rejected) and rejected.reason is Reason.UNDECODABLE


def where(inside: Callable[[int, int], bool]) -> npt.NDArray[np.bool_]:
    """Return for each pixel of 64 x 64, counted from 1 as shutters count, whether it is inside."""
    return np.array([[inside(row, column) for column in range(1, 65)] for row in range(1, 65)])


def scene(inside: Callable[[int, int], bool]) -> npt.NDArray[np.uint16]:
    """Greys from 1000 to 2000 inside, and darker and brighter ones outside."""
    mask = where(inside)
    picture = RAMP.copy()
    picture[mask] = np.linspace(1000, 2000, int(mask.sum())).astype(np.uint16)
    return picture


# A real file whose Photometric Interpretation was falsified must look different: it is what the tag says.


def test_a_falsified_photometric_interpretation_inverts(triage_data: Path) -> None:
    folder = triage_data / "dicom" / "cr-dx-chest"
    true, false = (
        decoded((folder / name).read_bytes()) for name in ("rsna_sample.dcm", "rsna_sample_relabelled_monochrome1.dcm")
    )
    assert np.allclose(false.pixels, 1 - true.pixels, atol=1e-6)
    assert np.corrcoef(levels(false).ravel(), levels(true).ravel())[0, 1] < -0.99


def test_a_real_monochrome1_chest_has_dark_lungs(triage_data: Path) -> None:
    for name in ("data_WG04_JLSN_RG1_JLSN.dcm", "data_pydicom_RG1_J2KI.dcm"):
        image = levels(decoded((triage_data / "dicom" / "cr-dx-chest" / name).read_bytes()))
        lung, middle = image[16:28, 8:16].mean(), image[24:40, 22:28].mean()
        assert lung < middle - 0.2
