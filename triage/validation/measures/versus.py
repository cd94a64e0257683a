"""Two models on the same images, or a model beside a reader, and the two of them together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from triage.statistics.intervals import Doubles, delong, mcnemar, percentile_interval, t_test, weighted_auc
from triage.validation.measures.cohort_record import ChosenThreshold, Draws, roc_of
from triage.validation.measures.figures import auc_figure, confusion_figures, number
from triage.validation.scores.scored import Flags, ScoredCohort

Values = Sequence[float | None]


def versus(
    name: str, scored: ScoredCohort, others: Values, points: Sequence[ChosenThreshold], draws: Draws
) -> dict[str, Any]:
    """``scored`` against the other's scores on the images that both assessed; n and what is missing are stated.

    Differences are first minus second, with DeLong's and the paired bootstrap's interval, and McNemar's exact p value.
    Scores of 0 and 1 only are a reader's calls: then the reader's figures, and the two combined, are given too.
    """
    other = np.array([np.nan if value is None else value for value in others])
    both = scored.assessed & ~np.isnan(other)
    first = scored.where(both)
    second = ScoredCohort(first.labels, other[both], np.ones(len(first), dtype=bool), first.patients)
    record: dict[str, Any] = {"name": name, "n": len(first), "not_assessed_by_one": int((~both).sum())}
    if not first.both_classes:
        return {**record, "points": []}
    reader = bool(np.isin(second.scores, (0.0, 1.0)).all())
    record["points"] = [_at_point(first, second, point, draws, reader) for point in points]
    if reader:
        combined = (first.scores + second.scores) / 2
        both_read = ScoredCohort(first.labels, combined, first.assessed, first.patients)
        record["reader"] = _reader(second, draws)
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
        "roc": roc_of(second),
    }


def replicates(first: Sequence[float], second: Sequence[float]) -> dict[str, Any]:
    """The paper's comparison: means and standard deviations of a figure over replicates, and the t-test's p value."""
    found: dict[str, Any] = {"covers": "the repetition of training; not the drawing of the test images"}
    for name, values in (("first", first), ("second", second)):
        if len(values) > 1:
            found[name] = {"n": len(values), "mean": float(np.mean(values)), "sd": float(np.std(values, ddof=1))}
    if "first" in found and "second" in found:
        found["p_value"] = number(t_test(first, second))
    return found


def reader_point(calls: Values, labels: Sequence[int], patients: Sequence[str], draws: Draws) -> dict[str, Any]:
    """A reader as a point on the ROC plane: sensitivity and specificity with intervals, over what they read."""
    values = np.array([np.nan if call is None else call for call in calls])
    read = ~np.isnan(values)
    names = [patients[int(index)] for index in np.flatnonzero(read)]
    truth = np.array([float(label) for label in labels])[read]
    return _reader(ScoredCohort(truth, values[read], np.ones(int(read.sum()), dtype=bool), names), draws)


def _reader(calls: ScoredCohort, draws: Draws) -> dict[str, Any]:
    table, figures = confusion_figures(calls, 0.5, draws, worst=False)
    kept = {name: figures[name].record() for name in ("sensitivity", "specificity", "ppv", "npv", "accuracy")}
    return {"n": len(calls), "confusion": {"tp": table.tp, "fp": table.fp, "tn": table.tn, "fn": table.fn}, **kept}


def _auc_difference(first: ScoredCohort, second: ScoredCohort, draws: Draws) -> dict[str, Any]:
    curves = [weighted_auc(each.labels, each.scores) for each in (first, second)]
    rounds = draws(first).over(lambda weights: (curves[0](weights) - curves[1](weights))[:, np.newaxis])[:, 0]
    intervals = {"bootstrap": _numbers(percentile_interval(rounds))}
    p_value = None
    if min(int(first.positive.sum()), int((~first.positive).sum())) > 1:
        _, bounds, p = delong(first.labels, first.scores, second.scores).difference()
        intervals["delong"] = _numbers(bounds)
        p_value = number(p)
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
) -> dict[str, Any]:
    """Both at the same threshold; a reader's calls need none."""
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


def _rate_difference(events: tuple[Flags, Flags], scored: ScoredCohort, among: Flags, draws: Draws) -> dict[str, Any]:
    columns: Doubles = np.stack([events[0] & among, events[1] & among, among], axis=1).astype(np.float64)

    def difference(weights: Doubles) -> Doubles:
        totals = weights @ columns
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray((totals[:, 0] - totals[:, 1]) / totals[:, 2])[:, np.newaxis]

    value = float(difference(np.ones((1, len(scored))))[0, 0])
    rounds = draws(scored).over(difference)[:, 0]
    return {"value": number(value), "intervals": {"bootstrap": _numbers(percentile_interval(rounds))}}


def _numbers(bounds: tuple[float, float]) -> list[float | None]:
    return [number(bounds[0]), number(bounds[1])]
