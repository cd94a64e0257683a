"""Cohort from a local folder: a subfolder for each class, directly or below folders train, val and test."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from training.prepare import options as cli
from training.prepare import own_cohort as own
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError
from training.prepare.files import image_files, passed_over
from training.prepare.own_cohort import OwnCohortOptions
from triage.validation.cohort.manifest import Row

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class FolderOptions(OwnCohortOptions):
    """Options of ``prepare folder``; ``patient_pattern`` finds the patient in a file's name."""

    patient_pattern: str | None


def prepare(source: Path, options: FolderOptions) -> PreparedCohort:
    """Return a row for each image of the folders named by ``normal`` and ``abnormal``. Raises PrepareError."""
    if not options.patient_pattern and not options.each_image_a_patient:
        raise PrepareError(
            "splits are by patient: say with --patient-pattern which part of a file's name is the patient, "
            r"e.g. '^(\w+?)_', or --each-image-a-patient where each has one image"
        )
    finder = _PatientFinder(source, own.checked_name(options.name), _pattern(options.patient_pattern))
    present = [split for split in SPLITS if (source / split).is_dir()]
    rows = []
    for split in present or [""]:
        for kind, label in options.labels().items():
            folder = source / split / kind
            if not folder.is_dir():
                raise PrepareError(f"{folder} is not there; below {folder.parent} are {_below(folder.parent)}")
            rows += [finder.row(path, label, split) for path in image_files(folder)]
    return PreparedCohort(
        rows=own.split_rows(rows, options),
        passed_over=passed_over(source, [row.image for row in rows]),
        warnings=(own.EACH_A_PATIENT,) if options.each_image_a_patient else (),
        notes={"labels": options.labels_in_words()},
    )


def _pattern(text: str | None) -> re.Pattern[str] | None:
    if text is None:
        return None
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise PrepareError(f"--patient-pattern {text!r} is no regular expression: {error}") from error
    if pattern.groups != 1:
        raise PrepareError(f"--patient-pattern {text!r} must have one group, the patient")
    return pattern


@dataclass(frozen=True)
class _PatientFinder:
    """Name of the cohort, and the patient of each file: by ``pattern``, or one for each file below ``source``."""

    source: Path
    name: str
    pattern: re.Pattern[str] | None

    def row(self, path: Path, label: int, split: str) -> Row:
        patient = f"{self.name}:{self._patient(path)}"
        return Row(image=path, label=label, patient=patient, split=split, source=self.name)

    def _patient(self, path: Path) -> str:
        if self.pattern is None:
            return path.relative_to(self.source).as_posix()
        match = self.pattern.search(path.name)
        if match is None or not match[1]:
            raise PrepareError(f"{path}: --patient-pattern finds no patient in this name")
        return match[1]


def _below(folder: Path) -> str:
    if not folder.is_dir():
        return "no folders"
    return ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "no folders"


COHORT = CohortKind(
    name="folder",
    title="A folder of one's own",
    terms=own.TERMS,
    prepare=prepare,
    options_type=FolderOptions,
    options=(
        *own.label_options("Subfolder of normal images", ("normal",), "Subfolder of abnormal images", ("abnormal",)),
        cli.text("--patient-pattern", "Regular expression with one group that finds the patient in a file's name."),
        *own.split_options(),
    ),
)
