"""The one manifest format of cohorts: a CSV file with a row for each image. Training writes it, validation reads it.

Columns: ``image`` (path, absolute or relative to the manifest's folder), ``label`` (0 or 1), ``patient``, ``split``,
``fold`` (empty or a whole number), ``view`` (PA, AP, ... or empty), ``age`` (years or empty), ``sex`` (M, F or empty),
``source``, and ``label:FINDING`` for each finding that was labelled (0, 1, or empty: not labelled); every further
column is free and read as text. The sources of a manifest, and warnings for its reports,
are in a JSON file next to it (provenance.py).

``patient`` is unique over cohorts: ``COHORT:IDENTIFIER``. Identifiers of the public cohorts are public and may be
listed in a model's folder; every other one stays in the manifest.
"""

from __future__ import annotations

import math
import os
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from triage.errors import StartError
from triage.runtime.csv_table import TableWriter, identifier_fault, read_table

COLUMNS = ("image", "label", "patient", "split", "fold", "view", "age", "sex", "source")
REQUIRED = ("image", "label", "patient")
PUBLIC_COHORTS = ("nih", "rsna", "indiana", "wcmc")
"""Cohorts whose owners publish the patients' identifiers."""
IMAGES_AS_PATIENTS = ("rsna",)
"""Cohorts whose identifiers name images: two of them may belong to one patient, which cannot be known."""
LABEL_OF = "label:"
"""Prefix of a column that holds the labels of one finding, by its name in the model's card."""
_OLDEST = 130
_LABELS = {"0": 0, "1": 1, "0.0": 0, "1.0": 1}
FINDING_NAME = re.compile(r"[a-z][a-z0-9_]{0,47}")


class ManifestError(StartError):
    """A manifest that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Row:
    """One image of a cohort.

    ``labels``: of findings, by name; a finding that was not labelled has none. ``line``: its line in the file;
    ``columns``: the free columns.
    """

    image: Path
    label: int
    patient: str
    split: str = ""
    fold: int | None = None
    view: str = ""
    age: float | None = None
    sex: str = ""
    source: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)
    line: int = 0
    labels: Mapping[str, int] = field(default_factory=dict)

    @property
    def all_labels(self) -> tuple[int, tuple[tuple[str, int], ...]]:
        """The label, and those of findings, to be compared."""
        return self.label, tuple(sorted(self.labels.items()))


_YEARS = re.compile(r"[0-9]{1,3}(\.[0-9]*)?")


def read_manifest(path: Path) -> list[Row]:
    """Read and check every row: label 0 or 1, each image once, its file there, each patient in one split and fold only.

    Raises ManifestError for the first fault, before any image is opened.
    """
    table = read_table(path, REQUIRED, refusal=ManifestError)
    _check_findings(path, table.records[0].values if table.records else {})
    rows = [_row(path, record.line, record.values) for record in table.records]
    if not rows:
        raise ManifestError(f"{path} has no rows")
    check_images(path, rows)
    check_splits(path, rows)
    return rows


def write_manifest(path: Path, rows: Sequence[Row]) -> None:
    """Write ``rows``; images are named relative to the manifest's folder."""
    free = sorted({name for row in rows for name in row.columns})
    findings = sorted({name for row in rows for name in row.labels})
    folder = path.parent.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = TableWriter(file)
        writer.row([*COLUMNS, *(LABEL_OF + name for name in findings), *free])
        for row in rows:
            named = os.path.relpath(row.image.resolve(), folder)
            known = (named, row.label, row.patient, row.split, _text(row.fold), row.view, _text(row.age), row.sex)
            labels = [row.labels.get(name, "") for name in findings]
            writer.row([*known, row.source, *labels, *(row.columns.get(name, "") for name in free)])


def check_splits(path: Path, rows: Sequence[Row]) -> None:
    """Raise ManifestError if a patient is in two splits or two folds, which makes them dependent."""
    leak = find_leak(rows)
    if leak is not None:
        first, again = rows[leak.first], rows[leak.again]
        raise ManifestError(leak.message(f"{path}, line {again.line}", f"line {first.line}"))


@dataclass(frozen=True)
class Leak:
    """A patient in two splits or folds (``part``): the two values, and the positions of two of its rows."""

    part: str
    sides: tuple[object, object]
    first: int
    again: int

    def message(self, again: str, first: str) -> str:
        """Return the error message, with the locations of both rows and without the patient's name."""
        return (
            f"{again}: the patient of this row is in {self.part} {self.sides[1]!r} here and in {self.sides[0]!r} in "
            f"{first}; {self.part}s must be by patient"
        )


def find_leak(rows: Sequence[Row]) -> Leak | None:
    """Return the first patient that is in two splits or two folds, None if there is none."""
    split_of: dict[str, int] = {}
    fold_of: dict[str, int] = {}
    for number, row in enumerate(rows):
        first = split_of.setdefault(row.patient, number)
        if rows[first].split != row.split:
            return Leak("split", (rows[first].split, row.split), first, number)
        if row.fold is not None:
            first = fold_of.setdefault(row.patient, number)
            if rows[first].fold != row.fold:
                return Leak("fold", (rows[first].fold, row.fold), first, number)
    return None


def public_patients(rows: Iterable[Row]) -> tuple[str, ...]:
    """Return the patients of ``rows`` whose identifiers are public, sorted: those that a model's folder may list."""
    found = {row.patient for row in rows}
    return tuple(sorted(patient for patient in found if patient.partition(":")[0] in PUBLIC_COHORTS))


def hides_patient(patient: str) -> bool:
    """Return whether this identifier names an image, so that other rows may be of the same patient."""
    return patient.partition(":")[0] in IMAGES_AS_PATIENTS


def check_images(path: Path, rows: Iterable[Row]) -> None:
    """Raise ManifestError if an image's file is missing, or an image is in two rows."""
    seen: dict[Path, int] = {}
    for row in rows:
        if not row.image.is_file():
            hint = "; write paths with /, relative to this file's folder" if "\\" in str(row.image) else ""
            raise ManifestError(f"{path}, line {row.line}: no file {row.image}{hint}")
        key = row.image.resolve()
        if key in seen:
            raise ManifestError(f"{path}, line {row.line}: {row.image} is in line {seen[key]} already")
        seen[key] = row.line


def _row(path: Path, line: int, text: Mapping[str, str]) -> Row:
    def wrong(column: str, needed: str) -> ManifestError:
        return ManifestError(f"{path}, line {line}: {column} {text.get(column, '')!r} is not {needed}")

    if not text["image"]:
        raise wrong("image", "given")
    if fault := identifier_fault(text["patient"]):
        raise ManifestError(f"{path}, line {line}: patient {fault}")
    if text.get("label") not in _LABELS:
        raise wrong("label", "0 or 1")
    of_findings = {name: value for name, value in text.items() if name.startswith(LABEL_OF) and value != ""}
    for name, value in of_findings.items():
        if value not in _LABELS:
            raise wrong(name, "0 or 1, or empty where it was not labelled")
    if text.get("fold") and not re.fullmatch(r"[0-9]{1,4}(\.0*)?", text["fold"]):
        raise wrong("fold", "a whole number")
    age = _years(text.get("age", ""))
    if age is not None and not 0 <= age <= _OLDEST:
        raise wrong("age", f"a number of years from 0 to {_OLDEST}, or empty")
    return Row(
        image=image_of(path.parent, text["image"]),
        label=_LABELS[text["label"]],
        patient=text["patient"],
        split=text.get("split", ""),
        fold=int(float(text["fold"])) if text.get("fold") else None,
        view=text.get("view", ""),
        age=age,
        sex=text.get("sex", ""),
        source=text.get("source", ""),
        columns={name: value for name, value in text.items() if name not in COLUMNS and not name.startswith(LABEL_OF)},
        line=line,
        labels={name.removeprefix(LABEL_OF): _LABELS[value] for name, value in of_findings.items()},
    )


def _check_findings(path: Path, columns: Iterable[str]) -> None:
    """Raise ManifestError for a column ``label:`` of no name that a finding can have."""
    for name in columns:
        if name.startswith(LABEL_OF) and not FINDING_NAME.fullmatch(name.removeprefix(LABEL_OF)):
            raise ManifestError(
                f"{path}: column {name!r} names no finding: write {LABEL_OF}NAME with a finding's name in the card "
                "(small letters, digits and _)"
            )


def _years(text: str) -> float | None:
    """Return the age in years, None for an empty cell, NaN for a cell that is no number."""
    if not text:
        return None
    return float(text) if _YEARS.fullmatch(text) else math.nan


def image_of(folder: Path, name: str) -> Path:
    """Return the file of that name, also where table and disk differ in Unicode form (NFC and NFD)."""
    image = folder / name
    if not image.exists():
        for form in ("NFC", "NFD"):
            other = folder / unicodedata.normalize(form, name)
            if other.exists():
                return other
    return image


def _text(value: float | None) -> str:
    return "" if value is None else f"{value:g}"
