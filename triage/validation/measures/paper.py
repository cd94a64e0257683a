"""The test sets of Tang et al. 2020: the paper's figures, and the comparison of a model with them."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any, cast

from triage.validation.measures.comparison_records import PaperRecord
from triage.validation.measures.metrics_record import UnitRecord

MARGINS = {"auc": 0.02, "sensitivity": 0.05, "specificity": 0.05}


class PaperVerdict(StrEnum):
    """Verdict of a comparison with the paper."""

    REPRODUCES = "reproduces"
    BETTER = "better"
    FALLS_SHORT = "falls short"
    INCONCLUSIVE = "inconclusive"
    CANNOT_BE_COMPARED = "cannot be compared"

    @property
    def passes(self) -> bool:
        """True if the exit status is 0."""
        return self in (PaperVerdict.REPRODUCES, PaperVerdict.BETTER)


@dataclass(frozen=True)
class PaperCohort:
    """The paper's report of one test set. ``figures``: its figures by name; ``others``: its further models."""

    name: str
    title: str
    source: str
    model: str
    positives: int
    negatives: int
    images_sha256: str | None
    threshold: float
    figures: Mapping[str, float]
    notes: tuple[str, ...]
    others: tuple[Mapping[str, str | float], ...]


@dataclass(frozen=True)
class Compared:
    """One figure: the paper's value, our value and interval (patient-clustered bootstrap, worst case)."""

    figure: str
    paper: float
    ours: float | None
    low: float | None
    high: float | None
    margin: float
    verdict: PaperVerdict


@dataclass(frozen=True)
class PaperComparison:
    """The verdict over all figures, and the obstacles if they cannot be compared."""

    cohort: PaperCohort
    verdict: PaperVerdict
    obstacles: tuple[str, ...]
    compared: tuple[Compared, ...]

    def record(self) -> PaperRecord:
        """Return the record for metrics.json."""
        return cast("PaperRecord", asdict(self))


def names() -> list[str]:
    """Return the names of the known cohorts."""
    return list(_read_paper())


def paper_cohort(name: str) -> PaperCohort:
    """Return the paper's report of the test set ``name``."""
    record = _read_paper()[name]
    return PaperCohort(
        name=name,
        title=record["title"],
        source=record["source"],
        model=record["model"],
        positives=record["positives"],
        negatives=record["negatives"],
        images_sha256=record.get("images_sha256"),
        threshold=record["threshold"],
        figures={figure: record[figure] for figure in MARGINS if figure in record},
        notes=tuple(record["notes"]),
        others=tuple(record.get("others", ())),
    )


def digest_of(images: Iterable[tuple[str, int]]) -> str:
    """Return the SHA-256 of the sorted lines of file stem and label: it identifies images and labels."""
    lines = sorted(f"{Path(name).stem} {label}\n" for name, label in images)
    return sha256("".join(lines).encode()).hexdigest()


def compare(
    cohort: PaperCohort,
    images: Sequence[tuple[str, int]],
    measured: UnitRecord,
    *,
    trained_on: int | None,
    left_out: int,
    why: str = "",
) -> PaperComparison:
    """Compare figures per image with the paper.

    Args:
        cohort: The paper's report of the test set.
        images: Names and labels.
        measured: Figures per image.
        trained_on: Number of images of patients who trained the model; None if that is not known.
        left_out: Number of images that were excluded before.
        why: Reason why ``trained_on`` is not known.
    """
    obstacles = list(_obstacles(cohort, images, trained_on, left_out, why))
    compared = tuple(_figure(cohort, name, measured) for name in cohort.figures)
    if obstacles:
        return PaperComparison(cohort, PaperVerdict.CANNOT_BE_COMPARED, tuple(obstacles), compared)
    return PaperComparison(cohort, overall([each.verdict for each in compared]), (), compared)


def verdict_of(paper: float, low: float | None, high: float | None, margin: float) -> PaperVerdict:
    """Return the verdict on one figure by its interval.

    Better: above ``better_above``; reproduced: within the margin around the paper's figure; short: below that margin.
    """
    if low is None or high is None:
        return PaperVerdict.INCONCLUSIVE
    if low > better_above(paper, margin):
        return PaperVerdict.BETTER
    if paper - margin <= low and high <= paper + margin:
        return PaperVerdict.REPRODUCES
    return PaperVerdict.FALLS_SHORT if high < paper - margin else PaperVerdict.INCONCLUSIVE


def better_above(paper: float, margin: float) -> float:
    """Return the value that a lower bound must exceed to be better than the paper.

    It is as far above the paper's figure in log odds as ``paper - margin`` is below it: ``paper + margin`` itself may
    lie beyond 1 (0.9851 + 0.02), where no model could reach it.
    """
    if not margin < paper < 1:
        return min(1.0, paper + margin)
    odds = paper / (1 - paper)
    above = odds * odds * (1 - paper + margin) / (paper - margin)
    return above / (1 + above)


def overall(verdicts: Sequence[PaperVerdict]) -> PaperVerdict:
    """Return the worst verdict; better only if none is worse than reproduced."""
    for worst in (PaperVerdict.FALLS_SHORT, PaperVerdict.INCONCLUSIVE, PaperVerdict.BETTER):
        if worst in verdicts:
            return worst
    return PaperVerdict.REPRODUCES


def _obstacles(
    cohort: PaperCohort, images: Sequence[tuple[str, int]], trained_on: int | None, left_out: int, why: str
) -> Iterable[str]:
    positives = sum(label for _, label in images)
    expected, found = (cohort.negatives, cohort.positives), (len(images) - positives, positives)
    if left_out:
        yield f"{left_out} images of the model's training patients were left out, so these are other images"
    elif found != expected:
        yield f"other images: {found[0]} negative, {found[1]} positive; the paper has {expected[0]} and {expected[1]}"
    elif cohort.images_sha256 is None:
        yield "which images the paper tested on is not published, so that these are the same cannot be shown"
    elif digest_of(images) != cohort.images_sha256:
        yield "other images or other labels than those published, though as many"
    if trained_on is None:
        yield why or "whether its patients trained the model is not known"
    elif trained_on:
        yield f"{trained_on} images are of patients whose identifiers are among those that the model was trained on"
    if not cohort.figures:
        yield "the paper's text gives no figure for this reference"


def _figure(cohort: PaperCohort, name: str, measured: UnitRecord) -> Compared:
    if name == "auc":
        found = measured["auc"]["worst_case"]
    else:
        at_threshold = next(each for each in measured["points"] if each["threshold"] == cohort.threshold)
        found = at_threshold["worst_case"]["figures"][name]
    low, high = found["intervals"].get("bootstrap", (None, None))
    verdict = verdict_of(cohort.figures[name], low, high, MARGINS[name])
    return Compared(name, cohort.figures[name], found["value"], low, high, MARGINS[name], verdict)


def _read_paper() -> dict[str, Any]:
    return tomllib.loads((files("triage.validation.measures") / "paper.toml").read_text(encoding="utf-8"))
