"""The cohorts of Tang et al. 2020: what the paper reports of them, and whether a model reproduces it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

MARGINS = {"auc": 0.02, "sensitivity": 0.05, "specificity": 0.05}


class PaperVerdict(StrEnum):
    """What a comparison with the paper comes to."""

    REPRODUCES = "reproduces"
    BETTER = "better"
    FALLS_SHORT = "falls short"
    INCONCLUSIVE = "inconclusive"
    CANNOT_BE_COMPARED = "cannot be compared"

    @property
    def passes(self) -> bool:
        """Whether the exit status is 0."""
        return self in (PaperVerdict.REPRODUCES, PaperVerdict.BETTER)


@dataclass(frozen=True)
class PaperCohort:
    """What the paper says of one test set. ``figures`` are its points by name; ``others`` its further models."""

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
    others: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True)
class Compared:
    """One figure: the paper's point, our value and interval (patient-clustered bootstrap, worst case)."""

    figure: str
    paper: float
    ours: float | None
    low: float | None
    high: float | None
    margin: float
    verdict: PaperVerdict


@dataclass(frozen=True)
class PaperComparison:
    """The verdict over all figures, and why nothing can be said where it cannot."""

    cohort: PaperCohort
    verdict: PaperVerdict
    obstacles: tuple[str, ...]
    compared: tuple[Compared, ...]

    def record(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def names() -> list[str]:
    """The cohorts that are known."""
    return list(_facts())


def paper_cohort(name: str) -> PaperCohort:
    """What the paper says of ``name``."""
    record = _facts()[name]
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
    """Identifies images and truth: the SHA-256 of the sorted lines of file stem and label."""
    lines = sorted(f"{Path(name).stem} {label}\n" for name, label in images)
    return sha256("".join(lines).encode()).hexdigest()


def compare(
    cohort: PaperCohort,
    images: Sequence[tuple[str, int]],
    measured: Mapping[str, Any],
    *,
    trained_on: int | None,
    left_out: int,
    why: str = "",
) -> PaperComparison:
    """Compare ``measured`` (per image) with the paper.

    ``images`` are names and labels; ``trained_on`` how many of them are of patients who trained the model, None if that
    is not known, for the reason ``why``; ``left_out`` how many were excluded before.
    """
    obstacles = list(_obstacles(cohort, images, trained_on, left_out, why))
    compared = tuple(_figure(cohort, name, measured) for name in cohort.figures)
    if obstacles:
        return PaperComparison(cohort, PaperVerdict.CANNOT_BE_COMPARED, tuple(obstacles), compared)
    return PaperComparison(cohort, overall([each.verdict for each in compared]), (), compared)


def verdict_of(paper: float, low: float | None, high: float | None, margin: float) -> PaperVerdict:
    """Of one figure: its interval above ``better_above``, within the margin around the paper's point, wholly below it,
    or neither.
    """
    if low is None or high is None:
        return PaperVerdict.INCONCLUSIVE
    if low > better_above(paper, margin):
        return PaperVerdict.BETTER
    if paper - margin <= low and high <= paper + margin:
        return PaperVerdict.REPRODUCES
    return PaperVerdict.FALLS_SHORT if high < paper - margin else PaperVerdict.INCONCLUSIVE


def better_above(paper: float, margin: float) -> float:
    """What a lower bound must exceed to be better: as far above the paper's point in log odds as ``paper - margin`` is
    below it.

    ``paper + margin`` itself lies beyond 1 near 1 (0.9851 + 0.02), where no model could reach it.
    """
    if not margin < paper < 1:
        return min(1.0, paper + margin)
    odds = paper / (1 - paper)
    above = odds * odds * (1 - paper + margin) / (paper - margin)
    return above / (1 + above)


def overall(verdicts: Sequence[PaperVerdict]) -> PaperVerdict:
    """The worst of all; better only if nothing is worse than reproduced."""
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


def _figure(cohort: PaperCohort, name: str, measured: Mapping[str, Any]) -> Compared:
    if name == "auc":
        found = measured["auc"]["worst_case"]
    else:
        at_threshold = next(each for each in measured["points"] if each["threshold"] == cohort.threshold)
        found = at_threshold["worst_case"]["figures"][name]
    low, high = found["intervals"].get("bootstrap", (None, None))
    verdict = verdict_of(cohort.figures[name], low, high, MARGINS[name])
    return Compared(name, cohort.figures[name], found["value"], low, high, MARGINS[name], verdict)


def _facts() -> dict[str, Any]:
    return tomllib.loads((files("triage.validation.measures") / "paper.toml").read_text(encoding="utf-8"))
