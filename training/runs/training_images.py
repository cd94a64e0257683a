"""Which images made a network's weights: the SHA-256 of each file, and the public name of each picture.

Written when a run begins, those of earlier runs that it starts from included, so that nobody measures the network on
one of them whatever patient it is said to be of.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from training.data.cases import TrainingCase
from training.errors import TrainingError
from training.files import digest, write_text
from triage.validation.cohort.manifest import PUBLIC_COHORTS

IMAGES = "training_images.txt"


def write_images(folder: Path, training: Iterable[TrainingCase], earlier: Iterable[str]) -> None:
    """Write the list of ``training`` and of ``earlier`` runs, one a line. TrainingError for an image that is gone."""
    found = {*earlier}
    for case in training:
        found.add(digest(case.image))
        if case.picture.partition(":")[0] in PUBLIC_COHORTS:
            found.add(case.picture)
    write_text(folder / IMAGES, "".join(f"{name}\n" for name in sorted(found)))


def read_images(folder: Path) -> tuple[str, ...]:
    """The list of a run. TrainingError where it has none: run by a release that kept none."""
    path = folder / IMAGES
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read: {error.strerror}; run the training again, which writes it"
        ) from error
