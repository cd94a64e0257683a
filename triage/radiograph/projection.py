"""PURE: whether a frontal chest of an adult was taken PA or AP, by its pixels (docs/adr/0031).

So that a View Position (0018,5101) that is wrong or missing is noticed.

It is asked of upright chests of adults only, decides nothing, and knows no lateral. ``projection.json`` says how its
weights were made and measured.
"""

from __future__ import annotations

import math

import numpy as np

from triage.radiograph.thumbnail import FloatImage, ThumbnailNetwork, shipped
from triage.radiograph.types import View


def ap_share_of(small: FloatImage, network: ThumbnailNetwork | None = None) -> float:
    """The share of certainty, 0 to 1, that the adult chest with the thumbnail ``small`` was taken AP, and not PA.

    No probability for a site: PA and AP were equally frequent for the network.
    """
    score = float((network or SHIPPED).scores(small[np.newaxis])[0])
    return 1 / (1 + math.exp(-score))


def contradicts(ap_share: float, stated: View) -> bool:
    """Whether the pixels are certain enough that a ``stated`` PA is AP, or the other way round."""
    certain = {View.PA: ap_share, View.AP: 1 - ap_share}
    return certain.get(stated, 0.0) >= LEAST_CERTAIN


SHIPPED, _CARD = shipped("projection")
LEAST_CERTAIN = float(_CARD["least_certain"])
FROM_YEARS = float(_CARD["from_years"])
"""Age from which the check is asked: the network learnt of adults only."""
