"""Activation maps of a model, and the pointing game: how often their peaks lie in radiologists' boxes."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NotRequired, TypedDict

import numpy as np

from triage.decision.types import ActivationMap
from triage.model.activation_map import encode_map, peak
from triage.model.backend import OnnxBackend
from triage.model.card import ModelCard
from triage.model.run_deadline import DEADLINE_S, NotEndedError, RunLimit
from triage.model.session import ModelSession, check_loads
from triage.model.trial_load import LOAD_DEADLINE_S
from triage.radiograph.crop import WHOLE
from triage.radiograph.preprocess import PreprocessSpec
from triage.radiograph.types import FloatImage
from triage.scoring.assess import AssessmentPolicy, prepare
from triage.statistics.intervals import exact_interval
from triage.validation.cohort.members import Member
from triage.validation.scores.predictions import PredictionsError

NIH_SIDE = 1024.0
"""NIH's boxes are in pixels of the released 1024 x 1024 images."""

ALL = "all"
"""Any box of an image, whatever its finding."""


@dataclass(frozen=True, eq=False)
class MapView:
    """The input of a model for one image, and its activation map; high values speak for the positive class.

    ``grey``: the model input, float32 (size, size) from 0 to 1. ``over_input`` lies on the model input, ``over_image``
    on the image, where the service would show it; both are None if the graph has no map, does not end, or returns
    values that are no numbers.
    """

    grey: FloatImage
    over_input: ActivationMap | None
    over_image: ActivationMap | None


class ActivationMaps:
    """The activation maps of a model; ``available`` is False for a graph without the output ``cam``."""

    def __init__(
        self,
        folder: Path,
        card: ModelCard,
        threads: int = 0,
        load_timeout_s: float = LOAD_DEADLINE_S,
        run_timeout_s: float = DEADLINE_S,
    ) -> None:
        """Load the model. Raises NotLoadedError if loading and first run do not end within ``load_timeout_s``."""
        self._card = card
        self._session: ModelSession | None = None
        if isinstance(card.backend, OnnxBackend):
            check_loads(folder, card, "cpu", threads, load_timeout_s)
            self._session = ModelSession(folder, card, threads=threads, maps=True, limit=RunLimit(run_timeout_s))
        self.available = self._session is not None and self._session.has_map

    def view(self, image: Path) -> MapView | None:
        """Return the model input of a file and its map; None if the file gives no model input."""
        prepared = prepare(
            image.read_bytes(),
            {self._card.name: self._card},
            AssessmentPolicy(),
            model_name=self._card.name,
            pictures=True,
        )
        if prepared.model_input is None:
            return None
        spec = self._card.preprocessing
        grey = np.clip(prepared.model_input[0] * spec.deviation + spec.mean, 0, 1).astype(np.float32)
        if self._session is None or not self.available:
            return MapView(grey, None, None)
        cells = self._cells(self._session, prepared.model_input)
        if cells is None:
            return MapView(grey, None, None)
        grid = self._card.activation_grid
        over_input = encode_map(cells, PreprocessSpec(spec.size), grid, WHOLE)
        return MapView(grey, over_input, encode_map(cells, spec.spec(), grid, prepared.content, prepared.aspect))

    def _cells(self, session: ModelSession, model_input: FloatImage) -> FloatImage | None:
        """Return the map's cells; None for an image with which the graph does not end."""
        try:
            maps = session.score(model_input[np.newaxis]).maps
        except NotEndedError:
            return None
        column = self._card.leading.activation_column
        return None if maps is None or column is None else maps[0][column]


@dataclass(frozen=True)
class Box:
    """A region that a radiologist marked, in fractions of the image's width and height."""

    finding: str
    left: float
    top: float
    width: float
    height: float

    def holds(self, x: float, y: float) -> bool:
        """Return whether the point lies in the box."""
        return self.left <= x <= self.left + self.width and self.top <= y <= self.top + self.height


def read_boxes(file: Path) -> dict[str, list[Box]]:
    """Read NIH's ``BBox_List_2017.csv``, by image stem. Raises PredictionsError."""
    boxes: dict[str, list[Box]] = {}
    try:
        with file.open(newline="", encoding="utf-8") as stream:
            for record in list(csv.reader(stream))[1:]:
                left, top, width, height = (float(each) / NIH_SIDE for each in record[2:6])
                boxes.setdefault(Path(record[0]).stem, []).append(Box(record[1], left, top, width, height))
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise PredictionsError(f"{file} is no list of boxes like NIH's BBox_List_2017.csv: {error}") from error
    return boxes


class FindingHits(TypedDict):
    """Images with a box of one finding whose peak lies in a box, and the share that chance would reach."""

    finding: str
    n: int
    hits: int
    share: float
    interval: list[float]
    chance: float


class PointingGame(TypedDict):
    """The pointing game by finding, or the reason why it could not be played."""

    findings: list[FindingHits]
    why_not: NotRequired[str]


def pointing_game(
    maps: ActivationMaps, members: Sequence[Member], boxes: Mapping[str, Sequence[Box]]
) -> PointingGame | None:
    """Count for each finding how often the map's peak lies in a box of it (Zhang et al. 2016).

    Chance is the mean share of the image that the boxes cover: a random point. An image counts once in a finding and
    once in ``ALL``. None if no image has a box.
    """
    hits: dict[str, list[bool]] = {}
    areas: dict[str, list[float]] = {}
    for member in members:
        marked = boxes.get(Path(member.name).stem, ())
        view = maps.view(member.row.image) if marked else None
        if view is None or view.over_image is None:
            continue
        x, y = peak(view.over_image)
        for name in sorted({ALL, *(box.finding for box in marked)}):
            own = [box for box in marked if name in (box.finding, ALL)]
            hits.setdefault(name, []).append(any(box.holds(x, y) for box in own))
            areas.setdefault(name, []).append(covered(own))
    if not hits:
        return None
    return {
        "findings": [
            {
                "finding": name,
                "n": len(found),
                "hits": sum(found),
                "share": sum(found) / len(found),
                "interval": list(exact_interval(sum(found), len(found))),
                "chance": float(np.mean(areas[name])),
            }
            for name, found in sorted(hits.items(), key=lambda each: (each[0] != ALL, each[0]))
        ]
    }


def covered(boxes: Sequence[Box]) -> float:
    """Return the share of the image inside any of ``boxes``, on a grid of 256 x 256 points."""
    points = (np.arange(256) + 0.5) / 256
    inside = np.zeros((256, 256), dtype=bool)
    for box in boxes:
        across = (points >= box.left) & (points <= box.left + box.width)
        down = (points >= box.top) & (points <= box.top + box.height)
        inside |= down[:, np.newaxis] & across
    return float(inside.mean())
