"""Exact bounds of clustered proportions."""

from __future__ import annotations

import numpy as np
import pytest

from triage.statistics.clustered import clustered_exact_interval
from triage.statistics.intervals import exact_interval


@pytest.mark.parametrize(("hits", "count"), [(0, 10), (7, 10), (72, 72), (95, 100)])
def test_with_one_trial_of_each_patient_it_is_the_plain_interval(hits: int, count: int) -> None:
    right = np.arange(count) < hits
    found = clustered_exact_interval(right, [f"p{n}" for n in range(count)])
    assert found == pytest.approx(exact_interval(hits, count))


def test_trials_of_one_patient_are_no_further_evidence() -> None:
    patients = [f"p{n // 10}" for n in range(200)]
    found = clustered_exact_interval(np.ones(200, dtype=bool), patients)
    assert found == pytest.approx(exact_interval(20, 20))
    missed = np.ones(200, dtype=bool)
    missed[0] = False  # one of ten studies of a patient: the patient counts as missed
    assert clustered_exact_interval(missed, patients)[0] == pytest.approx(exact_interval(19, 20)[0])


def test_one_patient_of_many_studies_weighs_as_the_share_of_studies_does() -> None:
    right = np.array([False] * 50 + [True] * 50)
    patients = ["many"] * 50 + [f"p{n}" for n in range(50)]
    assert clustered_exact_interval(right, patients)[0] < exact_interval(50, 51)[0] / 2


def test_without_a_trial_there_are_no_bounds() -> None:
    assert all(np.isnan(clustered_exact_interval(np.zeros(0, dtype=bool), [])))


@pytest.mark.parametrize("alike", [True, False])
def test_the_lower_bound_covers_whether_studies_of_a_patient_are_alike_or_not(alike: bool) -> None:
    rng = np.random.default_rng(5)
    true, above = 0.9, 0
    for _ in range(400):
        sizes = rng.integers(1, 5, 60)
        chance = rng.beta(9 * 0.1, 1 * 0.1, 60) if alike else np.full(60, true)  # mean 0.9, nearly 0 or 1
        right = np.concatenate([rng.random(size) < each for size, each in zip(sizes, chance, strict=True)])
        patients = np.repeat([f"p{n}" for n in range(60)], sizes)
        above += clustered_exact_interval(right, patients.tolist())[0] > true
    assert above / 400 <= 0.025
