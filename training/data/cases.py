"""Labelled radiographs from manifests: image, patient, label, and side of the split."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from training.config import DataConfig
from training.errors import TrainingError
from triage.errors import cause
from triage.runtime.same_bytes import same_bytes
from triage.validation.cohort.manifest import COLUMNS, ManifestError, Row, read_manifest

SHOWN = 20
"""Largest number of faulty rows that one message names."""


@dataclass(frozen=True)
class TrainingCase:
    """One row of a manifest. ``patient`` is unique over cohorts; ``columns`` has every column as text.

    ``origin`` names file and line, for messages.
    """

    image: Path
    label: int
    patient: str
    split: str
    fold: int | None
    view: str
    source: str
    columns: Mapping[str, str]
    origin: str

    @property
    def picture(self) -> str:
        """Name of the picture, the same for every row that shows it; empty where the manifest has none."""
        return self.columns.get("picture", "")


@dataclass(frozen=True)
class CaseSplit:
    """Rows that one network trains on, and rows that validate it; ``fold`` of a cross-validation, -1 without folds."""

    training: Sequence[TrainingCase]
    held_out: Sequence[TrainingCase] = ()
    fold: int = -1


def read_cases(manifests: Sequence[Path], *, without: frozenset[str] = frozenset()) -> list[TrainingCase]:
    """Return the rows of all ``manifests``, without the patients ``without``. Raises TrainingError naming a wrong row.

    A patient's name without a cohort (as in ``nih:1335``) gets its source in front: ``source:patient``.
    """
    cases = []
    for manifest in manifests:
        try:
            rows = read_manifest(manifest)
        except ManifestError as error:
            raise TrainingError(str(error)) from error
        cases += [_case(row, manifest) for row in rows]
    kept = [case for case in cases if case.patient not in without and case.patient.partition(":")[2] not in without]
    images: dict[Path, TrainingCase] = {}
    for case in kept:
        first = images.setdefault(case.image.resolve(), case)
        if first is not case:
            raise TrainingError(f"{case.origin}: the image is in {first.origin} already")
    check_labels_agree(kept)
    return kept


def check_labels_agree(cases: Sequence[TrainingCase]) -> None:
    """Raise TrainingError naming each pair of rows whose files hold the same bytes and whose labels differ."""
    _raise_for(_pairs(cases, lambda first, other: first.label != other.label), "under two labels")


def _case(row: Row, manifest: Path) -> TrainingCase:
    source = row.source or manifest.stem
    columns = {
        "label": str(row.label),
        "view": row.view,
        "age": "" if row.age is None else f"{row.age:g}",
        "sex": row.sex,
        "source": source,
        **{name: value for name, value in row.columns.items() if name not in COLUMNS},
    }
    return TrainingCase(
        image=row.image,
        label=row.label,
        patient=row.patient if ":" in row.patient else f"{source}:{row.patient}",
        split=row.split,
        fold=row.fold,
        view=row.view,
        source=source,
        columns=columns,
        origin=f"{manifest}, line {row.line}",
    )


def split_cases(cases: Sequence[TrainingCase], data: DataConfig) -> tuple[list[TrainingCase], list[TrainingCase]]:
    """Return training and validation rows; other splits are left out. Raises TrainingError for a patient in both."""
    training = [case for case in cases if case.split in data.train]
    validation = [case for case in cases if case.split in data.validation]
    if not training:
        found = ", ".join(sorted({repr(case.split) for case in cases}))
        raise TrainingError(f"no row is in a split of {list(data.train)}; there are {found}: set data.train")
    if not validation and data.carve:
        validation = [case for case in training if part_of_patient(case.patient, data.carve) == 0]
        training = [case for case in training if part_of_patient(case.patient, data.carve) != 0]
    check_patients_apart(training, validation)
    return training, validation


def never_held_out_cases(cases: Sequence[TrainingCase], data: DataConfig) -> list[TrainingCase]:
    """Return the rows that train in every fold and are never held out."""
    return [case for case in cases if case.split in data.never_held_out]


def without_held_out(training: Iterable[TrainingCase], held_out: Iterable[TrainingCase]) -> list[TrainingCase]:
    """Return ``training`` without the patients and the pictures of ``held_out``.

    The free column ``picture`` names a picture that is in several cohorts, or in several forms.
    """
    held = {name for case in held_out for name in (case.patient, case.picture) if name}
    return [case for case in training if case.patient not in held and case.picture not in held]


def limited(cases: Sequence[TrainingCase], limit: int, seed: int) -> list[TrainingCase]:
    """Return ``limit`` rows at most (0: all), of patients in an order by ``seed``; smaller limits lie in larger."""
    if not limit or len(cases) <= limit:
        return list(cases)
    patients = sorted({case.patient for case in cases})
    order = np.random.default_rng(seed).permutation(len(patients))
    rank = {patients[place]: number for number, place in enumerate(order)}
    kept = {case.image for case in sorted(cases, key=lambda case: rank[case.patient])[:limit]}
    return [case for case in cases if case.image in kept]


def part_of_patient(patient: str, parts: int) -> int:
    """Return a part from 0 to ``parts`` - 1 that depends on the patient alone."""
    return int(sha256(patient.encode()).hexdigest(), 16) % parts


def check_patients_apart(first: Iterable[TrainingCase], second: Iterable[TrainingCase]) -> None:
    """Raise TrainingError if a patient is on both sides, or an image: two files with the same bytes are one image."""
    first, second = list(first), list(second)
    origins = {case.patient: case.origin for case in first}
    for case in second:
        if case.patient in origins:
            raise TrainingError(f"{case.origin}: its patient is in training too ({origins[case.patient]})")
    held_out = {id(case) for case in second}
    across = _pairs([*first, *second], lambda one, other: (id(one) in held_out) != (id(other) in held_out))
    _raise_for(across, "in training and held out")


def _pairs(
    cases: Sequence[TrainingCase], wrong: Callable[[TrainingCase, TrainingCase], bool]
) -> list[tuple[TrainingCase, TrainingCase]]:
    """Return pairs of rows with the same bytes: the first of each group, and another one that is ``wrong`` with it."""
    try:
        groups = same_bytes([case.image for case in cases])
    except OSError as error:
        raise TrainingError(f"{error.filename} cannot be read: {cause(error)}") from error
    return [
        (cases[group[0]], cases[position])
        for group in groups
        for position in group[1:]
        if wrong(cases[group[0]], cases[position])
    ]


def _raise_for(pairs: Sequence[tuple[TrainingCase, TrainingCase]], fault: str) -> None:
    if pairs:
        named = "; ".join(f"{first.origin} and {other.origin}" for first, other in pairs[:SHOWN])
        more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        raise TrainingError(f"{len(pairs)} pairs of files with the same bytes are {fault}: {named}{more}")


def read_patients(path: Path) -> frozenset[str]:
    """Read patient names, one a line. Raises TrainingError."""
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {cause(error)}") from error
