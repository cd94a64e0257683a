"""The distance of a model from the site's images: fitted, compared with what the graph computes, and its limit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, save_model

from triage.model.card import Distribution, ModelCard
from triage.model.distribution import COMPONENTS, LIMIT_PERCENTILE
from triage.model.feature_distribution import FeaturesError, FittedDistance, SiteImages, distances, fit, out_of_fold
from triage.model.wrapping_foreign import FEATURES, with_features, wrap_foreign
from triage.model_import.candidate import Candidate
from triage.model_import.errors import ImportRefusedError
from triage.model_import.site_images import ReadImages, SiteFile, read_images
from triage.model_import.trial_session import TrialInput, TrialSession
from triage.scoring.assess import AssessmentPolicy

TOLERANCE = 1e-2
"""Of a distance, relative: the graph has float32, and the part outside of a subspace is a small difference."""

DISTANCE = "distance"
_Floats = npt.NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SiteDistance:
    """The subspaces for the graph, the distance's part of the card, and a note for people."""

    fitted: FittedDistance
    distribution: Distribution
    note: str


def fit_distance(
    candidate: Candidate,
    provisional: ModelCard,
    files: Sequence[SiteFile],
    origin: str,
    policy: AssessmentPolicy,
    work: Path,
) -> SiteDistance:
    """Return the distance of a model from the images of the site.

    ``provisional``: the card without a distance, which says which images the model scores. ``work``: a folder for
    graphs. Raises ImportRefusedError.
    """
    read = read_images(files, provisional, policy, _features_of(candidate, work))
    images = read.images()
    try:
        fitted, found = fit(images), out_of_fold(images)
    except FeaturesError as error:
        raise ImportRefusedError([f"no distance can be fitted: {error}"]) from error
    limit = round(float(np.percentile(found, LIMIT_PERCENTILE)), 4)
    _check_distance(candidate, fitted, images, read, work)
    patients = len(set(images.patients))
    left_out = ", ".join(f"{reason} {count}" for reason, count in read.left_out.most_common())
    note = f"distance from {len(images.levels)} images of {patients} patients, limit {limit:g}"
    distribution = Distribution(
        measure=_measure(candidate, fitted),
        limit=limit,
        chosen=f"{LIMIT_PERCENTILE:g}th percentile of the out-of-fold distances of {len(images.levels)} images of "
        f"{patients} patients, {origin}; five folds by patient",
        refusals={},
    )
    return SiteDistance(fitted, distribution, f"{note}; left out: {left_out}" if left_out else note)


def _measure(candidate: Candidate, fitted: FittedDistance) -> str:
    text = f"inside, outside and contrast in a subspace of {COMPONENTS} components of 32 x 32 thumbnails"
    tensor = candidate.form.wrapping.features
    if fitted.features is None or tensor is None:
        return f"largest of three ratios: {text} (triage/model/distribution.py)"
    count = len(fitted.features.variances)
    return (
        f"largest of five ratios: {text}, inside and outside in one of {count} components of the tensor {tensor.name} "
        "(triage/model/feature_distribution.py)"
    )


def _features_of(candidate: Candidate, work: Path) -> Callable[[_Floats], _Floats] | None:
    """Return the function from model inputs (n, 1, s, s) to features (n, p); None for a network without any."""
    if candidate.form.wrapping.features is None:
        return None
    session = _session(candidate, with_features(candidate.network, candidate.form.wrapping), FEATURES, work)
    return lambda images: np.asarray(session.run({"image": images})[FEATURES], dtype=np.float32)


def _check_distance(
    candidate: Candidate, fitted: FittedDistance, images: SiteImages, read: ReadImages, work: Path
) -> None:
    """Raise ImportRefusedError unless the graph computes the distances that numpy does."""
    session = _session(candidate, wrap_foreign(candidate.network, candidate.form.wrapping, fitted), DISTANCE, work)
    found = np.concatenate([session.run({"image": image[np.newaxis]})[DISTANCE] for image in read.inputs])
    spec, count = candidate.form.wrapping.spec, len(read.inputs)
    exact = (np.stack(read.inputs)[:, 0].astype(np.float64) * spec.deviation + spec.mean) * 255
    features = None if images.features is None else images.features[:count]
    expected = distances(fitted, SiteImages(exact, features, images.patients[:count]))
    worst = float(np.max(np.abs(found - expected) / expected))
    if not worst <= TOLERANCE:
        raise ImportRefusedError([f"the graph's distances are not those that were fitted: {worst:.2g} of them apart"])


def _session(candidate: Candidate, model: ModelProto, output: str, work: Path) -> TrialSession:
    path = work / f"{output}.onnx"
    save_model(model, path)
    size = candidate.form.wrapping.spec.size
    return TrialSession(path, TrialInput("image", (1, 1, size, size)), [output])
