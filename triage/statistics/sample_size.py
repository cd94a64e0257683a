"""How many images a claim needs, and what a cohort can and cannot certify. Exact binomial, one stated bound."""

from __future__ import annotations

from scipy.stats import binom

from triage.statistics.intervals import exact_interval

_MOST = 200_000


def positives_needed(bound: float, expected: float, power: float = 0.8) -> int | None:
    """Fewest positives with which the exact 95 % lower bound of sensitivity reaches ``bound`` with chance ``power``.

    ``expected`` is the sensitivity that the model is thought to have. None if none up to 200,000 do, or it is not above
    the bound. The same answer holds for negatives and specificity. From this number on every larger one up to a tenth
    more has been looked at, for the chance goes up and down with the binomial's steps.
    """
    if not 0 < bound < expected <= 1:
        return None
    low, high = 1, 2
    while _chance(high, bound, expected) < power:
        low, high = high, high * 2
        if high > _MOST:
            return None
    while low < high:
        middle = (low + high) // 2
        if _holds_from(middle, bound, expected, power):
            high = middle
        else:
            low = middle + 1
    return low


def fewest_for(bound: float) -> int:
    """Fewest positives that can certify ``bound`` at all: with every one of them found."""
    count = 1
    while exact_interval(count, count)[0] < bound:
        count += 1
    return count


def most_certifiable(count: int) -> float:
    """The highest lower bound that ``count`` images of a class can certify: when all of them are right."""
    return exact_interval(count, count)[0] if count else 0.0


def allowed_misses(count: int, bound: float) -> int | None:
    """How many of ``count`` may be missed for the exact 95 % lower bound to reach ``bound``; None: not even none."""
    if not count or exact_interval(count, count)[0] < bound:
        return None
    low, high = 0, count
    while low < high:  # the bound falls with every miss
        middle = (low + high + 1) // 2
        if exact_interval(count - middle, count)[0] >= bound:
            low = middle
        else:
            high = middle - 1
    return low


def _holds_from(count: int, bound: float, expected: float, power: float) -> bool:
    step = max(count // 100, 1)
    return all(_chance(n, bound, expected) >= power for n in range(count, count + count // 10 + 1, step))


def _chance(count: int, bound: float, expected: float) -> float:
    allowed = allowed_misses(count, bound)
    return float(binom.sf(count - allowed - 1, count, expected)) if allowed is not None else 0.0
