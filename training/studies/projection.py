"""The network that tells AP from PA by the pixels: fitted, and measured as the service uses it.

The stated view is learnt, and no reading: AP and ill go together, so every figure is given within the normal and within
the ill, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

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
KEPT_APART = frozenset({"test", "held-back"})
_SMOOTHING = 0.02
_FEWEST = 20
"""Images of each kind, for an AUC to be given."""


def of_known_view(cases: Iterable[TrainingCase]) -> list[TrainingCase]:
    """The rows with a view to learn, each picture once; splits that are kept apart are left out."""
    found: dict[str, TrainingCase] = {}
    for case in cases:
        if case.view in VIEWS and case.split not in KEPT_APART:
            found.setdefault(case.picture or str(case.image), case)
    return list(found.values())


def ages(cases: Sequence[TrainingCase]) -> Floats:
    """Years; NaN where the manifest has none."""
    return np.array([float(case.columns["age"] or "nan") for case in cases])


def seen(cases: Sequence[TrainingCase]) -> FloatImage:
    """The thumbnails of ``cases`` by the service's own functions, float32 (n, 32, 32)."""
    return np.stack([_seen(case) for case in tqdm(cases, desc="decode", unit="image")])


def _seen(case: TrainingCase) -> FloatImage:
    radiograph = radiograph_of(case)
    pixels, valid = radiograph.pixels, radiograph.valid
    return thumbnail(pixels, valid, content(pixels, valid))


def fit(images: FloatImage, cases: Sequence[TrainingCase], recipe: Recipe) -> ThumbnailNetwork:
    """The network for ``images``, float32 (n, 32, 32) from 0 to 1: PA and AP of each source are shown equally often."""
    is_ap = torch.tensor([float(case.view == "AP") for case in cases])

    def loss(scorer: ThumbnailScorer, shown: torch.Tensor, places: torch.Tensor) -> torch.Tensor:
        wanted = is_ap[places] * (1 - _SMOOTHING) + _SMOOTHING / 2
        return functional.binary_cross_entropy_with_logits(scorer(shown), wanted)

    groups = [f"{case.source}, {case.view}" for case in cases]
    return thumbnail_network.fit(images, groups, recipe, loss, constant=True)


def ap_shares(images: FloatImage, network: ThumbnailNetwork) -> Floats:
    """What the service finds of each of ``images`` (n, 32, 32)."""
    return np.array([ap_share_of(small, network) for small in images])


def figures(cases: Sequence[TrainingCase], found: Floats, least: float) -> dict[str, Any]:
    """How well ``found``, the shares of AP, tell the stated views apart; what a limit flags with exact intervals.

    ``rightly_stated_flagged``: what contradicts the view that is stated. ``exchanged_noticed``: what would contradict
    the other one, of those that are PA and AP.
    """
    ap = np.array([case.view == "AP" for case in cases])
    record: dict[str, Any] = {"images": len(cases), "AP": int(ap.sum())}
    if min(ap.sum(), (~ap).sum()) >= _FEWEST:
        record["auc"] = _auc(ap, found, [case.patient for case in cases])
    stated = np.where(ap, found, 1 - found)
    record["rightly_stated_flagged"] = share(int((1 - stated >= least).sum()), len(cases))
    noticed = stated >= least
    record["exchanged_noticed"] = share(int(noticed.sum()), len(cases))
    for name, of in (("PA", ~ap), ("AP", ap)):
        if of.any():
            record[f"{name}_flagged"] = share(int((1 - stated[of] >= least).sum()), int(of.sum()))
            record[f"{name}_stated_as_the_other_noticed"] = share(int(noticed[of].sum()), int(of.sum()))
    return record


def by_limit(cases: Sequence[TrainingCase], found: Floats) -> dict[str, Any]:
    """What other limits would flag and notice, as shares."""
    stated = np.where([case.view == "AP" for case in cases], found, 1 - found)
    record = {}
    for limit in LIMITS:
        flagged, noticed = float((1 - stated >= limit).mean()), float((stated >= limit).mean())
        record[str(limit)] = {"rightly_stated_flagged": round(flagged, 4), "exchanged_noticed": round(noticed, 4)}
    return record


def tells_the_illness(cases: Sequence[TrainingCase], found: Floats) -> dict[str, Any]:
    """How well the share of AP tells ill from normal among images of one view: 0.5 where it sees the projection alone.

    By the radiologists' class, where there is one.
    """
    record = {}
    for view in VIEWS:
        here = np.array([case.view == view and bool(case.columns.get("rsna_class")) for case in cases], dtype=bool)
        ill = np.array([case.columns.get("rsna_class") != "Normal" for case in cases])[here]
        if min(ill.sum(), (~ill).sum()) >= _FEWEST:
            record[view] = _auc(ill, found[here], [case.patient for case, one in zip(cases, here, strict=True) if one])
    return record


def kinds(case: TrainingCase) -> list[str]:
    """What a row is counted under."""
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
