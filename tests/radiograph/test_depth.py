"""Bits Stored that is not what the codestream or the pixels have."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import imagecodecs
import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.uid import (
    JPEG2000,
    UID,
    JPEG2000Lossless,
    JPEGExtended12Bit,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSNearLossless,
)

from tests.support.radiographs import a_dataset, a_picture, as_file, attempted, decoded, encoded
from triage.radiograph.types import Rejected

SYNTAXES = [JPEGExtended12Bit, JPEGLosslessSV1, JPEGLSLossless, JPEGLSNearLossless, JPEG2000Lossless, JPEG2000]


# The encoder of HTJ2K used here states 16 bits whatever the pixels have.


def stating(file: bytes, bits: int, **changes: Any) -> bytes:
    dataset = dcmread(BytesIO(file))
    dataset.BitsStored, dataset.HighBit = bits, bits - 1
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return as_file(dataset, dataset.file_meta.TransferSyntaxUID)


@pytest.mark.parametrize("window", [{"WindowCenter": 2048, "WindowWidth": 4096}, {}], ids=["window", "no window"])
@pytest.mark.parametrize("stated", [9, 10, 11])
@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: UID(uid).name)
def test_the_codestream_decides_where_bits_stored_says_less(syntax: str, stated: int, window: dict[str, int]) -> None:
    file = encoded(a_dataset(**window), syntax)
    assert np.array_equal(decoded(stating(file, stated)).pixels, decoded(file).pixels)


def test_where_the_codestream_states_all_bits_allocated_pixels_beyond_bits_stored_are_refused() -> None:
    pixels = a_picture(12)
    codestream = bytes(imagecodecs.jpeg8_encode(pixels, lossless=True, predictor=1, bitspersample=16))
    file = as_file(a_dataset(pixels, 12, PixelData=encapsulate([codestream])), JPEGLosslessSV1)
    assert np.array_equal(decoded(file).pixels, decoded(a_dataset()).pixels)
    rejected = attempted(stating(file, 10))
    assert isinstance(rejected, Rejected) and "more bits" in rejected.detail


def test_native_pixels_beyond_bits_stored_are_refused_and_do_not_come_round_to_black() -> None:
    rejected = attempted(a_dataset(a_picture(12), 10))
    assert isinstance(rejected, Rejected) and "more bits" in rejected.detail


@pytest.mark.parametrize("bit", [12, 13, 15])
def test_an_overlay_in_the_unused_bits_is_not_pixels(bit: int) -> None:
    pixels = a_picture(12)
    drawn = pixels.copy()
    drawn[20:24, 10:60] |= np.uint16(1 << bit)  # a marker
    drawn[40:80, 30] |= np.uint16(1 << bit)
    assert np.array_equal(decoded(a_dataset(drawn, 12)).pixels, decoded(a_dataset(pixels, 12)).pixels)
