"""JPEG: what libjpeg warns of is no image, and what it does not warn of is what it was."""

from __future__ import annotations

import struct
from collections.abc import Callable

import cv2
import imagecodecs
import numpy as np
import pytest

from tests.support.radiographs import Pixels, a_picture
from triage.radiograph.jpeg import LONGEST_ZERO_RUN, decode_jpeg, jpeg_header, jpeg_ls_header
from triage.radiograph.undecodable import SeveralImagesError, UndecodableError

END = b"\xff\xd9"


def baseline(pixels: Pixels, *options: int) -> bytes:
    return cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, 90, *options])[1].tobytes()


def lossless(bits: int, predictor: int = 1, pixels: Pixels | None = None) -> bytes:
    image = a_picture(bits) if pixels is None else pixels
    return bytes(imagecodecs.jpeg8_encode(image, lossless=True, predictor=predictor, bitspersample=bits))


def extended(level: int = 90) -> bytes:
    return bytes(imagecodecs.jpeg8_encode(a_picture(12), level=level, bitspersample=12))


@pytest.mark.parametrize("predictor", range(1, 8))
@pytest.mark.parametrize("bits", [8, 10, 12, 16])
def test_a_lossless_jpeg_is_what_it_was(bits: int, predictor: int) -> None:
    pixels, header = decode_jpeg(lossless(bits, predictor))
    assert np.array_equal(pixels, a_picture(bits))
    assert (header.precision, header.rows, header.columns, header.lossless) == (bits, 96, 80, True)


def test_lossy_jpeg_has_the_very_pixels_that_the_other_bindings_make() -> None:
    grey, colour = a_picture(8), cv2.applyColorMap(a_picture(8), cv2.COLORMAP_BONE)
    for codestream in (baseline(grey), baseline(colour), baseline(grey, cv2.IMWRITE_JPEG_RST_INTERVAL, 3)):
        assert np.array_equal(decode_jpeg(codestream)[0], imagecodecs.jpeg8_decode(codestream))
    assert np.array_equal(decode_jpeg(extended())[0], imagecodecs.jpeg8_decode(extended()))


@pytest.mark.parametrize(
    "codestream",
    [baseline(a_picture(8)), extended(), lossless(12), lossless(16, 7)],
    ids=["baseline", "extended", "lossless", "lossless of 16 bits"],
)
def test_where_the_other_bindings_fill_with_grey_nothing_is_decoded(codestream: bytes) -> None:
    cut = codestream[: len(codestream) // 2] + END
    assert imagecodecs.jpeg8_decode(cut).shape == (96, 80)  # the whole image, and not a word
    with pytest.raises(UndecodableError, match="premature end"):
        decode_jpeg(cut)


def test_data_left_over_is_damage() -> None:
    """A scan with more units than the image has: what a hole in front of a lost restart marker comes to."""
    short = baseline(a_picture(8, 96, 80)[:48])
    at = jpeg_header(baseline(a_picture(8))).precision_at
    tall = baseline(a_picture(8))
    with pytest.raises(UndecodableError, match="extraneous bytes"):
        decode_jpeg(tall[: at + 1] + struct.pack(">H", 48) + tall[at + 3 :])
    assert decode_jpeg(short)[0].shape == (48, 80)


def test_a_scan_header_that_means_nothing_is_no_damage() -> None:
    """Sequential scans take no spectral selection; a real file states 0 to 0."""
    codestream = bytearray(extended())
    at = codestream.index(b"\xff\xda")
    assert codestream[at + 7 : at + 10] == b"\x00\x3f\x00"
    codestream[at + 8] = 0
    assert np.array_equal(decode_jpeg(bytes(codestream))[0], decode_jpeg(extended())[0])


@pytest.mark.parametrize("process", [cv2.IMWRITE_JPEG_PROGRESSIVE])
def test_a_progressive_jpeg_cannot_be_shown_to_be_whole(process: int) -> None:
    with pytest.raises(UndecodableError, match="progressive"):
        decode_jpeg(baseline(a_picture(8), process, 1))


def test_zeros_that_no_encoder_writes_are_damage_even_if_the_count_is_right() -> None:
    codestream = lossless(12)
    at = len(codestream) // 2
    zeroed = codestream[:at] + bytes(LONGEST_ZERO_RUN) + codestream[at + LONGEST_ZERO_RUN :]
    with pytest.raises(UndecodableError, match="zero bytes"):
        decode_jpeg(zeroed)


def test_zeros_that_mean_no_change_are_no_damage() -> None:
    """An image mostly black, in a lossless JPEG whose shortest code says "as before"."""
    pixels = np.zeros((600, 600), dtype=np.uint16)
    pixels[300:310] = np.random.default_rng(3).integers(0, 4096, (10, 600))
    codestream = lossless(12, pixels=pixels)
    assert bytes(10 * LONGEST_ZERO_RUN) in codestream
    assert jpeg_header(codestream).zeros_are_flat
    assert np.array_equal(decode_jpeg(codestream)[0], pixels)


@pytest.mark.parametrize(
    "codestream",
    [baseline(a_picture(8)), extended(), lossless(8), lossless(12)],
    ids=["baseline", "extended", "lossless of 8 bits", "lossless of 12 bits"],
)
def test_a_zero_before_the_end_marker_is_padding(codestream: bytes) -> None:
    padded = codestream[:-2] + b"\0" + END
    assert np.array_equal(decode_jpeg(padded)[0], decode_jpeg(codestream)[0])
    for broken in (codestream[:-2] + bytes(40) + END, codestream[:-40] + b"\0" + END):
        with pytest.raises(UndecodableError):
            decode_jpeg(broken)


@pytest.mark.parametrize("width", range(40, 80))
def test_it_is_padding_wherever_the_last_bits_end(width: int) -> None:
    """libjpeg reads ahead by up to seven bytes: whether it warns of one too many depends on where it stands."""
    for codestream in (baseline(a_picture(8, 48, width)), lossless(12, pixels=a_picture(12, 48, width))):
        padded = codestream[:-2] + b"\0" + END
        assert np.array_equal(decode_jpeg(padded)[0], decode_jpeg(codestream)[0])


@pytest.mark.parametrize("make", [lambda: baseline(a_picture(8)), lambda: lossless(12)], ids=["baseline", "lossless"])
def test_a_second_image_behind_the_first_is_found(make: Callable[[], bytes]) -> None:
    codestream = make()
    with pytest.raises(SeveralImagesError):
        decode_jpeg(codestream + b"\0" + codestream)
    assert decode_jpeg(codestream + codestream, several=True)[0].shape == (96, 80)
    assert decode_jpeg(codestream + bytes(500))[0].shape == (96, 80)
    with pytest.raises(UndecodableError, match="behind the end"):
        decode_jpeg(codestream + b"text" * 20)


def test_a_preview_in_front_of_the_image_is_not_its_end() -> None:
    preview, image = baseline(a_picture(8, 16, 16)), baseline(a_picture(8))
    segment = b"\xff\xe1" + struct.pack(">H", 2 + len(preview)) + preview
    assert np.array_equal(decode_jpeg(image[:2] + segment + image[2:])[0], decode_jpeg(image)[0])


@pytest.mark.parametrize(
    "codestream",
    [b"\xff\xd8" + END, b"\xff\xd8\xff\xda\0\x02", b"\xff\xd8\xff\xe0\0\0", b"\xff\xd8no marker", b""],
)
def test_what_has_no_frame_and_scan_is_refused(codestream: bytes) -> None:
    with pytest.raises(UndecodableError):
        decode_jpeg(codestream)
    with pytest.raises(UndecodableError):
        jpeg_ls_header(codestream)


def test_jpeg_ls_states_its_precision_and_has_one_end() -> None:
    codestream = bytes(imagecodecs.jpegls_encode(a_picture(12)))
    assert jpeg_ls_header(codestream)[0] in (12, 16)
    with pytest.raises(SeveralImagesError):
        jpeg_ls_header(codestream + codestream)
    with pytest.raises(UndecodableError, match="cut short"):
        jpeg_ls_header(codestream[:-2])
