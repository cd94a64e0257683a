"""P values of differences from bootstrap rounds."""

from __future__ import annotations

from triage.statistics.intervals import Floats


def two_sided_p(differences: Floats) -> float:
    """Return twice the smaller share of bootstrap ``differences`` (rounds,) on one side of zero, one round at least."""
    tail = min(float((differences <= 0).mean()), float((differences >= 0).mean()))
    return min(1.0, 2 * max(tail, 1 / len(differences)))
