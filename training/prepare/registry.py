"""The cohorts that can be prepared, by name."""

from __future__ import annotations

from training.prepare import folder, indiana, nih, nih_all, nih_sample, rsna, rsna_sample, table, wcmc
from training.prepare.cohort import CohortKind

COHORTS: dict[str, CohortKind] = {
    module.COHORT.name: module.COHORT
    for module in (nih, nih_all, nih_sample, rsna, rsna_sample, indiana, wcmc, folder, table)
}
