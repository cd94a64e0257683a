"""The network that tells an upright chest from a turned one: its fit, and its measurement as the service uses it.

No label is used: an image as it was published is upright, and its three turns are not. One score is learnt, and the
four turns of an image compete for it, so that no turn can be learnt better than another.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from training.data.cases import TrainingCase
from training.data.images import radiograph_of
from training.studies import thumbnail_network
from training.studies.thumbnail_network import Recipe, ThumbnailScorer, share
from triage.radiograph.crop import content
from triage.radiograph.orientation import orientation_of
from triage.radiograph.thumbnail import ThumbnailNetwork, thumbnail
from triage.radiograph.types import FloatImage, Mask

SLANTS = (-30, -20, -15, -10, -5, 5, 10, 15, 20, 30)
"""Degrees to the left by which upright images are turned, to find the angle from which the check refuses."""

Floats = npt.NDArray[np.float64]

_SMOOTHING = 0.02


def fit(images: FloatImage, sources: Sequence[str], recipe: Recipe) -> ThumbnailNetwork:
    """Fit the network on upright ``images``, float32 (n, 32, 32) from 0 to 1, of ``sources`` (n)."""
    # A constant at the end would be the same for all four turns of an image.
    return thumbnail_network.fit(images, sources, recipe, _loss, constant=False)


def _loss(scorer: ThumbnailScorer, shown: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
    """Return the loss: the four turns of an image compete for being upright."""
    turns = torch.cat([torch.rot90(shown, turn, (2, 3)) for turn in range(4)])
    scores = scorer(turns).reshape(4, -1).T
    upright = torch.zeros(len(places), dtype=torch.long)
    return functional.cross_entropy(scores, upright, label_smoothing=_SMOOTHING)


def certainties(images: FloatImage, network: ThumbnailNetwork) -> Floats:
    """Return the certainty (n, 4) that thumbnails (n, 32, 32) are upright.

    Columns: unchanged, and turned by 90, 180 and 270 degrees to the left.
    """
    scores = np.stack([network.scores(np.rot90(images, turn, (1, 2))) for turn in range(4)], axis=1)
    shares = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
    return np.asarray(shares / shares.sum(axis=1, keepdims=True))


def certainties_of_cases(cases: Sequence[TrainingCase], network: ThumbnailNetwork) -> Floats:
    """Return the certainty (n, 4) of the whole images of ``cases``, by the service's own function."""
    found = []
    for case in cases:
        shown = _shown(case)
        found.append([_certainty(np.ascontiguousarray(np.rot90(shown, turn)), network) for turn in range(4)])
    return np.array(found)


def certainties_of_slanted(cases: Sequence[TrainingCase], network: ThumbnailNetwork) -> Floats:
    """Return the certainty (n, slants) that upright images of ``cases`` are upright when turned by ``SLANTS``."""
    return np.array([[_certainty(_slanted(shown, angle), network) for angle in SLANTS] for shown in map(_shown, cases)])


def _shown(case: TrainingCase) -> FloatImage:
    radiograph = radiograph_of(case)
    return np.asarray(np.where(radiograph.valid, radiograph.pixels, np.float32(0)), dtype=np.float32)


def _certainty(shown: FloatImage, network: ThumbnailNetwork) -> float:
    valid: Mask = np.ones(shown.shape, dtype=bool)
    return orientation_of(thumbnail(shown, valid, content(shown, valid)), network).shares[0]


def _slanted(shown: FloatImage, degrees: float) -> FloatImage:
    rows, columns = shown.shape
    matrix = cv2.getRotationMatrix2D((columns / 2, rows / 2), degrees, 1.0)
    return np.asarray(cv2.warpAffine(shown, matrix, (columns, rows)), dtype=np.float32)


def counted(turned: Floats, least: float) -> dict[str, object]:
    """Return the shares of upright images that ``least`` refuses and of turned ones that pass, with exact intervals."""
    taken = turned >= least
    record: dict[str, object] = {"images": len(taken), "upright_refused": share(int((~taken[:, 0]).sum()), len(taken))}
    for turn in (1, 2, 3):
        record[f"turned_{90 * turn}_passed"] = share(int(taken[:, turn].sum()), len(taken))
    return record
