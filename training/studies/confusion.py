"""Right and wrong calls of a run at 0.5: the paper's confusion matrices, with exact intervals, and its ROC curves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from training.studies.plan_scores import OutputScores
from training.studies.plots import empty_roc, roc_points
from training.studies.tables import markdown_table, with_bounds
from triage.statistics.intervals import Bounds, auc, exact_interval, mean_and_sd, patient_bootstrap


@dataclass(frozen=True)
class Proportion:
    """``hits`` of ``of``, with the exact 95 % interval."""

    hits: int
    of: int

    def __str__(self) -> str:
        if not self.of:
            return "none"
        low, high = exact_interval(self.hits, self.of)
        return f"{self.hits / self.of:.3f} ({low:.3f} to {high:.3f})"


@dataclass(frozen=True)
class Confusion:
    """Counts of calls at 0.5, and the AUC with its 95 % interval by patient; ``each`` has the AUC of every fold."""

    run: str
    true_positives: int
    false_negatives: int
    false_positives: int
    true_negatives: int
    auc: float
    ci95: Bounds
    within: float
    each: tuple[float, ...]

    @property
    def sensitivity(self) -> Proportion:
        """Share of the positives that are called."""
        return Proportion(self.true_positives, self.true_positives + self.false_negatives)

    @property
    def specificity(self) -> Proportion:
        """Share of the negatives that are not called."""
        return Proportion(self.true_negatives, self.true_negatives + self.false_positives)

    @property
    def ppv(self) -> Proportion:
        """Share of the called that are positive."""
        return Proportion(self.true_positives, self.true_positives + self.false_positives)

    @property
    def npv(self) -> Proportion:
        """Share of those not called that are negative."""
        return Proportion(self.true_negatives, self.true_negatives + self.false_negatives)


def confusion(run: str, scored: OutputScores) -> Confusion:
    """Return the confusion matrix of a run's scores at 0.5, which is the logit 0."""
    positive, called = scored.labels > 0.5, scored.logits >= 0

    def figure(chosen: np.ndarray[tuple[int], np.dtype[np.intp]]) -> float:
        return auc(scored.labels[chosen], scored.logits[chosen])

    folds = scored.of_folds()
    return Confusion(
        run=run,
        true_positives=int((called & positive).sum()),
        false_negatives=int((~called & positive).sum()),
        false_positives=int((called & ~positive).sum()),
        true_negatives=int((~called & ~positive).sum()),
        auc=auc(scored.labels, scored.logits),
        ci95=patient_bootstrap(figure, scored.patients),
        within=scored.within,
        each=tuple(auc(fold.labels, fold.logits) for fold in folds) if len(folds) > 1 else (),
    )


def markdown(found: Sequence[Confusion]) -> str:
    """Return the matrices as a table in Markdown, for docs/results."""
    head = ["run", "AUC", "mean ± SD of folds", "within view", "TP", "FN", "FP", "TN"]
    head += ["sensitivity", "specificity", "PPV", "NPV"]
    return markdown_table(head, map(_cells, found))


def _cells(one: Confusion) -> list[str]:
    mean, sd = mean_and_sd(one.each) if one.each else (0.0, 0.0)
    counts = (one.true_positives, one.false_negatives, one.false_positives, one.true_negatives)
    return [
        f"`{one.run}`",
        with_bounds(one.auc, one.ci95),
        f"{mean:.3f} ± {sd:.3f}" if one.each else "",
        f"{one.within:.3f}",
        *map(str, counts),
        *map(str, (one.sensitivity, one.specificity, one.ppv, one.npv)),
    ]


def overlaid_roc(runs: Sequence[tuple[str, OutputScores]]) -> Figure:
    """Draw the ROC curve of each run (the paper's figure 3b), with its point at 0.5."""
    figure, axes = empty_roc()
    for name, scored in runs:
        found = confusion(name, scored)
        label = f"{name}: {found.auc:.3f} ({found.ci95[0]:.3f}-{found.ci95[1]:.3f})"
        (line,) = axes.plot(*roc_points(scored.labels, scored.logits), label=label, linewidth=1.4)
        raised, missed = found.specificity, found.sensitivity
        axes.plot(1 - raised.hits / raised.of, missed.hits / missed.of, "o", color=line.get_color(), markersize=5)
    axes.legend(loc="lower right", title="AUC (95 % by patient)", fontsize="small")
    return figure
