"""Common parts of cohorts from a local folder and from a local table: options, names of patients, drawn splits."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace

import click

from training.prepare import options, splits
from training.prepare.cohort import PrepareError
from training.prepare.options import DrawOptions
from training.prepare.splits import by_label_and_view
from triage.runtime.same_bytes import same_bytes
from triage.validation.cohort.manifest import PUBLIC_COHORTS, Row

SHOWN = 20
"""Largest number of faulty pairs that one message names."""
TERMS = "your own: state them where you publish anything made from it"
EACH_A_PATIENT = (
    "each image was taken for a patient of its own: where a patient has several, the splits leak and intervals are "
    "too narrow"
)


@dataclass(frozen=True)
class OwnCohortOptions(DrawOptions):
    """Options that local folders and tables share.

    ``normal`` and ``abnormal`` are the folders or values of either label; ``test`` is the share of split test.
    """

    name: str
    normal: tuple[str, ...]
    abnormal: tuple[str, ...]
    each_image_a_patient: bool
    test: float

    def labels(self) -> dict[str, int]:
        """Return the label by folder or value."""
        return dict.fromkeys(self.normal, 0) | dict.fromkeys(self.abnormal, 1)

    def labels_in_words(self) -> str:
        """Return the note on labels for the manifest."""
        return f"normal: {', '.join(self.normal)}; abnormal: {', '.join(self.abnormal)}"


def label_options(
    normal: str, normal_default: tuple[str, ...], abnormal: str, abnormal_default: tuple[str, ...]
) -> tuple[click.Option, ...]:
    """Return the options of the cohort's name and of its labels, with the help texts and defaults of either label."""
    return (
        options.text("--name", "Name of the cohort; it stands before each patient.", default="own"),
        options.texts("--normal", f"{normal}; may be given several times.", normal_default),
        options.texts("--abnormal", f"{abnormal}; may be given several times.", abnormal_default),
    )


def split_options() -> tuple[click.Option, ...]:
    """Return the options of patients and splits."""
    return (
        options.flag("--each-image-a-patient", "Each image is of another patient; a warning stays with the manifest."),
        options.test(),
        *options.drawn(),
    )


def checked_name(name: str) -> str:
    """Return ``name``. Raises PrepareError for a public cohort's name, whose patients these would be taken for."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]{0,39}", name) or name in PUBLIC_COHORTS:
        raise PrepareError(
            f"--name {name!r} must be lower-case letters, digits and hyphens, and none of {', '.join(PUBLIC_COHORTS)}"
        )
    return name


def split_rows(rows: Sequence[Row], chosen: OwnCohortOptions) -> tuple[Row, ...]:
    """Return rows with a split: their own, or test, val and train drawn by patient where none has one.

    Raises PrepareError where files that hold the same bytes have two labels, or are on two sides of a split.
    """
    split = _split(rows, chosen)
    check_same_bytes(split)
    return split


def check_same_bytes(rows: Sequence[Row]) -> None:
    """Raise PrepareError naming each pair of files with the same bytes and two labels, two splits or two folds."""
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


def _split(rows: Sequence[Row], chosen: OwnCohortOptions) -> tuple[Row, ...]:
    if not any(row.split for row in rows):
        rows = [replace(row, split="train") for row in rows]
        rows = splits.carve(rows, chosen.test, chosen.seed, "test", stratum=by_label_and_view)
    if not any(row.split == "val" for row in rows):
        rows = splits.carve(rows, chosen.validation, chosen.seed, stratum=by_label_and_view)
    if any(row.fold is not None for row in rows):
        return tuple(rows)
    return splits.assign_folds(rows, chosen.folds, chosen.seed)
