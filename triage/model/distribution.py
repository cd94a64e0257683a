"""Distance from the training images: a low-pass subspace of them, and how far an image may be from it.

Every image becomes a thumbnail of 32 x 32 area means, centred and scaled to unit deviation. Training thumbnails span a
subspace (their first principal components). The distance of an image is the largest of three ratios, about 1 for an
average training image: the squared Mahalanobis length inside the subspace, the squared length outside it, and the
squared deviation of the log contrast. An inverted chest has the negated thumbnail and lies far outside; noise, blanks
and other body parts do too. The limit is the 99th percentile of out-of-fold distances of the training images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bytes = npt.NDArray[np.uint8]

THUMBNAIL = 32
COMPONENTS = 32
LEAST_CONTRAST = 1e-4
LIMIT_PERCENTILE = 99.0
# The square of one number has a heavier tail than a sum of many; scaled so, only large changes of contrast count.
CONTRAST_SCALE = 5.0


@dataclass(frozen=True, eq=False)
class Subspace:
    """``mean`` (p,), ``components`` (k, p), ``variances`` (k,); means of the three terms and of the log contrast."""

    mean: Floats
    components: Floats
    variances: Floats
    inside: float
    outside: float
    contrast_mean: float
    contrast_variance: float


def averaging(size: int) -> Floats:
    """Return (32, size): each row has the weights of one area mean along an axis; a pixel on a border is shared."""
    if size < THUMBNAIL:
        raise ValueError(f"images must have at least {THUMBNAIL} rows, not {size}")
    edges = np.arange(THUMBNAIL + 1)[:, None] * size / THUMBNAIL
    covered = np.clip(edges - np.arange(size), 0, 1)  # of each pixel, the part before an edge
    return np.asarray(np.diff(covered, axis=0) * THUMBNAIL / size)


def thumbnails(images: Bytes | Floats) -> tuple[Floats, Floats]:
    """Return standardised thumbnails (n, 1024) and log contrasts (n,) of normalised images (n, s, s), 0 to 255."""
    weights = averaging(images.shape[1])
    means = np.array([weights @ image @ weights.T for image in images]).reshape(len(images), -1) / 255
    centred = means - means.mean(1, keepdims=True)
    contrast = np.maximum(np.sqrt((centred**2).mean(1)), LEAST_CONTRAST)
    return centred / contrast[:, None], np.log(contrast)


def fit(images: Bytes | Floats) -> Subspace:
    """Return the subspace of training images (n, s, s), n greater than the number of components."""
    points, contrasts = thumbnails(images)
    mean = points.mean(0)
    _, singular, directions = np.linalg.svd(points - mean, full_matrices=False)
    components, variances = directions[:COMPONENTS], singular[:COMPONENTS] ** 2 / (len(points) - 1)
    inside, outside = _terms(points - mean, components, variances)
    return Subspace(
        mean, components, variances, inside.mean(), outside.mean(), float(contrasts.mean()), float(contrasts.var())
    )


def distances(subspace: Subspace, images: Bytes | Floats) -> Floats:
    """Return the distance of each image (n, s, s); the exported graph computes the same."""
    points, contrasts = thumbnails(images)
    inside, outside = _terms(points - subspace.mean, subspace.components, subspace.variances)
    contrast = (contrasts - subspace.contrast_mean) ** 2 / subspace.contrast_variance
    ratios = [inside / subspace.inside, outside / subspace.outside, contrast / CONTRAST_SCALE]
    return np.asarray(np.max(ratios, axis=0))


def out_of_fold(images: Bytes, patients: Sequence[str], folds: int = 5, seed: int = 0) -> Floats:
    """Return each image's distance from the subspace of the other folds' images; a patient is in one fold."""
    fold = folds_of(patients, folds, seed)
    result = np.zeros(len(images))
    for number in range(folds):
        result[fold == number] = distances(fit(images[fold != number]), images[fold == number])
    return result


def folds_of(patients: Sequence[str], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """Return the fold of each image, 0 to ``folds`` - 1; a patient is in one fold."""
    names = np.asarray(patients)
    unique = np.unique(names)
    fold_of = dict(zip(unique, np.random.default_rng(seed).permutation(len(unique)) % folds, strict=True))
    return np.array([fold_of[name] for name in names], dtype=np.int64)


def _terms(centred: Floats, components: Floats, variances: Floats) -> tuple[Floats, Floats]:
    coordinates = centred @ components.T
    inside = (coordinates**2 / variances).sum(1)
    outside = (centred**2).sum(1) - (coordinates**2).sum(1)
    return inside, np.maximum(outside, 0)
