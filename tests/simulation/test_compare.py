"""Whole scenarios against Cobham's closed form (Operations Research 1954;2:70), with a model that confuses classes.

A model's errors make the queue one of *stated* classes: each is a Poisson stream of a mixture of true classes. A true
class waits as long as the mixture of what it is stated to be.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import factorial
from pathlib import Path

import numpy as np
import pytest

from triage.simulation.compare import ScenarioComparison, simulate
from triage.simulation.scenario import Scenario, ScenarioError

CLASSES = ("critical", "urgent", "nonurgent", "normal")
PREVALENCES = np.asarray([0.1, 0.3, 0.2, 0.4])
NOT_ASSESSED = np.asarray([0.1, 0.0, 0.0, 0.05])
CONFUSION = np.asarray([[0.7, 0.2, 0.0, 0.1], [0.1, 0.6, 0.2, 0.1], [0.0, 0.3, 0.5, 0.2], [0.05, 0.1, 0.15, 0.7]])
STATED = np.column_stack([CONFUSION * (1 - NOT_ASSESSED)[:, np.newaxis], NOT_ASSESSED])
IN_CLASS_ORDER = [["critical"], ["urgent", "not assessed"], ["nonurgent"], ["normal"]]
LEVEL = [0, 1, 2, 3, 1]  # of each stated class, NOT_ASSESSED the last


def a_comparison(per_hour: float, readers: int, weeks: int, reading: Sequence[dict[str, object]]) -> ScenarioComparison:
    rows = [dict(zip(CLASSES, row, strict=True)) for row in CONFUSION.tolist()]
    urgency = [
        {"name": name, "prevalence": share, "predicted": row, "not_assessed": unassessed, "reading": times}
        for name, share, row, unassessed, times in zip(CLASSES, PREVALENCES, rows, NOT_ASSESSED, reading, strict=True)
    ]
    policy = [{"name": "by class", "order": IN_CLASS_ORDER}]
    scenario = {"arrivals": {"per_hour": per_hour}, "readers": {"count": readers}, "urgency": urgency, "policy": policy}
    run = {"weeks": weeks, "replications": 10, "seed": 4}
    return simulate(Scenario.model_validate({**scenario, "run": run}))


def by_level(per_true_class: np.ndarray) -> np.ndarray:
    """Sums over the levels of what each true class brings to each of the stated ones."""
    brought = per_true_class[:, np.newaxis] * STATED
    return np.asarray([brought[:, [at == level for at in LEVEL]].sum() for level in range(4)])


def cobham(first: float, loads: np.ndarray) -> np.ndarray:
    """Mean wait of each level; ``first``: of a class that is read first; the rest of the reading in hand."""
    left = 1 - np.concatenate([[0.0], np.cumsum(loads)])
    return first / left[:-1] / left[1:]


def assert_waits(found: ScenarioComparison, waits: np.ndarray) -> None:
    for index, name in enumerate(CLASSES):
        expected = sum(share * waits[level] for share, level in zip(STATED[index], LEVEL, strict=True))
        _assert_mean(found, name, expected)
    missed = STATED[0, 1:4]
    _assert_mean(found, "missed critical", float(missed @ waits[1:4] / missed.sum()))
    _assert_mean(found, "critical taken for normal", float(waits[3]))


def _assert_mean(found: ScenarioComparison, group: str, expected: float) -> None:
    wait = found.estimate("by class", "wait", group, "mean")
    half = wait.upper - wait.value
    assert half < 0.1 * expected
    assert abs(wait.value - expected) < 2 * half, f"{group}: {wait.value} is not {expected} (half an interval: {half})"


def test_true_classes_wait_as_cobham_says_of_what_they_are_stated_to_be():
    """M/G/1: reading times of any distribution, another for each class."""
    means, sds = np.asarray([9.0, 6.0, 5.0, 4.0]), np.asarray([5.0, 4.0, 4.0, 3.0])
    reading = [{"mean_minutes": mean, "sd_minutes": sd} for mean, sd in zip(means.tolist(), sds.tolist(), strict=True)]
    found = a_comparison(8.5, 1, 20, reading)

    rates = 8.5 / 60 * PREVALENCES
    residual = float((rates * (means**2 + sds**2)).sum() / 2)
    assert_waits(found, cobham(residual, by_level(rates * means)))


def test_with_several_readers_too():
    """M/M/c: exponential reading times with one mean."""
    readers, mean, per_hour = 3, 6.0, 24.0
    load = per_hour / 60 * mean
    found = a_comparison(per_hour, readers, 12, [{"distribution": "exponential", "mean_minutes": mean}] * 4)

    busy = load**readers / factorial(readers) * readers / (readers - load)
    busy /= sum(load**k / factorial(k) for k in range(readers)) + busy
    assert_waits(found, cobham(busy * mean / readers, by_level(load / readers * PREVALENCES)))


def test_a_log_in_which_a_class_cannot_arrive_is_refused(tmp_path: Path):
    log = tmp_path / "log.csv"
    reading = {"distribution": "constant", "mean_minutes": 1.0}
    urgency = [
        {"name": name, "prevalence": share, "predicted": {name: 1.0}, "reading": reading}
        for name, share in (("red", 0.0), ("green", 1.0))
    ]
    scenario = Scenario.model_validate({"arrivals": {"log": log}, "urgency": urgency, "run": {"replications": 2}})
    head = "arrived,label\n2026-03-02T08:15,green\n"
    log.write_text(head + "2026-03-02T08:16,green\n")
    with pytest.raises(ScenarioError, match=r"log.csv: no study of red arrives: .* every row has another"):
        simulate(scenario)
    log.write_text(head + "2026-03-02T08:16,\n")
    with pytest.raises(ScenarioError, match=r"no study of red arrives: .* its prevalence is 0"):
        simulate(scenario)
    log.write_text(head + "2026-03-02T08:16,red\n")
    assert simulate(scenario).counts["red"] == 2
