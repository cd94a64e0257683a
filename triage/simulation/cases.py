"""The studies of one replication: the same for every policy that is compared."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from triage.simulation.arrivals import Log, Minutes, draw_arrivals
from triage.simulation.policies import Codes, TagCode
from triage.simulation.scenario import Scenario

DAY = 1440.0  # minutes
WEEK = 7 * DAY


@dataclass(frozen=True, eq=False)
class Cases:
    """Arrays over studies in order of arrival; minutes since a Monday 00:00.

    ``measured`` is False for studies that only warm the queue up or keep it busy behind the measured ones.
    """

    arrived: Minutes
    reading: Minutes
    abnormal: npt.NDArray[np.bool_]
    tag: Codes
    measured: npt.NDArray[np.bool_]


def draw_cases(scenario: Scenario, log: Log | None, rng: np.random.Generator) -> Cases:
    """Arrivals, truth, tags and reading times. With a log the arrivals are its own, and the truth where it knows it."""
    arrived, measured = _arrivals(scenario, log, rng)
    abnormal = rng.random(len(arrived)) < scenario.prevalence
    if log is not None:
        abnormal = np.where(log.abnormal < 0, abnormal, log.abnormal == 1)
    reading = np.where(
        abnormal,
        scenario.reading.of(True).draw(len(arrived), rng),
        scenario.reading.of(False).draw(len(arrived), rng),
    )
    return Cases(arrived, reading, abnormal, _tags(scenario, abnormal, rng), measured)


def _arrivals(scenario: Scenario, log: Log | None, rng: np.random.Generator) -> tuple[Minutes, npt.NDArray[np.bool_]]:
    days = scenario.run.warm_up_days
    if log is not None:
        return log.arrived, log.arrived >= log.arrived[0] + (days or 0.0) * DAY
    margin = (7.0 if days is None else days) * DAY
    end = margin + scenario.run.weeks * WEEK
    arrived = draw_arrivals(scenario.arrivals.by_hour, int(np.ceil((end + margin) / WEEK)), rng)
    return arrived, (arrived >= margin) & (arrived < end)


def _tags(scenario: Scenario, abnormal: npt.NDArray[np.bool_], rng: np.random.Generator) -> Codes:
    model = scenario.model
    raised = rng.random(len(abnormal)) < np.where(abnormal, model.sensitivity, 1.0 - model.specificity)
    unassessed = rng.random(len(abnormal)) < np.asarray(model.unassessed)[abnormal.astype(np.int8)]
    tags: Codes = np.where(raised, np.int8(TagCode.ABNORMAL), np.int8(TagCode.NORMAL))
    tags[unassessed] = TagCode.NOT_ASSESSED
    return tags
