"""One accession number out of several."""

from __future__ import annotations

import pytest

from triage.decision.accession_number import first_number


@pytest.mark.parametrize(
    ("values", "number"),
    [("A1", "A1"), ("A1\\B2", "A1"), ("\\B2\\C3", "B2"), (" \\ B2 ", "B2"), ("", ""), ("\\", ""), ("A 1|^", "A 1|^")],
)
def test_the_first_that_is_not_empty_counts(values: str, number: str) -> None:
    assert first_number(values) == number
