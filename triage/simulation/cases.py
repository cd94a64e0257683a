"""The studies of one replication: the same for every policy that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triage.simulation.arrivals import Log, Minutes, draw_arrivals
from triage.simulation.case_mix import Codes
from triage.simulation.scenario import Scenario

DAY = 1440.0  # minutes
WEEK = 7 * DAY


@dataclass(frozen=True, eq=False)
class Cases:
    """Arrays over studies in order of arrival; minutes since a Monday 00:00.

    ``urgency`` is the true class of each as its place among ``classes`` (the most urgent first), ``predicted`` the
    model's, or their number for NOT_ASSESSED. ``measured`` is False for studies that only warm the queue up or keep it
    busy behind the measured ones.
    """

    arrived: Minutes
    reading: Minutes
    urgency: Codes
    predicted: Codes
    measured: npt.NDArray[np.bool_]
    classes: tuple[str, ...]


def draw_cases(scenario: Scenario, log: Log | None, rng: np.random.Generator) -> Cases:
    """Arrivals, truth, predictions and reading times. With a log the arrivals are its own, and the truth it knows."""
    arrived, measured = _arrivals(scenario, log, rng)
    mix = scenario.case_mix
    urgency = mix.draw_classes(len(arrived), rng)
    if log is not None:
        urgency = np.where(log.urgency < 0, urgency, log.urgency)
    reading = mix.draw_reading(urgency, rng)
    return Cases(arrived, reading, urgency, mix.draw_predictions(urgency, rng), measured, mix.names)


def _arrivals(scenario: Scenario, log: Log | None, rng: np.random.Generator) -> tuple[Minutes, npt.NDArray[np.bool_]]:
    days = scenario.run.warm_up_days
    if log is not None:
        return log.arrived, log.arrived >= log.arrived[0] + (days or 0.0) * DAY
    margin = (7.0 if days is None else days) * DAY
    end = margin + scenario.run.weeks * WEEK
    arrived = draw_arrivals(scenario.arrivals.by_hour, int(np.ceil((end + margin) / WEEK)), rng)
    return arrived, (arrived >= margin) & (arrived < end)
