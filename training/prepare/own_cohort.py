"""What a folder and a table of one's own share: the cohort's name in front of its patients, and a drawn split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from training.prepare import splits
from training.prepare.cohort import PrepareError
from training.prepare.splits import by_label_and_view
from triage.validation.cohort.manifest import PUBLIC_COHORTS, Row

TERMS = "your own: state them where you publish anything made from it"
EACH_A_PATIENT = (
    "each image was taken for a patient of its own: where a patient has several, the splits leak and intervals are "
    "too narrow"
)


def checked_name(name: str) -> str:
    """A cohort's own name. Raises PrepareError where it is a public cohort's: its patients would pass for theirs."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name) or name in PUBLIC_COHORTS:
        raise PrepareError(
            f"--name {name!r} must be lower-case letters, digits and hyphens, and none of {', '.join(PUBLIC_COHORTS)}"
        )
    return name


def split_rows(rows: Sequence[Row], test: float, validation: float, folds: int, seed: int) -> tuple[Row, ...]:
    """Rows without any split get test, val and train drawn by patient; rows that have theirs keep them."""
    if not any(row.split for row in rows):
        rows = splits.carve(
            [replace(row, split="train") for row in rows], test, seed, "test", stratum=by_label_and_view
        )
        rows = splits.carve(rows, validation, seed, stratum=by_label_and_view)
    elif not any(row.split == "val" for row in rows):
        rows = splits.carve(rows, validation, seed, stratum=by_label_and_view)
    if any(row.fold is not None for row in rows):
        return tuple(rows)
    return splits.assign_folds(rows, folds, seed)
