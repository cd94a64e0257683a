"""Adults apart from minors, where a cohort has both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from triage.validation.cohort.manifest import Row

ADULT = 18.0
"""Years."""
NOT_ADULT = "not-adult"
"""The split of minors, and of those whose age is unknown: no configuration trains on it."""


def adults_only(rows: Sequence[Row], ages: str) -> tuple[Row, ...]:
    """With ``ages`` ``adults``, those not known to be adults in a split of their own, without a fold; else as is."""
    if ages != "adults":
        return tuple(rows)
    return tuple(row if is_adult(row) else replace(row, split=NOT_ADULT, fold=None) for row in rows)


def is_adult(row: Row) -> bool:
    """Whether the age is known and 18 years or more."""
    return row.age is not None and row.age >= ADULT
