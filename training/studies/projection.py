"""The network that tells AP from PA by the pixels: its fit, and its measurement as the service uses it.

The stated view is learnt, and no reading. AP and illness go together, so every figure is also given among the normal
and among the ill images alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional
from tqdm import tqdm

from training.data.cases import TrainingCase
from training.data.images import radiograph_of
from training.studies import thumbnail_network
from training.studies.thumbnail_network import Recipe, ThumbnailScorer, share
from triage.radiograph.crop import content
from triage.radiograph.projection import ap_share_of
from triage.radiograph.thumbnail import ThumbnailNetwork, thumbnail
from triage.radiograph.types import FloatImage
from triage.statistics.intervals import delong

Floats = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]

VIEWS = ("PA", "AP")
LIMITS = (0.5, 0.8, 0.9, 0.95, 0.98, 0.99)
HELD_BACK_SPLITS = frozenset({"test", "held-back"})
_SMOOTHING = 0.02
_FEWEST = 20
"""Least number of images of each kind for an AUC."""


def of_known_view(cases: Iterable[TrainingCase]) -> list[TrainingCase]:
    """Return the rows with a view to learn, each picture once; held-back splits are left out."""
    found: dict[str, TrainingCase] = {}
    for case in cases:
        if case.view in VIEWS and case.split not in HELD_BACK_SPLITS:
            found.setdefault(case.picture or str(case.image), case)
    return list(found.values())


def ages(cases: Sequence[TrainingCase]) -> Floats:
    """Return the ages in years; NaN where the manifest has none."""
    return np.array([float(case.columns["age"] or "nan") for case in cases])


def thumbnails_of(cases: Sequence[TrainingCase]) -> FloatImage:
    """Return the thumbnails of ``cases`` by the service's own functions, float32 (n, 32, 32)."""
    return np.stack([_thumbnail(case) for case in tqdm(cases, desc="decode", unit="image")])


def _thumbnail(case: TrainingCase) -> FloatImage:
    radiograph = radiograph_of(case)
    pixels, valid = radiograph.pixels, radiograph.valid
    return thumbnail(pixels, valid, content(pixels, valid))


def fit(images: FloatImage, cases: Sequence[TrainingCase], recipe: Recipe) -> ThumbnailNetwork:
    """Fit the network on ``images``, float32 (n, 32, 32) from 0 to 1; PA and AP of each source are equally frequent."""
    is_ap = torch.tensor([float(case.view == "AP") for case in cases])

    def loss(scorer: ThumbnailScorer, shown: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        wanted = is_ap[places] * (1 - _SMOOTHING) + _SMOOTHING / 2
        return functional.binary_cross_entropy_with_logits(scorer(shown), wanted)

    groups = [f"{case.source}, {case.view}" for case in cases]
    return thumbnail_network.fit(images, groups, recipe, loss, constant=True)


def ap_shares(images: FloatImage, network: ThumbnailNetwork) -> Floats:
    """Return the share of AP (n,) that the service finds for ``images`` (n, 32, 32)."""
    return np.array([ap_share_of(small, network) for small in images])


def figures(cases: Sequence[TrainingCase], shares: Floats, least: float) -> dict[str, object]:
    """Return figures of the shares of AP ``shares`` against the stated views, with exact intervals.

    ``rightly_stated_flagged`` counts images whose pixels contradict the stated view at the limit ``least``;
    ``exchanged_noticed`` those that would contradict the other view, if it were stated.
    """
    ap = np.array([case.view == "AP" for case in cases])
    record: dict[str, object] = {"images": len(cases), "AP": int(ap.sum())}
    if min(ap.sum(), (~ap).sum()) >= _FEWEST:
        record["auc"] = _auc(ap, shares, [case.patient for case in cases])
    stated = np.where(ap, shares, 1 - shares)
    record["rightly_stated_flagged"] = share(int((1 - stated >= least).sum()), len(cases))
    noticed = stated >= least
    record["exchanged_noticed"] = share(int(noticed.sum()), len(cases))
    for name, of in (("PA", ~ap), ("AP", ap)):
        if of.any():
            record[f"{name}_flagged"] = share(int((1 - stated[of] >= least).sum()), int(of.sum()))
            record[f"{name}_stated_as_the_other_noticed"] = share(int(noticed[of].sum()), int(of.sum()))
    return record


def by_limit(cases: Sequence[TrainingCase], shares: Floats) -> dict[str, object]:
    """Return the shares that other limits would flag and notice."""
    stated = np.where([case.view == "AP" for case in cases], shares, 1 - shares)
    record: dict[str, object] = {}
    for limit in LIMITS:
        flagged, noticed = float((1 - stated >= limit).mean()), float((stated >= limit).mean())
        record[str(limit)] = {"rightly_stated_flagged": round(flagged, 4), "exchanged_noticed": round(noticed, 4)}
    return record


def tells_the_illness(cases: Sequence[TrainingCase], shares: Floats) -> dict[str, object]:
    """Return the AUC of the share of AP for ill against normal, within each view.

    It is 0.5 where the network depends on the projection alone. Ill is by the radiologists' class, where there is one.
    """
    record: dict[str, object] = {}
    for view in VIEWS:
        here = np.array([case.view == view and bool(case.columns.get("rsna_class")) for case in cases], dtype=bool)
        ill = np.array([case.columns.get("rsna_class") != "Normal" for case in cases])[here]
        if min(ill.sum(), (~ill).sum()) >= _FEWEST:
            record[view] = _auc(ill, shares[here], [case.patient for case, one in zip(cases, here, strict=True) if one])
    return record


def kinds(case: TrainingCase) -> list[str]:
    """Return the groups in which a row is counted."""
    cohort = case.source + (f", {part}" if (part := case.columns.get("part")) else "")
    if not (read := case.columns.get("rsna_class")):
        return [cohort, f"{cohort}, {'finding' if case.label else 'no finding'} (text-mined)"]
    plain = "normal" if read == "Normal" else "abnormal"
    return [cohort, f"{cohort}, {plain}", f"read by radiologists, {plain}"]


def _auc(positive: Mask, scores: Floats, patients: Sequence[str]) -> dict[str, float | None]:
    found = delong(positive.astype(np.float64), scores, patients=patients)
    record: dict[str, float | None] = {"value": round(float(found.aucs[0]), 4)}
    for name, bound in zip(("low", "high"), found.interval(), strict=True):
        record[name] = None if math.isnan(bound) else round(bound, 4)  # a perfect separation has no variance
    return record
