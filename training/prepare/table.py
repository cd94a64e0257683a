"""A table of one's own: a CSV file with an image and a label in each row, whatever its columns are called."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import click

from training.prepare import options
from training.prepare import own_cohort as own
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError
from training.prepare.files import TableRow, read_table, sex, years
from triage.runtime.csv_table import identifier_fault
from triage.validation.cohort.manifest import COLUMNS, Row, image_of

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class _Columns:
    """Which column holds what; None where the table does not say."""

    image: str
    label: str
    patient: str | None
    split: str | None
    fold: str | None
    view: str | None
    age: str | None
    sex: str | None

    def given(self) -> list[str]:
        return [column for column in vars(self).values() if column]


def prepare(
    source: Path,
    name: str,
    images: Path | None,
    image_column: str,
    label_column: str,
    patient_column: str | None,
    split_column: str | None,
    fold_column: str | None,
    view_column: str | None,
    age_column: str | None,
    sex_column: str | None,
    normal: tuple[str, ...],
    abnormal: tuple[str, ...],
    each_image_a_patient: bool,
    test: float,
    validation: float,
    folds: int,
    seed: int,
) -> PreparedCohort:
    """A row for each of the table's; columns that are not named become free columns."""
    if not patient_column and not each_image_a_patient:
        raise PrepareError("splits are by patient: name its column with --patient-column, or --each-image-a-patient")
    columns = _Columns(
        image_column, label_column, patient_column, split_column, fold_column, view_column, age_column, sex_column
    )
    labels = dict.fromkeys(normal, 0) | dict.fromkeys(abnormal, 1)
    folder = images or source.parent
    records = read_table(source, columns.given())
    _check_images(records, columns.image)
    found = {record.where: image_of(folder, record[columns.image]) for record in records}
    there = [record for record in records if found[record.where].is_file()]
    unread = Unread()
    rows = [_row(record, folder, columns, labels, own.checked_name(name), unread) for record in there]
    return PreparedCohort(
        rows=own.split_rows(rows, test, validation, folds, seed) if rows else (),
        missing=tuple(record[columns.image] for record in records if not found[record.where].is_file()),
        advice="Say with --images which folder the table's image column is relative to, and write its paths with /",
        warnings=() if patient_column else (own.EACH_A_PATIENT,),
        passed_over=unread.told(),
        notes={"labels": f"normal: {', '.join(normal)}; abnormal: {', '.join(abnormal)}, in column {label_column}"},
    )


@dataclass
class Unread:
    """Cells that say something which is not read: by column, the first places."""

    where: dict[str, list[str]] = field(default_factory=dict)

    def note(self, record: TableRow, column: str | None, understood: bool) -> None:
        """Note a cell that is not empty and was not ``understood``."""
        if column and record[column] and not understood:
            self.where.setdefault(column, []).append(f"{record.where}: {record[column]!r}")

    def told(self) -> tuple[str, ...]:
        """A line for each column."""
        return tuple(
            f"{len(places)} cells of {column}, left empty, as they say none that is known: {'; '.join(places[:3])}"
            for column, places in self.where.items()
        )


def _row(
    record: TableRow, folder: Path, columns: _Columns, labels: Mapping[str, int], name: str, unread: Unread
) -> Row:
    label = record[columns.label]
    if label not in labels:
        raise PrepareError(f"{record.where}: {columns.label} {label!r} is none of {', '.join(labels)}")
    patient = record[columns.patient] if columns.patient else record[columns.image]
    if fault := identifier_fault(patient):
        raise PrepareError(f"{record.where}: {columns.patient or columns.image} {fault}")
    named = set(columns.given())
    age = years(record[columns.age]) if columns.age else None
    unread.note(record, columns.age, age is not None)
    letter = sex(record[columns.sex]) if columns.sex else ""
    unread.note(record, columns.sex, bool(letter))
    return Row(
        image=image_of(folder, record[columns.image]),
        label=labels[label],
        patient=f"{name}:{patient}",
        split=_split(record, columns.split),
        fold=_fold(record, columns.fold),
        view=record[columns.view].upper() if columns.view else "",
        age=age,
        sex=letter,
        source=name,
        columns={_free(column): value for column, value in record.values.items() if column not in named},
    )


def _check_images(records: Iterable[TableRow], column: str) -> None:
    first: dict[str, str] = {}
    for record in records:
        where = first.setdefault(record[column], record.where)
        if where != record.where:
            raise PrepareError(f"{record.where}: {record[column]} is in {where} already")


def _split(record: TableRow, column: str | None) -> str:
    if column is None:
        return ""
    word = record[column].lower()
    if word not in SPLIT_WORDS:
        raise PrepareError(f"{record.where}: {column} {record[column]!r} is none of {', '.join(SPLIT_WORDS)}")
    return SPLIT_WORDS[word]


def _fold(record: TableRow, column: str | None) -> int | None:
    if column is None or not record[column]:
        return None
    if not record[column].isdigit():
        raise PrepareError(f"{record.where}: {column} {record[column]!r} is not a whole number")
    return int(record[column])


def _free(column: str) -> str:
    """A free column keeps its name unless that means something in a manifest."""
    return f"own_{column}" if column in COLUMNS else column


def _column(option: str, text: str, default: str | None = None) -> click.Option:
    return options.text(option, f"Column of {text}.", default=default)


COHORT = CohortKind(
    name="table",
    title="A table of one's own",
    terms=own.TERMS,
    prepare=prepare,
    options=(
        options.text("--name", "Name of the cohort; it stands before each patient.", default="own"),
        options.folder("--images", "Folder that the image column is relative to. Default: the table's own."),
        _column("--image-column", "the image's path", "image"),
        _column("--label-column", "the label", "label"),
        _column("--patient-column", "the patient"),
        _column("--split-column", "the split: train, val or test. Default: one is drawn"),
        _column("--fold-column", "the fold, a whole number"),
        _column("--view-column", "the view"),
        _column("--age-column", "the age in years"),
        _column("--sex-column", "the sex"),
        options.texts("--normal", "Value that means normal; may be given several times.", ("0",)),
        options.texts("--abnormal", "Value that means abnormal; may be given several times.", ("1",)),
        options.flag("--each-image-a-patient", "Each image is of another patient; a warning stays with the manifest."),
        options.test(),
        *options.drawn(),
    ),
)
