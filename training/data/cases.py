"""Labelled radiographs from manifests: who, which image, what is known of it, and on which side of the split it is."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import numpy as np

from training.config import DataConfig
from training.errors import TrainingError
from triage.runtime.same_bytes import same_bytes
from triage.validation.cohort.manifest import COLUMNS, ManifestError, Row, read_manifest

SHOWN = 20
"""So many of what is wrong are named in one message."""


@dataclass(frozen=True)
class TrainingCase:
    """One row of a manifest. ``patient`` is unique over cohorts; ``columns`` has every column as text.

    ``origin`` names the row for a person: file and line.
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
        """What the image shows, the same for every row that shows it; empty where the manifest does not say."""
        return self.columns.get("picture", "")


def read_cases(manifests: Sequence[Path], *, without: frozenset[str] = frozenset()) -> list[TrainingCase]:
    """The rows of all ``manifests``, without the patients ``without``. TrainingError that names a wrong row.

    A patient's name that does not say its cohort (``nih:1335``) is unique within its source: ``source:patient``.
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
    """TrainingError that names every two rows whose files hold the same bytes, and whose labels differ."""
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
    """Training and validation rows; those of any other split are left out. TrainingError for a patient in both."""
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


def beside_cases(cases: Sequence[TrainingCase], data: DataConfig) -> list[TrainingCase]:
    """Rows that are never held out."""
    return [case for case in cases if case.split in data.beside]


def kept_apart(training: Iterable[TrainingCase], held_out: Iterable[TrainingCase]) -> list[TrainingCase]:
    """``training`` without rows of a patient of ``held_out`` and without those that are the same picture.

    The free column ``picture`` names what a row shows where an image is in several cohorts, or in several forms.
    """
    held = {name for case in held_out for name in (case.patient, case.picture) if name}
    return [case for case in training if case.patient not in held and case.picture not in held]


def limited(cases: Sequence[TrainingCase], limit: int, seed: int) -> list[TrainingCase]:
    """At most ``limit`` rows (0: all), of patients in an order that ``seed`` draws; smaller limits lie in larger."""
    if not limit or len(cases) <= limit:
        return list(cases)
    patients = sorted({case.patient for case in cases})
    order = np.random.default_rng(seed).permutation(len(patients))
    rank = {patients[place]: number for number, place in enumerate(order)}
    kept = {case.image for case in sorted(cases, key=lambda case: rank[case.patient])[:limit]}
    return [case for case in cases if case.image in kept]


def part_of_patient(patient: str, parts: int) -> int:
    """A part from 0 to ``parts`` - 1 that depends on the patient alone."""
    return int(sha256(patient.encode()).hexdigest(), 16) % parts


def check_patients_apart(first: Iterable[TrainingCase], second: Iterable[TrainingCase]) -> None:
    """TrainingError if a patient is on both sides, or an image: two files with the same bytes are one image."""
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
    """Two rows of each group of files with the same bytes, the first of it and one that is ``wrong`` beside it."""
    try:
        groups = same_bytes([case.image for case in cases])
    except OSError as error:
        raise TrainingError(f"{error.filename} cannot be read: {error.strerror}") from error
    return [
        (cases[group[0]], cases[position])
        for group in groups
        for position in group[1:]
        if wrong(cases[group[0]], cases[position])
    ]


def _raise_for(pairs: Sequence[tuple[TrainingCase, TrainingCase]], how: str) -> None:
    if pairs:
        named = "; ".join(f"{first.origin} and {other.origin}" for first, other in pairs[:SHOWN])
        more = f" and {len(pairs) - SHOWN} more" if len(pairs) > SHOWN else ""
        raise TrainingError(f"{len(pairs)} pairs of files with the same bytes are {how}: {named}{more}")


def read_patients(path: Path) -> frozenset[str]:
    """Patient names, one a line."""
    try:
        return frozenset(line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip())
    except OSError as error:
        raise TrainingError(f"{path} cannot be read: {error}") from error
