"""The gate between a demonstration and a model that may decide: evidence that it is better than chance.

The criteria were fixed before the next models were judged (docs/adr/0032).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from export.description import DescriptionFile
from export.performance import auc_interval, has_both_classes
from training.runs.scores import RunScores
from triage.validation.cohort.manifest import hides_patient

LEAST_PATIENTS = 30
"""Least number of patients of each class, over all and within each view: from there on DeLong's interval holds."""
CHANCE = 0.5


@dataclass(frozen=True)
class GateVerdict:
    """Verdict: ``failures`` are the reasons for a demonstration, ``notes`` further limits."""

    failures: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def demo(self) -> bool:
        """True if the model may decide in demonstrations only."""
        return bool(self.failures)

    @property
    def lines(self) -> tuple[str, ...]:
        """Lines for the card's limits."""
        return (*(f"Demonstration only: {failure}." for failure in self.failures), *self.notes)


def pass_gate(scored: RunScores, about: DescriptionFile) -> GateVerdict:
    """Judge held-out scores: over all, and within each view that the model is for.

    Ill patients are often imaged lying, AP: an AUC over all views may be the projection's. A model
    for children alone whose images state no view at all is judged over all, and its card says so.
    """
    failures = list(_failures(scored, "over all"))
    if not about.for_adults and not any(scored.views):
        return GateVerdict(tuple(failures), ("Not shown within PA or AP: no held-out image states its view.",))
    for view in about.intended_use.views:
        failures += _failures(scored.where([found == view for found in scored.views]), f"within {view}")
    return GateVerdict(tuple(failures))


def _failures(part: RunScores, where: str) -> Iterator[str]:
    for name, keep in (("positive", part.labels > 0.5), ("negative", part.labels < 0.5)):
        patients = set(part.where(keep).patients)
        if len(patients) < LEAST_PATIENTS:
            counted = "images, whose patients are hidden," if any(map(hides_patient, patients)) else "patients"
            yield f"{where} {len(patients)} {counted} of the {name} class, and {LEAST_PATIENTS} are asked for"
    if not has_both_classes(part):
        return
    found = auc_interval(part)
    if not found.low > CHANCE:
        yield f"{where} the AUC of {found.value:.3f} ({found.low:.3f} to {found.high:.3f}) may be chance"
