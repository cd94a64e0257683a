"""Figures of a run: collected by the benchmarks, written as JSON, and compared with those of an earlier run.

A figure is a ratio of two things that were measured in turn in one run (A B A B), or a size; never seconds, which are
another machine's. Its samples are those of the turns: their spread is the noise of the run.
"""

from __future__ import annotations

import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

LAST = Path(__file__).parent.parent / "docs" / "results" / "benchmarks.json"
INTO = "BENCH_FIGURES"
"""Environment variable: the file to which `report` adds figures."""
LEAST_NOISE = 0.02  # of the value: of a figure with one sample nothing is known


@dataclass(frozen=True)
class Figure:
    """One figure, as ``benchmark.what``. ``samples``: of each turn. ``bar``: the least (or most) that is wanted."""

    name: str
    samples: tuple[float, ...]
    better: str  # "lower" or "higher"
    unit: str = "ratio"
    bar: float | None = None

    @property
    def value(self) -> float:
        """The median of the samples."""
        return median(self.samples)

    @property
    def noise(self) -> float:
        """By how much two turns of this run differ at most."""
        return max(max(self.samples) - min(self.samples), LEAST_NOISE * abs(self.value))

    @property
    def meets_bar(self) -> bool:
        """True if there is no bar, or the value is on its right side."""
        return self.bar is None or (self.value <= self.bar if self.better == "lower" else self.value >= self.bar)

    def worse_than(self, other: Figure) -> float:
        """Return by how much this is worse than ``other``; negative if it is better."""
        return (self.value - other.value) * (1 if self.better == "lower" else -1)


def lower(name: str, samples: Sequence[float], unit: str = "ratio", bar: float | None = None) -> Figure:
    """Return a figure of which less is better."""
    return Figure(name, tuple(samples), "lower", unit, bar)


def higher(name: str, samples: Sequence[float], unit: str = "ratio", bar: float | None = None) -> Figure:
    """Return a figure of which more is better."""
    return Figure(name, tuple(samples), "higher", unit, bar)


def report(*figures: Figure) -> None:
    """Add figures to those of the run, if they are collected (``--json``)."""
    if path := os.environ.get(INTO):
        known = read(Path(path)) if Path(path).stat().st_size else {}
        write(Path(path), known | {each.name: each for each in figures})


def write(path: Path, figures: dict[str, Figure]) -> None:
    """Write figures with when and on what they were measured."""
    rows = {
        name: {
            **asdict(each),
            "samples": [float(f"{sample:.4g}") for sample in each.samples],
            "value": float(f"{each.value:.4g}"),
            "noise": float(f"{each.noise:.2g}"),
        }
        for name, each in sorted(figures.items())
    }
    run = {
        "measured": datetime.now(UTC).strftime("%Y-%m-%d"),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 1),
        "python": platform.python_version(),
    }
    path.write_text(json.dumps({"run": run, "figures": rows}, indent=1) + "\n")


def read(path: Path) -> dict[str, Figure]:
    """Read the figures of a run."""
    rows = json.loads(path.read_text())["figures"]
    fields = ("name", "better", "unit", "bar")
    return {
        name: Figure(samples=tuple(row["samples"]), **{field: row[field] for field in fields})
        for name, row in rows.items()
    }


def compare(now: dict[str, Figure], last: dict[str, Figure]) -> list[tuple[str, ...]]:
    """Return a row for each figure: both values, the noise, and the verdict."""
    rows = []
    for name, figure in sorted(now.items()):
        before = last.get(name)
        bar = "" if figure.bar is None else f"{figure.bar:g} {'met' if figure.meets_bar else 'MISSED'}"
        if before is None:
            rows.append((name, "", f"{figure.value:.3g}", f"{figure.noise:.2g}", "new", bar))
            continue
        noise, worse = max(figure.noise, before.noise), figure.worse_than(before)
        verdict = "WORSE" if worse > noise else "better" if -worse > noise else "same"
        rows.append((name, f"{before.value:.3g}", f"{figure.value:.3g}", f"{noise:.2g}", verdict, bar))
    return rows


def worse(rows: list[tuple[str, ...]]) -> list[str]:
    """Return the figures that got worse by more than the noise."""
    return [row[0] for row in rows if row[4] == "WORSE"]


if __name__ == "__main__":
    sys.exit("run `python benchmarks --json FILE --compare`")
