"""Orientation of a chest by its pixels."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from triage.phantom.chest import draw
from triage.radiograph.crop import content
from triage.radiograph.orientation import LEAST_UPRIGHT, Orientation, orientation_of
from triage.radiograph.thumbnail import thumbnail

Image = npt.NDArray[np.float32]


def chest(seed: int, *, child: bool = False, opacity: bool = False) -> Image:
    return draw(seed, rows=320, columns=280, child=child, opacity=opacity).astype(np.float32) / np.float32(4095)


def found(image: Image) -> Orientation:
    valid = np.ones(image.shape, dtype=bool)
    return orientation_of(thumbnail(image, valid, content(image, valid)))


@pytest.mark.parametrize("child", [False, True])
@pytest.mark.parametrize("opacity", [False, True])
def test_phantoms_are_upright_and_their_turns_are_not(child: bool, opacity: bool) -> None:
    for seed in range(8):
        image = chest(seed, child=child, opacity=opacity)
        for turn in range(4):
            assert found(np.ascontiguousarray(np.rot90(image, turn))).is_upright == (turn == 0), (seed, turn)


def test_turning_an_image_turns_what_is_said_of_it() -> None:
    image = chest(1)
    shares = found(image).shares
    for turn in range(4):
        turned = found(np.ascontiguousarray(np.rot90(image, turn))).shares
        assert turned == pytest.approx([shares[(turn + back) % 4] for back in range(4)], abs=0.02)
    assert sum(shares) == pytest.approx(1)


def test_an_image_without_contrast_is_not_upright() -> None:
    assert found(np.full((90, 80), 0.3, dtype=np.float32)).shares == (0.25, 0.25, 0.25, 0.25)
    assert not found(np.full((90, 80), 0.3, dtype=np.float32)).is_upright


def test_size_brightness_and_a_border_change_little() -> None:
    image = chest(2)
    small = cv2.resize(image, (140, 160), interpolation=cv2.INTER_AREA)
    framed = cv2.copyMakeBorder(image, 80, 40, 10, 90, cv2.BORDER_CONSTANT, value=1.0)
    expected = found(image).shares
    for other in (small, framed, cv2.resize(image, (1500, 1700)), image * np.float32(0.5) + np.float32(0.2)):
        assert found(other).shares == pytest.approx(expected, abs=0.05)


def test_what_is_said_names_the_turn() -> None:
    assert str(Orientation((0.01, 0.02, 0.9, 0.07))) == "it looks as if turned by 180 degrees to the right (0.90 of 1)"
    unsure = Orientation((LEAST_UPRIGHT - 0.1, 0.1, 0.1, 0.1))
    assert not unsure.is_upright
    assert str(unsure).startswith(f"it looks upright with {LEAST_UPRIGHT - 0.1:.2f} of 1")
    right = found(np.ascontiguousarray(np.rot90(chest(3), -1)))
    assert "turned by 90 degrees to the right" in str(right)
