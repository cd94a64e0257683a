"""A score restated for another share of ill patients."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.model_folders import of_leading, write_model
from triage.model.calibration import at_prevalence, check_prevalence
from triage.model.card import ModelRefusedError
from triage.model.card_finding import CalibrationFit


def fit(slope: float = 1.0, intercept: float = 0.0, positives: int | None = 50) -> CalibrationFit:
    return CalibrationFit(
        method="platt",
        slope=slope,
        intercept=intercept,
        fitted_on="a cohort",
        images=100,
        positives=positives,
        approximate=False,
        brier_before=0.2,
        brier_after=0.2,
    )


def test_at_the_cohorts_own_prevalence_it_is_the_calibrated_probability() -> None:
    assert at_prevalence(0.7, fit(), 0.5) == pytest.approx(0.7)
    assert at_prevalence(0.5, fit(slope=2.0, intercept=1.0), 0.5) == pytest.approx(1 / (1 + np.exp(-1)))


def test_odds_are_multiplied_by_the_ratio_of_the_odds() -> None:
    """0.5 means odds of 1 : 1 in a cohort of which half is ill, and 1 : 9 where a tenth is."""
    assert at_prevalence(0.5, fit(), 0.1) == pytest.approx(0.1)


def test_restated_scores_are_calibrated_among_patients_with_another_prevalence() -> None:
    """200,000 drawn patients of whom a tenth is ill, and a score that is calibrated where half are."""
    rng = np.random.default_rng(0)
    ill = rng.random(200_000) < 0.1
    evidence = rng.normal(np.where(ill, 1.0, -1.0), 1.0)
    plain = 1 / (1 + np.exp(-2 * evidence))  # Bayes for two normal distributions, half of the patients ill
    restated = np.array([at_prevalence(float(score), fit(), 0.1) for score in plain[:20_000]])
    assert restated.mean() == pytest.approx(ill[:20_000].mean(), rel=0.05)
    assert plain[:20_000].mean() > 1.5 * ill[:20_000].mean()  # as it stands it says far too often


@pytest.mark.parametrize("score", [0.0, 1.0])
def test_a_score_without_a_logit_stays_a_probability(score: float) -> None:
    assert 0 < at_prevalence(score, fit(), 0.01) < 1


def test_a_site_can_only_restate_what_is_calibrated(tmp_path: Path) -> None:
    card = write_model(tmp_path)
    known = of_leading(card, calibration_fit=fit())
    check_prevalence({card.name: known}, {card.name: 0.1})
    with pytest.raises(ModelRefusedError, match="no such model"):
        check_prevalence({card.name: known}, {"another": 0.1})
    for unknown in (None, fit(positives=None)):
        with pytest.raises(ModelRefusedError, match="does not say on how many positive images"):
            check_prevalence({card.name: of_leading(card, calibration_fit=unknown)}, {card.name: 0.1})
