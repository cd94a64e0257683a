"""Shortcuts: how well appearance (sharpness, exposure, borders) tells the label of an image without any finding.

Where appearance alone predicts the label, a network can learn it instead of the finding, do well on held-out images of
the same cohort, and fail on those of another. It is measured on training and validation images, so no test set is
needed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupKFold, cross_val_predict

from triage.statistics.intervals import auc

Bytes = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.floating]

STATISTICS = (
    "mean",
    "contrast",
    "detail finer than 1 px",
    "detail of 1 to 2 px",
    "edges",
    "left and right border",
    "upper and lower border",
    "share of black",
    "share of white",
)
_FOLDS = 5
_BORDER = 6  # pixels


@dataclass(frozen=True)
class Matched:
    """Figures of a model at equal appearance.

    ``auc`` weights each image by the probability of the other class by appearance (overlap weights, Li et al. 2018), so
    that both classes have the same appearance. ``lookalikes`` are the negatives that appear more like positives than a
    quarter of the positives do.
    """

    auc: float
    lookalikes: int
    lookalike_specificity: float


def appearance_statistics(images: Bytes) -> Floats:
    """Return the STATISTICS of normalised images (n, s, s), float64 (n, 9)."""
    return np.array([_statistics(image.astype(np.float32) / 255) for image in images])


def _statistics(image: npt.NDArray[np.float32]) -> list[float]:
    fine, coarse = (cv2.GaussianBlur(image, (0, 0), sigma) for sigma in (1.0, 2.0))
    sides = np.concatenate([image[:, :_BORDER], image[:, -_BORDER:]], axis=1)
    ends = np.concatenate([image[:_BORDER], image[-_BORDER:]])
    figures = (
        image.mean(),
        image.std(),
        (image - fine).std(),
        (fine - coarse).std(),
        cv2.Laplacian(image, cv2.CV_32F).std(),
        sides.mean(),
        ends.mean(),
        (image < 0.02).mean(),
        (image > 0.98).mean(),
    )
    return [float(figure) for figure in figures]


def each_alone(statistics: Floats, labels: Floats) -> dict[str, float]:
    """Return the AUC of each statistic as the only predictor, in its better direction: 0.5 to 1."""
    found = {name: auc(labels, column) for name, column in zip(STATISTICS, statistics.T, strict=True)}
    return {name: max(value, 1 - value) for name, value in found.items()}


def appearance_score(statistics: Floats, labels: Floats, patients: Sequence[str]) -> Floats:
    """Return the probability (n,) of the positive class by appearance alone, out of fold by patient."""
    model = HistGradientBoostingClassifier(max_iter=80, learning_rate=0.1, random_state=0)
    folds = GroupKFold(_FOLDS)
    positive = np.asarray(labels) > 0.5
    found = cross_val_predict(model, statistics, positive, groups=patients, cv=folds, method="predict_proba")
    return np.asarray(found[:, 1], dtype=np.float64)


def matched(labels: Floats, probabilities: Floats, appearance: Floats, threshold: float = 0.5) -> Matched:
    """Return the figures at equal appearance; ``appearance`` (n,) is that of ``appearance_score``."""
    positive = np.asarray(labels) > 0.5
    weights = np.where(positive, 1 - appearance, appearance)
    alike = ~positive & (appearance > np.percentile(appearance[positive], 25) if positive.any() else ~positive)
    specificity = float((probabilities[alike] < threshold).mean()) if alike.any() else float("nan")
    weighted = float(roc_auc_score(positive, probabilities, sample_weight=weights))
    return Matched(weighted, int(alike.sum()), specificity)
