"""The part of metrics.json that compares: with other models, readers, replicates and the paper."""

from __future__ import annotations

from typing import NotRequired, TypedDict

from triage.validation.measures.metrics_record import (
    ConfusionRecord,
    FigureRecord,
    Interval,
    MeanRecord,
    RocPoint,
    ValueRecord,
)


class ReaderFigures(TypedDict):
    """Figures of a reader's calls."""

    n: int
    confusion: ConfusionRecord
    sensitivity: FigureRecord
    specificity: FigureRecord
    ppv: FigureRecord
    npv: FigureRecord
    accuracy: FigureRecord


class NamedReaderFigures(ReaderFigures):
    """A reader and the figures of their calls."""

    name: str


class McNemarRecord(TypedDict):
    """McNemar's exact test."""

    only_first_right: int
    only_second_right: int
    p_value: float


class PairedPoint(TypedDict):
    """Two models, or a model and a reader, at one operating point."""

    name: str
    threshold: float
    sensitivity_difference: ValueRecord
    specificity_difference: ValueRecord
    mcnemar: McNemarRecord


class AUCDifference(TypedDict):
    """Difference of two AUCs on the same images: first minus second."""

    first: float
    second: float
    difference: float
    intervals: dict[str, Interval]
    delong_p_value: float | None


class CombinedRecord(TypedDict):
    """A model and a reader combined."""

    how: str
    auc: FigureRecord
    difference_to_model: AUCDifference


class VersusRecord(TypedDict):
    """The model against another model (``auc``, ``roc``) or a reader (``reader``, ``combined``)."""

    name: str
    n: int
    not_assessed_by_one: int
    points: list[PairedPoint]
    reader: NotRequired[ReaderFigures]
    combined: NotRequired[CombinedRecord]
    auc: NotRequired[AUCDifference]
    auc_alone: NotRequired[FigureRecord]
    roc: NotRequired[list[RocPoint]]
    architecture: NotRequired[str | None]
    size: NotRequired[int | None]


class ReplicatesOf(MeanRecord):
    """A figure over n replicates of one model."""

    n: int


class ReplicatesRecord(TypedDict):
    """Replicates of two models, and the t-test between them."""

    covers: str
    first: NotRequired[ReplicatesOf]
    second: NotRequired[ReplicatesOf]
    p_value: NotRequired[float | None]


class ComparedFigure(TypedDict):
    """One figure of the paper and ours."""

    figure: str
    paper: float
    ours: float | None
    low: float | None
    high: float | None
    margin: float
    verdict: str


class PaperCohortRecord(TypedDict):
    """The paper's report of one test set."""

    name: str
    title: str
    source: str
    model: str
    positives: int
    negatives: int
    images_sha256: str | None
    threshold: float
    figures: dict[str, float]
    notes: list[str]
    others: list[dict[str, str | float]]


class PaperRecord(TypedDict):
    """Comparison with the paper."""

    cohort: PaperCohortRecord
    verdict: str
    obstacles: list[str]
    compared: list[ComparedFigure]
    passes: NotRequired[bool]


class Comparisons(TypedDict):
    """Comparisons with other models, readers and replicates."""

    versus: list[VersusRecord]
    readers: list[NamedReaderFigures]
    replicates: ReplicatesRecord | None
