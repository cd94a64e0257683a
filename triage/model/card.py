"""card.json: what a model is, what it is for, how it did, and where it ends. A card that does not hold is refused."""

from __future__ import annotations

import json
import math
import re
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from triage.errors import StartError
from triage.model.card_schema import LaterCardError, as_of_now
from triage.model.onnx_file import NotOnnxError, has_external_data
from triage.radiograph.preprocess import PreprocessSpec
from triage.radiograph.types import View

CARD = "card.json"
WEIGHTS = "model.onnx"

Fraction = Annotated[float, Field(ge=0, le=1)]


class ModelRefusedError(StartError):
    """A model folder that must not be used; the message says which and why."""


class _CardPart(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(_CardPart):
    """A figure with its interval; ``method`` says what the interval covers."""

    value: float
    low: float
    high: float
    method: str
    n: int


class Preprocessing(_CardPart):
    """PreprocessSpec as JSON; see triage/radiograph/preprocess.py."""

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
        """The spec that the service computes with."""
        return PreprocessSpec.from_record(self.model_dump())


class CardTarget(_CardPart):
    """What a high score means, and what a low one does."""

    finding: str
    positive_class: str
    negative_class: str
    negative_is_normal: bool = Field(description="Whether a negative means 'no abnormality'.")


class IntendedUse(_CardPart):
    """Whom and what the model is for; ages in years, ``age_below`` exclusive and absent for no limit.

    ``stations``: the units whose images it is for, by Station Name (0008,1010); none named: those of any.
    ``orientation``: ``any`` if the model does not mind how the image is turned.
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
    """A threshold of the probability, and how it was chosen."""

    name: str
    threshold: Fraction
    chosen: str
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    approximate: bool = Field(False, description="Not measured on exactly the score that ships, on unseen patients.")


class CalibrationFit(_CardPart):
    """``calibrated_probability`` is the logistic function of slope times logit plus intercept.

    ``approximate``: not fitted on exactly the score that ships, on patients that no member saw. Brier scores are of the
    images it was fitted on, before and after.
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
    """Where the cells of the output ``cam`` lie on the model input: where the middles of the first row and of the first
    column are, and how far it is to the next, in pixels from the input's upper left corner.

    A strided convolution with symmetric padding looks at 0, 32, 64, ..., and not at the middles of equal tiles.
    """

    first_row: float
    first_column: float
    step: float = Field(gt=0)


class Distribution(_CardPart):
    """What the training images look like to the graph's ``distance``, and beyond what it refuses."""

    measure: str
    limit: float
    chosen: str
    refusals: dict[str, Interval]


class Training(_CardPart):
    """What it was trained on, earlier trainings included. Lists beside the card, one a line: ``patients_file`` of
    public patient identifiers, ``images_file`` of the SHA-256 of image files and of public names of what images show.
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
    """Under what the weights may be used. ``commercial``: whether what they learnt from lets anybody use them so."""

    weights: str
    commercial: bool
    because: str


class ModelCard(_CardPart):
    """card.json, whole. ``licence`` is absent in cards of before it was asked for: then nothing is known of it."""

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
        """Name and version, as results carry it."""
        return f"{self.name} {self.version}"

    @property
    def covers(self) -> str:
        """What it is for, in words: finding, ages, views, stations."""
        use = self.intended_use
        ages = f"ages {use.age_from:g} " + ("and over" if use.age_below is None else f"to below {use.age_below:g}")
        stations = f"stations {', '.join(use.stations)}" if use.stations else "any station"
        return f"{self.target.finding}; {ages}; {', '.join(use.views)}; {stations}"

    def covers_age(self, age_years: float) -> bool:
        """Whether a patient of this age is one the model is for."""
        below = self.intended_use.age_below
        return self.intended_use.age_from <= age_years and (below is None or age_years < below)

    def covers_view(self, view: View) -> bool:
        """Whether the model is for this view. A frontal of unknown direction needs a model for both."""
        views = {str(view)} if view is not View.FRONTAL else {str(View.PA), str(View.AP)}
        return views <= set(self.intended_use.views)

    def covers_station(self, station_name: str) -> bool:
        """Whether the model is for images of this station; case and surrounding spaces do not count."""
        named = {_folded(name) for name in self.intended_use.stations}
        return not named or _folded(station_name) in named

    def overlaps(self, other: ModelCard) -> bool:
        """Whether there may be an image that both are for, whatever they look for on it."""
        mine, theirs = self.intended_use, other.intended_use
        ends = [use.age_below for use in (mine, theirs) if use.age_below is not None]
        stations = [{_folded(name) for name in use.stations} for use in (mine, theirs)]
        return (
            max(mine.age_from, theirs.age_from) < min(ends, default=math.inf)
            and bool(set(mine.views) & set(theirs.views))
            and (not all(stations) or bool(stations[0] & stations[1]))
        )


def load_card(folder: Path) -> ModelCard:
    """The card of a model folder, checked against the files beside it. Raises ModelRefusedError."""
    try:
        record: dict[str, Any] = json.loads((folder / CARD).read_bytes())
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
    _check_whole(folder / WEIGHTS, _check_digest(folder / WEIGHTS, card.model_sha256))
    _check_list(folder, "patients_file", card.training.patients_file, card.training.patients_sha256)
    _check_list(folder, "images_file", card.training.images_file, card.training.images_sha256)
    return card


def load_cards(models: Path, names: tuple[str, ...] = ()) -> dict[str, ModelCard]:
    """The cards of the named folders below ``models``, or of all of them, by name. Raises ModelRefusedError."""
    if not models.is_dir():
        raise ModelRefusedError(f"there is no model folder {models}: set models.path")
    chosen = names or tuple(sorted(path.parent.name for path in models.glob(f"*/{CARD}")))
    if not chosen:
        raise ModelRefusedError(f"{models} holds no model: each is a folder with {CARD} and {WEIGHTS}")
    return {name: load_card(models / name) for name in chosen}


def _check_list(folder: Path, key: str, name: str | None, expected: str | None) -> None:
    """ModelRefusedError unless the list that the card names is the one beside it."""
    if not name:
        return
    if not re.fullmatch(r"[A-Za-z0-9._-]+", name):
        raise ModelRefusedError(f"model folder {folder}: {key} must be a plain file name")
    _check_digest(folder / name, expected or "")


def _check_digest(path: Path, expected: str) -> bytes:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelRefusedError(f"{path} cannot be read: {error}") from error
    if (found := sha256(content).hexdigest()) != expected:
        raise ModelRefusedError(f"{path} is not the file that the card describes: sha256 {found}, card {expected}")
    return content


def _check_whole(path: Path, content: bytes) -> None:
    try:
        if not has_external_data(content):
            return
    except NotOnnxError as error:
        raise ModelRefusedError(f"{path} is no ONNX file: {error}") from error
    raise ModelRefusedError(
        f"{path} has its weights in another file, which no digest of the card covers: save it as one file "
        "(onnx.save_model with save_as_external_data=False)"
    )


def _folded(name: str) -> str:
    return name.strip().casefold()


def _first(error: ValidationError) -> str:
    problem = error.errors()[0]
    return f"{'.'.join(str(part) for part in problem['loc'])}: {problem['msg']}"
