"""Numbers, however they were written."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.tag import Tag
from pydicom.uid import ExplicitVRLittleEndian

from tests.support.radiographs import a_dataset, as_file, attempted, decoded
from triage.radiograph.attributes import read_attributes
from triage.radiograph.decode import decode_pixels
from triage.radiograph.types import Radiograph, Rejected
from triage.radiograph.values import number, numbers


def raw(keyword: str, vr: str, value: bytes) -> Dataset:
    """A data set as it is read, with the bytes of one element as they stood in a file."""
    dataset = dcmread(BytesIO(as_file(a_dataset())))
    tag = Tag(keyword)
    dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True, True)
    return dataset


@pytest.mark.parametrize(
    ("vr", "value", "expected"),
    [
        ("DS", b"2040", (2040.0,)),
        ("DS", b" 2040.5\\-1e3 ", (2040.5, -1000.0)),
        ("DS", b"2040,5", (2040.5,)),
        ("DS", b"1,234.5", (None,)),
        ("DS", b"1,234,5", (None,)),
        ("DS", b"\\2040 ", (None, 2040.0)),
        ("DS", b"NORMAL", (None,)),
        ("DS", b"nan\\inf", (None, None)),
        ("DS", b"", ()),
        ("LO", b"12 ", (12.0,)),
        ("IS", b"12.0", (12.0,)),
        ("IS", b"1A", (None,)),
        ("US", b"\x0c\x00", (12.0,)),
        ("US", b"\x0c\x00\x0d\x00", (12.0, 13.0)),
        ("SS", b"\xff\xff", (-1.0,)),
        ("OB", b"\xff\xff", (65535.0,)),
        ("OW", b"\x01\x02", (513.0,)),
        ("FD", b"\0\0\0\0\0\0\xf0?", (1.0,)),
        ("US", b"\x0c", (None,)),
    ],
)
def test_a_number_is_read_in_whatever_vr_and_text(vr: str, value: bytes, expected: tuple[float | None, ...]) -> None:
    dataset = raw("WindowCenter", vr, value)
    assert numbers(dataset, "WindowCenter") == expected
    assert number(dataset, "WindowCenter") == (expected[0] if expected else None)


@pytest.mark.parametrize(("value", "expected"), [(None, ()), (12, (12.0,)), ([1.5, 2], (1.5, 2.0)), ("", ())])
def test_a_value_that_was_set_is_read(value: Any, expected: tuple[float, ...]) -> None:
    dataset = Dataset()
    dataset.WindowCenter = value
    assert numbers(dataset, "WindowCenter") == expected
    assert numbers(Dataset(), "WindowCenter") == ()


# What such values do to an image.

WINDOW = {"WindowCenter": 2040, "WindowWidth": 3680}
RAMP = np.arange(4096, dtype=np.uint16).reshape(64, 64)


def read(**elements: tuple[str, bytes]) -> Radiograph:
    """A ramp of all stored values, with elements of a VR and bytes that no correct writer gives them."""
    dataset = dcmread(BytesIO(as_file(a_dataset(RAMP))))
    for keyword, (vr, value) in elements.items():
        tag = Tag(keyword)
        dataset._dict[tag] = RawDataElement(tag, vr, len(value), value, 0, False, True, True)
    found = decode_pixels(dataset, read_attributes(dataset, ExplicitVRLittleEndian))
    assert isinstance(found, Radiograph), found
    return found


@pytest.mark.parametrize(
    ("center", "width"), [(b"\\2040 ", b"\\3680 "), (b"NONE\\2040", b"NONE\\3680"), (b"2040,0", b"3680,0")]
)
def test_the_first_window_that_is_one_counts(center: bytes, width: bytes) -> None:
    found = read(WindowCenter=("DS", center), WindowWidth=("DS", width))
    assert np.array_equal(found.pixels, decoded(a_dataset(RAMP, **WINDOW)).pixels)


def test_a_window_of_words_counts_as_absent() -> None:
    found = read(WindowCenter=("DS", b"NORMAL"), WindowWidth=("DS", b"WIDE"))
    assert np.array_equal(found.pixels, decoded(a_dataset(RAMP)).pixels)


@pytest.mark.parametrize(
    ("slope", "intercept"), [(b"US", b"LOG_E "), (b"1,0 ", b"0,0 "), (b"", b"0 "), (b"nan", b"0 ")]
)
def test_a_rescale_that_is_none_counts_as_absent(slope: bytes, intercept: bytes) -> None:
    window = {"WindowCenter": ("DS", b"2040"), "WindowWidth": ("DS", b"3680")}
    found = read(RescaleSlope=("DS", slope), RescaleIntercept=("DS", intercept), **window)
    assert np.array_equal(found.pixels, decoded(a_dataset(RAMP, **WINDOW)).pixels)


def test_a_rescale_with_commas_is_one() -> None:
    found = read(
        RescaleSlope=("DS", b"0,5"),
        RescaleIntercept=("DS", b"10"),
        WindowCenter=("DS", b"1000"),
        WindowWidth=("DS", b"900"),
    )
    stated = {"RescaleSlope": 0.5, "RescaleIntercept": 10, "WindowCenter": 1000, "WindowWidth": 900}
    assert np.array_equal(found.pixels, decoded(a_dataset(RAMP, **stated)).pixels)


@pytest.mark.parametrize(
    ("vr", "value", "masked"),
    [
        ("US", b"\x00\x00\x00\x00", [0]),
        ("US", b"\x00\x00\xff\x0f", [0, 4095]),  # two values are no range
        ("OB", b"\xff\x0f", [4095]),
        ("OW", b"\xff\x0f", [4095]),
        ("DS", b"4095", [4095]),
        ("LO", b"NONE", []),
        ("OB", b"\xff", []),
    ],
)
def test_padding_is_masked_however_it_is_written(vr: str, value: bytes, masked: list[int]) -> None:
    valid = read(PixelPaddingValue=(vr, value)).valid
    assert sorted(RAMP[~valid]) == masked


def test_a_padding_range_has_two_ends() -> None:
    valid = read(PixelPaddingValue=("US", b"\x05\x00"), PixelPaddingRangeLimit=("OB", b"\x02\x00")).valid
    assert sorted(RAMP[~valid]) == [2, 3, 4, 5]


def a_lut(highest: int, bits: int) -> Sequence:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [4096, 0, bits])
    item.add_new("LUTData", "OW", np.linspace(0, highest, 4096).astype("<u2").tobytes())
    return Sequence([item])


def test_a_table_that_fills_more_bits_than_it_states_is_taken_by_what_it_fills() -> None:
    found = decoded(a_dataset(RAMP, VOILUTSequence=a_lut(4095, 10)))
    assert np.array_equal(found.pixels, decoded(a_dataset(RAMP, VOILUTSequence=a_lut(4095, 12))).pixels)


def test_entries_a_little_above_white_are_white() -> None:
    found = decoded(a_dataset(RAMP, VOILUTSequence=a_lut(1030, 10)))
    assert np.allclose(found.pixels, np.clip(RAMP.astype(float) * 1030 / 4095 / 1023, 0, 1), atol=0.001)


def test_entries_beyond_the_stated_depth_that_fill_no_other_are_undecodable() -> None:
    assert isinstance(attempted(a_dataset(RAMP, VOILUTSequence=a_lut(3000, 10))), Rejected)
