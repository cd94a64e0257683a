"""Arrivals of studies: random with a rate for each hour of the week, or from a log."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.errors import StartError
from triage.runtime.csv_table import read_table
from triage.simulation.time_units import HOUR, WEEK, Minutes


class ArrivalLogError(StartError):
    """A log of arrivals that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class ArrivalLog:
    """Real arrivals, in minutes since the Monday 00:00 before the first one, and their true classes where known.

    ``urgency``: the true class of each arrival, as its index among the scenario's classes, or -1 for unknown.
    """

    arrived: Minutes
    urgency: npt.NDArray[np.int8]

    @property
    def weeks(self) -> float:
        """Weeks from the first arrival to the last."""
        return float(self.arrived[-1] - self.arrived[0]) / WEEK


def draw_arrivals(per_hour: Sequence[float], weeks: int, rng: np.random.Generator) -> Minutes:
    """Draw a Poisson process with a rate for each of the 168 hours of the week. Return minutes, ascending.

    Exact, by a change of time: a process of rate 1 is mapped through the inverse of the integrated rate.
    """
    expected = np.concatenate([[0.0], np.cumsum(np.tile(np.asarray(per_hour, dtype=np.float64), weeks))])
    count = int(rng.poisson(expected[-1]))
    # Given their number, the arrivals of a Poisson process are uniform on the scale of its integrated rate.
    on_scale = np.sort(rng.random(count)) * expected[-1]
    # Right of a flat step: no study arrives in an hour with rate 0.
    hour = np.minimum(np.searchsorted(expected, on_scale, side="right") - 1, len(expected) - 2)
    within = (on_scale - expected[hour]) / (expected[hour + 1] - expected[hour])
    minutes: Minutes = (hour + within) * HOUR
    return minutes


def read_log(path: Path, labels: Sequence[str]) -> ArrivalLog:
    """Read a log from a CSV file with a column ``arrived`` (ISO 8601) and, if known, ``label``.

    Rows may be in any order; either all times have a zone, or none has.

    Args:
        path: The file.
        labels: The allowed labels, that of the most urgent class first; an empty label is unknown.

    Raises:
        ArrivalLogError: naming the first fault.
    """
    table = read_table(path, ("arrived",), refusal=ArrivalLogError)
    try:
        rows = sorted(_row(path, record.line, record.values, labels) for record in table.records)
    except TypeError:
        raise ArrivalLogError(f"{path}: some times have a time zone and some have none") from None
    if len(rows) < 2:
        raise ArrivalLogError(f"{path} has fewer than two arrivals")
    first = rows[0][0]
    monday = first.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=first.weekday())
    minutes = [(arrived - monday).total_seconds() / 60 for arrived, _ in rows]
    return ArrivalLog(np.asarray(minutes, dtype=np.float64), np.asarray([label for _, label in rows], dtype=np.int8))


def _row(path: Path, line: int, record: Mapping[str, str], labels: Sequence[str]) -> tuple[datetime, int]:
    text, label = record["arrived"], record.get("label", "")
    try:
        arrived = datetime.fromisoformat(text)
    except ValueError:
        raise ArrivalLogError(f"{path}, line {line}: arrived {text!r} is not a time like 2026-03-02T08:15:00") from None
    if label and label not in labels:
        raise ArrivalLogError(f"{path}, line {line}: label {label!r} is not {', '.join(labels)} or empty")
    return arrived, labels.index(label) if label else -1
