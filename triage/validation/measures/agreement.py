"""What can be recomputed today of Tang et al. 2020 from their published lists: agreement, readers, patients, the view.

The lists lie in ``nih-tang-splits`` (a line ``NAME LABEL`` for each image, 1 abnormal), NIH's table beside its images.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np

from triage.errors import StartError
from triage.statistics.intervals import Agreement, Doubles, agreement, mean_and_sd
from triage.validation.measures.cohort_record import Draws
from triage.validation.measures.figures import Figure, auc_figure, confusion_figures
from triage.validation.scores.external import Scores
from triage.validation.scores.scored import ScoredCohort

ATTENDING, CONSENSUS = "test_attending_rad.txt", "test_rad_consensus_voted3.txt"
TRAIN, VALIDATION = "train.txt", "val.txt"
NIH_TABLE = "Data_Entry_2017_v2020.csv.gz"

Calls = Mapping[str, float]


class ListsError(StartError):
    """Published lists that are not where they should be, or not what they should be."""


@dataclass(frozen=True)
class NIHLabel:
    """What NIH's table says of an image."""

    patient: str
    age: float
    view: str
    findings: str


@dataclass(frozen=True)
class Lists:
    """The paper's four lists, labels by image name, and NIH's table for their images."""

    train: Calls
    validation: Calls
    attending: Calls
    consensus: Calls
    table: Mapping[str, NIHLabel]


def read_lists(data: Path) -> Lists:
    """The lists below ``data``. Raises ListsError."""
    folder = data / "nih-tang-splits"
    train, validation, attending, consensus = (
        _read_list(folder / name) for name in (TRAIN, VALIDATION, ATTENDING, CONSENSUS)
    )
    if attending.keys() != consensus.keys():
        raise ListsError(f"{folder}: the two test lists are of different images")
    table = _read_table(data / "nih-chestxray14" / NIH_TABLE, {*train, *validation, *consensus})
    return Lists(train, validation, attending, consensus, table)


def patients(names: Iterable[str]) -> set[str]:
    """The patients of NIH images: what stands before the underscore."""
    return {name.split("_")[0] for name in names}


def between(first: Scores, second: Scores) -> Agreement:
    """Agreement of two readers on the images that both read. Raises ListsError if there are none."""
    both = sorted(name for name in first.keys() & second.keys() if first[name] is not None and second[name] is not None)
    if not both:
        raise ListsError("two readers have no image in common")
    return agreement(*(np.array([float(calls[name] or 0) for name in both]) for calls in (first, second)))


def as_reader(calls: Calls, reference: Calls, draws: Draws) -> dict[str, Figure]:
    """Sensitivity, specificity, PPV, NPV and accuracy of a reader against a reference, by patient."""
    names = sorted(reference)
    known = np.ones(len(names), dtype=bool)
    scored = ScoredCohort(
        _values(reference, names), _values(calls, names), known, [name.split("_")[0] for name in names]
    )
    return confusion_figures(scored, 0.5, draws, worst=False)[1]


def view_alone(reference: Calls, table: Mapping[str, NIHLabel], draws: Draws) -> Figure:
    """AUC of "AP" as the only predictor of the label: what reading the projection would reach."""
    names = sorted(reference)
    scores = np.array([float(table[name].view == "AP") for name in names])
    known = np.ones(len(names), dtype=bool)
    return auc_figure(
        ScoredCohort(_values(reference, names), scores, known, [name.split("_")[0] for name in names]), draws
    )


@dataclass(frozen=True)
class Pairs:
    """Agreement and kappa over all pairs of readers: mean and standard deviation, as the paper has them."""

    pairs: int
    agreement: tuple[float, float]
    kappa: tuple[float, float]


def over_pairs(readers: Mapping[str, Scores]) -> Pairs:
    """Over every pair of at least three readers; the standard deviation is that of the sample."""
    found = [between(readers[one], readers[two]) for one, two in combinations(sorted(readers), 2)]
    return Pairs(
        len(found),
        mean_and_sd([each.agreement for each in found]),
        mean_and_sd([each.kappa for each in found]),
    )


def _values(calls: Calls, names: Sequence[str]) -> Doubles:
    return np.array([float(calls[name]) for name in names])


def _read_list(file: Path) -> dict[str, float]:
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = {name: float(label) for name, label in lines}
    except (OSError, ValueError) as error:
        raise ListsError(f"{file} is no list of the paper's: {error}") from error
    if len(found) != len(lines) or not set(found.values()) <= {0.0, 1.0}:
        raise ListsError(f"{file}: an image is named twice, or a label is neither 0 nor 1")
    return found


def _read_table(file: Path, names: set[str]) -> dict[str, NIHLabel]:
    try:
        with gzip.open(file, "rt", newline="", encoding="utf-8") as stream:
            return {
                row["Image Index"]: NIHLabel(
                    row["Patient ID"], float(row["Patient Age"]), row["View Position"], row["Finding Labels"]
                )
                for row in csv.DictReader(stream)
                if row["Image Index"] in names
            }
    except (OSError, KeyError, ValueError) as error:
        raise ListsError(f"{file} is not NIH's table: {error}") from error
