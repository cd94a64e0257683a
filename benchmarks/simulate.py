"""A million studies in one thread: each policy compared with FIFO, and all of `triage simulate`. Usage: simulate.py

Processor time is measured, so that other work of the machine does not count. The bar is a minute for a million
studies under every policy of the example together, drawing, reading and counting included.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from service import load, table

from triage.simulation.arrivals import draw_arrivals
from triage.simulation.compare import simulate
from triage.simulation.queues import run_queue
from triage.simulation.readers_on_duty import DutyRoster
from triage.simulation.scenario import STANDARD_POLICIES, Scenario
from triage.simulation.time_units import HOURS
from triage.simulation.waiting_lines import Discipline, WaitingLine

BAR_S = 60.0
READERS = 2
PER_HOUR = 18.0

SCENARIO = {
    "prevalence": 0.3,
    "arrivals": {"per_hour": PER_HOUR},
    "readers": {"count": READERS},
    "reading": {"normal": {"mean_minutes": 5.5, "sd_minutes": 4.0}},
    "model": {"sensitivity": 0.9, "specificity": 0.8, "not_assessed": 0.03},
}


def scenario(studies: int) -> Scenario:
    """Return a scenario with about ``studies`` studies, in ten replications."""
    weeks = max(round(studies / 10 / (PER_HOUR * HOURS)), 1)
    return Scenario.model_validate({**SCENARIO, "run": {"replications": 10, "weeks": weeks}})


def by_discipline(studies: int) -> list[tuple[str, ...]]:
    """Return the rows of the queue alone, for each kind of order."""
    rng = np.random.default_rng(1)
    arrived = draw_arrivals([PER_HOUR] * HOURS, max(round(studies / (PER_HOUR * HOURS)), 1), rng).tolist()
    reading = rng.exponential(5.5, len(arrived)).tolist()
    priority = rng.integers(0, 3, len(arrived)).tolist()
    orders = {
        "FIFO": (Discipline(), [0] * len(arrived)),
        "three priorities": (Discipline.by_level(3), priority),
        "three priorities, capped": (Discipline.by_level(3, cap=60.0), priority),
        "three priorities, a cap for each": (
            Discipline((WaitingLine(0, 30.0), WaitingLine(1, 60.0), WaitingLine(2, 120.0))),
            priority,
        ),
        "three priorities, preemptive": (Discipline.by_level(3, preemptive=True), priority),
        "three priorities, preemptive, capped": (Discipline.by_level(3, cap=60.0, preemptive=True), priority),
    }
    took = {}
    for name, (discipline, levels) in orders.items():
        started = time.process_time()
        run_queue(arrived, reading, levels, DutyRoster.constant(READERS), discipline)
        took[name] = (time.process_time() - started) / len(arrived)
    return [(name, f"{each * 1e6:.2f} µs", f"{each / took['FIFO']:.2f}") for name, each in took.items()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--studies", type=int, default=1_000_000)
    studies = parser.parse_args().studies
    rows = by_discipline(studies)
    started = time.process_time()
    found = simulate(scenario(studies))
    took = time.process_time() - started
    print(f"{studies:,} studies, {READERS} readers, {found.utilisation:.0%} busy{load()}")
    print(table(("the queue alone", "a study", "ratio to FIFO"), rows))
    count, policies = found.counts["all"], 1 + len(STANDARD_POLICIES)
    for_a_million = took * 1e6 / count
    print(f"all of it: {count:,} studies under {policies} policies in {took:.1f} s of processor time")
    print(
        f"for a million: {for_a_million:.1f} s; the bar is {BAR_S:.0f} s; ratio to the bar {for_a_million / BAR_S:.2f}"
    )


if __name__ == "__main__":
    main()
