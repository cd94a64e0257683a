"""PA or AP by the pixels: what is said of a thumbnail, and when it contradicts what is stated."""

from __future__ import annotations

import json
import math
from importlib.resources import files

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from triage.phantom.chest import draw
from triage.radiograph.crop import content
from triage.radiograph.projection import FROM_YEARS, LEAST_CERTAIN, ap_share_of, contradicts
from triage.radiograph.thumbnail import ThumbnailNetwork, thumbnail
from triage.radiograph.types import View

Image = npt.NDArray[np.float32]


def chest(seed: int) -> Image:
    return draw(seed, rows=640, columns=560).astype(np.float32) / np.float32(4095)


def found(image: Image) -> float:
    valid = np.ones(image.shape, dtype=bool)
    return ap_share_of(thumbnail(image, valid, content(image, valid)))


def log_odds(image: Image) -> float:
    share = found(image)
    return math.log(share / (1 - share))


def test_phantoms_look_like_the_pa_that_they_are_drawn_as() -> None:
    shares = [found(chest(seed)) for seed in range(12)]
    assert all(0 < share < 0.5 for share in shares)
    assert len(set(shares)) == 12


def test_a_border_brightness_and_size_change_little() -> None:
    for seed in range(4):
        image = chest(seed)
        framed = cv2.copyMakeBorder(image, 80, 40, 10, 90, cv2.BORDER_CONSTANT, value=1.0)
        large = cv2.resize(image, (1680, 1920))
        for other in (framed, large, image * np.float32(0.5) + np.float32(0.2)):
            assert log_odds(other) == pytest.approx(log_odds(image), abs=0.7)


def test_what_the_network_scores_is_the_log_odds_of_ap() -> None:
    units = np.zeros((1024, 2), np.float32), np.zeros(2, np.float32), np.zeros(2, np.float32)
    small = thumbnail(chest(1), np.ones((640, 560), dtype=bool), content(chest(1), np.ones((640, 560), dtype=bool)))
    for odds in (-30.0, -1.0, 0.0, 2.0, 30.0):
        share = ap_share_of(small, ThumbnailNetwork(*units, np.float32(odds)))
        assert share == pytest.approx(1 / (1 + np.exp(-odds)))


@pytest.mark.parametrize(
    ("share", "stated", "expected"),
    [
        (LEAST_CERTAIN, View.PA, True),
        (LEAST_CERTAIN - 0.01, View.PA, False),
        (LEAST_CERTAIN, View.AP, False),
        (0.0, View.AP, True),
        (0.0, View.PA, False),
        (1 - LEAST_CERTAIN + 0.01, View.AP, False),
        *((share, view, False) for share in (0.0, 1.0) for view in View if view not in (View.PA, View.AP)),
    ],
)
def test_only_a_stated_pa_or_ap_is_contradicted_and_only_by_the_certain(
    share: float, stated: View, expected: bool
) -> None:
    assert contradicts(share, stated) is expected


def test_its_limit_was_measured_to_flag_under_one_in_a_hundred() -> None:
    card = json.loads(files("triage.radiograph").joinpath("projection.json").read_bytes())
    measured = card["measured"]["out of fold"]
    assert card["least_certain"] == LEAST_CERTAIN and card["from_years"] == FROM_YEARS
    assert measured["all"]["rightly_stated_flagged"]["high"] <= 0.01
    for kind in ("normal", "abnormal"):
        assert measured[f"read by radiologists, {kind}"]["auc"]["low"] > 0.95
