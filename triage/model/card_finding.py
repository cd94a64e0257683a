"""Findings in a model's card: meaning, output, operating points, calibration and performance of each."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from triage.decision.finding_codes import KNOWN_CODES, code_of
from triage.decision.findings import FindingCode

Fraction = Annotated[float, Field(ge=0, le=1)]
Threshold = Annotated[float, Field(gt=0, lt=1)]
"""At 0 every image would be positive, at 1 hardly one: neither is an operating point."""
FindingName = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]


def _one_line(text: str) -> str:
    if not text.isprintable():
        raise ValueError("must be one line of printable characters")
    return text


Line = Annotated[str, AfterValidator(_one_line)]


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
    threshold: Threshold
    chosen: str
    sensitivity: Interval | None = None
    specificity: Interval | None = None
    approximate: bool = Field(False, description="Not measured on exactly the score that ships, on unseen patients.")

    @model_validator(mode="after")
    def _states_shares(self) -> Self:
        check_shares({"sensitivity": self.sensitivity, "specificity": self.specificity})
        return self


def check_shares(figures: Mapping[str, Interval | None]) -> None:
    """Raise ValueError for a share that is none: of 0 to 1, between its bounds, of one case at least."""
    for name, figure in figures.items():
        if figure is not None and not (0 <= figure.low <= figure.value <= figure.high <= 1 and figure.n > 0):
            raise ValueError(f"{name} must be 0 to 1, between low and high, and of one case at least (n)")


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


_FORMS: Mapping[str, str] = {
    "SCT": "[1-9][0-9]{5,15}",
    "RADLEX": "RID[0-9]{1,8}",
    "DCM": "[0-9]{5,7}",
    "99CXRTRIAGE": "[A-Za-z0-9][A-Za-z0-9_.-]*",
}
"""The form of the codes of each scheme."""


class CardCode(CardPart):
    """Code of a finding (PS3.3 8.8): SNOMED CT from PS3.16's context groups, else RadLex, else our private scheme."""

    value: str = Field(min_length=1, max_length=16)
    scheme: Literal["SCT", "RADLEX", "DCM", "99CXRTRIAGE"]
    meaning: Line = Field(min_length=1, max_length=64)

    @model_validator(mode="after")
    def _is_of_its_scheme(self) -> Self:
        if not re.fullmatch(_FORMS[self.scheme], self.value):
            raise ValueError(f"{self.value!r} is no code of {self.scheme}")
        known = {(each.code.value, each.code.scheme): each.code.meaning for each in KNOWN_CODES.values()}
        meaning = known.get((self.value, self.scheme), self.meaning)
        if meaning.casefold() != self.meaning.casefold():
            raise ValueError(f"{self.value} of {self.scheme} is the code of {meaning!r}, not of {self.meaning!r}")
        return self


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
        if self.kind == "logistic" and 0 in self.weights:
            raise ValueError("a weight of 0 says nothing of its finding: leave the finding out of the rule")
        if self.kind != "logistic" and (self.weights or self.intercept):
            raise ValueError("weights and intercept are for logistic")
        if (self.kind == "plugin") != bool(self.plugin):
            raise ValueError("plugin names the rule, for the kind plugin alone")
        return self


_OF_CRITICAL = ("sensitivity", "ppv")
"""Figures that a card has to state for a finding that a site may call critical."""


class CardFinding(CardPart):
    """One named output of a model, or a rule over several."""

    name: FindingName
    title: Line = Field(min_length=1, max_length=200, description="Its name for people.")
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
    def effective_code(self) -> FindingCode:
        """Its code as it is sent: that of the card, else that of its name."""
        return FindingCode(**self.code.model_dump()) if self.code else code_of(self.name, self.title)

    @property
    def threshold(self) -> float:
        """The card's operating point in use."""
        return self.operating_points[0].threshold

    @property
    def measured(self) -> bool:
        """True if sensitivity and positive predictive value of the operating point in use are stated."""
        return all(any(self._states(figure, each.figures) for each in self.performance) for figure in _OF_CRITICAL)

    def _states(self, figure: str, figures: Mapping[str, Interval]) -> bool:
        return figure in figures or f"{figure} at {self.threshold:g}" in figures

    @model_validator(mode="after")
    def _measured_shares(self) -> Self:
        for each in self.performance:
            check_shares({name: found for name, found in each.figures.items() if name.startswith(_OF_CRITICAL)})
        return self


class AbnormalRule(CardPart):
    """The tag of an image: ABNORMAL if any finding that counts is positive.

    ``negative_is_normal``: if all of them are negative, that means "no abnormality". ``performance``: sensitivity and
    specificity after combination, per study where that could be measured.
    """

    negative_is_normal: bool
    performance: tuple[Performance, ...] = ()


def check_findings(findings: Sequence[CardFinding]) -> None:
    """Raise ValueError unless names, codes and columns are unique, one counts, and rules have no hole or circle."""
    names = [each.name for each in findings]
    if len(set(names)) != len(names):
        raise ValueError("two findings have one name")
    for problem in (*_of_one_code(findings), *_of_one_column(findings)):
        raise ValueError(problem)
    if not any(each.counts for each in findings):
        raise ValueError("no finding counts: nothing would ever be ABNORMAL")
    in_order(findings)


def _of_one_code(findings: Sequence[CardFinding]) -> Iterator[str]:
    """Yield the findings that a receiver could not tell apart."""
    seen: dict[tuple[str, str], str] = {}
    for each in findings:
        code = each.effective_code
        if (other := seen.setdefault((code.value, code.scheme), each.name)) != each.name:
            yield f"{other} and {each.name} have one code, {code.value} of {code.scheme}: reports would mix them up"


def _of_one_column(findings: Sequence[CardFinding]) -> Iterator[str]:
    seen: dict[int, str] = {}
    for each in findings:
        if each.column is not None and (other := seen.setdefault(each.column, each.name)) != each.name:
            yield (
                f"{other} and {each.name} are both column {each.column}: two thresholds of one score would make an "
                "urgency of how high it is"
            )


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
