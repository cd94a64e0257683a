"""A folder of one's own: a subfolder for each class, below folders train, val and test or not."""

from __future__ import annotations

import re
from pathlib import Path

from training.prepare import options
from training.prepare import own_cohort as own
from training.prepare.cohort import CohortKind, PreparedCohort, PrepareError
from training.prepare.files import image_files, passed_over
from triage.validation.cohort.manifest import Row

SPLITS = ("train", "val", "test")


def prepare(
    source: Path,
    name: str,
    normal: tuple[str, ...],
    abnormal: tuple[str, ...],
    patient_pattern: str | None,
    each_image_a_patient: bool,
    test: float,
    validation: float,
    folds: int,
    seed: int,
) -> PreparedCohort:
    """A row for each image of the folders named by ``normal`` and ``abnormal``."""
    if not patient_pattern and not each_image_a_patient:
        raise PrepareError(
            "splits are by patient: say with --patient-pattern which part of a file's name is the patient, "
            r"e.g. '^(\w+?)_', or --each-image-a-patient where each has one image"
        )
    name, pattern = own.checked_name(name), _pattern(patient_pattern)
    labels = dict.fromkeys(normal, 0) | dict.fromkeys(abnormal, 1)
    present = [split for split in SPLITS if (source / split).is_dir()]
    rows = []
    for split in present or [""]:
        for kind, label in labels.items():
            folder = source / split / kind
            if not folder.is_dir():
                raise PrepareError(f"{folder} is not there; below {folder.parent} are {_below(folder.parent)}")
            rows += [_row(path, label, split, name, source, pattern) for path in image_files(folder)]
    return PreparedCohort(
        rows=own.split_rows(rows, test, validation, folds, seed),
        passed_over=passed_over(source, [row.image for row in rows]),
        warnings=(own.EACH_A_PATIENT,) if each_image_a_patient else (),
        notes={"labels": f"normal: {', '.join(normal)}; abnormal: {', '.join(abnormal)}"},
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


def _row(path: Path, label: int, split: str, name: str, source: Path, pattern: re.Pattern[str] | None) -> Row:
    patient = path.relative_to(source).as_posix()
    if pattern is not None:
        match = pattern.search(path.name)
        if match is None or not match[1]:
            raise PrepareError(f"{path}: --patient-pattern finds no patient in this name")
        patient = match[1]
    return Row(image=path, label=label, patient=f"{name}:{patient}", split=split, source=name)


def _below(folder: Path) -> str:
    if not folder.is_dir():
        return "no folders"
    return ", ".join(sorted(path.name for path in folder.iterdir() if path.is_dir())) or "no folders"


COHORT = CohortKind(
    name="folder",
    title="A folder of one's own",
    terms=own.TERMS,
    prepare=prepare,
    options=(
        options.text("--name", "Name of the cohort; it stands before each patient.", default="own"),
        options.texts("--normal", "Subfolder of normal images; may be given several times.", ("normal",)),
        options.texts("--abnormal", "Subfolder of abnormal images; may be given several times.", ("abnormal",)),
        options.text("--patient-pattern", "Regular expression with one group that finds the patient in a file's name."),
        options.flag("--each-image-a-patient", "Each image is of another patient; a warning stays with the manifest."),
        options.test(),
        *options.drawn(),
    ),
)
