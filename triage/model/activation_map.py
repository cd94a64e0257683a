"""PURE: a class activation map (Zhou et al. 2016): its record, and its display over the radiograph.

It shows which regions raised the score, and is no outline of a finding.
"""

from __future__ import annotations

from base64 import b64decode, b64encode

import cv2
import numpy as np
import numpy.typing as npt

from triage.decision.types import ActivationMap, ImageAssessment
from triage.model.calibration import logit
from triage.model.card import ModelCard
from triage.model.card_finding import ActivationGrid
from triage.radiograph.crop import Edges
from triage.radiograph.preprocess import PreprocessSpec, shown_part
from triage.radiograph.types import FloatImage

Picture = npt.NDArray[np.uint8]

MOST_CELLS = 64
"""Rows and columns of a recorded map; a finer one is averaged."""
OPACITY = 0.5
"""Share of the colour where it is strongest, as the page opens and as the image is sent."""
FULL = 2.0
"""Logits above the operating point from which a cell may have the strongest colour: odds of 7 to 1."""

FLOOR = 0.5
"""Share of the strongest place's strength up to which there is no colour."""
MOST_COLOURED = 0.25
"""Share of the image that has colour at most."""

_LEAST_RISE = 0.05  # between floor and strongest place, as a share of it: in a flatter map no place stands out
_SIDE = 256
_SUREST = 1e-6
_STOPS = (0.0, 0.5, 1.0)  # pink, orange, yellow: none of them a grey, and lighter the stronger
_COLOURS = ((204.0, 71.0, 120.0), (248.0, 149.0, 64.0), (240.0, 249.0, 33.0))


def _colour_table() -> Picture:
    """Return the colour of each of 256 strengths, RGBA, from nothing on without a step."""
    levels = np.arange(256) / 255
    colours = [np.interp(levels, _STOPS, [colour[channel] for colour in _COLOURS]) for channel in range(3)]
    return np.asarray(np.rint(np.stack([*colours, 255 * np.sqrt(levels)], axis=-1)), dtype=np.uint8)


_TABLE = _colour_table()


def encode_map(
    cells: FloatImage, spec: PreprocessSpec, grid: ActivationGrid | None, content: Edges, aspect: float = 1.0
) -> ActivationMap | None:
    """Return the record of a map, None if one of its values is no number.

    Args:
        cells: The map of a model, float32 (h, w).
        spec: The preprocessing of the model.
        grid: The position of the cells on the model input; absent: equal tiles.
        content: The part of the image inside shutter and border, from which the model input was made.
        aspect: Rows over columns of the image, for a model whose input is not the whole image stretched.
    """
    if not np.isfinite(cells).all():
        return None
    rows, columns = cells.shape
    inner = (0.0, 0.0, 1.0, 1.0) if grid is None else _edges(grid, rows, columns, spec.size)
    shown = shown_part(spec, content, aspect)
    top, left, bottom, right = shown
    small = _small(cells)
    return ActivationMap(
        rows=small.shape[0],
        columns=small.shape[1],
        values=b64encode(small.astype("<f4").tobytes()).decode(),
        top=top + inner[0] * (bottom - top),
        left=left + inner[1] * (right - left),
        bottom=top + inner[2] * (bottom - top),
        right=left + inner[3] * (right - left),
        seen=(max(shown[0], 0.0), max(shown[1], 0.0), min(shown[2], 1.0), min(shown[3], 1.0)),
    )


def cells_of(found: ActivationMap) -> FloatImage:
    """Return the values of a recorded map, float32 (rows, columns)."""
    cells = np.frombuffer(b64decode(found.values), dtype="<f4").reshape(found.rows, found.columns)
    return np.asarray(cells, dtype=np.float32)


def excess(found: ActivationMap, probability: float, operating_point: float) -> FloatImage:
    """Return by how many logits each cell raises the score above the operating point (below: negative).

    The mean is the distance of the image's own score from it: the constant of the model, which the map lacks, is added.
    """
    cells = cells_of(found)
    above = cells - cells.mean() + np.float32(logit(probability, _SUREST) - logit(operating_point, _SUREST))
    return np.asarray(above, dtype=np.float32)


def strength(found: ActivationMap, probability: float, operating_point: float, rows: int, columns: int) -> FloatImage:
    """Return the strength of the colour at each pixel of the whole image in ``rows`` x ``columns``: float32, 0 to 1.

    It is 0 in cells that alone would not reach the operating point, outside of the model input, below ``FLOOR`` of the
    strongest place, and in all but the strongest ``MOST_COLOURED`` of the image: a map that speaks for the whole chest
    has no colour. From there it grows without a step, so that no line surrounds anything. The strongest cell has 1, or
    less where no cell is far above the operating point: images can be compared, and one without a finding has little
    colour.
    """
    above = excess(found, probability, operating_point)
    drawn = placed(found, above, rows, columns) / np.float32(max(FULL, float(above.max())))
    seen = _seen(found, rows, columns)
    return _raised(np.asarray(np.where(seen, np.clip(drawn, 0, 1), 0), dtype=np.float32))


def _raised(drawn: FloatImage) -> FloatImage:
    """Return strengths with 0 up to the floor, and the highest unchanged."""
    highest = float(drawn.max())
    floor = max(FLOOR * highest, float(np.quantile(drawn, 1 - MOST_COLOURED)))
    if highest <= 0 or highest - floor < _LEAST_RISE * highest:
        return np.zeros_like(drawn)
    return np.asarray(np.clip((drawn - floor) / (highest - floor), 0, 1) * highest, dtype=np.float32)


def placed(found: ActivationMap, values: FloatImage, rows: int, columns: int) -> FloatImage:
    """Return ``values`` of the map's cells at each pixel of the whole image in ``rows`` x ``columns``: float32."""
    down = _weights(found.rows, found.top, found.bottom, rows)
    across = _weights(found.columns, found.left, found.right, columns)
    return np.asarray(down @ values @ across.T, dtype=np.float32)


def peak(found: ActivationMap) -> tuple[float, float]:
    """Return the position of the highest cell as fractions (x, y) of the image: its middle, or the nearest edge."""
    row, column = np.unravel_index(int(np.argmax(cells_of(found))), (found.rows, found.columns))
    x = found.left + (float(column) + 0.5) / found.columns * (found.right - found.left)
    y = found.top + (float(row) + 0.5) / found.rows * (found.bottom - found.top)
    return min(max(x, 0.0), 1.0), min(max(y, 0.0), 1.0)


def coloured(strengths: FloatImage) -> Picture:
    """Return RGBA, uint8 (rows, columns, 4), to be mixed into the image: pink, orange, yellow; transparent at 0."""
    return _TABLE[np.rint(strengths * 255).astype(np.uint8)]


def mixed(grey: Picture, colour: Picture, opacity: float = OPACITY) -> Picture:
    """Return RGB, uint8 (rows, columns, 3), of a grey image (rows, columns) under ``colour``, RGBA of the same size."""
    share = colour[..., 3:].astype(np.float32) * np.float32(opacity / 255)
    below = grey[..., np.newaxis].astype(np.float32)
    return np.asarray(below + (colour[..., :3] - below) * share + np.float32(0.5), dtype=np.uint8)


def as_png(found: ActivationMap, probability: float, operating_point: float) -> bytes:
    """Return a small square PNG, RGBA, to be stretched over the whole image."""
    drawn = coloured(strength(found, probability, operating_point, _SIDE, _SIDE))
    return bytes(cv2.imencode(".png", cv2.cvtColor(drawn, cv2.COLOR_RGBA2BGRA))[1].tobytes())


def why_none(assessment: ImageAssessment) -> str:
    """Return the reason why this score has no map; empty if it has one."""
    if assessment.activation_map is not None and assessment.probability is not None:
        return ""
    if assessment.probability is None:
        return "the image was not scored"
    return assessment.no_map or "the image was scored while maps were switched off"


def why_unproven(assessment: ImageAssessment, card: ModelCard | None) -> str:
    """Return why the map of a score is not shown to readers: its model was not shown to point at the finding.

    ``card`` is that of the model; None if it is not known. Empty if the pointing game in it beats chance by its lower
    bound, in every cohort.
    """
    if card is None:
        return f"the card of {assessment.model_id} is not installed here, and it is not known where its map points"
    if not card.leading.pointing_game:
        return f"no pointing game of {card.model_id} is stated: it was never shown that its map points at anything"
    if not card.leading.localises:
        return f"the map of {card.model_id} does not point at {card.leading.title} better than chance"
    return ""


def _edges(grid: ActivationGrid, rows: int, columns: int, size: int) -> tuple[float, float, float, float]:
    top, left = (first - grid.step / 2 for first in (grid.first_row, grid.first_column))
    return top / size, left / size, (top + rows * grid.step) / size, (left + columns * grid.step) / size


def _small(cells: FloatImage) -> FloatImage:
    rows, columns = (min(count, MOST_CELLS) for count in cells.shape)
    if (rows, columns) == cells.shape:
        return cells
    return np.asarray(cv2.resize(cells, (columns, rows), interpolation=cv2.INTER_AREA), dtype=np.float32)


def _weights(count: int, first: float, last: float, pixels: int) -> FloatImage:
    """Return the weight of each of ``count`` cells from ``first`` to ``last`` at each pixel: linear between middles."""
    middles = (np.arange(pixels) + 0.5) / pixels
    at = np.clip((middles - first) / (last - first) * count - 0.5, 0, count - 1)
    return np.asarray(np.maximum(0, 1 - np.abs(at[:, np.newaxis] - np.arange(count))), dtype=np.float32)


def _seen(found: ActivationMap, rows: int, columns: int) -> npt.NDArray[np.bool_]:
    """Return a mask of the pixels that the model input shows, of the whole image in ``rows`` x ``columns``."""
    top, left, bottom, right = found.seen
    down, across = (np.arange(rows) + 0.5) / rows, (np.arange(columns) + 0.5) / columns
    inside = ((down >= top) & (down <= bottom))[:, np.newaxis] & ((across >= left) & (across <= right))
    return np.asarray(inside)
