"""A model combined with a reader (after Dunnmon et al. 2019), and what it raises of each finding.

The reader's call and the model's score are put together by a logistic regression that is fitted on the other patients
(five folds), and by the two rules that need no fit: abnormal if either says so, or if both do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_predict

from training.studies.confusion import Proportion
from training.studies.tables import markdown_table, with_bounds
from triage.statistics.intervals import Bounds, Resampling, percentile_interval, weighted_auc_within

Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]
FOLDS = 5


@dataclass(frozen=True, eq=False)
class Reading:
    """Images that a reader called and a model scored, one entry each; ``probabilities`` were given out of training."""

    patients: tuple[str, ...]
    views: tuple[str, ...]
    findings: tuple[str, ...]
    labels: Doubles
    calls: Flags
    probabilities: Doubles

    @property
    def logits(self) -> Doubles:
        """Logits of the probabilities, finite also at 0 and 1."""
        inside = np.clip(self.probabilities, 1e-6, 1 - 1e-6)
        return np.asarray(np.log(inside / (1 - inside)))

    def together(self) -> Doubles:
        """Return the probabilities (n,) of call and score together, each by a fit on other patients."""
        inputs = np.column_stack([self.calls, self.logits])
        parts = GroupKFold(FOLDS)
        found = cross_val_predict(
            LogisticRegression(), inputs, self.labels > 0.5, groups=self.patients, cv=parts, method="predict_proba"
        )
        return np.asarray(found[:, 1], dtype=np.float64)


@dataclass(frozen=True)
class Combination:
    """One way to call. ``auc`` and ``within`` (view) are absent for rules; ``gain`` is over the model alone."""

    name: str
    sensitivity: Proportion
    specificity: Proportion
    auc: float | None = None
    ci95: Bounds | None = None
    within: float | None = None
    gain: float | None = None
    gain_ci95: Bounds | None = None


def combinations(reading: Reading, threshold: float = 0.5) -> list[Combination]:
    """Return reader, model, both together, and the rules; a gain in AUC is that over the model alone."""
    calls, scores = reading.calls, reading.probabilities
    model, together = scores >= threshold, reading.together()
    return [
        _graded("the reader", reading, calls.astype(np.float64), calls),
        _graded("the model", reading, scores, model),
        _graded("both, logistic", reading, together, together >= 0.5, than=scores),
        _called("either says abnormal", reading, calls | model),
        _called("both say abnormal", reading, calls & model),
    ]


def _called(name: str, reading: Reading, called: Flags) -> Combination:
    positive = reading.labels > 0.5
    sensitivity = Proportion(int((called & positive).sum()), int(positive.sum()))
    return Combination(name, sensitivity, Proportion(int((~called & ~positive).sum()), int((~positive).sum())))


def _graded(name: str, reading: Reading, scores: Doubles, called: Flags, than: Doubles | None = None) -> Combination:
    once, resampling = np.ones((1, len(scores))), Resampling(reading.patients)
    everywhere = weighted_auc_within(reading.labels, scores, [""] * len(scores))
    by_view = weighted_auc_within(reading.labels, scores, reading.views)
    counts = _called(name, reading, called)
    found = {"auc": float(everywhere(once)[0]), "ci95": percentile_interval(resampling.over(everywhere))}
    found |= {"within": float(by_view(once)[0])}
    if than is not None:
        other = weighted_auc_within(reading.labels, than, [""] * len(scores))
        found |= {"gain": float((everywhere(once) - other(once))[0])}
        found |= {"gain_ci95": percentile_interval(resampling.over(lambda w: everywhere(w) - other(w)))}
    return Combination(**{**vars(counts), **found})


def by_finding(reading: Reading, threshold: float = 0.5, least: int = 5) -> dict[str, tuple[Proportion, Proportion]]:
    """Return for each finding with ``least`` images the share that the model raises: of all, and of the positives.

    ``findings`` hold several, separated by ``|``.
    """
    names = Counter(name for text in reading.findings for name in text.split("|") if name)
    return {
        name: _raised(reading, threshold, np.array([name in text.split("|") for text in reading.findings]))
        for name, count in names.most_common()
        if count >= least
    }


def _raised(reading: Reading, threshold: float, chosen: Flags) -> tuple[Proportion, Proportion]:
    raised, positive = reading.probabilities >= threshold, reading.labels > 0.5
    return tuple(  # type: ignore[return-value]  # two of them
        Proportion(int((raised & part).sum()), int(part.sum())) for part in (chosen, chosen & positive)
    )


def markdown(found: Sequence[Combination]) -> str:
    """Return the ways to call as a table in Markdown."""
    head = ["who calls", "AUC", "within view", "sensitivity", "specificity", "AUC less the model's"]
    return markdown_table(head, map(_cells, found))


def _cells(one: Combination) -> list[str]:
    graded, gain = ["", ""], ""
    if one.auc is not None and one.ci95 is not None and one.within is not None:
        graded = [with_bounds(one.auc, one.ci95), f"{one.within:.3f}"]
    if one.gain is not None and one.gain_ci95 is not None:
        gain = with_bounds(one.gain, one.gain_ci95, "+")
    return [one.name, *graded, str(one.sensitivity), str(one.specificity), gain]


def findings_markdown(found: Mapping[str, tuple[Proportion, Proportion]]) -> str:
    """Return the shares by finding as a table in Markdown."""
    head = ["finding", "images", "raised", "of them positive by the reference", "raised of these"]
    return markdown_table(
        head,
        (
            [name, str(every.of), str(every), str(positive.of), str(positive)]
            for name, (every, positive) in found.items()
        ),
    )
