"""The reading room to simulate, from a TOML file: arrivals, readers, case mix, model and policies.

The case mix is one of two classes (``prevalence``, ``reading``, ``model``) or any number of classes (``urgency``), with
further operating points of the model if there are any (``operating_point``).
Unknown keys are errors, as in the settings.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, field_validator, model_validator

from triage.errors import StartError
from triage.setting_types import Section
from triage.simulation.case_mix import CaseMix, UrgencyClass, case_mix_faults
from triage.simulation.confusion import OperatingPoint
from triage.simulation.faults import Fault, below, described, refuse
from triage.simulation.policies import FIFO, ReadingPolicy
from triage.simulation.readers_on_duty import DutyRoster, by_hour_of_week
from triage.simulation.shares import Share
from triage.simulation.time_units import DAY, HOUR
from triage.simulation.two_classes import ReadingTimes, SimulatedModel, two_classes

Rate = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1000)]


class ScenarioError(StartError):
    """A scenario that cannot be simulated; the message says what to change."""


class Arrivals(Section):
    """Arrivals: ``per_hour`` (1, 24 or 168 rates), or ``log`` (a CSV of real arrivals, relative to the scenario)."""

    per_hour: Rate | tuple[Rate, ...] = ()
    log: Path | None = None

    @model_validator(mode="after")
    def _one_of_them(self) -> Self:
        if (self.log is None) == (self.per_hour == ()):
            raise ValueError("give per_hour or log, and not both")
        if self.log is None and not sum(self.by_hour) > 0:
            raise ValueError("per_hour is 0 throughout: nothing arrives")
        return self

    @property
    def by_hour(self) -> list[float]:
        """Rate in each hour of the week. Raises ValueError for a wrong count."""
        return by_hour_of_week(self.per_hour)


class Readers(Section):
    """Readers on duty: 1, 24 or 168 numbers."""

    count: Count | tuple[Count, ...] = 1

    @model_validator(mode="after")
    def _valid_roster(self) -> Self:
        self.duty(opens=0.0)
        return self

    def duty(self, opens: float) -> DutyRoster:
        """Return the roster; no study is read before the minute ``opens``."""
        return DutyRoster([int(count) for count in by_hour_of_week(self.count)], opens)


class SimulatedPeriod(Section):
    """The simulated period. ``warm_up_days`` before (and, with rates, after) the weeks that count are left out.

    In the first ``backlog_days`` studies arrive and none is read.
    """

    weeks: int = Field(8, ge=1, le=10_000)
    replications: int = Field(20, ge=2, le=10_000)
    warm_up_days: float | None = Field(None, ge=0, allow_inf_nan=False)
    backlog_days: float = Field(0.0, ge=0, allow_inf_nan=False)
    seed: int = Field(1, ge=0)


STANDARD_POLICIES = (
    ReadingPolicy(name="priority"),
    ReadingPolicy(name="priority, preemptive", preemptive=True),
    ReadingPolicy(name="normals last", order="normals last"),
    ReadingPolicy(name="normals last, capped", order="normals last", cap_minutes=240.0),
)
"""The policies that are compared with FIFO by default; the cap is four hours."""


class Scenario(Section):
    """All settings of a simulation, and the ``unit`` of its tables and figures."""

    arrivals: Arrivals
    readers: Readers = Readers()
    reading: ReadingTimes | None = None
    prevalence: Share | None = None
    model: SimulatedModel | None = None
    urgency: tuple[UrgencyClass, ...] = ()
    operating_point: tuple[OperatingPoint, ...] = ()
    run: SimulatedPeriod = SimulatedPeriod()
    policy: tuple[ReadingPolicy, ...] = STANDARD_POLICIES
    unit: Literal["minutes", "hours", "days"] = "minutes"

    @field_validator("policy")
    @classmethod
    def _distinct(cls, policies: tuple[ReadingPolicy, ...]) -> tuple[ReadingPolicy, ...]:
        names = [FIFO.name, *(policy.name for policy in policies)]
        if len(set(names)) < len(names):
            raise ValueError(f"policies need names of their own, and {FIFO.name} is always there")
        return policies

    @model_validator(mode="after")
    def _one_case_mix(self) -> Self:
        missing = [name for name in ("prevalence", "reading", "model") if getattr(self, name) is None]
        if self.urgency and len(missing) < 3:
            raise ValueError("give prevalence, reading and model, or [[urgency]], and not both")
        if not self.urgency and missing:
            raise ValueError(f"missing: {', '.join(missing)} (or give [[urgency]] for classes of your own)")
        refuse([*case_mix_faults(self.case_mix), *self._faults_of_arrivals(), *self._faults_of_policies()])
        return self

    def _faults_of_arrivals(self) -> Iterator[Fault]:
        for place, each in enumerate(self.urgency if self.arrivals.log is None else ()):
            if not each.prevalence:
                text = f"no study of {each.name} arrives: its prevalence is 0; give it one, or leave the class out"
                yield ("urgency", place, "prevalence"), text

    def _faults_of_policies(self) -> Iterator[Fault]:
        points = [point.name for point in self.operating_point]
        for place, policy in enumerate(self.policy):
            yield from below(("policy", place), policy.faults(self.case_mix.names, points))

    @model_validator(mode="after")
    def _backlog_of_rates(self) -> Self:
        if self.run.backlog_days and self.arrivals.log is not None:
            raise ValueError("run.backlog_days is for arrivals.per_hour; a log has the backlog that it has")
        return self

    @property
    def case_mix(self) -> CaseMix:
        """The classes of urgency, the most urgent first."""
        if self.prevalence is None or self.reading is None or self.model is None:
            return CaseMix(self.urgency, self.operating_point)
        return CaseMix(two_classes(self.prevalence, self.reading, self.model), self.operating_point)

    @property
    def minutes_per_unit(self) -> float:
        """Minutes in a unit of the tables and figures."""
        return {"minutes": 1.0, "hours": HOUR, "days": DAY}[self.unit]

    @property
    def labels(self) -> tuple[str, ...]:
        """Allowed labels in a log of arrivals, that of the most urgent class first."""
        return self.case_mix.names if self.urgency else ("1", "0")

    def duty(self) -> DutyRoster:
        """Return the roster; no study is read during the backlog."""
        return self.readers.duty(self.run.backlog_days * DAY)


def read_scenario(path: Path, changes: Mapping[str, Mapping[str, object]]) -> Scenario:
    """Read a scenario from a TOML file; ``changes`` (keys by section) override it. Raises ScenarioError."""
    try:
        text = path.read_text(encoding="utf-8")
        values = tomllib.loads(text)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ScenarioError(f"{path} cannot be read: {error}") from error
    for section, keys in changes.items():
        of_file = values.get(section, {})
        if isinstance(of_file, dict):
            values[section] = {**of_file, **keys}
    try:
        scenario = Scenario.model_validate(values)
    except ValidationError as error:
        raise ScenarioError(f"{path} cannot be simulated:\n{described(error, text, values, changes)}") from error
    if scenario.arrivals.log is None:
        return scenario
    log = path.parent / scenario.arrivals.log
    return scenario.model_copy(update={"arrivals": Arrivals(log=log)})


EXAMPLE = """\
# A reading room to simulate: triage simulate FILE. Times are local; the week begins on Monday at 00:00.

prevalence = 0.30                       # share of studies that are abnormal

[arrivals]                              # studies an hour: 1 number, 24 (hours of a day) or 168 (hours of the week)
per_hour = [2, 2, 2, 2, 2, 3, 6, 10, 14, 16, 16, 15, 13, 14, 15, 14, 12, 9, 7, 5, 4, 3, 3, 2]
# log = "arrivals.csv"                  # instead: real arrivals; column arrived (ISO 8601), and label (0, 1) if known

[readers]                               # readers on duty: 1, 24 or 168 numbers
count = [0, 0, 0, 0, 0, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 0, 0, 0]

[reading.normal]                        # lognormal, gamma (mean and sd), exponential, constant (mean),
distribution = "lognormal"              # or measured, with measured_minutes = [...]
mean_minutes = 4.5
sd_minutes = 3.0

[reading.abnormal]                      # left out: like the normal ones
mean_minutes = 7.5
sd_minutes = 5.0

[model]                                 # or leave these out and give: --metrics metrics.json
sensitivity = 0.90
specificity = 0.80
not_assessed = 0.03

[run]
weeks = 8                               # in each replication
replications = 20                       # independent ones: the intervals come from them
seed = 1

# Policies that are compared with FIFO; without any, the four of the documentation.
# [[policy]]
# name = "normals last, capped"
# order = "normals last"                # fifo, priority (abnormal first) or "normals last"
# preemptive = false                    # a study that arrives interrupts one of lower priority
# cap_minutes = 240                     # who has waited so long is next, whatever the priority
"""
