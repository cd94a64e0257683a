"""Several manifests joined into one: shared patients are recognised, and no patient is in two splits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from training.prepare.cohort import PrepareError
from training.prepare.crosswalk import WHERE, translate
from training.prepare.splits import assign_folds, by_person
from triage.validation.cohort.manifest import Row, find_leak, read_manifest
from triage.validation.cohort.provenance import read_provenance

PRECEDENCE = ("test", "val", "train")
"""Order of splits: of a patient in several splits, the rows of the first of these stay where others may be dropped."""

ADVICE = {
    "split": ". --drop-leaking keeps the held-out rows of such patients and drops the others",
    "fold": ". --folds N draws new folds over everything",
}
SAME = "RSNA's images are NIH's: one radiograph may be in here twice, in two files, with two labels"


@dataclass(frozen=True)
class Joined:
    """Rows of all manifests, number of rows dropped for leaking, warnings, and whether a manifest is partial."""

    rows: tuple[Row, ...]
    dropped: int
    warnings: tuple[str, ...]
    partial: bool


def join(
    manifests: Sequence[Path], crosswalk: Mapping[str, str], *, drop_leaking: bool, folds: int, seed: int
) -> Joined:
    """Return all rows of ``manifests``.

    Args:
        manifests: the files to join.
        crosswalk: NIH's patient by RSNA's patientId; RSNA's patients become NIH's.
        drop_leaking: of a patient in several splits, keep the held-out rows and drop the others.
        folds: number of new folds over all rows, 0 for none.
        seed: seed of the folds.

    Raises:
        PrepareError: names both rows where a patient is in two splits or folds; also where RSNA and NIH meet without
            a crosswalk.
    """
    rows: list[Row] = []
    origin: list[str] = []
    for path in manifests:
        for row in read_manifest(path):
            where = f"{path}, line {row.line}"
            rows.append(replace(row, patient=translate(row.patient, crosswalk, where) if crosswalk else row.patient))
            origin.append(where)
    _check_cohorts(rows)
    kept = _held_out_first(rows) if drop_leaking else list(range(len(rows)))
    joined = assign_folds([rows[number] for number in kept], folds, seed, group=by_person)
    leak = find_leak(joined)
    if leak is not None:
        raise PrepareError(leak.message(origin[kept[leak.again]], origin[kept[leak.first]]) + ADVICE[leak.part])
    warnings, partial = _inherited(manifests)
    return Joined(joined, len(rows) - len(joined), (*warnings, *_same_radiographs(joined)), partial)


def _check_cohorts(rows: Iterable[Row]) -> None:
    cohorts = {row.patient.partition(":")[0] for row in rows}
    if {"nih", "rsna"} <= cohorts:
        raise PrepareError(f"RSNA's images are of NIH's patients: give --crosswalk, to see which. {WHERE}")


def _held_out_first(rows: Sequence[Row]) -> list[int]:
    """Return the positions of the rows that stay where a patient of several splits keeps the most held-out one."""
    splits_of: dict[str, set[str]] = {}
    for row in rows:
        splits_of.setdefault(row.patient, set()).add(row.split)
    return [number for number, row in enumerate(rows) if row.split == _kept_split(splits_of[row.patient])]


def _kept_split(splits: set[str]) -> str:
    if len(splits) == 1:
        return next(iter(splits))
    unknown = splits - set(PRECEDENCE)
    if unknown:
        raise PrepareError(f"a patient is in splits {sorted(splits)}, and which of them is held out cannot be told")
    return next(split for split in PRECEDENCE if split in splits)


def _inherited(manifests: Iterable[Path]) -> tuple[list[str], bool]:
    """Return the warnings of the manifests' JSON files, and whether one of them is partial."""
    known = [(path, provenance) for path in manifests if (provenance := read_provenance(path)) is not None]
    warnings = [f"{path.name}: {text}" for path, provenance in known for text in provenance.warnings]
    return warnings, any(provenance.partial for _, provenance in known)


def _same_radiographs(rows: Iterable[Row]) -> tuple[str, ...]:
    sources = {row.source for row in rows}
    return (SAME,) if {"nih-chestxray14", "rsna-pneumonia"} <= sources else ()
