"""The format of metrics.json (``metrics_schema`` 2). A figure that the cohort does not define is null.

Keys by case are ``assessed`` (over the assessed images) and ``worst_case`` (an image that was not assessed is wrong).
"""

from __future__ import annotations

from typing import TypedDict

from triage.validation.scores.over_dicom import Disagreement

Interval = list[float | None]
"""Lower and upper bound."""


class ValueRecord(TypedDict):
    """A value with its intervals by the name of their method."""

    value: float | None
    intervals: dict[str, Interval]


class FigureRecord(ValueRecord):
    """A figure of n images or studies."""

    n: int


Figures = dict[str, FigureRecord]
"""Figures by name, or one figure by case."""


class CountsRecord(TypedDict):
    """Numbers of images or studies, and of patients."""

    n: int
    positives: int
    negatives: int
    patients: int
    prevalence: float | None


class ConfusionRecord(TypedDict):
    """A confusion matrix."""

    tp: int
    fp: int
    tn: int
    fn: int


class PointCase(TypedDict):
    """Measurements at an operating point in one case."""

    confusion: ConfusionRecord
    figures: Figures


class PointRecord(TypedDict):
    """Measurements at one operating point."""

    name: str
    threshold: float
    chosen: str
    assessed: PointCase
    worst_case: PointCase


class UnitRecord(CountsRecord):
    """Measurements per image or per study. ``auc`` by case."""

    coverage: FigureRecord
    auc: Figures
    points: list[PointRecord]


class GroupRecord(CountsRecord):
    """Measurements of one subgroup, at the first operating point."""

    group: str
    coverage: FigureRecord
    assessed: Figures
    worst_case: Figures


class RocPoint(TypedDict):
    """A corner of a ROC curve; the threshold of the first one is null (infinite)."""

    false_positive_rate: float
    true_positive_rate: float
    threshold: float | None


class HistogramRecord(TypedDict):
    """Counts of scores in bins between ``edges``."""

    edges: list[float]
    positives: list[int]
    negatives: list[int]


class BinRecord(TypedDict):
    """A bin of the reliability diagram."""

    low: float
    high: float
    n: int
    mean_probability: float
    positives: int
    bounds: list[float]
    observed: float


class CalibrationRecord(TypedDict):
    """Brier score and expected calibration error by case, and the reliability diagram."""

    binning: str
    assessed: Figures
    worst_case: Figures
    bins: list[BinRecord]


class NetBenefitRecord(TypedDict):
    """Net benefit per image at a threshold."""

    threshold: float
    model: float
    raise_all: float


class NeededRecord(TypedDict):
    """Numbers of images that a lower bound of sensitivity or specificity needs."""

    lower_bound: float
    fewest_with_all_found: int
    for_a_true_value_halfway_to_1: int | None
    misses_allowed_here: int | None
    false_alarms_allowed_here: int | None


class SampleSizeRecord(TypedDict):
    """Bounds that this cohort can certify."""

    needs: list[NeededRecord]
    highest_sensitivity_bound_here: float
    highest_specificity_bound_here: float


class CohortMeasurements(TypedDict):
    """Everything that is measured on the scores of one cohort."""

    image: UnitRecord
    study: UnitRecord
    roc: list[RocPoint]
    histogram: HistogramRecord
    calibration: CalibrationRecord
    decision_curve: list[NetBenefitRecord]
    sample_size: SampleSizeRecord


class NotAssessedRecord(TypedDict):
    """Numbers of images that were not assessed for one reason."""

    reason: str
    n: int
    positives: int
    negatives: int


class MeanRecord(TypedDict):
    """Mean and sample standard deviation."""

    mean: float
    sd: float


class FoldsRecord(TypedDict):
    """Figures over folds."""

    folds: int
    auc: MeanRecord
    sensitivity: MeanRecord
    specificity: MeanRecord


class ShortcutRecord(TypedDict):
    """The AUC that a column reaches alone."""

    column: str
    auc: FigureRecord
    suspicious: bool


class DesignRecord(TypedDict):
    """Architecture of a network and side of its input in pixels; null where unknown."""

    architecture: str | None
    size: int | None


class MadeRecord(TypedDict):
    """Time and software of the validation."""

    at: str
    python: str
    machine: str
    packages: dict[str, str | None]


class TargetRecord(TypedDict):
    """The model's target, as on its card."""

    finding: str
    positive_class: str
    negative_class: str
    negative_is_normal: bool


class ModelRecord(DesignRecord):
    """The model that was validated."""

    name: str
    version: str
    sha256: str
    demo: bool
    target: TargetRecord
    scores_given_by: str | None


class CohortRecord(TypedDict):
    """The cohort that the model was validated on."""

    manifest: str
    manifest_sha256: str
    split: str | None
    images_sha256: str
    title: str | None
    notes: list[str]
    files_with_the_bytes_of_another: int
    images_of_training_patients: int | None
    why_not_known: str | None
    images_of_training_patients_left_out: int
    training_images: int | None


class ThresholdRecord(TypedDict):
    """An operating point that was measured."""

    name: str
    threshold: float
    chosen: str


class SettingsRecord(TypedDict):
    """Options of the validation."""

    prevalence: float | None
    bootstrap_rounds: int
    seed: int
    any_age: bool
    points: list[ThresholdRecord]


class BarRecord(TypedDict):
    """A required bound, the bound that was found, and whether it holds."""

    bar: str
    bound: float | None
    holds: bool


class DicomRecord(TypedDict):
    """Results through a running service against those of the files alone."""

    images: int
    disagreements: list[Disagreement]
