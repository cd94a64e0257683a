"""Student's t distribution, so that a simulation needs no package that the service does not have."""

from __future__ import annotations

from math import atan, cos, pi, sin, sqrt

_HALVINGS = 100


def central_probability(t: float, degrees: int) -> float:
    """Return the probability of -t..t for whole degrees of freedom (Abramowitz and Stegun 26.7.3, 26.7.4)."""
    angle = atan(t / sqrt(degrees))
    odd = degrees % 2
    term = cos(angle) if odd else 1.0
    total = term if degrees > 1 else 0.0
    for k in range(3 if odd else 2, degrees - 1, 2):
        term *= cos(angle) ** 2 * (k - 1) / k
        total += term
    return 2 / pi * (angle + sin(angle) * total) if odd else sin(angle) * total


def central_limit(probability: float, degrees: int) -> float:
    """Return the t for which ``probability`` lies in -t..t; 0.95 gives the factor of a 95 % interval."""
    low, high = 0.0, 1.0
    while central_probability(high, degrees) < probability:
        high *= 2
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if central_probability(middle, degrees) < probability else (low, middle)
    return high
