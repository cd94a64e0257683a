"""card.json: the description, intended use, performance and limits of a model. An invalid card is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triage.model.card_versions import LaterCardError, as_of_now
from triage.model.folder_check import ModelRefusedError as ModelRefusedError
from triage.model.folder_check import check_digest, check_list, check_onnx
from triage.radiograph.preprocess import PreprocessSpec
from triage.radiograph.types import View

CARD = "card.json"
WEIGHTS = "model.onnx"

Fraction = Annotated[float, Field(ge=0, le=1)]


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(_CardPart):
    """One figure with its interval; ``method`` names the interval."""

    value: float
    low: float
    high: float
    method: str
    n: int


class Preprocessing(_CardPart):
    """PreprocessSpec in JSON; see triage/radiograph/preprocess.py."""

    size: int
    fit: Literal["stretch"]
    low_percentile: float
    high_percentile: float
    mean: float
    deviation: float
    crop: Literal["none", "border"] = "none"

    @model_validator(mode="after")
    def _is_a_spec(self) -> Self:
        self.spec()
        return self

    def spec(self) -> PreprocessSpec:
        """Return the spec that the service computes with."""
        return PreprocessSpec.from_record(self.model_dump())


class CardTarget(_CardPart):
    """Meaning of a high score, and of a low one."""

    finding: str
    positive_class: str
    negative_class: str
    negative_is_normal: bool = Field(description="Whether a negative means 'no abnormality'.")


class IntendedUse(_CardPart):
    """Images and patients that the model is for; ages in years, ``age_below`` exclusive and absent for no limit.

    ``stations``: the units whose images it is for, by Station Name (0008,1010); empty: any. ``orientation``: ``any`` if
    images may be turned.
    """

    modalities: tuple[str, ...]
    views: tuple[Literal["PA", "AP"], ...]
    stations: tuple[str, ...] = ()
    age_from: float = Field(ge=0)
    age_below: float | None
    orientation: Literal["upright", "any"] = "upright"

    @model_validator(mode="after")
    def _has_ages(self) -> Self:
        if self.age_below is not None and self.age_below <= self.age_from:
            raise ValueError("age_below must be above age_from")
        return self


class OperatingPoint(_CardPart):
    """One threshold of the probability, and how it was chosen."""

    name: str
    threshold: Fraction
    chosen: str
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    approximate: bool = Field(False, description="Not measured on exactly the score that ships, on unseen patients.")


class CalibrationFit(_CardPart):
    """Calibration: ``calibrated_probability`` is the logistic function of slope times logit plus intercept.

    ``approximate``: not fitted on exactly the released score, on patients that no member was trained on. Brier scores
    are those of the images it was fitted on, before and after.
    """

    method: Literal["platt", "temperature"]
    slope: float = Field(gt=0)
    intercept: float
    fitted_on: str
    images: int
    positives: int | None = None
    approximate: bool
    brier_before: float
    brier_after: float


class ActivationGrid(_CardPart):
    """Position of the cells of the output ``cam`` on the model input, in pixels from its upper left corner.

    ``first_row`` and ``first_column`` are the middles of the first cells, ``step`` is the distance to the next. A
    strided convolution with symmetric padding is centred on 0, 32, 64, ..., and not on the middles of equal tiles.
    """

    first_row: float
    first_column: float
    step: float = Field(gt=0)


class Distribution(_CardPart):
    """Distance of the training images as the graph measures it, and the limit beyond which images are refused."""

    measure: str
    limit: float
    chosen: str
    refusals: dict[str, Interval]


class Training(_CardPart):
    """Training data, that of earlier trainings included.

    Lists in the same folder, one entry a line: ``patients_file`` of public patient identifiers, ``images_file`` of the
    SHA-256 of image files and of public names of the radiographs in them.
    """

    data: tuple[str, ...]
    images: int
    recipe: str
    patients_file: str | None = None
    patients_sha256: str | None = None
    images_file: str | None = None
    images_sha256: str | None = None


class Performance(_CardPart):
    """One measurement on held-out images."""

    cohort: str
    reference: str
    held_out_how: str
    figures: dict[str, Interval]


class Licence(_CardPart):
    """Licence of the weights. ``commercial``: whether the licences of the training data permit commercial use."""

    weights: str
    commercial: bool
    because: str


class ModelCard(_CardPart):
    """card.json as a whole. ``licence`` is absent in older cards: then it is not known."""

    card_schema: Literal[1]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[0-9A-Za-z._-]{1,32}$")
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    demo: bool
    architecture: str
    preprocessing: Preprocessing
    target: CardTarget
    intended_use: IntendedUse
    operating_points: tuple[OperatingPoint, ...]
    calibration: str
    calibration_fit: CalibrationFit | None = None
    activation_map: str = ""
    activation_grid: ActivationGrid | None = Field(None, description="Absent: the cells are equal tiles of the input.")
    variant: Literal["fp32", "fp16", "int8"] = "fp32"
    distribution: Distribution
    training: Training
    performance: tuple[Performance, ...]
    limits: tuple[str, ...]
    licence: Licence | None = None

    @property
    def model_id(self) -> str:
        """Name and version, as in results."""
        return f"{self.name} {self.version}"

    @property
    def covers(self) -> str:
        """Intended use in words: finding, ages, views, stations."""
        use = self.intended_use
        ages = f"ages {use.age_from:g} " + ("and over" if use.age_below is None else f"to below {use.age_below:g}")
        stations = f"stations {', '.join(use.stations)}" if use.stations else "any station"
        return f"{self.target.finding}; {ages}; {', '.join(use.views)}; {stations}"

    def covers_age(self, age_years: float) -> bool:
        """Return True if the model is for patients of this age."""
        below = self.intended_use.age_below
        return self.intended_use.age_from <= age_years and (below is None or age_years < below)

    def covers_view(self, view: View) -> bool:
        """Return True if the model is for this view. A frontal of unknown direction needs a model for both."""
        views = {str(view)} if view is not View.FRONTAL else {str(View.PA), str(View.AP)}
        return views <= set(self.intended_use.views)

    def covers_station(self, station_name: str) -> bool:
        """Return True if the model is for images of this station; case and surrounding spaces do not count."""
        named = {_folded(name) for name in self.intended_use.stations}
        return not named or _folded(station_name) in named

    def overlaps(self, other: ModelCard) -> bool:
        """Return True if some image is within the intended use of both, whatever their findings are."""
        mine, theirs = self.intended_use, other.intended_use
        ends = [use.age_below for use in (mine, theirs) if use.age_below is not None]
        stations = [{_folded(name) for name in use.stations} for use in (mine, theirs)]
        return (
            max(mine.age_from, theirs.age_from) < min(ends, default=math.inf)
            and bool(set(mine.views) & set(theirs.views))
            and (not all(stations) or bool(stations[0] & stations[1]))
        )


def load_card(folder: Path) -> ModelCard:
    """Read the card of a model folder and check the other files there against it. Raises ModelRefusedError."""
    try:
        record: object = json.loads((folder / CARD).read_bytes())
    except (OSError, ValueError) as error:
        raise ModelRefusedError(f"model folder {folder}: {CARD} cannot be read: {error}") from error
    try:
        card = ModelCard.model_validate(as_of_now(record) if isinstance(record, dict) else record)
    except LaterCardError as error:
        raise ModelRefusedError(f"model folder {folder}: {error}") from error
    except ValidationError as error:
        raise ModelRefusedError(f"model folder {folder}: {CARD} does not hold: {_first(error)}") from error
    if card.name != folder.name:
        raise ModelRefusedError(
            f"model folder {folder}: its card is of {card.name!r}; a folder is named like its model"
        )
    check_onnx(folder / WEIGHTS, check_digest(folder / WEIGHTS, card.model_sha256))
    check_list(folder, "patients_file", card.training.patients_file, card.training.patients_sha256)
    check_list(folder, "images_file", card.training.images_file, card.training.images_sha256)
    return card


def load_cards(models: Path, names: tuple[str, ...] = ()) -> dict[str, ModelCard]:
    """Read the cards of the named folders below ``models``, or of all of them, by name. Raises ModelRefusedError."""
    if not models.is_dir():
        raise ModelRefusedError(f"there is no model folder {models}: set models.path")
    chosen = names or tuple(sorted(path.parent.name for path in models.glob(f"*/{CARD}")))
    if not chosen:
        raise ModelRefusedError(f"{models} holds no model: each is a folder with {CARD} and {WEIGHTS}")
    return {name: load_card(models / name) for name in chosen}


def _folded(name: str) -> str:
    return name.strip().casefold()


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
