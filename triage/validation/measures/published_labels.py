"""Statistics of the labels that Tang et al. 2020 published: agreement of readers, patients, and the view alone.

The lists lie in ``nih-tang-splits`` (a line ``NAME LABEL`` for each image, 1 abnormal), NIH's table in the folder of
its images.
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
from triage.statistics.intervals import Doubles, mean_and_sd
from triage.statistics.reader_agreement import ReaderAgreement, reader_agreement
from triage.validation.measures.cohort_record import Draws
from triage.validation.measures.figures import Figure, auc_figure, confusion_figures
from triage.validation.scores.external import Scores
from triage.validation.scores.scored import ScoredCohort

ATTENDING, CONSENSUS = "test_attending_rad.txt", "test_rad_consensus_voted3.txt"
TRAIN, VALIDATION = "train.txt", "val.txt"
NIH_TABLE = "Data_Entry_2017_v2020.csv.gz"

Calls = Mapping[str, float]


class PublishedLabelsError(StartError):
    """A published list that is missing or cannot be used; the message names the file."""


@dataclass(frozen=True)
class NIHLabel:
    """A row of NIH's table: attributes of one image."""

    patient: str
    age: float
    view: str
    findings: str


@dataclass(frozen=True)
class PublishedLabels:
    """The paper's four lists, labels by image name, and NIH's table for their images."""

    train: Calls
    validation: Calls
    attending: Calls
    consensus: Calls
    table: Mapping[str, NIHLabel]


def read_published_labels(data: Path) -> PublishedLabels:
    """Read the lists below ``data``. Raises PublishedLabelsError."""
    folder = data / "nih-tang-splits"
    train, validation, attending, consensus = (
        _read_list(folder / name) for name in (TRAIN, VALIDATION, ATTENDING, CONSENSUS)
    )
    if attending.keys() != consensus.keys():
        raise PublishedLabelsError(f"{folder}: the two test lists are of different images")
    table = _read_table(data / "nih-chestxray14" / NIH_TABLE, {*train, *validation, *consensus})
    return PublishedLabels(train, validation, attending, consensus, table)


def patients(names: Iterable[str]) -> set[str]:
    """Return the patients of NIH images: the part of the name before the underscore."""
    return {name.split("_")[0] for name in names}


def agreement_between(first: Scores, second: Scores) -> ReaderAgreement:
    """Return the agreement of two readers on the images that both read. Raises PublishedLabelsError without any."""
    both = sorted(name for name in first.keys() & second.keys() if first[name] is not None and second[name] is not None)
    if not both:
        raise PublishedLabelsError("two readers have no image in common")
    return reader_agreement(*(np.array([float(calls[name] or 0) for name in both]) for calls in (first, second)))


def reader_against(reference: Calls, calls: Calls, draws: Draws) -> dict[str, Figure]:
    """Return sensitivity, specificity, PPV, NPV and accuracy of a reader's calls against a reference, by patient."""
    names = sorted(reference)
    known = np.ones(len(names), dtype=bool)
    scored = ScoredCohort(
        _values(reference, names), _values(calls, names), known, [name.split("_")[0] for name in names]
    )
    return confusion_figures(scored, 0.5, draws, worst=False)[1]


@dataclass(frozen=True)
class DisputedReports:
    """Test images whose text label and attending's label differ, and what the blinded consensus says of them.

    ``attending``: of those, the ones where the consensus agrees with the attending; ``wrong_before`` and
    ``wrong_after``: text labels that disagree with the consensus of all images, without and with the correction.
    """

    disputed: int
    attending: int
    wrong_before: int
    wrong_after: int


def text_labels(lists: PublishedLabels) -> dict[str, float]:
    """Return NIH's mined labels of the test: 1 where the table of 2020 names any finding."""
    return {name: float(lists.table[name].findings != "No Finding") for name in lists.consensus}


def disputed_reports(lists: PublishedLabels) -> DisputedReports:
    """Return what the paper's correction of disputed reports is worth with NIH's text labels of 2020."""
    text = text_labels(lists)
    disputed = [name for name in text if text[name] != lists.attending[name]]
    return DisputedReports(
        disputed=len(disputed),
        attending=sum(lists.attending[name] == lists.consensus[name] for name in disputed),
        wrong_before=sum(text[name] != lists.consensus[name] for name in text),
        wrong_after=sum(lists.attending[name] != lists.consensus[name] for name in text),
    )


def view_auc(reference: Calls, table: Mapping[str, NIHLabel], draws: Draws) -> Figure:
    """Return the AUC of "AP" as the only predictor of the label."""
    names = sorted(reference)
    scores = np.array([float(table[name].view == "AP") for name in names])
    known = np.ones(len(names), dtype=bool)
    return auc_figure(
        ScoredCohort(_values(reference, names), scores, known, [name.split("_")[0] for name in names]), draws
    )


@dataclass(frozen=True)
class PairwiseAgreement:
    """Agreement and kappa over all pairs of readers: mean and standard deviation, as in the paper."""

    pairs: int
    agreement: tuple[float, float]
    kappa: tuple[float, float]


def pairwise_agreement(readers: Mapping[str, Scores]) -> PairwiseAgreement:
    """Return the agreement over every pair of at least three readers; the standard deviation is that of the sample."""
    pairs = [agreement_between(readers[one], readers[two]) for one, two in combinations(sorted(readers), 2)]
    return PairwiseAgreement(
        len(pairs),
        mean_and_sd([each.agreement for each in pairs]),
        mean_and_sd([each.kappa for each in pairs]),
    )


def _values(calls: Calls, names: Sequence[str]) -> Doubles:
    return np.array([float(calls[name]) for name in names])


def _read_list(file: Path) -> dict[str, float]:
    try:
        lines = [line.split() for line in file.read_text(encoding="utf-8").splitlines() if line.strip()]
        found = {name: float(label) for name, label in lines}
    except (OSError, ValueError) as error:
        raise PublishedLabelsError(f"{file} is no list of the paper's: {error}") from error
    if len(found) != len(lines) or not set(found.values()) <= {0.0, 1.0}:
        raise PublishedLabelsError(f"{file}: an image is named twice, or a label is neither 0 nor 1")
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
        raise PublishedLabelsError(f"{file} is not NIH's table: {error}") from error
