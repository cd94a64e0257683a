"""The queue against closed forms, conservation laws and, study by study, a slow and obvious twin."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import factorial, inf, log

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from triage.simulation.queues import Timeline, run_queue
from triage.simulation.readers_on_duty import DutyRoster, by_hour_of_week
from triage.simulation.time_units import HOURS
from triage.simulation.waiting_lines import Discipline, WaitingLine

REPLICATIONS, STUDIES, WARM_UP = 12, 20_000, 2_000
STANDARD_ERRORS = 4.5

Drawn = tuple[np.ndarray, np.ndarray, np.ndarray]
Draw = Callable[[np.random.Generator], np.ndarray]


def poisson_studies(rates: Sequence[float], reading: Sequence[Draw], rng: np.random.Generator) -> Drawn:
    """Arrivals, reading times and priorities of independent Poisson streams, one for each priority."""
    arrived = np.cumsum(rng.exponential(1 / sum(rates), STUDIES))
    priority = rng.choice(len(rates), STUDIES, p=np.asarray(rates) / sum(rates))
    times = np.choose(priority, [draw(rng) for draw in reading])
    return arrived, times, priority


def exponential(mean: float) -> Draw:
    return lambda rng: rng.exponential(mean, STUDIES)


def measured(drawn: Drawn, discipline: Discipline, readers: int) -> tuple[np.ndarray, np.ndarray]:
    """Waits and turnarounds."""
    arrived, times, priority = drawn
    found = run_queue(arrived.tolist(), times.tolist(), priority.tolist(), DutyRoster.constant(readers), discipline)
    return np.asarray(found.begun) - arrived, np.asarray(found.reported) - arrived


def assert_within_error(values: Sequence[float], expected: float) -> None:
    """The mean of independent replications is ``expected`` within a few of its standard errors, and those are small."""
    mean, error = np.mean(values), np.std(values, ddof=1) / np.sqrt(len(values))
    assert error < 0.05 * expected
    assert abs(mean - expected) < STANDARD_ERRORS * error, f"{mean} is not {expected} (standard error {error})"


def erlang_c(readers: int, load: float) -> float:
    """Probability that all readers are busy, for an offered load in erlangs."""
    busy = load**readers / factorial(readers) * readers / (readers - load)
    return busy / (sum(load**k / factorial(k) for k in range(readers)) + busy)


def by_replication(statistic: Callable[[np.random.Generator], Sequence[float]]) -> list[list[float]]:
    """Each statistic of ``statistic``, over replications."""
    seeds = np.random.SeedSequence(20).spawn(REPLICATIONS)
    return [list(values) for values in zip(*(statistic(np.random.default_rng(seed)) for seed in seeds), strict=True)]


@pytest.mark.parametrize("preemptive", [False, True])
def test_one_reader_first_come_first_read_is_mm1(preemptive: bool):
    arriving, reading = 0.8, 1.0
    time_in_system = 1 / (1 / reading - arriving)

    def statistics(rng: np.random.Generator) -> list[float]:
        drawn = poisson_studies([arriving], [exponential(reading)], rng)
        wait, report = (times[WARM_UP:] for times in measured(drawn, Discipline(preemptive=preemptive), 1))
        return [wait.mean(), report.mean(), float(np.quantile(report, 0.95))]

    wait, report, p95 = by_replication(statistics)
    assert_within_error(wait, arriving * reading * time_in_system)
    assert_within_error(report, time_in_system)
    assert_within_error(p95, -log(0.05) * time_in_system)  # the time in the system is exponential


@pytest.mark.parametrize("readers", [2, 5])
def test_several_readers_first_come_first_read_is_mmc(readers: int):
    load = 0.85 * readers

    def statistics(rng: np.random.Generator) -> list[float]:
        wait, _ = measured(poisson_studies([load], [exponential(1.0)], rng), Discipline(), readers)
        return [wait[WARM_UP:].mean(), float((wait[WARM_UP:] > 0).mean())]

    wait, waiting = by_replication(statistics)
    assert_within_error(waiting, erlang_c(readers, load))
    assert_within_error(wait, erlang_c(readers, load) / (readers - load))


def test_any_reading_time_with_one_reader_is_pollaczek_and_khinchine():
    arriving, mean, sd = 0.7, 1.0, 0.6
    spread = np.log1p((sd / mean) ** 2)

    def statistics(rng: np.random.Generator) -> list[float]:
        draw: Draw = lambda rng: rng.lognormal(np.log(mean) - spread / 2, np.sqrt(spread), STUDIES)  # noqa: E731
        wait, _ = measured(poisson_studies([arriving], [draw], rng), Discipline(), 1)
        return [wait[WARM_UP:].mean()]

    (wait,) = by_replication(statistics)
    assert_within_error(wait, arriving * (mean**2 + sd**2) / 2 / (1 - arriving * mean))


def by_class(discipline: Discipline, readers: int, rates: Sequence[float], means: Sequence[float]):
    """Mean wait of each priority, then mean turnaround of each, over replications."""

    def statistics(rng: np.random.Generator) -> list[float]:
        drawn = poisson_studies(rates, [exponential(mean) for mean in means], rng)
        priority = drawn[2][WARM_UP:]
        times = [each[WARM_UP:] for each in measured(drawn, discipline, readers)]
        return [float(each[priority == level].mean()) for each in times for level in range(len(rates))]

    return by_replication(statistics)


def test_two_priorities_are_cobhams():
    (first, second), (short, long) = (0.25, 0.5), (0.8, 1.1)
    load_first, load = first * short, first * short + second * long
    residual = first * short**2 + second * long**2  # half the second moments of exponential times

    wait_first, wait_second, _, _ = by_class(Discipline.by_level(2), 1, (first, second), (short, long))

    assert_within_error(wait_first, residual / (1 - load_first))
    assert_within_error(wait_second, residual / (1 - load_first) / (1 - load))


def test_two_priorities_of_several_readers_are_cobhams():
    readers, first, second = 3, 0.7, 1.8
    load = first + second
    waiting = erlang_c(readers, load) / readers

    wait_first, wait_second, _, _ = by_class(Discipline.by_level(2), readers, (first, second), (1.0, 1.0))

    assert_within_error(wait_first, waiting / (1 - first / readers))
    assert_within_error(wait_second, waiting / (1 - first / readers) / (1 - load / readers))


def test_four_priorities_are_cobhams():
    """Each waits for the rest of the reading in hand, over what the priorities above it leave, with and without it."""
    rates, means = (0.08, 0.25, 0.3, 0.25), (1.5, 1.1, 0.9, 0.5)
    loads = [rate * mean for rate, mean in zip(rates, means, strict=True)]
    residual = sum(load * mean for load, mean in zip(loads, means, strict=True))  # half the second moments

    found = by_class(Discipline.by_level(4), 1, rates, means)

    for level in range(4):
        above = 1 - sum(loads[:level])
        assert_within_error(found[level], residual / above / (above - loads[level]))


@pytest.mark.parametrize("readers", [2, 5])
def test_four_priorities_of_several_readers_are_cobhams(readers: int):
    """M/M/c with one mean for all classes: the wait where all readers are busy, over what the classes above leave."""
    rates = [share * readers for share in (0.1, 0.25, 0.3, 0.1)]
    waiting = erlang_c(readers, sum(rates)) / readers

    found = by_class(Discipline.by_level(4), readers, rates, [1.0] * 4)

    for level in range(4):
        above = 1 - sum(rates[:level]) / readers
        assert_within_error(found[level], waiting / above / (above - rates[level] / readers))


def test_two_priorities_with_interruption_are_preemptive_resume():
    (first, second), (short, long) = (0.25, 0.5), (0.8, 1.1)
    load_first, load = first * short, first * short + second * long

    _, _, report_first, report_second = by_class(
        Discipline.by_level(2, preemptive=True), 1, (first, second), (short, long)
    )

    assert_within_error(report_first, short + first * short**2 / (1 - load_first))
    residual = first * short**2 + second * long**2
    assert_within_error(report_second, long / (1 - load_first) + residual / (1 - load_first) / (1 - load))


ORDERS = [
    Discipline((WaitingLine(1), WaitingLine(0, cap=9.0), WaitingLine(1, cap=4.0))),
    Discipline.by_level(3),
    Discipline.by_level(3, cap=6.0),
    Discipline.by_level(3, preemptive=True),
    Discipline.by_level(3, preemptive=True, cap=6.0),
]


def some_studies(seed: int, count: int = 3_000) -> Drawn:
    rng = np.random.default_rng(seed)
    return np.cumsum(rng.exponential(1.2, count)), rng.exponential(1.0, count), rng.integers(0, 3, count)


@pytest.mark.parametrize("discipline", ORDERS[:3])
def test_one_reader_can_only_redistribute_the_wait(discipline: Discipline):
    """Kleinrock's conservation law, path by path: the sum of reading time times wait does not depend on the order."""
    drawn = some_studies(1)
    fifo, _ = measured((*drawn[:2], np.zeros(len(drawn[0]), dtype=int)), Discipline(), 1)
    other, _ = measured(drawn, discipline, 1)

    assert not np.allclose(fifo, other)
    assert np.dot(drawn[1], other) == pytest.approx(np.dot(drawn[1], fifo), rel=1e-9)


@pytest.mark.parametrize("discipline", ORDERS)
def test_one_reader_is_busy_at_the_same_times_whatever_the_order(discipline: Discipline):
    arrived, times, priority = some_studies(2)
    _, fifo = measured((arrived, times, np.zeros(len(arrived), dtype=int)), Discipline(), 1)
    _, other = measured((arrived, times, priority), discipline, 1)

    # A busy period ends when everything that came before the next arrival is reported.
    ends = np.maximum.accumulate(arrived + fifo)[:-1]
    idle_after = np.flatnonzero(ends < arrived[1:])
    assert len(idle_after) > 100
    assert np.maximum.accumulate(arrived + other)[idle_after] == pytest.approx(ends[idle_after])


def test_the_longest_wait_rises_with_priorities_and_falls_with_a_cap():
    drawn = some_studies(3, 20_000)
    zeros = np.zeros(len(drawn[0]), dtype=int)
    fifo, _ = measured((drawn[0], drawn[1], zeros), Discipline(), 1)
    free, _ = measured(drawn, Discipline.by_level(3), 1)
    capped, _ = measured(drawn, Discipline.by_level(3, cap=float(np.median(fifo))), 1)

    assert fifo.max() <= capped.max() < 0.8 * free.max()
    assert free.max() > 1.2 * fifo.max()


def test_nothing_is_passed_over_once_it_is_past_the_cap():
    arrived, times, priority = some_studies(4)
    cap = 5.0
    found = run_queue(
        arrived.tolist(), times.tolist(), priority.tolist(), DutyRoster.constant(1), Discipline.by_level(3, cap=cap)
    )
    begun = np.asarray(found.begun)
    overdue = np.flatnonzero(begun - arrived > cap)
    assert len(overdue) > 50
    for study in overdue:
        meanwhile = (begun > arrived[study] + cap) & (begun < begun[study])
        assert (arrived[meanwhile] < arrived[study]).all()


def test_each_line_has_its_own_cap_and_the_longest_overdue_goes_first():
    lines = (WaitingLine(0), WaitingLine(1, cap=20.0), WaitingLine(2, cap=5.0))
    # Read: 0 until minute 10, when 2 and 3 (due at 6 and 7) go first, the former first; 1 is due at 21, not before.
    arrived, times, line = [0.0, 1.0, 1.0, 2.0, 3.0], [10.0] * 5, [0, 1, 2, 2, 0]
    found = run_queue(arrived, times, line, DutyRoster.constant(1), Discipline(lines))
    assert found.begun == [0.0, 30.0, 10.0, 20.0, 40.0]
    # Without caps by level.
    free = Discipline(tuple(WaitingLine(each.level) for each in lines))
    assert run_queue(arrived, times, line, DutyRoster.constant(1), free).begun == [0.0, 20.0, 30.0, 40.0, 10.0]


def test_a_cap_moves_its_own_line_and_lines_of_one_level_are_read_as_one():
    arrived, times, line = some_studies(6)
    args = (arrived.tolist(), times.tolist(), line.tolist(), DutyRoster.constant(1))
    capped = Discipline((WaitingLine(0), WaitingLine(1), WaitingLine(2, cap=8.0)))
    waits = np.asarray(run_queue(*args, capped).begun) - arrived
    free = np.asarray(run_queue(*args, Discipline.by_level(3)).begun) - arrived
    assert waits[line == 2].max() < 0.7 * free[line == 2].max()
    assert waits[line == 1].mean() > free[line == 1].mean()

    one_level = Discipline((WaitingLine(0), WaitingLine(0), WaitingLine(0)))
    zeros = [0] * len(arrived)
    assert run_queue(*args, one_level) == run_queue(*args[:2], zeros, args[3], Discipline())


# A twin that is too simple to be wrong: minute by minute in whole minutes, readers one after another.


def slowly(
    arrived: Sequence[int], times: Sequence[int], line: Sequence[int], readers: int, discipline: Discipline
) -> Timeline:
    left, begun, reported = list(times), [-1.0] * len(arrived), [-1.0] * len(arrived)
    read: list[int] = []
    now = 0

    def turn(study: int) -> tuple[bool, float, int]:
        wait = discipline.lines[line[study]]
        due = arrived[study] + wait.cap
        return (False, due, study) if due <= now else (True, wait.level, study)

    def take_from_those_who_came_by(minute: int) -> None:
        while len(read) < readers:
            unread = [study for study in range(len(arrived)) if reported[study] < 0 and study not in read]
            waiting = [study for study in unread if arrived[study] <= minute]
            if not waiting:
                return
            study = min(waiting, key=turn)
            begun[study] = now if begun[study] < 0 else begun[study]
            read.append(study)

    while min(reported) < 0:
        for study in [each for each in read if left[each] == 0]:
            reported[study] = now
            read.remove(study)
        if discipline.preemptive:
            # Who becomes free takes one that waits, before one comes that might interrupt him.
            take_from_those_who_came_by(now - 1)
            if now in arrived and len(read) == readers:
                _interrupt_for(arrived.index(now), read, arrived, line, discipline, now)
        take_from_those_who_came_by(now)
        for study in read:
            left[study] -= 1
        now += 1
    return Timeline(begun, reported)


def _interrupt_for(
    study: int,
    read: list[int],
    arrived: Sequence[int],
    line: Sequence[int],
    discipline: Discipline,
    now: int,
) -> None:
    waits = [discipline.lines[each] for each in line]
    lower = [each for each in read if waits[each].level > waits[study].level and now - arrived[each] < waits[each].cap]
    if lower:
        read.remove(max(lower, key=lambda each: (waits[each].level, each)))
        read.append(study)


@settings(deadline=None, max_examples=250)
@given(
    studies=st.lists(st.tuples(st.integers(1, 4), st.integers(1, 6), st.integers(0, 2)), min_size=1, max_size=25),
    readers=st.integers(1, 3),
    lines=st.tuples(*[st.builds(WaitingLine, st.integers(0, 2), st.sampled_from([inf, 4.0, 9.0]))] * 3),
    preemptive=st.booleans(),
)
def test_study_by_study_it_is_what_the_slow_twin_does(
    studies: list[tuple[int, int, int]], readers: int, lines: tuple[WaitingLine, ...], preemptive: bool
):
    gaps, times, line = (list(column) for column in zip(*studies, strict=True))
    arrived = np.cumsum(gaps).tolist()
    discipline = Discipline(lines, preemptive)
    quick = run_queue(arrived, times, line, DutyRoster.constant(readers), discipline)
    slow = slowly(arrived, times, line, readers, discipline)
    assert quick.reported == slow.reported
    # Begun and interrupted in the same minute counts as begun here, and there as waiting.
    assert preemptive or quick.begun == slow.begun


@settings(deadline=None, max_examples=150)
@given(
    seed=st.integers(0, 1000),
    counts=st.lists(st.integers(0, 3), min_size=24, max_size=24).filter(lambda counts: max(counts) > 0),
    cap=st.sampled_from([inf, 100.0]),
)
def test_both_engines_agree_where_there_is_nobody_to_interrupt(seed: int, counts: list[int], cap: float):
    rng = np.random.default_rng(seed)
    arrived, times = np.cumsum(rng.exponential(30, 200)).tolist(), rng.exponential(40, 200).tolist()
    duty, one_level = DutyRoster([*counts * 7]), [0] * 200
    engines = [
        run_queue(arrived, times, one_level, duty, Discipline.by_level(1, cap, preemptive))
        for preemptive in (False, True)
    ]
    assert engines[0] == engines[1]


@pytest.mark.parametrize("preemptive", [False, True])
def test_who_is_off_duty_begins_nothing_and_finishes_what_he_has(preemptive: bool):
    from_eight_to_four = DutyRoster(by_hour_of_week_counts([0] * 8 + [1] * 8 + [0] * 8))
    arrived, times = [0.0, 9 * 60.0, 15 * 60 + 50.0, 15 * 60 + 55.0], [5.0, 5.0, 30.0, 5.0]

    found = run_queue(arrived, times, [0] * 4, from_eight_to_four, Discipline(preemptive=preemptive))

    assert found.begun == [8 * 60.0, 9 * 60.0, 15 * 60 + 50.0, (24 + 8) * 60.0]
    assert found.reported[2] == 16 * 60 + 20.0


def test_who_stays_on_to_finish_is_not_interrupted():
    until_four = DutyRoster(by_hour_of_week_counts([1] * 16 + [0] * 8))
    arrived, times, priority = [15 * 60 + 50.0, 16 * 60 + 1.0], [30.0, 5.0], [1, 0]

    found = run_queue(arrived, times, priority, until_four, Discipline.by_level(2, preemptive=True))

    assert found.reported == [16 * 60 + 20.0, 24 * 60 + 5.0]


def test_an_interrupted_reading_is_resumed_where_it_was_left():
    found = run_queue([0.0, 4.0], [10.0, 3.0], [1, 0], DutyRoster.constant(1), Discipline.by_level(2, preemptive=True))
    assert (found.begun, found.reported) == ([0.0, 4.0], [13.0, 7.0])


def by_hour_of_week_counts(counts: Sequence[int]) -> list[int]:
    return [int(count) for count in by_hour_of_week(counts)]


def test_no_studies_are_no_error():
    assert run_queue([], [], [], DutyRoster.constant(1), Discipline()) == Timeline([], [])


def test_duty_begins_again_on_monday():
    only_monday_morning = DutyRoster([1, *[0] * (HOURS - 1)])
    assert only_monday_morning.next_on(0, 59.0) == 59.0
    assert only_monday_morning.next_on(0, 60.0) == HOURS * 60.0
    with pytest.raises(ValueError, match="one above 0"):
        DutyRoster([0] * HOURS)
