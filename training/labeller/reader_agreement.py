"""Agreement of two readers about a binary label: percent agreement and Cohen's kappa, with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

Z95 = 1.959963984540054


@dataclass(frozen=True)
class AgreementCounts:
    """Counts of the 2 x 2 table of two readers; ``both`` is (normal, abnormal) in agreement."""

    n: int
    both: tuple[int, int]
    first_only: int
    second_only: int
    agreement: float
    agreement_interval: tuple[float, float]
    kappa: float
    kappa_interval: tuple[float, float]


def agreement(first: Sequence[int], second: Sequence[int]) -> AgreementCounts:
    """Return the agreement of two equally long sequences of 0 and 1.

    Percent agreement has Wilson's interval (1927); kappa (Cohen 1960) has the large-sample one of Fleiss, Cohen and
    Everitt (1969), cut at 1. Raises ValueError where there is nothing to compare or both give one label only.
    """
    if not first or len(first) != len(second):
        raise ValueError("agreement needs two equally long sequences that are not empty")
    n = len(first)
    cells = [[sum(a == i and b == j for a, b in zip(first, second, strict=True)) for j in (0, 1)] for i in (0, 1)]
    p = [[cell / n for cell in row] for row in cells]
    rows, columns = [sum(row) for row in p], [p[0][j] + p[1][j] for j in (0, 1)]
    observed, chance = p[0][0] + p[1][1], sum(rows[i] * columns[i] for i in (0, 1))
    if chance == 1:
        raise ValueError("kappa is not defined where both readers give one and the same label to all")
    kappa = (observed - chance) / (1 - chance)
    error = _standard_error(p, rows, columns, kappa, chance, n)
    return AgreementCounts(
        n=n,
        both=(cells[0][0], cells[1][1]),
        first_only=cells[1][0],
        second_only=cells[0][1],
        agreement=observed,
        agreement_interval=_wilson(observed, n),
        kappa=kappa,
        kappa_interval=(kappa - Z95 * error, min(1.0, kappa + Z95 * error)),
    )


def _standard_error(
    p: list[list[float]], rows: list[float], columns: list[float], kappa: float, chance: float, n: int
) -> float:
    """Return the standard error of kappa: Fleiss, Cohen and Everitt 1969, equation 13."""
    agreed = sum(p[i][i] * (1 - (rows[i] + columns[i]) * (1 - kappa)) ** 2 for i in (0, 1))
    apart = (1 - kappa) ** 2 * sum(p[i][1 - i] * (columns[i] + rows[1 - i]) ** 2 for i in (0, 1))
    variance = (agreed + apart - (kappa - chance * (1 - kappa)) ** 2) / (n * (1 - chance) ** 2)
    return sqrt(max(0.0, variance))


def _wilson(share: float, n: int) -> tuple[float, float]:
    centre, scale = share + Z95**2 / (2 * n), 1 + Z95**2 / n
    half = Z95 * sqrt(share * (1 - share) / n + Z95**2 / (4 * n**2))
    return (centre - half) / scale, (centre + half) / scale
