"""Attributes whose values raise in pydicom, read without raising."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from struct import pack

import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset

from triage.dicom.attribute_reader import has_content, raw_element, value_of
from triage.dicom.attribute_text import text_of

ROWS, BREED, NAME = 0x00280010, 0x00102292, 0x00100010


def encoded(*elements: tuple[int, bytes, bytes]) -> Dataset:
    data = b"".join(
        pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, len(value)) + value for tag, vr, value in sorted(elements)
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return dcmread(BytesIO(bytes(128) + b"DICM" + data), force=True)


@pytest.mark.filterwarnings("ignore")
def test_a_value_that_does_not_fit_its_vr_is_none_and_still_content() -> None:
    dataset = encoded((ROWS, b"US", b"\x01\x02\x03"))

    assert value_of(dataset, "Rows") is None and has_content(dataset, "Rows")
    assert text_of(dataset, "Rows") == ""
    element = raw_element(dataset, "Rows")
    assert element is not None and element.value == b"\x01\x02\x03"


def test_what_is_absent_or_empty_has_no_content() -> None:
    dataset = encoded((NAME, b"PN", b""), (BREED, b"LO", b"  "))

    assert not any(has_content(dataset, each) for each in ("PatientName", "PatientBreedDescription", "Rows"))
    assert value_of(dataset, "Rows") is None and raw_element(dataset, "Rows") is None


def test_a_long_value_that_was_left_in_a_file_which_is_gone_is_content(tmp_path: Path) -> None:
    path = tmp_path / "image.dcm"
    path.write_bytes(bytes(128) + b"DICM" + pack("<HH2sH", 0x0010, 0x0010, b"PN", 2000) + b"A" * 2000)
    dataset = dcmread(path, force=True, defer_size=1000)
    path.unlink()

    assert value_of(dataset, "PatientName") is None and raw_element(dataset, "PatientName") is None
    assert has_content(dataset, "PatientName")
