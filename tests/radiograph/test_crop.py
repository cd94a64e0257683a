"""The radiograph in an image: inside shutter and border, and nothing of it is lost."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.radiograph.test_preprocess import an_image, everything
from triage.phantom.chest import draw
from triage.radiograph.crop import _AT_ONCE as AT_ONCE
from triage.radiograph.crop import _FIRST as FIRST
from triage.radiograph.crop import WHOLE, Rectangle, content, is_mostly_border
from triage.radiograph.crop import _averages as averages

Image = npt.NDArray[np.float32]

CHEST = draw(3, rows=240, columns=200).astype(np.float32) / np.float32(4095)


def found(image: Image) -> Rectangle:
    return content(image, everything(image))


def framed(image: Image, grey: float, sides: tuple[int, int, int, int]) -> Image:
    top, left, bottom, right = sides
    return np.asarray(
        cv2.copyMakeBorder(image, top, bottom, left, right, cv2.BORDER_CONSTANT, value=grey), dtype=np.float32
    )


def test_an_image_without_a_border_stays_whole() -> None:
    image = an_image(120, 90)
    assert found(image) == Rectangle(0, 0, 120, 90)
    assert found(image).edges(image) == WHOLE


@settings(max_examples=60, deadline=None)
@given(st.integers(37, 700), st.integers(37, 700), st.integers(0, 2**32 - 1))
def test_averages_of_a_line_do_not_depend_on_the_lines_that_are_asked_with_it(rows: int, columns: int, seed: int):
    image = np.random.default_rng(seed).random((rows, columns), dtype=np.float32)
    for lines in (image, image[::-1], image.T, image.T[::-1], image[3:, 1:-4].T):
        first, all_at_once = averages(lines[:FIRST]), averages(lines[:AT_ONCE])
        assert np.array_equal(first, all_at_once[:FIRST])


@settings(max_examples=60, deadline=None)
@given(st.floats(0, 1), st.tuples(*[st.integers(0, 90)] * 4))
def test_a_border_of_any_grey_changes_nothing_of_what_is_left(grey: float, sides: tuple[int, int, int, int]) -> None:
    """Black next to black, too: parts of the chest of one grey are removed with it."""
    image = framed(CHEST, grey, sides)
    alone, inside = found(CHEST), found(image)
    assert inside == Rectangle(
        alone.top + sides[0], alone.left + sides[1], alone.bottom + sides[0], alone.right + sides[1]
    )
    assert np.array_equal(inside.of(image), alone.of(CHEST))


def test_frames_in_frames_go() -> None:
    image = framed(framed(framed(CHEST, 0.0, (20, 20, 20, 20)), 1.0, (2, 2, 2, 2)), 0.5, (9, 30, 0, 4))
    alone, inside = found(CHEST), found(image)
    assert (inside.top, inside.left) == (alone.top + 31, alone.left + 52)


@pytest.mark.parametrize("grey", [0.1, 0.5, 0.9])
def test_noise_and_a_lossy_copy_do_not_hide_a_border(grey: float) -> None:
    chest = cv2.resize(CHEST, (800, 960))
    noisy = framed(chest, grey, (150, 100, 150, 100))
    noisy += np.random.default_rng(1).normal(0, 0.02, noisy.shape).astype(np.float32)
    stored = np.rint(np.clip(noisy, 0, 1) * 255).astype(np.uint8)
    lossy = cv2.imdecode(cv2.imencode(".jpg", stored, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)
    inside = found(lossy.astype(np.float32) / 255)
    for side, expected in zip((inside.top, inside.left), (150, 100), strict=True):
        assert expected - 8 <= side <= expected + 30  # a block of the encoder; air at the edge of the chest
    assert inside.bottom <= 1110 + 8 and inside.right <= 900 + 8


def test_a_marker_in_the_border_does_not_hide_it() -> None:
    image = framed(cv2.resize(CHEST, (600, 600)), 0.0, (100, 0, 0, 0))
    image[30:60, 40:60] = 1.0
    assert found(image).top >= 100


def test_what_the_shutter_hides_goes_whatever_it_is() -> None:
    image = np.random.default_rng(0).random((240 + 80, 200 + 60)).astype(np.float32)
    image[30:270, 20:220] = CHEST
    valid = np.zeros(image.shape, dtype=bool)
    valid[30:270, 20:220] = True
    inside, alone = content(image, valid), found(CHEST)
    assert inside == Rectangle(alone.top + 30, alone.left + 20, alone.bottom + 30, alone.right + 20)


def test_a_round_shutter_leaves_the_square_around_it() -> None:
    image = an_image(300, 300)
    y, x = np.ogrid[:300, :300]
    inside = content(image, (y - 140) ** 2 + (x - 160) ** 2 <= 90**2)
    assert abs(inside.top - 50) < 12 and abs(inside.right - 251) < 12


@pytest.mark.parametrize("grey", [0.0, 0.3, 1.0])
def test_an_image_of_one_grey_stays_whole(grey: float) -> None:
    assert found(np.full((60, 50), grey, dtype=np.float32)) == Rectangle(0, 0, 60, 50)
    hidden = np.zeros((60, 50), dtype=bool)
    assert content(an_image(60, 50), hidden) == Rectangle(0, 0, 60, 50)


@pytest.mark.parametrize(
    ("edges", "cropped", "too_much"),
    [
        (WHOLE, False, False),
        ((0.05, 0.05, 0.95, 0.95), False, False),
        ((0.06, 0.06, 0.94, 0.94), False, True),
        ((0.0, 0.0, 0.79, 1.0), False, True),
        ((0.25, 0.25, 0.75, 0.75), True, False),
        ((0.34, 0.0, 0.66, 1.0), True, True),
        ((0.0, 0.34, 1.0, 0.66), True, True),
    ],
)
def test_a_model_takes_so_much_border_and_no_more(
    edges: tuple[float, float, float, float], cropped: bool, too_much: bool
) -> None:
    assert is_mostly_border(edges, cropped=cropped) is too_much
