"""Cohort from a local table: a CSV file with an image and a label in each row, in columns of any name."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

import click

from training.prepare import options as cli
from training.prepare import own_cohort as own
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError
from training.prepare.files import TableRow, read_table, sex, years
from training.prepare.own_cohort import OwnCohortOptions
from triage.runtime.csv_table import identifier_fault
from triage.validation.cohort.manifest import COLUMNS, Row, image_of

SPLIT_WORDS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}


@dataclass(frozen=True)
class _Columns:
    """Names of the columns; None where the table has none."""

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


@dataclass(frozen=True)
class TableOptions(OwnCohortOptions):
    """Options of ``prepare table``: names of columns, and the folder that paths of images are relative to."""

    images: Path | None
    image_column: str
    label_column: str
    patient_column: str | None
    split_column: str | None
    fold_column: str | None
    view_column: str | None
    age_column: str | None
    sex_column: str | None

    def columns(self) -> _Columns:
        """Return the names of the columns."""
        return _Columns(**{field.name: getattr(self, f"{field.name}_column") for field in fields(_Columns)})


def prepare(source: Path, options: TableOptions) -> PreparedCohort:
    """Return a row for each of the table's; columns that are not named become free columns. Raises PrepareError."""
    if not options.patient_column and not options.each_image_a_patient:
        raise PrepareError("splits are by patient: name its column with --patient-column, or --each-image-a-patient")
    columns, folder = options.columns(), options.images or source.parent
    reader = _RowReader(folder, columns, options.labels(), own.checked_name(options.name))
    records = read_table(source, columns.given())
    _check_images(records, columns.image)
    found = {record.where: image_of(folder, record[columns.image]) for record in records}
    there = [record for record in records if found[record.where].is_file()]
    rows = [reader.row(record) for record in there]
    return PreparedCohort(
        rows=own.split_rows(rows, options) if rows else (),
        missing=tuple(record[columns.image] for record in records if not found[record.where].is_file()),
        advice="Say with --images which folder the table's image column is relative to, and write its paths with /",
        warnings=() if options.patient_column else (own.EACH_A_PATIENT,),
        passed_over=reader.unread.lines(),
        notes={"labels": f"{options.labels_in_words()}, in column {options.label_column}"},
    )


@dataclass
class Unread:
    """Cells whose text is not understood, with their places, by column."""

    where: dict[str, list[str]] = field(default_factory=dict)

    def add(self, record: TableRow, column: str | None, understood: bool) -> None:
        """Add the cell of ``column`` if it is not empty and was not ``understood``."""
        if column and record[column] and not understood:
            self.where.setdefault(column, []).append(f"{record.where}: {record[column]!r}")

    def lines(self) -> tuple[str, ...]:
        """Return a line for each column, with the first three places."""
        return tuple(
            f"{len(places)} cells of {column} are left empty, as their text is not understood: {'; '.join(places[:3])}"
            for column, places in self.where.items()
        )


@dataclass(frozen=True)
class _RowReader:
    """Reader of the table's rows: folder of the images, names of columns, labels by value, and the cohort's name."""

    folder: Path
    columns: _Columns
    labels: Mapping[str, int]
    name: str
    unread: Unread = field(default_factory=Unread)

    def row(self, record: TableRow) -> Row:
        """Return the manifest's row. Raises PrepareError naming the table's row."""
        columns, named = self.columns, set(self.columns.given())
        age = years(record[columns.age]) if columns.age else None
        self.unread.add(record, columns.age, age is not None)
        letter = sex(record[columns.sex]) if columns.sex else ""
        self.unread.add(record, columns.sex, bool(letter))
        return Row(
            image=image_of(self.folder, record[columns.image]),
            label=self._label(record),
            patient=f"{self.name}:{self._patient(record)}",
            split=_split(record, columns.split),
            fold=_fold(record, columns.fold),
            view=record[columns.view].upper() if columns.view else "",
            age=age,
            sex=letter,
            source=self.name,
            columns={_free(column): value for column, value in record.values.items() if column not in named},
        )

    def _label(self, record: TableRow) -> int:
        value = record[self.columns.label]
        if value not in self.labels:
            raise PrepareError(f"{record.where}: {self.columns.label} {value!r} is none of {', '.join(self.labels)}")
        return self.labels[value]

    def _patient(self, record: TableRow) -> str:
        column = self.columns.patient or self.columns.image
        if fault := identifier_fault(record[column]):
            raise PrepareError(f"{record.where}: {column} {fault}")
        return record[column]


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
    """Return the name of a free column: its own, unless a manifest has a column of that name."""
    return f"own_{column}" if column in COLUMNS else column


def _column(option: str, text: str, default: str | None = None) -> click.Option:
    return cli.text(option, f"Column of {text}.", default=default)


COHORT = CohortKind(
    name="table",
    title="A table of one's own",
    terms=own.TERMS,
    prepare=prepare,
    options_type=TableOptions,
    options=(
        *own.label_options("Value that means normal", ("0",), "Value that means abnormal", ("1",)),
        cli.folder("--images", "Folder that the image column is relative to. Default: the table's own."),
        _column("--image-column", "the image's path", "image"),
        _column("--label-column", "the label", "label"),
        _column("--patient-column", "the patient"),
        _column("--split-column", "the split: train, val or test. Default: one is drawn"),
        _column("--fold-column", "the fold, a whole number"),
        _column("--view-column", "the view"),
        _column("--age-column", "the age in years"),
        _column("--sex-column", "the sex"),
        *own.split_options(),
    ),
)
