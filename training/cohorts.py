"""Labelled radiographs: who, which image, what is known of it, and which part of its cohort it belongs to."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path


class CohortError(Exception):
    """A cohort that cannot be trained on; the message names the row."""


@dataclass(frozen=True)
class Sample:
    """One image. ``targets`` are what is known of it, by the name of an output; what is absent is unknown.

    ``patient`` is unique over cohorts. ``part`` is the cohort's own split, ``fold`` its own fold where it has folds.
    """

    path: Path
    patient: str
    part: str
    targets: Mapping[str, float]
    view: str = ""
    sex: str = ""
    age_years: float | None = None
    fold: int | None = None


def wcmc(data: Path) -> list[Sample]:
    """The WCMC/Guangzhou pediatric cohort (Kermany et al. 2018): ``pneumonia``, and ``bacterial`` where known."""
    folder = data / "wcmc-pediatric"
    return [_wcmc_sample(folder, row) for row in _rows(folder / "manifest.csv")]


def _wcmc_sample(folder: Path, row: Mapping[str, str]) -> Sample:
    targets = {"pneumonia": _binary(row["label"], row["image"])}
    if row["subtype"]:
        targets["bacterial"] = float(row["subtype"] == "bacteria")
    # The children of the official train and validation parts are one set; validation is carved from it by person.
    part = "test" if row["split"] == "test" else "train"
    return Sample(folder / row["image"], f"wcmc:{row['person']}", part, targets)


def nih(data: Path) -> list[Sample]:
    """NIH ChestX-ray14 images (Wang et al. 2017). Parts: ``text`` (text-mined) and ``expert`` (RSNA's radiologists).

    ``abnormal`` is the radiologists' class, in ``expert`` only; ``text_abnormal`` and the findings are text-mined.
    """
    folder = data / "nih-chestxray14"
    rows = list(_rows(folder / "manifest.csv"))
    findings = sorted({finding for row in rows for finding in row["findings"].split("|")} - {"No Finding"})
    return [_nih_sample(folder, row, findings) for row in rows]


def _nih_sample(folder: Path, row: Mapping[str, str], findings: Iterable[str]) -> Sample:
    present = set(row["findings"].split("|"))
    age = float(row["age"])
    targets = {f"finding:{finding}": float(finding in present) for finding in findings}
    targets |= {"male": float(row["sex"] == "M"), "ap": float(row["view"] == "AP"), "age": (age - 50) / 20}
    targets["text_abnormal"] = _binary(row["text_label"], row["image"])
    if row["rsna_label"]:
        targets["abnormal"] = _binary(row["rsna_label"], row["image"])
    return Sample(
        path=folder / row["image"],
        patient=f"nih:{row['patient']}",
        part=row["split"],
        targets=targets,
        view=row["view"],
        sex=row["sex"],
        age_years=age,
        fold=int(float(row["expert_fold"])) if row["expert_fold"] else None,
    )


def tang_test_patients(data: Path) -> frozenset[str]:
    """Patients of the paper's own NIH test list: left out of all training, so that comparing stays possible."""
    names = [
        line.split()[0]
        for path in sorted((data / "nih-tang-splits").glob("test_*.txt"))
        for line in path.read_text().splitlines()
        if line.strip()
    ]
    if not names:
        raise CohortError(f"{data / 'nih-tang-splits'} holds no test list")
    return frozenset(f"nih:{int(name.split('_')[0])}" for name in names)


def by_person(sample: Sample, parts: int) -> int:
    """A fold from 0 to ``parts`` - 1 that depends on the patient alone."""
    return int(sha256(sample.patient.encode()).hexdigest(), 16) % parts


def check_patients_apart(first: Iterable[Sample], second: Iterable[Sample]) -> None:
    """CohortError if a patient is in both."""
    both = {sample.patient for sample in first} & {sample.patient for sample in second}
    if both:
        raise CohortError(f"{len(both)} patients are on both sides of a split, {min(both)} among them")


def _rows(manifest: Path) -> Iterable[dict[str, str]]:
    try:
        with manifest.open(newline="") as file:
            yield from csv.DictReader(file)
    except FileNotFoundError as error:
        raise CohortError(f"{manifest} is not there: set TRIAGE_DATA to the folder of the cohorts") from error


def _binary(text: str, row: str) -> float:
    if text.strip() not in ("0", "1", "0.0", "1.0"):
        raise CohortError(f"{row}: label {text!r} is neither 0 nor 1")
    return float(text)
