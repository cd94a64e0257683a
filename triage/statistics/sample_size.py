"""Sample sizes for a stated bound, and the bounds that a cohort can certify; exact binomial."""

from __future__ import annotations

from scipy.stats import binom

from triage.statistics.intervals import exact_interval

_MOST = 200_000


def positives_needed(bound: float, expected: float, power: float = 0.8) -> int | None:
    """Return the fewest positives with which the exact 95 % lower bound of sensitivity reaches ``bound``.

    The same holds for negatives and specificity. All numbers up to a tenth more are checked too, because the power
    rises and falls with the steps of the binomial distribution.

    Args:
        bound: The lower bound to reach.
        expected: The expected sensitivity.
        power: The probability of reaching the bound.

    Returns:
        The number; None if it exceeds 200,000, or if ``expected`` is not above ``bound``.
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
    """Return the fewest positives that can certify ``bound``, if all of them are found."""
    count = 1
    while exact_interval(count, count)[0] < bound:
        count += 1
    return count


def most_certifiable(count: int) -> float:
    """Return the highest lower bound that ``count`` images of a class can certify, if all of them are right."""
    return exact_interval(count, count)[0] if count else 0.0


def allowed_misses(count: int, bound: float, confidence: float = 0.95) -> int | None:
    """Return the number of ``count`` that may be missed if the exact lower bound is to reach ``bound``.

    None if the bound is not reached without any miss.
    """
    if not count or exact_interval(count, count, confidence)[0] < bound:
        return None
    low, high = 0, count
    while low < high:  # the bound falls with every miss
        middle = (low + high + 1) // 2
        if exact_interval(count - middle, count, confidence)[0] >= bound:
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
