"""Adults apart from minors, where a cohort has both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triage.validation.cohort.manifest import Row

ADULT = 18.0
"""Years."""
NOT_ADULT = "not-adult"
"""The split of patients who were minors, or of unknown age, in any image: no configuration trains on it."""


def adults_only(rows: Sequence[Row], ages: str) -> tuple[Row, ...]:
    """With ``ages`` ``adults``, those not known to be adults in a split of their own, without a fold; else as is.

    A patient who grew up between two images is there as a whole: a split holds all of a patient or nothing.
    """
    if ages != "adults":
        return tuple(rows)
    minors = {row.patient for row in rows if not is_adult(row)}
    return tuple(replace(row, split=NOT_ADULT, fold=None) if row.patient in minors else row for row in rows)


def is_adult(row: Row) -> bool:
    """Whether the age is known and 18 years or more."""
    return row.age is not None and row.age >= ADULT
