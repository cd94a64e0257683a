"""PURE: projection, PA or AP, of a frontal chest of an adult by its pixels (docs/adr/0031).

A wrong or missing View Position (0018,5101) is noticed by it. It is applied to upright chests of adults only, decides
nothing, and was trained on no lateral. ``projection.json`` describes how its weights were made and measured.
"""

from __future__ import annotations

import math

import numpy as np

from triage.radiograph.thumbnail import FloatImage, ThumbnailNetwork, shipped
from triage.radiograph.types import View


def ap_share_of(small: FloatImage, network: ThumbnailNetwork | None = None) -> float:
    """Return the share of certainty, 0 to 1, that the adult chest with the thumbnail ``small`` was taken AP, not PA.

    It is no probability at a site: PA and AP were equally frequent in training.
    """
    score = float((network or SHIPPED).scores(small[np.newaxis])[0])
    return 1 / (1 + math.exp(-score))


def contradicts(ap_share: float, stated: View) -> bool:
    """Return whether the pixels contradict a ``stated`` PA or AP with enough certainty."""
    certain = {View.PA: ap_share, View.AP: 1 - ap_share}
    return certain.get(stated, 0.0) >= LEAST_CERTAIN


SHIPPED, _CARD = shipped("projection")
LEAST_CERTAIN = float(_CARD["least_certain"])
FROM_YEARS = float(_CARD["from_years"])
"""Age from which the check applies: the network was trained on adults only."""
