"""metrics.json as a whole (``metrics_schema`` 2); a record of schema 1 has nothing by finding."""

from __future__ import annotations

from triage.validation.measures.comparison_records import Comparisons, PaperRecord
from triage.validation.measures.finding_records import FindingsRecord, SitePointsRecord
from triage.validation.measures.metrics_record import (
    BarRecord,
    CohortMeasurements,
    CohortRecord,
    DicomRecord,
    FoldsRecord,
    GroupRecord,
    MadeRecord,
    ModelRecord,
    NotAssessedRecord,
    SettingsRecord,
    ShortcutRecord,
)
from triage.validation.scores.activation_maps import PointingGame


class MetricsRecord(CohortMeasurements, Comparisons, FindingsRecord, SitePointsRecord):
    """The whole file."""

    metrics_schema: int
    made: MadeRecord
    model: ModelRecord
    cohort: CohortRecord
    settings: SettingsRecord
    interval_methods: dict[str, str]
    not_assessed: list[NotAssessedRecord]
    folds: FoldsRecord | None
    subgroups: dict[str, list[GroupRecord]]
    columns_of_too_many_values: list[str]
    shortcuts: list[ShortcutRecord]
    paper: PaperRecord | None
    dicom: DicomRecord | None
    pointing_game: PointingGame | None
    bars: list[BarRecord]
    warnings: list[str]
    passed: bool
