"""Two models on the same images, or a model and a reader, and the two of them combined."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from triage.statistics.intervals import Bounds, Doubles, delong, mcnemar, percentile_interval, t_test, weighted_auc
from triage.validation.measures.cohort_record import ChosenThreshold, Draws, roc_points
from triage.validation.measures.comparison_records import (
    AUCDifference,
    PairedPoint,
    ReaderFigures,
    ReplicatesOf,
    ReplicatesRecord,
    VersusRecord,
)
from triage.validation.measures.figures import auc_figure, confusion_figures, json_number
from triage.validation.measures.metrics_record import Interval, ValueRecord
from triage.validation.scores.scored import Flags, ScoredCohort

Values = Sequence[float | None]


def compare_scores(
    name: str, scored: ScoredCohort, others: Values, points: Sequence[ChosenThreshold], draws: Draws
) -> VersusRecord:
    """Compare ``scored`` with the other's scores on the images that both assessed.

    Differences are first minus second, with DeLong's and the paired bootstrap's interval, and McNemar's exact p value.
    Scores of 0 and 1 only are a reader's calls: then the reader's figures, and those of both combined, are added.
    """
    other = np.array([np.nan if value is None else value for value in others])
    both = scored.assessed & ~np.isnan(other)
    first = scored.where(both)
    second = ScoredCohort(first.labels, other[both], np.ones(len(first), dtype=bool), first.patients)
    record: VersusRecord = {"name": name, "n": len(first), "not_assessed_by_one": int((~both).sum()), "points": []}
    if not first.both_classes:
        return record
    reader = bool(np.isin(second.scores, (0.0, 1.0)).all())
    record["points"] = [_at_point(first, second, point, draws, reader) for point in points]
    if reader:
        combined = (first.scores + second.scores) / 2
        both_read = ScoredCohort(first.labels, combined, first.assessed, first.patients)
        record["reader"] = _reader_figures(second, draws)
        record["combined"] = {
            "how": "mean of the model's probability and the reader's call (Dunnmon et al. 2019)",
            "auc": auc_figure(both_read, draws).record(),
            "difference_to_model": _auc_difference(both_read, first, draws),
        }
        return record
    return {
        **record,
        "auc": _auc_difference(first, second, draws),
        "auc_alone": auc_figure(second, draws).record(),
        "roc": roc_points(second),
    }


def compare_replicates(first: Sequence[float], second: Sequence[float]) -> ReplicatesRecord:
    """Return means and standard deviations of a figure over replicates, and the t-test's p value, as in the paper."""
    record: ReplicatesRecord = {"covers": "the repetition of training; not the drawing of the test images"}
    if len(first) > 1:
        record["first"] = _replicates(first)
    if len(second) > 1:
        record["second"] = _replicates(second)
    if len(first) > 1 and len(second) > 1:
        record["p_value"] = json_number(t_test(first, second))
    return record


def _replicates(values: Sequence[float]) -> ReplicatesOf:
    return {"n": len(values), "mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}


def reader_figures(calls: Values, labels: Sequence[int], patients: Sequence[str], draws: Draws) -> ReaderFigures:
    """Return a reader's sensitivity, specificity and the like with intervals, over the images that they read."""
    values = np.array([np.nan if call is None else call for call in calls])
    read = ~np.isnan(values)
    names = [patients[int(index)] for index in np.flatnonzero(read)]
    truth = np.array([float(label) for label in labels])[read]
    return _reader_figures(ScoredCohort(truth, values[read], np.ones(int(read.sum()), dtype=bool), names), draws)


def _reader_figures(calls: ScoredCohort, draws: Draws) -> ReaderFigures:
    table, figures = confusion_figures(calls, 0.5, draws, worst=False)
    return {
        "n": len(calls),
        "confusion": table.record(),
        "sensitivity": figures["sensitivity"].record(),
        "specificity": figures["specificity"].record(),
        "ppv": figures["ppv"].record(),
        "npv": figures["npv"].record(),
        "accuracy": figures["accuracy"].record(),
    }


def _auc_difference(first: ScoredCohort, second: ScoredCohort, draws: Draws) -> AUCDifference:
    curves = [weighted_auc(each.labels, each.scores) for each in (first, second)]
    rounds = draws(first).over(lambda weights: (curves[0](weights) - curves[1](weights))[:, np.newaxis])[:, 0]
    intervals = {"bootstrap": _numbers(percentile_interval(rounds))}
    p_value = None
    if min(int(first.positive.sum()), int((~first.positive).sum())) > 1:
        _, bounds, p = delong(first.labels, first.scores, second.scores).difference()
        intervals["delong"] = _numbers(bounds)
        p_value = json_number(p)
    values = [float(curve(np.ones((1, len(first))))[0]) for curve in curves]
    return {
        "first": values[0],
        "second": values[1],
        "difference": values[0] - values[1],
        "intervals": intervals,
        "delong_p_value": p_value,
    }


def _at_point(
    first: ScoredCohort, second: ScoredCohort, point: ChosenThreshold, draws: Draws, reader: bool
) -> PairedPoint:
    """Compare both at the same threshold; a reader's calls need none."""
    raised = (first.raised(point.threshold), second.raised(0.5 if reader else point.threshold))
    right = [each == first.positive for each in raised]
    only_first, only_second, p_value = mcnemar(right[0], right[1])
    return {
        "name": point.name,
        "threshold": point.threshold,
        "sensitivity_difference": _rate_difference(raised, first, first.positive, draws),
        "specificity_difference": _rate_difference((~raised[0], ~raised[1]), first, ~first.positive, draws),
        "mcnemar": {"only_first_right": only_first, "only_second_right": only_second, "p_value": p_value},
    }


def _rate_difference(events: tuple[Flags, Flags], scored: ScoredCohort, among: Flags, draws: Draws) -> ValueRecord:
    columns: Doubles = np.stack([events[0] & among, events[1] & among, among], axis=1).astype(np.float64)

    def difference(weights: Doubles) -> Doubles:
        totals = weights @ columns
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((totals[:, 0] - totals[:, 1]) / totals[:, 2])[:, np.newaxis]

    value = float(difference(np.ones((1, len(scored))))[0, 0])
    rounds = draws(scored).over(difference)[:, 0]
    return {"value": json_number(value), "intervals": {"bootstrap": _numbers(percentile_interval(rounds))}}


def _numbers(bounds: Bounds) -> Interval:
    return [json_number(bounds[0]), json_number(bounds[1])]
