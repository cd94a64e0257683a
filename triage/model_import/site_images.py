"""Images of the site that a distance is fitted to: read on the service's own path, those that it would score alone."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.decision.reasons import Reason
from triage.errors import cause
from triage.model.card import ModelCard
from triage.model.distribution import COMPONENTS
from triage.model.feature_distribution import FOLDS, SiteImages
from triage.model.session import AT_ONCE
from triage.model_import.errors import ImportRefusedError
from triage.radiograph.types import Attributes, Rejected, View
from triage.scoring.assess import AssessmentPolicy, PreparedImage, prepare
from triage.scoring.conclude import conclude
from triage.scoring.predict import Decoder
from triage.validation.cohort.manifest import Row, read_manifest

FloatImages = npt.NDArray[np.float32]
FeaturesOf = Callable[[FloatImages], npt.NDArray[np.float32]]
"""Features (n, p) of model inputs (n, 1, s, s)."""

LEAST_IMAGES = 100
"""The limit is the 99th percentile of the distances: of fewer images it is the largest."""
MOST_BYTES = 2**30
_DECODE_S = 60.0
_SCORED = frozenset(
    {Reason.NO_DISTRIBUTION, Reason.FINDING_NOT_COVERED, Reason.FINDING_CONTRADICTS, Reason.PLUGIN_ALONE}
)
"""Reasons of images that a model scored, and that only its card keeps from a tag."""

assert LEAST_IMAGES * (FOLDS - 1) // FOLDS > COMPONENTS


@dataclass(frozen=True)
class SiteFile:
    """One file. ``patient``: whose it is, empty for what the file says itself. ``age`` in years, if it is known."""

    path: Path
    patient: str = ""
    view: str = ""
    age: float | None = None


@dataclass
class ReadImages:
    """The images that were read, and how many files were left out for which reason."""

    levels: list[npt.NDArray[np.uint8]] = field(default_factory=list)
    features: list[npt.NDArray[np.float32]] = field(default_factory=list)
    patients: list[str] = field(default_factory=list)
    inputs: list[FloatImages] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)

    def images(self) -> SiteImages:
        """Return all of them. Raises ImportRefusedError for too few."""
        if len(self.levels) < LEAST_IMAGES:
            why = ", ".join(f"{reason} {count}" for reason, count in self.left_out.most_common())
            raise ImportRefusedError(
                [
                    f"{len(self.levels)} of the site's images can be used for the distance, and {LEAST_IMAGES} are "
                    f"needed; left out: {why or 'none'}"
                ]
            )
        features = np.stack(self.features).astype(np.float64) if self.features else None
        return SiteImages(np.stack(self.levels), features, self.patients)


def files_below(paths: Sequence[Path]) -> list[SiteFile]:
    """Return the files that are named, and all below the folders that are. Raises ImportRefusedError."""
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ImportRefusedError([f"{path} is not there"])
        try:
            found += sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]
        except OSError as error:
            raise ImportRefusedError([f"{path} cannot be read: {cause(error)}"]) from error
    return [SiteFile(path) for path in found]


def files_of_cohort(manifest: Path) -> list[SiteFile]:
    """Return the images of a cohort. Raises ManifestError."""
    return [_of_row(row) for row in read_manifest(manifest)]


def site_files(images: Sequence[Path], cohort: Path | None) -> tuple[list[SiteFile], str]:
    """Return the files of both, and their origin in words. Raises ImportRefusedError and ManifestError."""
    if cohort is None:
        return files_below(images), "of this site"
    return [*files_below(images), *files_of_cohort(cohort)], f"of the cohort {cohort.stem}"


def _of_row(row: Row) -> SiteFile:
    return SiteFile(row.image, row.patient, row.view, row.age)


def read_images(
    files: Sequence[SiteFile], card: ModelCard, policy: AssessmentPolicy, features_of: FeaturesOf | None
) -> ReadImages:
    """Read the images that a model with ``card``, which has no distance yet, would score.

    Of more than fit into 1 GiB, files are taken at equal distances. A file that cannot be decoded is left out.
    """
    files = _thinned(files, MOST_BYTES // card.preprocessing.size**2)
    read = ReadImages()
    with Decoder(_SiteDecoding(card, policy), os.cpu_count() or 1, _DECODE_S) as decoder:
        for chunk in _chunks(files):
            prepared = decoder.finish(decoder.start([each.path for each in chunk]))
            for file, (_, image) in zip(chunk, prepared, strict=True):
                reason = _not_for(file, image, card, policy)
                if reason:
                    read.left_out[reason] += 1
                else:
                    _keep(read, file, image, card, features_of)
    return read


@dataclass(frozen=True)
class _SiteDecoding:
    """Decoding of one file for one model; goes to the child processes."""

    card: ModelCard
    policy: AssessmentPolicy

    def __call__(self, path: Path) -> PreparedImage:
        try:
            data = path.read_bytes()
        except OSError as error:
            rejected = Rejected(Reason.UNDECODABLE, f"cannot be read: {cause(error)}")
            return PreparedImage(Attributes(), View.UNKNOWN, rejected=rejected)
        return prepare(data, {self.card.name: self.card}, self.policy, model_name=self.card.name, pictures=True)


def _not_for(file: SiteFile, image: PreparedImage, card: ModelCard, policy: AssessmentPolicy) -> str:
    """Return the reason why an image is none that the model scores; empty if it is."""
    if image.rejected is not None:
        return str(image.rejected.reason)
    age = image.attributes.age_years if file.age is None else file.age
    if age is not None and not card.covers_age(age):
        return str(Reason.AGE_NOT_COVERED)
    if file.view and file.view not in card.intended_use.views:
        return str(Reason.VIEW_UNVERIFIED)
    if image.view is View.FRONTAL and file.view:  # a picture, of which the manifest knows more
        image = replace(image, view=View(file.view))
    result = conclude(image, card, [0.0] * card.columns, 0.0, policy)
    return "" if _SCORED.issuperset(result.reasons) else str(result.reasons[0])


def _keep(
    read: ReadImages, file: SiteFile, image: PreparedImage, card: ModelCard, features_of: FeaturesOf | None
) -> None:
    model_input, spec = image.model_inputs[card.name], card.preprocessing
    levels = model_input[0] * np.float32(spec.deviation) + np.float32(spec.mean)
    read.levels.append(np.asarray(np.rint(np.clip(levels, 0, 1) * 255), dtype=np.uint8))
    if features_of is not None:
        read.features.append(features_of(model_input[np.newaxis])[0])
    identifiers = image.attributes.patient.identifiers
    read.patients.append(file.patient or (identifiers[0][0] if identifiers else str(file.path)))
    if len(read.inputs) < AT_ONCE:
        read.inputs.append(model_input)


def _thinned(files: Sequence[SiteFile], most: int) -> list[SiteFile]:
    step = len(files) / max(min(most, len(files)), 1)
    return [files[int(number * step)] for number in range(min(most, len(files)))]


def _chunks(files: Sequence[SiteFile]) -> Iterator[Sequence[SiteFile]]:
    for start in range(0, len(files), AT_ONCE):
        yield files[start : start + AT_ONCE]
