"""The studies of one replication, which every policy reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from triage.simulation.arrivals import ArrivalLog, draw_arrivals
from triage.simulation.case_mix import Codes
from triage.simulation.scenario import Scenario
from triage.simulation.time_units import DAY, WEEK, Minutes


@dataclass(frozen=True, eq=False)
class Cases:
    """Arrays over studies in order of arrival; minutes since a Monday 00:00.

    ``urgency``: the true class of each, as its index among ``classes`` (the most urgent first). ``predicted``: that of
    the model, or the number of classes for NOT_ASSESSED. ``predicted_at``: the same at further operating points.
    ``measured`` is False for studies that only warm up the queue, or keep it busy after the measured ones.
    """

    arrived: Minutes
    reading: Minutes
    urgency: Codes
    predicted: Codes
    measured: npt.NDArray[np.bool_]
    classes: tuple[str, ...]
    predicted_at: Mapping[str, Codes] = field(default_factory=dict)

    def stated(self, point: str | None) -> Codes:
        """Return the predicted classes at an operating point; None for the first of the scenario."""
        return self.predicted if point is None else self.predicted_at.get(point, self.predicted)


def draw_cases(scenario: Scenario, log: ArrivalLog | None, rng: np.random.Generator) -> Cases:
    """Draw arrivals, true classes, predictions and reading times; a log gives arrivals and known classes."""
    arrived, measured = _arrivals(scenario, log, rng)
    mix = scenario.case_mix
    urgency = mix.draw_classes(len(arrived), rng)
    if log is not None:
        urgency = np.where(log.urgency < 0, urgency, log.urgency)
    reading = mix.draw_reading(urgency, rng)
    first, *others = mix.draw_predictions(urgency, rng).items()
    return Cases(arrived, reading, urgency, first[1], measured, mix.names, dict(others))


def _arrivals(
    scenario: Scenario, log: ArrivalLog | None, rng: np.random.Generator
) -> tuple[Minutes, npt.NDArray[np.bool_]]:
    days = scenario.run.warm_up_days
    if log is not None:
        return log.arrived, log.arrived >= log.arrived[0] + (days or 0.0) * DAY
    margin = (7.0 if days is None else days) * DAY
    end = margin + scenario.run.weeks * WEEK
    arrived = draw_arrivals(scenario.arrivals.by_hour, int(np.ceil((end + margin) / WEEK)), rng)
    return arrived, (arrived >= margin) & (arrived < end)
