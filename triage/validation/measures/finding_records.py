"""The part of metrics.json that is by finding, new in ``metrics_schema`` 2."""

from __future__ import annotations

from typing import TypedDict

from triage.validation.measures.comparison_records import NamedReaderFigures
from triage.validation.measures.metrics_record import Figures, PointCase, UnitRecord


class CallsCase(TypedDict):
    """Measurements of calls by the points in force, over the assessed and in the worst case."""

    assessed: PointCase
    worst_case: PointCase


class CallsRecord(TypedDict):
    """Measurements of calls, per image and per study."""

    image: CallsCase
    study: CallsCase


class InForceRecord(CallsRecord):
    """Measurements by the thresholds in force, which strata may have of their own."""

    thresholds: list[float]


class FindingMeasures(TypedDict):
    """Measurements of one finding on the images that are labelled for it.

    ``label_column``: ``label`` for the leading finding without a column of its own.
    """

    name: str
    title: str
    counts: bool
    label_column: str
    image: UnitRecord
    study: UnitRecord
    in_force: InForceRecord
    readers: list[NamedReaderFigures]


class MacroRecord(TypedDict):
    """Mean over findings of AUC, sensitivity and specificity in force, per image, each finding counting alike."""

    findings: list[str]
    assessed: Figures
    worst_case: Figures


class CombinationRecord(CallsRecord):
    """The rule of the tag, measured after combination: positive if a finding that counts is.

    ``findings``: those that count. The truth is the column ``label``.
    """

    findings: list[str]


class SitePointRecord(TypedDict):
    """An operating point of the site's file for this model.

    ``images_that_chose``: of this cohort; figures at the point flatter it where there are any.
    """

    name: str
    finding: str
    stratum: str
    threshold: float
    expires: str | None
    images_that_chose: int


class FindingsRecord(TypedDict):
    """Everything by finding.

    ``findings_without_labels``: of the card; ``labels_without_finding``: of the manifest.
    """

    findings: list[FindingMeasures]
    macro_average: MacroRecord | None
    combined: CombinationRecord | None
    findings_without_labels: list[str]
    labels_without_finding: list[str]


class SitePointsRecord(TypedDict):
    """Operating points of the site."""

    site_points: list[SitePointRecord]
