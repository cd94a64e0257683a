"""Checks of installed models: loaded, and drawn images scored. No package of an extra is needed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.errors import TriageError
from triage.model.card import CARD, ModelCard, load_card
from triage.model.session import ModelScores, ModelSession, check_loads
from triage.model_import.trial_images import trial_images

TOLERANCE = 1e-5


@dataclass(frozen=True)
class ModelCheck:
    """The check of one folder: its card if it could be read, and what is wrong; nothing: it is as it should be."""

    folder: Path
    card: ModelCard | None
    faults: tuple[str, ...]


def folders_of(named: Sequence[str], installed: Callable[[], Path]) -> list[Path]:
    """Return the folders of named models; of all that are ``installed`` without a name.

    A name with a slash, or of a folder that holds a card, is a path. Raises ModelRefusedError of ``installed``.
    """
    if not named:
        return sorted(path.parent for path in installed().glob(f"*/{CARD}"))
    return [Path(each) if "/" in each or (Path(each) / CARD).is_file() else installed() / each for each in named]


def check_folders(folders: Iterable[Path]) -> Iterator[ModelCheck]:
    """Yield the check of each folder."""
    for folder in folders:
        try:
            card = load_card(folder.resolve())
        except TriageError as error:
            yield ModelCheck(folder, None, (str(error),))
            continue
        try:
            yield ModelCheck(folder, card, tuple(_faults(folder, card)))
        except TriageError as error:
            yield ModelCheck(folder, card, (str(error),))


def _faults(folder: Path, card: ModelCard) -> Iterator[str]:
    check_loads(folder, card, "cpu", 0)
    session = ModelSession(folder, card, maps=True)
    images = trial_images(card.preprocessing.spec())
    first, second = session.score(images), session.score(images[::-1])
    yield from _wrong_scores(card, first)
    if not _equal(first.probability, second.probability[::-1]) or not _equal(first.distance, second.distance[::-1]):
        yield "an image has another score or distance in another order of images"
    yield from _wrong_maps(session, card, first)


def _wrong_scores(card: ModelCard, scores: ModelScores) -> Iterator[str]:
    for finding in card.findings:
        if finding.column is None:
            continue
        values = scores.probability[:, finding.column]
        if not np.isfinite(values).all() or values.min() < 0 or values.max() > 1:
            yield f"{finding.name}: its score is not a number of 0 to 1 for drawn images"
    if not card.demo and len(scores.probability) > 1 and np.ptp(scores.probability, axis=0).max() == 0:
        yield "every drawn image has the same scores, chests as noise: the graph does not see the image"
    if card.distribution is not None and not np.isfinite(scores.distance).all():
        yield "the distance is not a finite number for drawn images"


def _wrong_maps(session: ModelSession, card: ModelCard, scores: ModelScores) -> Iterator[str]:
    columns = [each.activation_column for each in card.findings if each.activation_column is not None]
    if columns and scores.maps is None:
        yield "its findings have maps, and the graph has none"
    elif scores.maps is not None and columns and max(columns) >= scores.maps.shape[1]:
        yield f"a finding has map {max(columns)}, and the graph has {scores.maps.shape[1]}"


def _equal(first: npt.NDArray[np.float32], second: npt.NDArray[np.float32]) -> bool:
    return bool(np.allclose(first, second, rtol=TOLERANCE, atol=TOLERANCE, equal_nan=True))
