"""PURE: orientation of a chest by its pixels: no attribute states it reliably (docs/adr/0028).

A small network scores how upright a thumbnail looks; the four turns of the image are compared with each other.
``orientation.json`` describes how its weights were made and measured.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from triage.radiograph.thumbnail import FloatImage, ThumbnailNetwork, shipped


@dataclass(frozen=True)
class Orientation:
    """Orientation of an image.

    ``shares`` of certainty, which sum to 1, that it has to be turned by 0, 90, 180 and 270 degrees to the left
    (anticlockwise) to be upright. A mirror image is upright, too: the pixels do not show which side is left.
    """

    shares: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)

    @property
    def is_upright(self) -> bool:
        """True if the image is upright with enough certainty for a model trained on upright images only."""
        return self.shares[0] >= LEAST_UPRIGHT

    def __str__(self) -> str:
        likeliest = max(range(4), key=self.shares.__getitem__)
        if likeliest:
            return f"it looks as if turned by {90 * likeliest} degrees to the right ({self.shares[likeliest]:.2f} of 1)"
        return f"it looks upright with {self.shares[0]:.2f} of 1, and {LEAST_UPRIGHT} are asked for"


UPRIGHT = Orientation()


def orientation_of(small: FloatImage, network: ThumbnailNetwork | None = None) -> Orientation:
    """Return the orientation of a radiograph from its thumbnail; without contrast all four are equally likely."""
    turns = np.stack([np.rot90(small, turn) for turn in range(4)])
    scores = (network or SHIPPED).scores(turns).astype(np.float64)
    shares = np.exp(scores - scores.max())
    shares /= shares.sum()
    return Orientation((float(shares[0]), float(shares[1]), float(shares[2]), float(shares[3])))


SHIPPED, _CARD = shipped("orientation")
LEAST_UPRIGHT = float(_CARD["least_upright"])
