"""The description of a foreign model: what no ONNX file says of itself. A TOML file that a person writes.

Keys without a default are those where a wrong guess would be seen in the scores alone.
"""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from triage.model.card import IntendedUse, Licence
from triage.model.card_finding import CardCode, FindingRule, Interval, Line, Performance, check_shares
from triage.radiograph.preprocess import Fit, Levels, Resize

Layout = Literal["NCHW", "NHWC", "NHW"]
OutputKind = Literal["logit", "probability", "softmax", "score"]
Normalisation = Literal["cxr-triage", "torchxrayvision", "imagenet", "own"]
SMALLEST, GREATEST = 32, 2048
"""Rows and columns of a model input: the distance averages 32 x 32 areas."""
LEAST_WORDS = 20
"""Characters of the site's words for a model without a distance."""

Finite = Annotated[float, Field(allow_inf_nan=False)]


class DescriptionPart(BaseModel):
    """A table of the description: closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Identity(DescriptionPart):
    """Name, version and architecture, at the head of the file."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", description="Name of the model and its folder.")
    version: str = Field(pattern=r"^[0-9A-Za-z._-]{1,32}$")
    architecture: str = Field(min_length=1, description="The network and its origin, for people.")
    limits: tuple[str, ...] = Field((), description="Limits of the model, for the card.")


class InputDescription(DescriptionPart):
    """The input of the graph, and how it is made of a radiograph.

    A pixel's level is 0 to 1, dense tissue bright. The network gets (value - mean) / deviation, where value goes from
    ``range[0]`` at level 0 to ``range[1]`` at level 1. ``normalisation`` other than ``own`` states all of them.
    """

    name: str = Field("", description="The graph's input. Left out: its only one.")
    layout: Layout = Field(description="Order of the axes: images, channels, rows (height), columns (width).")
    channels: Literal[1, 3] = Field(description="3: the grey image three times.")
    size: int | None = Field(
        None, ge=SMALLEST, le=GREATEST, description="Rows and columns. Left out: those that the graph states."
    )
    fit: Fit = Field(description="stretch, letterbox (black bars), or centre_crop (the middle of the longer side).")
    resize: Resize = Field("area", description="area averages, area_rows too and faster, linear skips pixels.")
    crop: Literal["none", "border"] = Field("none", description="border: cut off shutter and uniform borders first.")
    normalisation: Normalisation = Field(description="Levels, range, mean and deviation by a name, or own.")
    levels: Levels | None = Field(
        None, description="full: the whole grey scale; percentiles: each image between two of its own."
    )
    percentiles: tuple[Finite, Finite] = Field((1.0, 99.0), description="The two, where levels is percentiles.")
    range: tuple[Finite, Finite] | None = Field(None, description="Values of black and of white.")
    mean: tuple[Finite, ...] = Field((), description="Of those values: one, or one for each channel.")
    deviation: tuple[Finite, ...] = Field((), description="Likewise.")

    @model_validator(mode="after")
    def _is_normalised_once(self) -> Self:
        if self.normalisation != "own":
            given = [name for name in ("range", "mean", "deviation") if getattr(self, name)]
            if given:
                raise ValueError(f"{', '.join(given)}: {self.normalisation} states that, or set normalisation to own")
        elif self.levels is None or self.range is None:
            raise ValueError("normalisation own needs levels and range")
        if self.normalisation == "imagenet" and self.channels != 3:
            raise ValueError("imagenet has a mean and a deviation for each of three channels")
        for name in ("mean", "deviation"):
            if len(getattr(self, name)) not in (0, 1, self.channels):
                raise ValueError(f"{name} must have one value, or one for each of {self.channels} channels")
        if any(each <= 0 for each in self.deviation):
            raise ValueError("deviation must be positive")
        if self.range and self.range[0] == self.range[1]:
            raise ValueError("range must have two different ends")
        if not 0 <= self.percentiles[0] < self.percentiles[1] <= 100:
            raise ValueError("percentiles must be 0 <= low < high <= 100")
        levels = self.levels or ("percentiles" if self.normalisation == "cxr-triage" else "full")
        if levels == "full" and "percentiles" in self.model_fields_set:
            raise ValueError("percentiles are given, and levels are full")
        return self


class FindingDescription(DescriptionPart):
    """One finding: the output that it is, or a rule over others. Without a name or a threshold it is none."""

    name: str = Field("", pattern=r"^([a-z][a-z0-9_]{0,47})?$", description="Left out: the output is no finding.")
    title: Line = Field("", max_length=200, description="Its name for people. Left out: the name.")
    code: CardCode | None = Field(None, description="SNOMED CT of PS3.16's context groups, else RadLex.")
    output: str = Field("", description="The graph's output. Left out: its only one.")
    index: int = Field(0, ge=0, description="Column of that output.")
    kind: OutputKind | None = Field(None, description="softmax: logits of classes; score: 0 to 1, and no probability.")
    inverted: bool = Field(False, description="A high value means that the finding is absent.")
    rule: FindingRule | None = Field(None, description="Instead of an output.")
    positive_class: str = Field("", description="Meaning of a positive, in words. Required of a finding.")
    negative_class: str = Field("", description="Meaning of a negative. Required of a finding.")
    negative_means: Literal["absent", "undetermined"] = Field(
        "undetermined", description="absent: a negative is a statement that reports may make."
    )
    counts: bool = Field(True, description="A positive makes the study ABNORMAL.")
    threshold: float | None = Field(None, description="From this score on it is positive. nan: none.")
    chosen: str = Field("", description="How the threshold was chosen, on which cases.")
    sensitivity: Interval | None = Field(None, description="At that threshold.")
    specificity: Interval | None = Field(None, description="At that threshold.")
    calibration: str = Field("none", description="How the scores were calibrated, in words.")
    performance: tuple[Performance, ...] = Field((), description="Measurements on held-out images.")
    map: int | None = Field(None, ge=0, description="Its map in [map] output.")

    @property
    def is_finding(self) -> bool:
        """True if it has a name and a threshold."""
        return bool(self.name) and isinstance(self.threshold, (int, float)) and not math.isnan(self.threshold)

    @property
    def is_measured(self) -> bool:
        """True if a performance is stated."""
        return bool(self.performance) or self.sensitivity is not None

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if not self.is_finding:
            return self
        if (self.kind is None) == (self.rule is None):
            raise ValueError("needs either kind, of an output, or rule")
        if self.rule is not None and (self.output or self.index or self.inverted):
            raise ValueError("a rule has no output of its own")
        missing = [name for name in ("positive_class", "negative_class", "chosen") if not getattr(self, name).strip()]
        if missing:
            raise ValueError(f"{' and '.join(missing)} must say something")
        if self.threshold is not None and not 0 < self.threshold < 1:
            raise ValueError(
                "threshold is of the probability or score: between 0 and 1, not of a logit, and not 0 or 1, at which "
                "every image would be positive, or none"
            )
        check_shares({"sensitivity": self.sensitivity, "specificity": self.specificity})
        return self


class AbnormalDescription(DescriptionPart):
    """Meaning of the findings together."""

    negative_is_normal: bool = Field(
        False, description="All findings that count negative: no abnormality. False: never NORMAL."
    )
    performance: tuple[Performance, ...] = Field((), description="After combination, per study.")


class UseDescription(IntendedUse):
    """Images and patients that the model is for, as in the card; ages in years."""

    modalities: tuple[Literal["CR", "DX"], ...] = Field(min_length=1)
    views: tuple[Literal["PA", "AP"], ...] = Field(min_length=1)
    age_below: float | None = Field(None, description="Exclusive. Left out: no limit.")


class DistanceDescription(DescriptionPart):
    """The distance from the site's images."""

    features: str = Field("", description="A tensor of the graph. Left out: the input of the last Gemm.")
    without: str = Field("", description="The site's words for having none: the model is never to say NORMAL.")

    @model_validator(mode="after")
    def _is_said_in_words(self) -> Self:
        if self.without and len(self.without.strip()) < LEAST_WORDS:
            raise ValueError("without must say in a sentence that the site knows what is missing")
        if self.without and self.features:
            raise ValueError("features are for a distance, and without says that there is none")
        return self


class MapDescription(DescriptionPart):
    """Activation maps."""

    output: str = Field(description="An output (n, rows, columns) or (n, maps, rows, columns).")


class TrainingDescription(DescriptionPart):
    """Training data as far as they are known."""

    data: tuple[str, ...] = ("not stated",)
    images: int = Field(0, ge=0)
    recipe: str = "not stated"


class Description(Identity):
    """The whole file, for its JSON Schema; it is read table by table, so that all mistakes are found at once."""

    input: InputDescription
    findings: tuple[FindingDescription, ...] = Field(min_length=1)
    abnormal: AbnormalDescription = AbnormalDescription()
    intended_use: UseDescription
    distance: DistanceDescription = DistanceDescription()
    map: MapDescription | None = None
    training: TrainingDescription = TrainingDescription()
    licence: Licence | None = None
