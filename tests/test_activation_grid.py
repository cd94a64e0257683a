"""The cells of the shipped models' maps lie where the cards say: by the graphs' own strides, and by what moves them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import pytest

from export.grid import activation_grid
from triage.activation import cells_of, kept
from triage.decision import ActivationMap
from triage.model.card import load_card
from triage.model.session import Session
from triage.phantom import draw

MODELS = Path(__file__).parents[1] / "models"
PLACES = (48, 80, 112)


@pytest.mark.parametrize("name", ["nih-adult", "wcmc-pediatric"])
def test_the_card_says_what_the_graph_does(name: str):
    card = load_card(MODELS / name)

    assert activation_grid(MODELS / name / "model.onnx", 160, flips=True) == card.activation_grid


@pytest.mark.parametrize("name", ["nih-adult", "wcmc-pediatric"])
def test_a_map_changes_where_the_image_was_changed(name: str):
    """Taken for equal tiles, the cells would lie 16 of 160 pixels too low."""
    card = load_card(MODELS / name)
    session = Session(MODELS / name, card, threads=1, maps=True)
    spec = card.preprocessing.spec()
    off: list[tuple[float, float]] = []
    for number in range(3):
        chest = cv2.resize(draw(number, rows=320, columns=320).astype(np.float32) / 4095, (160, 160))
        places = list(product(PLACES, PLACES))
        images = np.stack([chest, *(chest + 0.4 * sign * spot(*place) for place in places for sign in (1, -1))])
        maps = session.score(((np.clip(images, 0, 1) - spec.mean) / spec.deviation)[:, np.newaxis]).maps
        assert maps is not None
        for place, changed in zip([each for each in places for _ in (1, -1)], maps[1:], strict=True):
            found = kept(np.abs(changed - maps[0]), spec, card.activation_grid)
            assert found is not None
            row, column = centroid(found)
            off.append((row * 160 - place[0], column * 160 - place[1]))
    down, across = np.mean(off, axis=0)
    assert abs(down) < 8
    assert abs(across) < 8


def spot(row: int, column: int) -> np.ndarray:
    down, across = np.mgrid[0:160, 0:160]
    return np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * 6.0**2)).astype(np.float32)


def centroid(found: ActivationMap) -> tuple[float, float]:
    """Of the strongest cells, as fractions of the image."""
    cells = cells_of(found)
    cells = np.where(cells > 0.4 * cells.max(), cells, 0)
    down = found.top + (np.arange(found.rows) + 0.5) / found.rows * (found.bottom - found.top)
    across = found.left + (np.arange(found.columns) + 0.5) / found.columns * (found.right - found.left)
    return float((cells.sum(1) * down).sum() / cells.sum()), float((cells.sum(0) * across).sum() / cells.sum())
