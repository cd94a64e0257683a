"""When studies arrive: at random with a rate for each hour of the week, or as a log says that they did."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import numpy.typing as npt

from triage.errors import StartError
from triage.runtime.csv_table import TableError, parse_table
from triage.simulation.readers_on_duty import HOUR, HOURS

Minutes = npt.NDArray[np.float64]


class LogError(StartError):
    """A log of arrivals that cannot be used; the message names the file and the line."""


@dataclass(frozen=True)
class Log:
    """Real arrivals, in minutes since the Monday 00:00 before the first of them, and the truth where it is known.

    ``urgency`` is the true class of each arrival as its place among the scenario's, or -1 for unknown.
    """

    arrived: Minutes
    urgency: npt.NDArray[np.int8]

    @property
    def weeks(self) -> float:
        """From the first arrival to the last."""
        return float(self.arrived[-1] - self.arrived[0]) / (HOURS * HOUR)


def draw_arrivals(per_hour: Sequence[float], weeks: int, rng: np.random.Generator) -> Minutes:
    """Arrivals of a Poisson process with a rate for each of the 168 hours of the week; minutes, ascending.

    Exact, by the time change of the process: a unit-rate process is mapped through the inverse of the integrated rate.
    """
    expected = np.concatenate([[0.0], np.cumsum(np.tile(np.asarray(per_hour, dtype=np.float64), weeks))])
    count = int(rng.poisson(expected[-1]))
    # Given their number, the arrivals of a Poisson process are uniform on the scale of its integrated rate.
    on_scale = np.sort(rng.random(count)) * expected[-1]
    # To the right of a flat step: no study arrives in an hour whose rate is 0.
    hour = np.minimum(np.searchsorted(expected, on_scale, side="right") - 1, len(expected) - 2)
    within = (on_scale - expected[hour]) / (expected[hour + 1] - expected[hour])
    minutes: Minutes = (hour + within) * HOUR
    return minutes


def read_log(path: Path, labels: Sequence[str]) -> Log:
    """The log in a CSV file: a column ``arrived`` (ISO 8601) and, if known, ``label``.

    ``labels`` are what a label may be, that of the most urgent class first; an empty one is unknown. Rows may be in any
    order; all times have a zone, or none has. Raises LogError.
    """
    try:
        table = parse_table(path.read_bytes(), ("arrived",))
        rows = sorted(_row(path, record.line, record.values, labels) for record in table.records)
    except OSError as error:
        raise LogError(f"{path} cannot be read: {error}") from error
    except TableError as error:
        raise LogError(f"{path}: {error}") from error
    except TypeError:
        raise LogError(f"{path}: some times have a time zone and some have none") from None
    if len(rows) < 2:
        raise LogError(f"{path} has fewer than two arrivals")
    first = rows[0][0]
    monday = first.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=first.weekday())
    minutes = [(arrived - monday).total_seconds() / 60 for arrived, _ in rows]
    return Log(np.asarray(minutes, dtype=np.float64), np.asarray([label for _, label in rows], dtype=np.int8))


def _row(path: Path, line: int, record: Mapping[str, str], labels: Sequence[str]) -> tuple[datetime, int]:
    text, label = record["arrived"], record.get("label", "")
    try:
        arrived = datetime.fromisoformat(text)
    except ValueError:
        raise LogError(f"{path}, line {line}: arrived {text!r} is not a time like 2026-03-02T08:15:00") from None
    if label and label not in labels:
        raise LogError(f"{path}, line {line}: label {label!r} is not {', '.join(labels)} or empty")
    return arrived, labels.index(label) if label else -1
