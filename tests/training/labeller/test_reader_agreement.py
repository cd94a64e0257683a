"""Percent agreement and Cohen's kappa with their intervals."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score

from training.labeller.reader_agreement import agreement


def _readers(n: int, wrong: float, seed: int) -> tuple[list[int], list[int]]:
    random = np.random.default_rng(seed)
    first = random.random(n) < 0.4
    second = first ^ (random.random(n) < wrong)
    return first.astype(int).tolist(), second.astype(int).tolist()


@pytest.mark.parametrize("wrong", [0.0, 0.03, 0.2, 0.5])
def test_kappa_is_that_of_scikit_learn(wrong: float) -> None:
    first, second = _readers(400, wrong, seed=1)
    found = agreement(first, second)
    assert found.kappa == pytest.approx(cohen_kappa_score(first, second))
    assert found.agreement == pytest.approx(np.mean(np.equal(first, second)))


def test_the_table_and_its_kappa_by_hand() -> None:
    """Two readers of 50: both yes 20, both no 15, first alone 5, second alone 10; kappa = (0.7 - 0.5) / 0.5."""
    first = [1] * 20 + [0] * 15 + [1] * 5 + [0] * 10
    second = [1] * 20 + [0] * 15 + [0] * 5 + [1] * 10
    found = agreement(first, second)
    assert (found.both, found.first_only, found.second_only) == ((15, 20), 5, 10)
    assert found.kappa == pytest.approx(0.4)


def test_intervals_agree_with_the_bootstrap() -> None:
    first, second = _readers(1500, 0.05, seed=2)
    found = agreement(first, second)
    random = np.random.default_rng(3)
    a, b = np.asarray(first), np.asarray(second)
    draws = [random.integers(0, len(a), len(a)) for _ in range(1000)]
    kappas = [cohen_kappa_score(a[draw], b[draw]) for draw in draws]
    assert found.kappa_interval == pytest.approx(np.percentile(kappas, [2.5, 97.5]), abs=0.005)
    shares = [np.mean(a[draw] == b[draw]) for draw in draws]
    assert found.agreement_interval == pytest.approx(np.percentile(shares, [2.5, 97.5]), abs=0.005)


def test_perfect_agreement_has_kappa_one_with_no_width() -> None:
    found = agreement([0, 1, 0, 1], [0, 1, 0, 1])
    assert (found.kappa, found.kappa_interval) == (1.0, (1.0, 1.0))
    assert found.agreement_interval[0] < 1.0


@pytest.mark.parametrize(("first", "second"), [([], []), ([1], [1, 0]), ([1, 1], [1, 1])])
def test_what_has_no_kappa_is_refused(first: list[int], second: list[int]) -> None:
    with pytest.raises(ValueError, match=r"agreement needs|not defined"):
        agreement(first, second)
