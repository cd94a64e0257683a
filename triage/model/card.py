"""card.json: the description, intended use, performance and limits of a model. An invalid card is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, ValidationError, model_validator

from triage.model.backend import Backend, OnnxBackend, OpenInferenceBackend, PluginBackend
from triage.model.card_finding import (
    AbnormalRule,
    ActivationGrid,
    CalibrationFit,
    CardFinding,
    CardPart,
    CardTarget,
    Interval,
    OperatingPoint,
    Performance,
    check_findings,
)
from triage.model.card_versions import LaterCardError, as_of_now
from triage.model.folder_check import ModelRefusedError as ModelRefusedError
from triage.model.folder_check import check_digest, check_list, check_onnx, read_plain
from triage.model.known_answers import KNOWN_ANSWERS
from triage.model.subspace_file import SUBSPACE
from triage.radiograph.preprocess import Fit, Levels, PreprocessSpec, Resize
from triage.radiograph.types import View

CARD = "card.json"
WEIGHTS = "model.onnx"


class Preprocessing(CardPart):
    """PreprocessSpec in JSON; see triage/radiograph/preprocess.py."""

    size: int
    fit: Fit
    low_percentile: float
    high_percentile: float
    mean: float
    deviation: float
    crop: Literal["none", "border"] = "none"
    levels: Levels = "percentiles"
    resize: Resize = "area"

    @model_validator(mode="after")
    def _is_a_spec(self) -> Self:
        self.spec()
        return self

    def spec(self) -> PreprocessSpec:
        """Return the spec that the service computes with."""
        return PreprocessSpec.from_record(self.model_dump())


class IntendedUse(CardPart):
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
        if not all(each.strip() for each in self.stations):
            raise ValueError("stations must not have an empty name; for any station leave it out")
        return self


class Distribution(CardPart):
    """Distance of the training images as the graph measures it, and the limit beyond which images are refused."""

    measure: str
    limit: float
    chosen: str
    refusals: dict[str, Interval]


class Training(CardPart):
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


class Licence(CardPart):
    """Licence of the weights. ``commercial``: whether the licences of the training data permit commercial use."""

    weights: str
    commercial: bool
    because: str


class ModelCard(CardPart):
    """card.json as a whole. ``licence`` is absent in older cards: then it is not known."""

    card_schema: Literal[2]
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
    version: str = Field(pattern=r"^[0-9A-Za-z._-]{1,32}$")
    model_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    demo: bool
    architecture: str
    preprocessing: Preprocessing
    findings: tuple[CardFinding, ...] = Field(min_length=1)
    abnormal: AbnormalRule
    intended_use: IntendedUse
    variant: Literal["fp32", "fp16", "int8"] = "fp32"
    backend: Backend = OnnxBackend()
    distribution: Distribution | None
    without_distribution: str = Field("", description="The site's words for installing a model without a distance.")
    training: Training
    limits: tuple[str, ...]
    licence: Licence | None = None

    @model_validator(mode="after")
    def _holds_together(self) -> Self:
        check_findings(self.findings)
        if (self.distribution is None) != bool(self.without_distribution.strip()):
            raise ValueError("a model has either a distribution or, in without_distribution, the reason for none")
        return self

    @property
    def leading(self) -> CardFinding:
        """The first finding that counts: its score is the probability of results that have room for one."""
        return next(each for each in self.findings if each.counts)

    @property
    def columns(self) -> int:
        """Columns of the graph's output ``probability`` that the findings need at least."""
        return 1 + max(each.column for each in self.findings if each.column is not None)

    @property
    def target(self) -> CardTarget:
        """Meaning of the leading finding."""
        lead = self.leading
        return CardTarget(
            finding=lead.title,
            positive_class=lead.positive_class,
            negative_class=lead.negative_class,
            negative_is_normal=self.abnormal.negative_is_normal,
        )

    @property
    def operating_points(self) -> tuple[OperatingPoint, ...]:
        """Operating points of the leading finding."""
        return self.leading.operating_points

    @property
    def calibration(self) -> str:
        """Calibration, in words, of the leading finding."""
        return self.leading.calibration

    @property
    def calibration_fit(self) -> CalibrationFit | None:
        """Fit of the calibration of the leading finding."""
        return self.leading.calibration_fit

    @property
    def performance(self) -> tuple[Performance, ...]:
        """Performance of the leading finding."""
        return self.leading.performance

    @property
    def activation_map(self) -> str:
        """Activation map, in words, of the leading finding."""
        return self.leading.activation_map

    @property
    def activation_grid(self) -> ActivationGrid | None:
        """Position of the cells of the activation map of the leading finding."""
        return self.leading.activation_grid

    @property
    def distance_limit(self) -> float | None:
        """The distance beyond which an image is not assessed; None for a model without a distance."""
        return None if self.distribution is None else self.distribution.limit

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
        return f"{', '.join(each.title for each in self.findings)}; {ages}; {', '.join(use.views)}; {stations}"

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

    @property
    def _finding_keys(self) -> set[tuple[str, ...]]:
        codes = [each.effective_code for each in self.findings]
        return {(each.name,) for each in self.findings} | {(code.value, code.scheme) for code in codes}

    def overlaps(self, other: ModelCard) -> bool:
        """Return True if they have a finding in common for which some image is within the intended use of both.

        Findings of one code are one, whatever their names.
        """
        if not self._finding_keys & other._finding_keys:
            return False
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
    card = read_card(folder)
    if isinstance(card.backend, OpenInferenceBackend):  # its weights are elsewhere
        check_digest(folder / KNOWN_ANSWERS, card.model_sha256)
        if card.distribution:
            check_digest(folder / SUBSPACE, card.backend.distance_sha256 or "")
    elif isinstance(card.backend, PluginBackend):
        check_digest(folder / card.backend.weights, card.model_sha256)
    else:
        check_onnx(folder / WEIGHTS, check_digest(folder / WEIGHTS, card.model_sha256))
    check_list(folder, "patients_file", card.training.patients_file, card.training.patients_sha256)
    check_list(folder, "images_file", card.training.images_file, card.training.images_sha256)
    return card


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model folder alone. Raises ModelRefusedError."""
    try:
        record: object = json.loads(read_plain(folder / CARD))
    except (OSError, ValueError, RecursionError) as error:
        raise ModelRefusedError(f"model folder {folder}: {CARD} cannot be read: {error}") from error
    try:
        record = as_of_now(record) if isinstance(record, dict) else record
        card = ModelCard.model_validate_json(json.dumps(record), strict=True)  # true is no threshold, and "2" no column
    except LaterCardError as error:
        raise ModelRefusedError(f"model folder {folder}: {error}") from error
    except ValidationError as error:
        raise ModelRefusedError(f"model folder {folder}: {CARD} does not hold: {_first(error)}") from error
    if folder.name not in (card.name, f"{card.name}@{card.version}"):
        raise ModelRefusedError(
            f"model folder {folder}: its card is of {card.name!r}, version {card.version}; a folder is named like its "
            f"model, {card.name} or {card.name}@{card.version}"
        )
    return card


def load_cards(models: Path, names: tuple[str, ...] = ()) -> dict[str, ModelCard]:
    """Read the cards of the named folders below ``models``, or of all of them, by folder. Raises ModelRefusedError."""
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
