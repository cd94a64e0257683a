"""What a folder and a table of one's own share: the cohort's name in front of its patients, and a drawn split."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from training.prepare import splits
from training.prepare.cohort import PrepareError
from training.prepare.splits import by_label_and_view
from triage.runtime.same_bytes import same_bytes
from triage.validation.cohort.manifest import PUBLIC_COHORTS, Row

SHOWN = 20
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
    """Rows without any split get test, val and train drawn by patient; rows that have theirs keep them.

    Raises PrepareError where files that hold the same bytes have two labels, or are on two sides of a split.
    """
    split = _split(rows, test, validation, folds, seed)
    check_same_bytes(split)
    return split


def check_same_bytes(rows: Sequence[Row]) -> None:
    """PrepareError that names every pair of files with the same bytes and two labels, two splits or two folds."""
    wrong = []
    for group in same_bytes([row.image for row in rows]):
        first = rows[group[0]]
        for other in (rows[position] for position in group[1:]):
            sides = [
                f"{part} {getattr(first, part)!r} and {getattr(other, part)!r}"
                for part in ("label", "split", "fold")
                if getattr(first, part) != getattr(other, part)
            ]
            if sides:
                wrong.append(f"{first.image} and {other.image} hold the same bytes, under {', '.join(sides)}")
    if wrong:
        shown = wrong[:SHOWN] + ([f"... and {len(wrong) - SHOWN} more pairs"] if len(wrong) > SHOWN else [])
        raise PrepareError("\n".join([*shown, "keep one of each, or give both one label and one patient"]))


def _split(rows: Sequence[Row], test: float, validation: float, folds: int, seed: int) -> tuple[Row, ...]:
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
