"""List of the images that made a network's weights: the SHA-256 of each file, and the public name of each picture.

It is written when a run begins, and includes the images of the earlier runs that it starts from. So the network is not
measured on one of them, even where a manifest states another patient.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from training.data.cases import TrainingCase
from training.errors import TrainingError
from training.files import digest, write_text
from triage.errors import cause
from triage.validation.cohort.manifest import PUBLIC_COHORTS

IMAGES = "training_images.txt"


def write_images(folder: Path, training: Iterable[TrainingCase], earlier: Iterable[str]) -> None:
    """Write the list of ``training`` and of ``earlier`` runs, one a line. Raises TrainingError for a missing image."""
    write_text(folder / IMAGES, as_list({*earlier, *names_of(training)}))


def names_of(cases: Iterable[TrainingCase]) -> set[str]:
    """Return the SHA-256 of each image file, and the public names of pictures."""
    found = set()
    for case in cases:
        found.add(digest(case.image))
        if case.picture.partition(":")[0] in PUBLIC_COHORTS:
            found.add(case.picture)
    return found


def as_list(names: Iterable[str]) -> str:
    """Return the text of a list, one name a line."""
    return "".join(f"{name}\n" for name in sorted(names))


def read_images(folder: Path) -> tuple[str, ...]:
    """Read the list of a run. Raises TrainingError where it is missing, as in runs of releases that wrote none."""
    path = folder / IMAGES
    try:
        return tuple(path.read_text(encoding="utf-8").split())
    except OSError as error:
        raise TrainingError(
            f"{path} cannot be read: {cause(error)}; run the training again, which writes it"
        ) from error
