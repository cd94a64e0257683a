"""A run's networks and what the card says of how they did: each recipe has its own held-out patients."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from training import cohorts
from training.architectures import build
from training.cohorts import Sample
from training.config import Config
from training.images import load
from training.trainer import predict
from triage.model.card import Interval, Performance
from triage.validation.statistics import auc, exact_interval, patient_bootstrap

Floats = npt.NDArray[np.floating[Any]]
BOOTSTRAP = "95 %, patient-clustered bootstrap, 2,000 rounds; covers the drawing of patients, not the training"
EXACT = "95 %, exact binomial, images taken as independent"


@dataclass(frozen=True)
class Run:
    """A finished run of ``training``."""

    folder: Path
    config: Config
    outputs: tuple[str, ...]
    training_images: int
    training_patients: tuple[str, ...]
    validation_patients: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class Scored:
    """Held-out images: true labels, probabilities, patients."""

    samples: Sequence[Sample]
    labels: Floats
    probabilities: Floats

    def where(self, keep: Sequence[bool]) -> Scored:
        """Those images for which ``keep`` is true."""
        chosen = np.flatnonzero(np.asarray(keep))
        return Scored([self.samples[int(i)] for i in chosen], self.labels[chosen], self.probabilities[chosen])


def open_run(folder: Path) -> Run:
    """The run in ``folder``."""
    record = json.loads((folder / "run.json").read_text())
    return Run(
        folder,
        Config.model_validate(record["config"]),
        tuple(record["outputs"]),
        int(record["training_images"]),
        tuple(record["training_patients"]),
        tuple(record["validation_patients"]),
    )


def members(run: Run) -> list[nn.Module]:
    """The averaged networks of a run: one, or one for each fold left out."""
    files = sorted(run.folder.glob("fold*/last.pt")) or [run.folder / "last.pt"]
    networks = []
    for file in files:
        network = build(run.config.architecture, len(run.outputs))
        network.load_state_dict(torch.load(file, weights_only=True)["averaged"])
        networks.append(network.eval())
    return networks


def out_of_fold(run: Run, samples: Sequence[Sample], target: str) -> Scored:
    """Each image scored by the one network of ``expert_folds`` that never saw its patient."""
    rows = {row["image"]: row for row in json.loads((run.folder / "oof.json").read_text())}
    logits = np.array([rows[sample.path.name]["logit"] for sample in samples])
    return Scored(samples, _labels(samples, target), 1 / (1 + np.exp(-logits)))


def held_out(run: Run, networks: list[nn.Module], samples: Sequence[Sample], target: str) -> Scored:
    """Images that no network saw, scored by their mean."""
    images = load(samples, run.config.spec(), run.folder / "cache")
    logits = predict(networks, images, run.outputs.index(target)).astype(np.float64)
    return Scored(samples, _labels(samples, target), 1 / (1 + np.exp(-logits)))


def performance(scored: Scored, cohort: str, reference: str, how: str, thresholds: dict[str, float]) -> Performance:
    """AUC, and sensitivity and specificity at each threshold, with intervals."""
    figures = {"auc": auc_interval(scored)}
    for name, threshold in thresholds.items():
        figures[f"sensitivity at {name}"] = sensitivity(scored, threshold)
        figures[f"specificity at {name}"] = specificity(scored, threshold)
    return Performance(cohort=cohort, reference=reference, held_out_how=how, figures=figures)


def auc_interval(scored: Scored) -> Interval:
    """AUC with its patient-clustered bootstrap interval."""
    low, high = patient_bootstrap(
        lambda chosen: auc(scored.labels[chosen], scored.probabilities[chosen]), [s.patient for s in scored.samples]
    )
    value = auc(scored.labels, scored.probabilities)
    return _interval(value, low, high, BOOTSTRAP, len(scored.labels))


def view_alone(samples: Sequence[Sample], labels: Floats) -> Interval:
    """AUC of "AP" as the only predictor: what a model could reach by reading the projection."""
    return auc_interval(Scored(samples, labels, np.array([float(sample.view == "AP") for sample in samples])))


def sensitivity(scored: Scored, threshold: float) -> Interval:
    """Share of positives at or above the threshold."""
    return _share(scored.probabilities[scored.labels > 0.5] >= threshold)


def specificity(scored: Scored, threshold: float) -> Interval:
    """Share of negatives below the threshold."""
    return _share(scored.probabilities[scored.labels < 0.5] < threshold)


def share(events: npt.NDArray[np.bool_]) -> Interval:
    """A proportion with its exact interval."""
    return _share(events)


def threshold_for(scored: Scored, target_sensitivity: float) -> float:
    """The highest threshold whose sensitivity has an exact 95 % lower bound of at least ``target_sensitivity``.

    ValueError if there are too few positives for any.
    """
    positives = np.sort(scored.probabilities[scored.labels > 0.5])
    for missed in range(len(positives) - 1, -1, -1):
        if exact_interval(len(positives) - missed, len(positives))[0] >= target_sensitivity:
            return float(np.floor(positives[missed] * 1e4) / 1e4)
    raise ValueError(f"{len(positives)} positives cannot certify a sensitivity of {target_sensitivity}")


def _labels(samples: Sequence[Sample], target: str) -> Floats:
    return np.array([sample.targets[target] for sample in samples])


def _share(events: npt.NDArray[np.bool_]) -> Interval:
    low, high = exact_interval(int(events.sum()), len(events))
    return _interval(float(events.mean()), low, high, EXACT, len(events))


def _interval(value: float, low: float, high: float, method: str, count: int) -> Interval:
    return Interval(value=round(value, 4), low=round(low, 4), high=round(high, 4), method=method, n=count)


def cohort_of(data: Path, name: str) -> list[Sample]:
    """The samples of a cohort by name."""
    return {"wcmc": cohorts.wcmc, "nih": cohorts.nih}[name](data)
