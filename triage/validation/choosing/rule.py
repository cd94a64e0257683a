"""The rule by which an operating point is chosen, such as ``sensitivity_lower>=0.95``."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import numpy as np
from scipy.stats import binom

from triage.errors import StartError
from triage.statistics.clustered import clustered_exact_interval
from triage.statistics.intervals import Bounds
from triage.statistics.sample_size import allowed_misses
from triage.validation.scores.scored import Flags, ScoredCohort

FigureName = Literal["sensitivity", "specificity", "ppv", "npv"]
FIGURES: tuple[FigureName, ...] = ("sensitivity", "specificity", "ppv", "npv")
_HIGHEST = frozenset({"sensitivity", "npv"})
"""Figures that fall with the threshold: the highest threshold that holds is chosen, which raises the fewest."""
_FORM = re.compile(r"(?P<name>[a-z]+)_lower\s*>=\s*(?P<limit>[0-9]*\.?[0-9]+)")


class ChoiceError(StartError):
    """A point cannot be chosen as it was asked for; the message says why."""


@dataclass(frozen=True)
class ChoiceRule:
    """The lower bound of a figure that has to be reached, in studies."""

    text: str
    name: FigureName
    limit: float

    def candidates(self, scored: ScoredCohort) -> Sequence[float]:
        """Return the thresholds to try, the one to be preferred first: at 0 or 1 there is no operating point."""
        scores = np.unique(scored.scores[(scored.scores > 0) & (scored.scores < 1)])
        return [float(each) for each in (scores[::-1] if self.name in _HIGHEST else scores)]

    def chance(self, scored: ScoredCohort, threshold: float, trials: int, confidence: float) -> float:
        """Return the chance that the bound will hold on ``trials`` others, by the cases ``scored``; 0 if it cannot.

        Of n trials of which m are wrong here, (m + 1) / (n + 1) are expected to be wrong elsewhere, since the threshold
        is at one of their scores.
        """
        allowed = allowed_misses(trials, self.limit, confidence)
        if allowed is None:
            return 0.0
        among, right = trials_at(scored, threshold, self.name)
        count, hits = int(among.sum()), int(right.sum())
        return float(binom.cdf(allowed, trials, (count - hits + 1) / (count + 1)))

    def holds(self, scored: ScoredCohort, threshold: float, confidence: float) -> bool:
        """Return True if the lower bound at ``threshold`` reaches the limit."""
        return bounds_at(scored, threshold, self.name, confidence)[0] >= self.limit


def parse_rule(text: str) -> ChoiceRule:
    """Parse a rule as it is written on the command line. Raises ChoiceError."""
    found = _FORM.fullmatch(text.strip())
    if not found or found["name"] not in FIGURES or not 0 < float(found["limit"]) < 1:
        raise ChoiceError(
            f"--choose {text}: write NAME_lower>=VALUE with NAME of {', '.join(FIGURES)} and a value between 0 and 1"
        )
    return ChoiceRule(text.strip(), cast("FigureName", found["name"]), float(found["limit"]))


def trials_at(scored: ScoredCohort, threshold: float, name: FigureName) -> tuple[Flags, Flags]:
    """Return which studies are trials of a figure, and which of them are right.

    A study that was not assessed and is not raised is wrong: a positive is missed, a negative is not cleared.
    """
    raised = scored.raised(threshold)
    cleared = scored.assessed & ~raised
    among, right = {
        "sensitivity": (scored.positive, raised),
        "specificity": (~scored.positive, cleared),
        "ppv": (raised, scored.positive),
        "npv": (cleared, ~scored.positive),
    }[name]
    return np.asarray(among), np.asarray(right & among)


def bounds_at(scored: ScoredCohort, threshold: float, name: FigureName, confidence: float) -> Bounds:
    """Return the exact bounds of a figure at a threshold, clustered by patient; NaN where it is not defined."""
    among, right = trials_at(scored, threshold, name)
    names = [scored.patients[int(number)] for number in np.flatnonzero(among)]
    return clustered_exact_interval(right[among], names, confidence)
