"""Adults apart from minors."""

from __future__ import annotations

from pathlib import Path

from training.prepare.adults import NOT_ADULT, adults_only
from triage.validation.cohort.manifest import Row


def row(patient: str, age: float | None) -> Row:
    """An image of a patient at an age."""
    return Row(image=Path(f"{patient}-{age}.png"), label=0, patient=patient, split="train", fold=1, age=age)


def test_who_was_a_minor_in_any_image_is_no_adult_in_all_of_them() -> None:
    rows = [row("grown", 40.0), row("child", 9.0), row("unknown", None), row("both", 17.9), row("both", 18.0)]
    found = adults_only(rows, "adults")
    assert [(one.patient, one.split, one.fold) for one in found] == [
        ("grown", "train", 1),
        ("child", NOT_ADULT, None),
        ("unknown", NOT_ADULT, None),
        ("both", NOT_ADULT, None),
        ("both", NOT_ADULT, None),
    ]
    assert adults_only(rows, "all") == tuple(rows)
