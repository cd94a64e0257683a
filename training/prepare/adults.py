"""Separation of adults and minors, where a cohort has both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triage.validation.cohort.manifest import Row

ADULT = 18.0
"""Age in years from which a patient is an adult."""
NOT_ADULT = "not-adult"
"""Split of patients who were minors, or of unknown age, in any image; no configuration trains on it."""


def adults_only(rows: Sequence[Row], ages: str) -> tuple[Row, ...]:
    """Return ``rows``; with ``ages`` ``adults``, others are in the split NOT_ADULT, without a fold.

    All images of a patient are in one split, also where the patient grew up between two images.
    """
    if ages != "adults":
        return tuple(rows)
    minors = {row.patient for row in rows if not is_adult(row)}
    return tuple(replace(row, split=NOT_ADULT, fold=None) if row.patient in minors else row for row in rows)


def is_adult(row: Row) -> bool:
    """Return True if the age is known and 18 years or more."""
    return row.age is not None and row.age >= ADULT
