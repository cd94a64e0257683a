"""Location and drawing of activation maps in validation: as in the service, by the grid on the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.model_folders import SIZE, write_model
from triage.model.activation_map import encode_map, peak
from triage.model.card_finding import ActivationGrid
from triage.model.trial_load import NotLoadedError
from triage.radiograph.crop import WHOLE
from triage.validation.report.gallery import _overlaid
from triage.validation.scores.activation_maps import ActivationMaps, Box

STEP = SIZE / 8


def a_spot(folder: Path, row: int, column: int) -> Path:
    """A picture that is bright in one of 8 x 8 cells."""
    pixels = np.full((160, 160), 90, dtype=np.uint8)
    pixels[row * 20 : row * 20 + 20, column * 20 : column * 20 + 20] = 250
    path = folder / "spot.png"
    cv2.imwrite(str(path), pixels)
    return path


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        (None, (2.5 / 8, 5.5 / 8)),  # equal tiles
        (STEP / 2, (2.5 / 8, 5.5 / 8)),
        (0.0, (2 / 8, 5 / 8)),  # a strided network's cells view half a cell higher and further left
    ],
)
def test_a_map_points_where_the_card_says_that_its_cells_look(
    tmp_path: Path, first: float | None, expected: tuple[float, float]
) -> None:
    grid: dict[str, Any] = (
        {} if first is None else {"activation_grid": {"first_row": first, "first_column": first, "step": STEP}}
    )
    card = write_model(tmp_path / "models", cam=True, **grid)
    found = ActivationMaps(tmp_path / "models" / card.name, card, threads=1).view(a_spot(tmp_path, row=5, column=2))
    assert found is not None and found.over_image is not None and found.over_input is not None
    assert peak(found.over_image) == pytest.approx(expected)
    level = cv2.cvtColor(_overlaid(np.zeros((224, 224), dtype=np.uint8), found.over_input), cv2.COLOR_BGR2GRAY)
    row, column = np.unravel_index(int(np.argmax(level)), level.shape)
    assert (column / 224, row / 224) == pytest.approx(expected, abs=0.02)


def test_a_cell_that_looks_beyond_the_edge_points_at_the_edge(tmp_path: Path) -> None:
    card = write_model(tmp_path / "models", cam=True)
    grid = ActivationGrid(first_row=-5.0, first_column=0.0, step=STEP)
    cells = np.zeros((8, 8), dtype=np.float32)
    cells[0, 0] = 1.0
    found = encode_map(cells, card.preprocessing.spec(), grid, WHOLE)
    assert found is not None
    assert peak(found) == (0.0, 0.0)


def test_a_spot_in_its_box_is_a_hit_by_the_grid_and_none_as_tiles(tmp_path: Path) -> None:
    image = a_spot(tmp_path, row=0, column=0)
    box = Box("Mass", 0.0, 0.0, 0.05, 0.05)
    hits = []
    grids: dict[str, dict[str, Any]] = {
        "tiles": {},
        "grid": {"activation_grid": {"first_row": 0.0, "first_column": 0.0, "step": STEP}},
    }
    for name, grid in grids.items():
        card = write_model(tmp_path / name, cam=True, **grid)
        found = ActivationMaps(tmp_path / name / card.name, card, threads=1).view(image)
        assert found is not None and found.over_image is not None
        hits.append(box.holds(*peak(found.over_image)))
    assert hits == [False, True]


def test_a_cropped_image_is_pointed_at_where_it_was_and_drawn_as_the_model_sees_it(tmp_path: Path) -> None:
    image = a_spot(tmp_path, row=5, column=2)
    wide = np.zeros((320, 400), dtype=np.uint8)
    wide[80:240, 160:320] = cv2.imread(str(image), cv2.IMREAD_GRAYSCALE) + np.random.default_rng(0).integers(
        -60, 5, (160, 160)
    )
    cv2.imwrite(str(image), wide)
    card = write_model(tmp_path / "models", cam=True)
    cropped = card.model_copy(update={"preprocessing": card.preprocessing.model_copy(update={"crop": "border"})})
    view = ActivationMaps(tmp_path / "models" / card.name, cropped, threads=1).view(image)
    assert view is not None and view.over_image is not None and view.over_input is not None
    assert peak(view.over_input) == pytest.approx((2.5 / 8, 5.5 / 8), abs=0.01)
    assert peak(view.over_image) == pytest.approx(((160 + 50) / 400, (80 + 110) / 320), abs=0.01)
    brightest = np.unravel_index(int(np.argmax(cv2.blur(view.grey, (8, 8)))), view.grey.shape)
    assert brightest == pytest.approx((5.5 / 8 * SIZE, 2.5 / 8 * SIZE), abs=2)


def test_a_graph_that_does_not_load_is_refused(tmp_path: Path) -> None:
    card = write_model(tmp_path, "endless", cam=True, endless_load=True)
    with pytest.raises(NotLoadedError, match="endless did not load and run once within 2 s"):
        ActivationMaps(tmp_path / "endless", card, threads=1, load_timeout_s=2.0)


def test_an_image_with_which_the_graph_does_not_end_has_no_map_and_the_next_has_one(tmp_path: Path) -> None:
    card = write_model(tmp_path, cam=True, endless_above=0.5)
    maps = ActivationMaps(tmp_path / card.name, card, threads=1, run_timeout_s=0.5)
    bright = tmp_path / "bright.png"
    levels = np.full((160, 160), 230, dtype=np.uint8)
    levels[:20] = 0
    cv2.imwrite(str(bright), levels)
    view, usual = maps.view(bright), maps.view(a_spot(tmp_path, row=5, column=2))
    assert view is not None and view.over_image is None and view.over_input is None
    assert usual is not None and usual.over_image is not None
