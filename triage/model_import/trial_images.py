"""Images to compare graphs with where none of the site are at hand: phantoms, and noise."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from triage.phantom.chest import draw
from triage.radiograph.preprocess import PreprocessSpec, preprocess

PHANTOMS, NOISE = 3, 1
_PIXELS = 512


def trial_images(spec: PreprocessSpec) -> npt.NDArray[np.float32]:
    """Return model inputs (n, 1, s, s) of drawn chests, and of noise over the whole grey scale."""
    drawn = [draw(seed, rows=_PIXELS, columns=_PIXELS, opacity=bool(seed % 2)) for seed in range(PHANTOMS)]
    images = [np.asarray(each / each.max(), dtype=np.float32) for each in drawn]
    rng = np.random.default_rng(0)
    images += [rng.random((_PIXELS, _PIXELS), dtype=np.float32) for _ in range(NOISE)]
    return np.stack([preprocess(each, np.ones(each.shape, dtype=bool), spec) for each in images])
