"""The positive predictive value of a page: Bayes, the right operating point, and nothing where it is not known."""

from __future__ import annotations

import pytest

from triage.model.card_finding import Interval, OperatingPoint
from triage.paging.predictive_value import at_operating_point, predictive_value


def a_point(threshold: float, sensitivity: float | None, specificity: float | None) -> OperatingPoint:
    def interval(value: float | None) -> Interval | None:
        low, high = max((value or 0) - 0.05, 0.0), min((value or 0) + 0.05, 1.0)
        return None if value is None else Interval(value=value, low=low, high=high, method="exact", n=100)

    return OperatingPoint(
        name="x", threshold=threshold, chosen="", sensitivity=interval(sensitivity), specificity=interval(specificity)
    )


def test_bayes():
    assert predictive_value(0.9, 0.8, 0.1) == pytest.approx(0.09 / 0.27)
    assert predictive_value(0.5, 0.5, 0.3) == pytest.approx(0.3)
    with pytest.raises(ValueError, match="positive"):
        predictive_value(0.0, 1.0, 0.3)


def test_it_is_that_of_the_operating_point_in_use():
    points = (a_point(0.5, 0.9, 0.8), a_point(0.3, 0.95, 0.5))
    found = at_operating_point(points, 0.3, 0.1)
    assert found is not None
    assert found.value == pytest.approx(0.095 / (0.095 + 0.45))
    assert found.low < found.value < found.high


@pytest.mark.parametrize(
    ("point", "threshold", "prevalence"),
    [
        (a_point(0.5, 0.9, 0.8), 0.4, 0.1),
        (a_point(0.5, 0.9, 0.8), None, 0.1),
        (a_point(0.5, 0.9, 0.8), 0.5, None),
        (a_point(0.5, None, 0.8), 0.5, 0.1),
        (a_point(0.5, 0.9, None), 0.5, 0.1),
        (a_point(0.5, 0.0, 1.0), 0.5, 0.1),
    ],
)
def test_what_is_not_stated_is_not_known(point: OperatingPoint, threshold: float | None, prevalence: float | None):
    assert at_operating_point((point,), threshold, prevalence) is None
