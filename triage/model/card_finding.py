"""Findings in a model's card: meaning, output, operating points, calibration and performance of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

Fraction = Annotated[float, Field(ge=0, le=1)]
FindingName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]


class CardPart(BaseModel):
    """A JSON object of a card: frozen, closed to unknown keys, without NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Interval(CardPart):
    """One figure with its interval; ``method`` names the interval."""

    value: float
    low: float
    high: float
    method: str
    n: int


class Performance(CardPart):
    """One measurement on held-out images."""

    cohort: str
    reference: str
    held_out_how: str
    figures: dict[str, Interval]


class PointingGame(CardPart):
    """Share of held-out images in which the map's peak lies in a box of the finding (Zhang et al. 2016).

    ``chance``: mean share of the image that the boxes cover, which a random point would reach.
    """

    cohort: str = Field(min_length=1)
    reference: str = Field(min_length=1, description="Whose boxes.")
    hits: Interval
    chance: Fraction

    @property
    def beats_chance(self) -> bool:
        """True if the lower bound of the share is above chance."""
        return self.hits.low > self.chance


class OperatingPoint(CardPart):
    """One threshold of the probability, and how it was chosen."""

    name: str
    threshold: Fraction
    chosen: str
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    approximate: bool = Field(False, description="Not measured on exactly the score that ships, on unseen patients.")


class CalibrationFit(CardPart):
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


class ActivationGrid(CardPart):
    """Position of the cells of the output ``cam`` on the model input, in pixels from its upper left corner.

    ``first_row`` and ``first_column`` are the middles of the first cells, ``step`` is the distance to the next. A
    strided convolution with symmetric padding is centred on 0, 32, 64, ..., and not on the middles of equal tiles.
    """

    first_row: float
    first_column: float
    step: float = Field(gt=0)


class CardTarget(CardPart):
    """Meaning of a high score of the leading finding, and of a low one."""

    finding: str
    positive_class: str
    negative_class: str
    negative_is_normal: bool = Field(description="Whether a negative means 'no abnormality'.")


class CardCode(CardPart):
    """Code of a finding (PS3.3 8.8): SNOMED CT from PS3.16's context groups, else RadLex, else our private scheme."""

    value: str = Field(min_length=1, max_length=16)
    scheme: Literal["SCT", "RADLEX", "DCM", "99CXRTRIAGE"]
    meaning: str = Field(min_length=1, max_length=64)


class FindingRule(CardPart):
    """A finding made of others of the same card.

    ``any``: positive if one of them is, at its own operating point; its score is the largest margin over a threshold,
    on the logit scale, and its own threshold is 0.5. ``logistic``: the logistic function of ``intercept`` plus the sum
    of
    ``weights`` times logits, refitted on the cohort that its operating point names. ``plugin``: a combination rule that
    the settings name.
    """

    kind: Literal["any", "logistic", "plugin"]
    of: tuple[FindingName, ...] = Field(min_length=1)
    weights: tuple[float, ...] = ()
    intercept: float = 0.0
    plugin: str = ""

    @model_validator(mode="after")
    def _is_complete(self) -> Self:
        if len(set(self.of)) != len(self.of):
            raise ValueError("of names a finding twice")
        if self.kind == "logistic" and len(self.weights) != len(self.of):
            raise ValueError("logistic needs one weight for each finding in of")
        if self.kind != "logistic" and (self.weights or self.intercept):
            raise ValueError("weights and intercept are for logistic")
        if (self.kind == "plugin") != bool(self.plugin):
            raise ValueError("plugin names the rule, for the kind plugin alone")
        return self


class CardFinding(CardPart):
    """One named output of a model, or a rule over several."""

    name: FindingName
    title: str = Field(min_length=1, max_length=200, description="Its name for people.")
    code: CardCode | None = None
    column: int | None = Field(None, ge=0, description="Column of the graph's output probability.")
    rule: FindingRule | None = None
    positive_class: str
    negative_class: str
    negative_means: Literal["absent", "undetermined"] = "undetermined"
    counts: bool = Field(True, description="Whether a positive makes a study ABNORMAL.")
    operating_points: tuple[OperatingPoint, ...] = Field(
        min_length=1, description="The first is in use unless the site's file of operating points has another."
    )
    calibration: str = "none"
    calibration_fit: CalibrationFit | None = None
    performance: tuple[Performance, ...] = ()
    activation_map: str = ""
    activation_column: int | None = Field(None, ge=0, description="Its map in the graph's output cam, if it has one.")
    activation_grid: ActivationGrid | None = Field(None, description="Absent: the cells are equal tiles of the input.")
    pointing_game: tuple[PointingGame, ...] = Field(
        (), description="Whether the map points at the finding. The page shows no map without one that beats chance."
    )

    @property
    def localises(self) -> bool:
        """True if the map was shown to point at the finding better than chance, in every cohort that is stated."""
        return bool(self.pointing_game) and all(each.beats_chance for each in self.pointing_game)

    @model_validator(mode="after")
    def _has_one_source(self) -> Self:
        if (self.column is None) == (self.rule is None):
            raise ValueError("a finding has either a column of the graph or a rule")
        return self

    @property
    def threshold(self) -> float:
        """The card's operating point in use."""
        return self.operating_points[0].threshold

    @property
    def measured(self) -> bool:
        """True if sensitivity and positive predictive value of the operating point in use are stated."""
        return all(
            any(self._states(figure, each.figures) for each in self.performance) for figure in ("sensitivity", "ppv")
        )

    def _states(self, figure: str, figures: Mapping[str, Interval]) -> bool:
        return figure in figures or f"{figure} at {self.threshold:g}" in figures


class AbnormalRule(CardPart):
    """The tag of an image: ABNORMAL if any finding that counts is positive.

    ``negative_is_normal``: if all of them are negative, that means "no abnormality". ``performance``: sensitivity and
    specificity after combination, per study where that could be measured.
    """

    negative_is_normal: bool
    performance: tuple[Performance, ...] = ()


def check_findings(findings: Sequence[CardFinding]) -> None:
    """Raise ValueError unless names are unique, one finding counts, and rules name others without a circle."""
    names = [each.name for each in findings]
    if len(set(names)) != len(names):
        raise ValueError("two findings have one name")
    if not any(each.counts for each in findings):
        raise ValueError("no finding counts: nothing would ever be ABNORMAL")
    in_order(findings)


def in_order(findings: Sequence[CardFinding]) -> list[CardFinding]:
    """Return the findings so that each follows those that its rule names. Raises ValueError for a hole or a circle."""
    known = {each.name for each in findings}
    for each in findings:
        if each.rule and (missing := sorted(set(each.rule.of) - known)):
            raise ValueError(f"the rule of {each.name} names {', '.join(missing)}, which the card does not have")
    ordered: list[CardFinding] = []
    waiting = list(findings)
    while waiting:
        done = {each.name for each in ordered}
        ready = [each for each in waiting if each.rule is None or set(each.rule.of) <= done]
        if not ready:
            raise ValueError(f"the rules of {', '.join(sorted(each.name for each in waiting))} name each other")
        ordered += ready
        waiting = [each for each in waiting if each not in ready]
    return ordered


def plugin_rules_of(findings: Sequence[CardFinding]) -> dict[str, frozenset[str]]:
    """Return the rules of plug-ins that make a finding, by its name: its own, and those of findings that it is of."""
    found: dict[str, frozenset[str]] = {}
    for each in in_order(findings):
        if each.rule is not None:
            own = {each.rule.plugin} if each.rule.plugin else set()
            if rules := own.union(*(found.get(name, frozenset()) for name in each.rule.of)):
                found[each.name] = frozenset(rules)
    return found
