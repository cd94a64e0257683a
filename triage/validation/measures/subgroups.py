"""Subgroups of the cohort by known attributes of its images, and the AUC that each attribute reaches alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from triage.statistics.intervals import Doubles
from triage.validation.cohort.members import Member
from triage.validation.measures.cohort_record import Draws, MeasureOptions, count_labels
from triage.validation.measures.figures import auc_figure, confusion_figures, share_figure
from triage.validation.measures.metrics_record import Figures, GroupRecord, ShortcutRecord
from triage.validation.scores.predictions import Prediction
from triage.validation.scores.scored import Flags, ScoredCohort

MOST_VALUES = 12
"""A free column with more distinct values is no grouping, but an identifier or a measurement."""
MOST_FINDINGS = 40
SUSPICIOUS_AUC = 0.6
UNKNOWN = "not stated"

_AGE_BANDS = (
    (1, "under 1"),
    (6, "1-5"),
    (18, "6-17"),
    (40, "18-39"),
    (60, "40-59"),
    (80, "60-79"),
    (999, "80 and over"),
)
_OWN = frozenset({"study"})


@dataclass(frozen=True)
class Column:
    """An attribute of every image. Values joined by ``|`` (findings) put an image into several groups."""

    name: str
    values: tuple[str, ...]

    @property
    def several(self) -> bool:
        """True if an image can be in more than one group."""
        return any("|" in value for value in self.values)

    def groups(self) -> list[str]:
        """Return the distinct values, age bands by age, "not stated" last."""
        found = {part for value in self.values for part in value.split("|")}
        bands = [label for _, label in _AGE_BANDS]
        return sorted(found, key=lambda each: (each == UNKNOWN, bands.index(each) if each in bands else -1, each))

    def members(self, group: str) -> Flags:
        """Return for each image whether it is in ``group``."""
        return np.array([group in value.split("|") for value in self.values], dtype=bool)


def group_columns(members: Sequence[Member], predictions: Sequence[Prediction]) -> tuple[list[Column], list[str]]:
    """Return view, sex, age band, source and every free column with few values; and the names of those with too many.

    A column with the same value for every image, or none, is left out.
    """
    known = {
        "view": [each.view for each in predictions],
        "sex": [member.row.sex for member in members],
        "age": [_age_band(each.age_years) for each in predictions],
        "source": [member.row.source for member in members],
    }
    named = {name for member in members for name in member.row.columns} - _OWN
    free = sorted(
        name for name in named if not name.startswith("reader")
    )  # a reader's call is no attribute of the image
    known |= {name: [member.row.columns.get(name, "") for member in members] for name in free}
    columns, too_many = [], []
    for name, values in known.items():
        column = Column(name, tuple(value or UNKNOWN for value in values))
        if len(column.groups()) < 2:
            continue
        if len(column.groups()) <= (MOST_FINDINGS if column.several else MOST_VALUES):
            columns.append(column)
        else:
            too_many.append(name)
    return columns, too_many


def measure_subgroups(
    scored: ScoredCohort, columns: Sequence[Column], options: MeasureOptions, draws: Draws
) -> dict[str, list[GroupRecord]]:
    """Measure every group of every column at the first operating point, however small the group."""
    return {
        column.name: [
            _measure_group(group, scored.where(column.members(group)), options, draws) for group in column.groups()
        ]
        for column in columns
    }


def measure_shortcuts(scored: ScoredCohort, columns: Sequence[Column], draws: Draws) -> list[ShortcutRecord]:
    """Measure for every column the AUC that it reaches alone, its values ordered by their share of positives.

    The order is taken from the same images, so the AUC is never below 0.5 and flatters columns of many values.
    """
    found: list[ShortcutRecord] = []
    for column in columns:
        if column.several:
            continue
        alone = column_as_score(column.values, scored)
        figure = auc_figure(ScoredCohort(scored.labels, alone, np.ones(len(alone), dtype=bool), scored.patients), draws)
        suspicious = figure.value >= SUSPICIOUS_AUC and not figure.lower <= 0.5
        found.append({"column": column.name, "auc": figure.record(), "suspicious": bool(suspicious)})
    return found


def column_as_score(values: Sequence[str], scored: ScoredCohort) -> Doubles:
    """Return for each image the share of positives among the images with its value."""
    shares: Mapping[str, float] = {
        value: float(scored.labels[np.array([each == value for each in values])].mean()) for value in set(values)
    }
    return np.array([shares[value] for value in values])


def _measure_group(group: str, scored: ScoredCohort, options: MeasureOptions, draws: Draws) -> GroupRecord:
    threshold = options.points[0].threshold

    def case(ranked: ScoredCohort, worst: bool) -> Figures:
        _, figures = confusion_figures(scored, threshold, draws, worst=worst)
        rates = {name: figures[name].record() for name in ("sensitivity", "specificity")}
        return rates | {"auc": auc_figure(ranked, draws).record()}

    return {
        "group": group,
        **count_labels(scored),
        "coverage": share_figure(scored.assessed, scored, draws).record(),
        "assessed": case(scored.only_assessed(), worst=False),
        "worst_case": case(scored.worst_case(), worst=True),
    }


def _age_band(age: float | None) -> str:
    return "" if age is None else next(label for below, label in _AGE_BANDS if age < below)
