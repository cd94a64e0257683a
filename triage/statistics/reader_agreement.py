"""Agreement of two readers: percent agreement and Cohen's kappa."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from statsmodels.stats.inter_rater import cohens_kappa

from triage.statistics.intervals import NO_BOUNDS, Bounds, Floats, exact_interval


@dataclass(frozen=True)
class ReaderAgreement:
    """Agreement of two readers on n images: percent with its exact interval, Cohen's kappa with its normal one."""

    n: int
    agreed: int
    agreement_bounds: Bounds
    kappa: float
    kappa_bounds: Bounds

    @property
    def agreement(self) -> float:
        """Share of images with the same call."""
        return self.agreed / self.n


def reader_agreement(first: Floats, second: Floats) -> ReaderAgreement:
    """Return percent agreement and Cohen's kappa (Cohen 1960; standard error of Fleiss, Cohen and Everitt 1969)."""
    one, two = np.asarray(first) > 0.5, np.asarray(second) > 0.5
    table = np.array([[(one & two).sum(), (one & ~two).sum()], [(~one & two).sum(), (~one & ~two).sum()]], dtype=float)
    n, agreed = int(table.sum()), int(table[0, 0] + table[1, 1])
    if len(set(one)) == len(set(two)) == 1:  # kappa is undefined if both readers make one call for every image
        return ReaderAgreement(n, agreed, exact_interval(agreed, n), float("nan"), NO_BOUNDS)
    with np.errstate(invalid="ignore", divide="ignore"):  # the z value, if one reader makes one call for every image
        found = cohens_kappa(table)
    bounds = (max(float(found.kappa_low), -1.0), min(float(found.kappa_upp), 1.0))
    return ReaderAgreement(n, agreed, exact_interval(agreed, n), float(found.kappa), bounds)
