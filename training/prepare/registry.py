"""The cohorts that can be prepared, by name."""

from __future__ import annotations

from typing import Any

from training.prepare import folder, indiana, nih, nih_all, nih_sample, rsna, rsna_sample, table, wcmc
from training.prepare.cohort import CohortKind

COHORTS: dict[str, CohortKind[Any]] = {
    module.COHORT.name: module.COHORT
    for module in (nih, nih_all, nih_sample, rsna, rsna_sample, indiana, wcmc, folder, table)
}
