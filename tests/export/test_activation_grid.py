"""The cells of the shipped models' maps lie where the cards say: by the graphs' own strides, and by what moves them."""

from __future__ import annotations

from itertools import product
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from export.activation_grid import activation_grid
from training.errors import TrainingError
from triage.decision.types import ActivationMap
from triage.model.activation_map import cells_of, encode_map
from triage.model.card import load_card
from triage.model.card_finding import ActivationGrid
from triage.model.session import ModelSession
from triage.phantom.chest import draw
from triage.radiograph.crop import WHOLE

MODELS = Path(__file__).parents[2] / "models"
PLACES = (0.3, 0.5, 0.7)
"""Of the image's rows and columns."""


@pytest.mark.parametrize("name", ["rsna-adult", "wcmc-pediatric"])
def test_the_card_says_what_the_graph_does(name: str):
    card = load_card(MODELS / name)

    flips = "mirror image" in card.architecture
    assert activation_grid(MODELS / name / "model.onnx", card.preprocessing.size, flips=flips) == card.activation_grid


@pytest.mark.parametrize("name", ["rsna-adult", "wcmc-pediatric"])
def test_a_map_changes_where_the_image_was_changed(name: str):
    """Taken for equal tiles, the cells would lie half a cell away."""
    card = load_card(MODELS / name)
    session = ModelSession(MODELS / name, card, threads=1, maps=True)
    spec = card.preprocessing.spec()
    off: list[tuple[float, float]] = []
    for number in range(3):
        chest = cv2.resize(draw(number, rows=320, columns=320).astype(np.float32) / 4095, (spec.size, spec.size))
        places = list(product(PLACES, PLACES))
        images = np.stack(
            [chest, *(chest + 0.4 * sign * spot(*place, spec.size) for place in places for sign in (1, -1))]
        )
        maps = session.score(((np.clip(images, 0, 1) - spec.mean) / spec.deviation)[:, np.newaxis]).maps
        assert maps is not None
        maps = maps[:, card.leading.activation_column]
        for place, changed in zip([each for each in places for _ in (1, -1)], maps[1:], strict=True):
            found = encode_map(np.abs(changed - maps[0]), spec, card.activation_grid, WHOLE)
            assert found is not None
            row, column = centroid(found)
            off.append((row - place[0], column - place[1]))
    down, across = np.mean(off, axis=0)
    assert abs(down) < 0.05
    assert abs(across) < 0.05


def graph(folder: Path, *nodes: onnx.NodeProto, output: str = "cam") -> Path:
    """A graph of windows on an image of 32 pixels."""
    weights = [
        helper.make_tensor(f"w{side}", TensorProto.FLOAT, [1, 1, side, side], [1.0] * side**2) for side in (1, 3)
    ]
    image = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", 1, 32, 32])
    made = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
    path = folder / "model.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save_model(
        helper.make_model(helper.make_graph(nodes, "g", [image], [made], weights), opset_imports=opset, ir_version=9),
        str(path),
    )
    return path


def window(kind: str, source: str, target: str, side: int, stride: int, padding: int) -> onnx.NodeProto:
    inputs = [source, f"w{side}"] if kind == "Conv" else [source]
    return helper.make_node(kind, inputs, [target], kernel_shape=[side] * 2, strides=[stride] * 2, pads=[padding] * 4)


def test_strides_and_paddings_are_followed_through_branches(tmp_path: Path):
    first = window("Conv", "image", "a", 3, 2, 1)  # looks at 0, 2, 4, ...
    tiles = window("AveragePool", "a", "b", 2, 2, 0)  # at 1, 5, 9, ...
    strided = window("Conv", "a", "c", 1, 2, 0)  # at 0, 4, 8, ...
    together = helper.make_node("Add", ["b", "c"], ["cam"])
    path = graph(tmp_path, first, tiles, strided, together)

    assert activation_grid(path, 32, flips=False) == ActivationGrid(first_row=1.0, first_column=1.0, step=4.0)
    assert activation_grid(path, 32, flips=True) == ActivationGrid(first_row=1.0, first_column=2.0, step=4.0)


def test_of_a_padding_that_differs_before_and_behind_the_mean_counts(tmp_path: Path):
    """Padding as of TensorFlow: of a window of 3 with a stride of 2 nothing before and one behind."""
    node = helper.make_node("Conv", ["image", "w3"], ["cam"], kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1])
    grid = activation_grid(graph(tmp_path, node), 32, flips=False)
    assert grid == ActivationGrid(first_row=1.0, first_column=1.0, step=2.0)


def test_what_has_no_map_has_no_grid_and_what_cannot_be_derived_is_refused(tmp_path: Path):
    first = window("Conv", "image", "a", 3, 2, 1)
    assert activation_grid(graph(tmp_path, first, output="a"), 32, flips=True) is None

    padded = helper.make_node("Pad", ["a", "pads"], ["cam"])
    with pytest.raises(TrainingError, match="cannot be derived"):
        activation_grid(graph(tmp_path, first, padded), 32, flips=False)

    other = helper.make_node("Resize", ["a", "", "scales"], ["b"])
    together = helper.make_node("Add", ["b", "image"], ["cam"])
    with pytest.raises(TrainingError, match="different strides"):
        activation_grid(graph(tmp_path, first, other, together), 32, flips=False)


def spot(row: float, column: float, size: int) -> np.ndarray:
    """A round spot at these shares of the rows and columns."""
    down, across = (np.mgrid[0:size, 0:size] + 0.5) / size
    return np.exp(-((down - row) ** 2 + (across - column) ** 2) / (2 * 0.04**2)).astype(np.float32)


def centroid(found: ActivationMap) -> tuple[float, float]:
    """Return the place of the strongest cells, as fractions of the image."""
    cells = cells_of(found)
    cells = np.where(cells > 0.4 * cells.max(), cells, 0)
    down = found.top + (np.arange(found.rows) + 0.5) / found.rows * (found.bottom - found.top)
    across = found.left + (np.arange(found.columns) + 0.5) / found.columns * (found.right - found.left)
    return float((cells.sum(1) * down).sum() / cells.sum()), float((cells.sum(0) * across).sum() / cells.sum())
