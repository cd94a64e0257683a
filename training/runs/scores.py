"""Scores of images with a known label: as a table, and the figures of a model from them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from training.data.cases import TrainingCase
from training.errors import TrainingError
from training.files import write_csv
from triage.runtime.csv_table import plain
from triage.statistics.intervals import auc, patient_bootstrap

COLUMNS = ("image", "patient", "source", "fold", "view", "age", "sex", "label", "logit", "probability")
THRESHOLD = 0.5
PREDICTIONS = "predictions.csv"
OUTPUTS = "outputs.csv"
"""File with every output of the rows that validated, by the public name of the picture alone."""
_TEXTS = ("images", "patients", "sources", "folds", "views", "ages", "sexes")

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, eq=False)
class RunScores:
    """Scores of images, one entry each; ``folds`` is the fold whose network scored it, -1 without folds."""

    images: tuple[str, ...]
    patients: tuple[str, ...]
    sources: tuple[str, ...]
    folds: tuple[int, ...]
    views: tuple[str, ...]
    ages: tuple[str, ...]
    sexes: tuple[str, ...]
    labels: Floats
    logits: Floats

    @classmethod
    def of(cls, cases: Sequence[TrainingCase], labels: Floats, logits: Floats, fold: int = -1) -> Self:
        """Return the scores of the images whose label is known."""
        known = [int(place) for place in np.flatnonzero(~np.isnan(labels))]
        kept = [cases[place] for place in known]
        return cls(
            tuple(str(case.image.resolve()) for case in kept),
            tuple(case.patient for case in kept),
            tuple(case.source for case in kept),
            (fold,) * len(kept),
            tuple(case.view for case in kept),
            tuple(case.columns.get("age", "") for case in kept),
            tuple(case.columns.get("sex", "") for case in kept),
            np.asarray(labels, dtype=np.float64)[known],
            np.asarray(logits, dtype=np.float64)[known],
        )

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a table that ``write`` wrote. Raises TrainingError."""
        try:
            with path.open(newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            texts = {name: tuple(plain(row[name]) for row in rows) for name in COLUMNS}
            return cls(
                texts["image"],
                texts["patient"],
                texts["source"],
                tuple(int(fold) for fold in texts["fold"]),
                texts["view"],
                texts["age"],
                texts["sex"],
                np.array([float(label) for label in texts["label"]]),
                np.array([float(logit) for logit in texts["logit"]]),
            )
        except (OSError, KeyError, ValueError) as error:
            raise TrainingError(f"{path} is not a table of predictions: {error}") from error

    @property
    def probabilities(self) -> Floats:
        """Probabilities of the positive class (n,)."""
        return sigmoid(self.logits)

    def where(self, keep: Sequence[bool] | npt.NDArray[np.bool_]) -> RunScores:
        """Return the images for which ``keep`` is true."""
        return self.take([int(place) for place in np.flatnonzero(np.asarray(keep, dtype=bool))])

    def take(self, chosen: Sequence[int]) -> RunScores:
        """Return the images at these places, in this order."""
        texts: dict[str, Any] = {name: tuple(getattr(self, name)[place] for place in chosen) for name in _TEXTS}
        return RunScores(**texts, labels=self.labels[list(chosen)], logits=self.logits[list(chosen)])

    def lowered(self, by: float) -> RunScores:
        """Return the same images with logits lower by ``by``."""
        return replace(self, logits=self.logits - by)

    def write(self, path: Path) -> None:
        """Write the table as CSV. Logits have nine digits, so that float32 is read back unchanged."""
        columns = [getattr(self, name) for name in _TEXTS]
        numbers = zip(self.labels.tolist(), self.logits.tolist(), self.probabilities.tolist(), strict=True)
        rows = [
            dict(zip(COLUMNS, (*texts, f"{label:g}", f"{logit:.9g}", f"{probability:.6f}"), strict=True))
            for texts, (label, logit, probability) in zip(zip(*columns, strict=True), numbers, strict=True)
        ]
        write_csv(path, COLUMNS, rows)


def sigmoid(logits: Floats) -> Floats:
    """Return probabilities of ``logits``, without overflow."""
    return np.asarray(1 / (1 + np.exp(-np.clip(logits, -500, 500))))


def joined(parts: Sequence[RunScores]) -> RunScores:
    """Return all images of ``parts``."""
    texts: dict[str, Any] = {name: tuple(value for part in parts for value in getattr(part, name)) for name in _TEXTS}
    labels, logits = (np.concatenate([getattr(part, name) for part in parts]) for name in ("labels", "logits"))
    return RunScores(**texts, labels=labels, logits=logits)


def figures(scored: RunScores, threshold: float = THRESHOLD) -> dict[str, float]:
    """Return AUC, cross-entropy, and the paper's proportions at ``threshold``; undefined figures are left out."""
    positive = scored.labels > 0.5
    called = scored.probabilities >= threshold
    margin = np.where(positive, scored.logits, -scored.logits)
    found = {
        "images": float(len(positive)),
        "loss": float(np.logaddexp(0, -margin).mean()),
        "accuracy": float((called == positive).mean()),
    }
    if 0 < positive.sum() < len(positive):
        found["auc"] = auc(scored.labels, scored.logits)
    shares = {
        "sensitivity": (called & positive, positive),
        "specificity": (~called & ~positive, ~positive),
        "ppv": (called & positive, called),
        "npv": (~called & ~positive, ~called),
    }
    found |= {name: float(part.sum() / whole.sum()) for name, (part, whole) in shares.items() if whole.any()}
    if positive.any() or called.any():
        found["f1"] = float(2 * (called & positive).sum() / (called.sum() + positive.sum()))
    return found


def summary(scored: RunScores) -> dict[str, object]:
    """Return figures of all images and of each view, AUC with its patient-clustered interval, and AUC of AP alone."""
    result: dict[str, object] = {"all": _with_interval(scored)}
    views = sorted(set(scored.views) - {""})
    for view in views if len(views) > 1 else ():
        result[view] = _with_interval(scored.where([found == view for found in scored.views]))
    if "AP" in views and len(views) > 1 and 0 < (scored.labels > 0.5).sum() < len(scored.labels):
        result["auc_of_ap_alone"] = auc(scored.labels, np.array([float(view == "AP") for view in scored.views]))
    return result


def _with_interval(scored: RunScores) -> dict[str, object]:
    found: dict[str, object] = {**figures(scored)}
    if "auc" in found:
        try:
            found["auc_ci95"] = patient_bootstrap(
                lambda chosen: auc(scored.labels[chosen], scored.logits[chosen]), scored.patients
            )
        except ValueError:
            return found
    return found


def write_outputs(path: Path, cases: Sequence[TrainingCase], outputs: Sequence[str], logits: Floats, fold: int) -> None:
    """Write logits (n, outputs) with five digits, by picture; rows without a picture are left out."""
    rows = [
        {"picture": case.picture, "fold": fold}
        | {name: f"{logit:.5g}" for name, logit in zip(outputs, of_one.tolist(), strict=True)}
        for case, of_one in zip(cases, logits, strict=True)
        if case.picture
    ]
    write_csv(path, ("picture", "fold", *outputs), rows)
