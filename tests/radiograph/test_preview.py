"""A preview is the whole image at a half, a quarter, ... of its size."""

from __future__ import annotations

import numpy as np
import pytest

from triage.radiograph.display import DisplayImage
from triage.radiograph.preview import preview_of


def image(values: np.ndarray, valid: np.ndarray | None = None) -> DisplayImage:
    shown = np.ones(values.shape, dtype=bool) if valid is None else valid
    return DisplayImage(values.astype(np.uint16), shown, 0.0, 4095.0)


@pytest.mark.parametrize(("shape", "level"), [((64, 64), 0), ((65, 3), 1), ((200, 129), 2), ((1, 257), 3)])
def test_it_is_halved_until_it_is_small_enough(shape: tuple[int, int], level: int) -> None:
    whole = image(np.arange(shape[0] * shape[1]).reshape(shape) % 4096)
    found, halvings = preview_of(whole, 64)
    assert halvings == level
    assert found.values.shape == tuple(-(-side // 2**level) for side in shape)
    assert (found.black, found.white) == (whole.black, whole.white)
    assert found.valid.all()


def test_averages_are_rounded_and_an_odd_edge_counts_twice() -> None:
    found, _ = preview_of(image(np.array([[0, 1, 8], [2, 3, 8], [4, 6, 65535]])), 2)
    assert found.values.tolist() == [[2, 8], [5, 65535]]


def test_what_is_not_valid_is_in_no_average() -> None:
    values = np.array([[10, 60000, 60000, 60000], [20, 60000, 60000, 60000]])
    found, _ = preview_of(image(values, values < 60000), 2)
    assert found.values.tolist()[0][0] == 15
    assert found.valid.tolist() == [[True, False]]
