"""A combination rule: the probability that one finding at least is there, if they were independent."""

from __future__ import annotations

import math
from collections.abc import Mapping


def either(scores: Mapping[str, float]) -> float:
    """Return a score from 0 to 1, from those of the findings that the card's rule names."""
    return 1 - math.prod(1 - score for score in scores.values())
