"""Coverage of the interval of an AUC by the number of patients of a class: the reason for docs/adr/0032.

    python benchmarks/gate_intervals.py [--rounds 4000]

Scores of 100 positives and n negatives are drawn (seeded) from laws whose AUC is known, each law a shape that the two
classes may have. Printed is how often DeLong's 95 % interval holds the truth, and how often its lower bound lies above
it (2.5 % were right). Where the classes are wholly apart the exact interval stands in, as in export/performance.py.
The last table is of random scores: how often a lower bound above 0.5 is found, by the bootstrap that the
gate used before and by what it uses now.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

sys.path.insert(0, str(Path(__file__).parents[1]))

from triage.statistics.intervals import (
    Resampling,
    delong,
    exact_interval,
    percentile_interval,
    weighted_auc,
)

Floats = npt.NDArray[np.float64]
Law = Callable[[np.random.Generator, float, tuple[int, int], tuple[int, int]], tuple[Floats, Floats]]
"""Draw scores of positives and of negatives, each (rounds, images), for a true AUC and these two shapes."""

POSITIVES = 100
COUNTS = (2, 5, 10, 15, 20, 30, 40, 60)
TRUTHS = (0.5, 0.7, 0.8, 0.9, 0.95)
LEAST = 30


def normal(deviation: float) -> Law:
    """Return normal laws: positives of deviation 1, negatives of ``deviation``."""

    def draw(
        rng: np.random.Generator, truth: float, many: tuple[int, int], others: tuple[int, int]
    ) -> tuple[Floats, Floats]:
        shift = norm.ppf(truth) * np.sqrt(1 + deviation**2)
        return rng.normal(shift, 1, many), rng.normal(0, deviation, others)

    return draw


def two_kinds_of_negatives(
    rng: np.random.Generator, truth: float, many: tuple[int, int], others: tuple[int, int]
) -> tuple[Floats, Floats]:
    """Draw negatives that are each below all positives or above all: one patient moves the AUC the farthest."""
    return rng.normal(0, 1, many), np.where(rng.random(others) < truth, -99.0, 99.0) + rng.normal(0, 1, others)


LAWS: dict[str, Law] = {
    "alike": normal(1),
    "negatives 3 times as wide": normal(3),
    "negatives a third as wide": normal(1 / 3),
    "two kinds of negatives": two_kinds_of_negatives,
}


def intervals(positives: Floats, negatives: Floats) -> Floats:
    """Return intervals (rounds, 2) as export/performance.py computes them; each image is of another patient."""
    wins = (positives[:, :, np.newaxis] > negatives[:, np.newaxis]).astype(np.float64)
    of_positives, of_negatives = wins.mean(2), wins.mean(1)
    value, pairs = of_positives.mean(1), min(positives.shape[1], negatives.shape[1])
    exact = np.where(value[:, np.newaxis] == 1, exact_interval(pairs, pairs), exact_interval(0, pairs))
    if pairs < 2:
        return np.where(np.isin(value, (0, 1))[:, np.newaxis], exact, (0.0, 1.0))
    variance = sum(part.var(1, ddof=1) / part.shape[1] for part in (of_positives, of_negatives))
    with np.errstate(divide="ignore", invalid="ignore"):
        middle, reach = np.log(value / (1 - value)), norm.ppf(0.975) * np.sqrt(variance) / (value * (1 - value))
        found = 1 / (1 + np.exp(-np.stack([middle - reach, middle + reach], axis=1)))
    return np.where(np.isfinite(middle)[:, np.newaxis], found, exact)


def check(positives: Floats, negatives: Floats, found: Floats) -> None:
    """Assert that the fast formula here gives the gate's intervals."""
    labels = np.repeat([1.0, 0.0], [positives.shape[1], negatives.shape[1]])
    for one, other, bounds in zip(positives[:20], negatives[:20], found, strict=False):
        figure = delong(labels, np.concatenate([one, other]))
        if 0 < figure.aucs[0] < 1:
            np.testing.assert_allclose(figure.interval(), bounds)


def before(positives: Floats, negatives: Floats) -> Floats:
    """Return intervals (rounds, 2) by the patient-clustered bootstrap, of 500 draws."""
    labels = np.repeat([1.0, 0.0], [positives.shape[1], negatives.shape[1]])
    draws = Resampling([str(number) for number in range(len(labels))], 500)

    def one(scores: Floats) -> tuple[float, float]:
        figure = weighted_auc(labels, scores)
        return percentile_interval(draws.over(lambda weights: figure(weights)[:, np.newaxis])[:, 0])

    return np.array([one(scores) for scores in np.concatenate([positives, negatives], axis=1)])


def drawn(law: Law, truth: float, count: int, rounds: int) -> tuple[Floats, Floats]:
    rng = np.random.default_rng(1000 * count + round(100 * truth))
    return law(rng, truth, (rounds, POSITIVES), (rounds, count))


def cell(law: Law, truth: float, count: int, rounds: int) -> str:
    scores = drawn(law, truth, count, rounds)
    found = intervals(*scores)
    if count > 1:
        check(*scores, found)
    held = (found[:, 0] <= truth) & (truth <= found[:, 1])
    return f"{100 * held.mean():.1f} / {100 * (found[:, 0] > truth).mean():.1f}"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=4000)
    rounds = arguments.parse_args().rounds
    print("interval holds the truth / lower bound above it, %, by true AUC")
    print("| negatives | scores | " + " | ".join(map(str, TRUTHS)) + " |")
    for count in COUNTS:
        for name, law in LAWS.items():
            print(
                f"| {count} | {name} | " + " | ".join(cell(law, truth, count, rounds) for truth in TRUTHS) + " |",
                flush=True,
            )
    print("\nnoise: lower bound above 0.5, %: bootstrap of patients before | DeLong or exact now | and 30 asked for")
    for count in (1, 2, 5, 10, 30):
        scores = drawn(LAWS["alike"], 0.5, count, 300)
        old, new = (how(*scores)[:, 0] > 0.5 for how in (before, intervals))
        passed = 100 * np.array([old.mean(), new.mean(), new.mean() * (count >= LEAST)])
        print(f"| {count} | " + " | ".join(f"{share:.1f}" for share in passed) + " |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
