"""Objects that say they hold one image, and hold more or less."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, encapsulate_extended, generate_frames
from pydicom.sequence import Sequence
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    RLELossless,
)

from tests.support.radiographs import a_dataset, a_picture, as_file, attempted, decoded, encoded
from triage.decision.reasons import Reason
from triage.radiograph.decode import TabledRadiograph, decode_file, open_dicom
from triage.radiograph.types import Radiograph, Rejected

ENCAPSULATED = [JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, JPEG2000Lossless, HTJ2KLossless, RLELossless]


def reason_of(file: bytes | Dataset) -> Reason:
    result = attempted(file)
    assert isinstance(result, Rejected), "scored"
    return result.reason


def with_pixel_data(syntax: str, pixel_data: bytes, **changes: Any) -> bytes:
    return as_file(a_dataset(PixelData=pixel_data, **changes), syntax)


def codestream(syntax: str) -> bytes:
    return next(generate_frames(dcmread(BytesIO(encoded(a_dataset(), syntax))).PixelData, number_of_frames=1))


@pytest.mark.parametrize("frames", [None, 1, 0, "1.0"])
@pytest.mark.parametrize("syntax", ENCAPSULATED, ids=lambda uid: UID(uid).name)
def test_two_codestreams_of_one_frame_are_never_scored_by_the_first(syntax: str, frames: Any) -> None:
    stated = {} if frames is None else {"NumberOfFrames": frames}
    one = codestream(syntax)
    offsets = encapsulate([one, one])
    bare = encapsulate([one, one], has_bot=False)
    assert reason_of(with_pixel_data(syntax, offsets, **stated)) is Reason.MULTI_FRAME
    assert reason_of(with_pixel_data(syntax, bare, **stated)) is Reason.MULTI_FRAME
    if syntax != RLELossless:
        assert reason_of(with_pixel_data(syntax, encapsulate([one + one]), **stated)) is Reason.MULTI_FRAME


@pytest.mark.parametrize("syntax", ENCAPSULATED, ids=lambda uid: UID(uid).name)
def test_an_extended_offset_table_of_two_frames_is_heard(syntax: str) -> None:
    pixel_data, offsets, lengths = encapsulate_extended([codestream(syntax)] * 2)
    file = with_pixel_data(syntax, pixel_data, ExtendedOffsetTable=offsets, ExtendedOffsetTableLengths=lengths)
    assert reason_of(file) is Reason.MULTI_FRAME


def test_a_frame_shorter_than_its_offset_table_says_has_lost_something() -> None:
    one = codestream(JPEGLosslessSV1)
    pixel_data, offsets, lengths = encapsulate_extended([one])
    stated = {"ExtendedOffsetTable": offsets, "ExtendedOffsetTableLengths": lengths}
    assert isinstance(attempted(with_pixel_data(JPEGLosslessSV1, pixel_data, **stated)), Radiograph)
    stated["ExtendedOffsetTableLengths"] = struct.pack("<Q", len(one) + 2)
    assert reason_of(with_pixel_data(JPEGLosslessSV1, pixel_data, **stated)) is Reason.UNDECODABLE


@pytest.mark.parametrize("fragments", [1, 2, 7])
@pytest.mark.parametrize("has_table", [True, False])
@pytest.mark.parametrize("syntax", [uid for uid in ENCAPSULATED if uid != RLELossless], ids=lambda uid: UID(uid).name)
def test_fragments_of_one_codestream_are_one_image(syntax: str, has_table: bool, fragments: int) -> None:
    pixel_data = encapsulate([codestream(syntax)], fragments_per_frame=fragments, has_bot=has_table)
    whole = decoded(encoded(a_dataset(), syntax))
    assert np.array_equal(decoded(with_pixel_data(syntax, pixel_data)).pixels, whole.pixels)


def test_encapsulated_pixel_data_that_is_not_closed_is_no_image_though_its_codestream_is_whole() -> None:
    file = encoded(a_dataset(), JPEGLosslessSV1)
    assert file.endswith(b"\xfe\xff\xdd\xe0\0\0\0\0")
    assert np.array_equal(decoded(file).pixels, decoded(a_dataset()).pixels)
    refused = attempted(file[:-8])
    assert isinstance(refused, Rejected)
    assert refused.reason is Reason.UNDECODABLE


@pytest.mark.parametrize("frames", [None, 1])
def test_native_pixel_data_of_two_frames_is_never_scored_by_the_first(frames: int | None) -> None:
    dataset = a_dataset(**({} if frames is None else {"NumberOfFrames": frames}))
    dataset.PixelData = dataset.PixelData * 2
    assert reason_of(dataset) is Reason.MULTI_FRAME


def test_native_pixel_data_may_be_padded_with_zeros_alone() -> None:
    dataset = a_dataset()
    one = dataset.PixelData
    dataset.PixelData = one + bytes(1000)
    assert np.array_equal(decoded(dataset).pixels, decoded(a_dataset()).pixels)
    dataset.PixelData = one + bytes(range(100))
    assert reason_of(dataset) is Reason.UNDECODABLE
    dataset.PixelData = one[:-2]
    assert reason_of(dataset) is Reason.UNDECODABLE


def test_pixel_data_of_odd_length_keeps_its_pad() -> None:
    dataset = a_dataset(a_picture(8, 33, 31), 8)
    dataset.PixelData = dataset.PixelData + b"\1"
    assert isinstance(attempted(dataset), Radiograph)


@pytest.mark.parametrize("keyword", ["PerFrameFunctionalGroupsSequence", "SharedFunctionalGroupsSequence"])
def test_an_enhanced_object_is_not_scored_by_its_top_level(keyword: str) -> None:
    dataset = a_dataset(**{keyword: Sequence([Dataset(), Dataset()])})
    assert reason_of(dataset) is Reason.MULTI_FRAME


def test_an_rle_segment_with_too_many_pixels_is_damage() -> None:
    rle = codestream(RLELossless)
    longer = encapsulate([rle + b"\x81\x07" * 8])  # eight runs of 128 more pixels
    assert reason_of(with_pixel_data(RLELossless, longer)) is Reason.UNDECODABLE


def test_baseline_pixels_of_two_frames_in_one_fragment_are_found() -> None:
    dataset = a_dataset(a_picture(8), 8)
    one = next(generate_frames(dcmread(BytesIO(encoded(dataset, JPEGBaseline8Bit))).PixelData, number_of_frames=1))
    dataset.PixelData = encapsulate([one + one])
    assert reason_of(as_file(dataset, JPEGBaseline8Bit)) is Reason.MULTI_FRAME


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ImplicitVRLittleEndian], ids=lambda uid: UID(uid).name)
def test_large_uncompressed_pixels_are_read_without_a_copy_and_as_strictly(syntax: str) -> None:
    pixels = np.random.default_rng(1).integers(0, 4096, (1024, 1024), dtype=np.uint16)
    size = {"Rows": 1024, "Columns": 1024}
    file = with_pixel_data(syntax, pixels.tobytes() + bytes(2), **size)
    opened = open_dicom(file)
    assert not isinstance(opened, Rejected)
    assert type(opened[0].PixelData) is memoryview
    shown = decode_file(file)
    assert isinstance(shown, TabledRadiograph)
    assert np.array_equal(shown.index, pixels)
    assert reason_of(with_pixel_data(syntax, pixels.tobytes() + b"\0\1", **size)) is Reason.UNDECODABLE
    assert reason_of(with_pixel_data(syntax, pixels.tobytes() * 2, **size)) is Reason.MULTI_FRAME
    assert reason_of(file[:-10]) is Reason.UNDECODABLE
