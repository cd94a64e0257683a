"""Distance of an image in the features of a network, next to that of its thumbnail.

The features of the site's images span a subspace, as their thumbnails do (distribution.py). Two more ratios, each about
1 for an average image of the site: the squared Mahalanobis length inside the subspace, and the squared length outside.
The distance is the largest of all five. The thumbnail sees layout and polarity, the features see texture.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triage.errors import TriageError
from triage.model import distribution
from triage.model.distribution import COMPONENTS, Bytes, Floats, Subspace

FOLDS = 5
_LEAST_SHARE = 1e-4
"""Of the greatest variance: components with less are near the rounding of float32, and are left out."""


class FeaturesError(TriageError, ValueError):
    """Features that no distance can be measured in; the message has the reason."""


@dataclass(frozen=True, eq=False)
class FeatureSubspace:
    """``mean`` (p,), ``components`` (k, p), ``variances`` (k,); means of the two terms over the images."""

    mean: Floats
    components: Floats
    variances: Floats
    inside: float
    outside: float


@dataclass(frozen=True, eq=False)
class SiteImages:
    """Images that a distance is fitted to.

    ``levels`` (n, s, s): scaled to 0 to 255, as bytes or not rounded; ``features`` (n, p), None for a network without a
    feature tensor; ``patients`` (n,): the images of one are in one fold.
    """

    levels: Bytes | Floats
    features: Floats | None
    patients: Sequence[str]

    def of(self, keep: npt.NDArray[np.bool_]) -> SiteImages:
        """Return the images where ``keep`` (n,) is true."""
        patients = [name for name, kept in zip(self.patients, keep, strict=True) if kept]
        return SiteImages(self.levels[keep], None if self.features is None else self.features[keep], patients)


@dataclass(frozen=True, eq=False)
class FittedDistance:
    """The subspaces of thumbnails and, where there are any, of features."""

    thumbnails: Subspace
    features: FeatureSubspace | None


def fit(images: SiteImages) -> FittedDistance:
    """Return the subspaces of ``images``, of which there are more than components. Raises FeaturesError."""
    features = None if images.features is None else _fit_features(images.features)
    return FittedDistance(distribution.fit(images.levels), features)


def distances(fitted: FittedDistance, images: SiteImages) -> Floats:
    """Return the distance of each image; the wrapped graph computes the same."""
    found = distribution.distances(fitted.thumbnails, images.levels)
    if fitted.features is None or images.features is None:
        return found
    inside, outside = _terms(fitted.features, images.features)
    return np.asarray(np.max([found, inside / fitted.features.inside, outside / fitted.features.outside], axis=0))


def out_of_fold(images: SiteImages, folds: int = FOLDS, seed: int = 0) -> Floats:
    """Return each image's distance from the subspaces of the other folds' images; a patient is in one fold."""
    fold = distribution.folds_of(images.patients, folds, seed)
    result = np.zeros(len(images.levels))
    for number in range(folds):
        result[fold == number] = distances(fit(images.of(fold != number)), images.of(fold == number))
    return result


def _fit_features(features: Floats) -> FeatureSubspace:
    if not np.isfinite(features).all():
        raise FeaturesError("the features of some images are not finite numbers")
    mean = features.mean(0)
    _, singular, directions = np.linalg.svd(features - mean, full_matrices=False)
    variances = singular**2 / (len(features) - 1)
    count = min(COMPONENTS, features.shape[1] // 2, int(np.count_nonzero(variances > _LEAST_SHARE * variances[0])) - 1)
    if count < 1:
        raise FeaturesError(f"the {features.shape[1]} features hardly vary over the images")
    plain = FeatureSubspace(mean, directions[:count], variances[:count], 1.0, 1.0)
    inside, outside = _terms(plain, features)
    return FeatureSubspace(mean, plain.components, plain.variances, float(inside.mean()), float(outside.mean()))


def _terms(subspace: FeatureSubspace, features: Floats) -> tuple[Floats, Floats]:
    centred = features - subspace.mean
    coordinates = centred @ subspace.components.T
    inside = (coordinates**2 / subspace.variances).sum(1)
    return inside, np.maximum((centred**2).sum(1) - (coordinates**2).sum(1), 0)
