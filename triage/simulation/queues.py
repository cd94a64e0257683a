"""The reading room as a queue of studies with several readers. PURE, and written for speed.

A million studies must take seconds in plain Python. So a reader is one entry of a heap (the time when they are free
next), waiting studies are a first-in-first-out line for each priority, and everything else is arithmetic.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace
from math import inf

from triage.simulation.readers_on_duty import DutyRoster
from triage.simulation.waiting_lines import Discipline, WaitingStudies


@dataclass(frozen=True)
class Timeline:
    """Times when the reading of each study first began, and of its report; minutes, in order of arrival."""

    begun: list[float]
    reported: list[float]


def run_queue(
    arrived: Sequence[float],
    reading: Sequence[float],
    line: Sequence[int],
    duty: DutyRoster,
    discipline: Discipline,
) -> Timeline:
    """Read every study; within a line the earlier one first. A reader whose duty ends finishes the current study.

    Args:
        arrived: Minutes since a Monday 00:00, ascending and not negative.
        reading: Minutes of reading.
        line: The line in which each study waits, as its index among those of ``discipline``.
        duty: The readers on duty.
        discipline: The rule that selects the next study.
    """
    if not len(arrived):
        return Timeline([], [])
    if discipline.preemptive:
        return _PreemptiveQueue(arrived, reading, line, duty, discipline).run()
    return _run_nonpreemptive(arrived, reading, line, duty, discipline)


def _run_nonpreemptive(
    arrived: Sequence[float],
    reading: Sequence[float],
    line: Sequence[int],
    duty: DutyRoster,
    discipline: Discipline,
) -> Timeline:
    """Read study by study: the reader who is free first takes the next study."""
    count, always, next_on = len(arrived), duty.always, duty.next_on
    waiting = WaitingStudies(arrived, discipline)
    begun, reported = [0.0] * count, [0.0] * count
    free = [(next_on(reader, arrived[0]), reader) for reader in range(duty.readers)]
    heapify(free)
    now, coming = arrived[0], 0
    for _ in range(count):
        while True:
            free_at, reader = free[0]
            now = max(now, free_at)
            if not waiting.count and now < arrived[coming]:
                now = arrived[coming]
            # The duty of an idle reader may have ended meanwhile.
            if always or free_at == now or (on := next_on(reader, now)) == now:
                break
            heapreplace(free, (on, reader))
        while coming < count and arrived[coming] <= now:
            waiting.add(coming, line[coming])
            coming += 1
        study = waiting.take(now)
        finished = now + reading[study]
        begun[study], reported[study] = now, finished
        heapreplace(free, (finished if always else next_on(reader, finished), reader))
    return Timeline(begun, reported)


class _PreemptiveQueue:
    """A queue with interruptions, run by events: a study arrives, or a reader is free (done, or their duty begins)."""

    def __init__(
        self,
        arrived: Sequence[float],
        reading: Sequence[float],
        line: Sequence[int],
        duty: DutyRoster,
        discipline: Discipline,
    ) -> None:
        self._arrived, self._line, self._duty = arrived, line, duty
        self._level = [each.level for each in discipline.lines]
        self._cap = [each.cap for each in discipline.lines]
        self._left = list(reading)  # minutes of reading that each study still needs
        self._waiting = WaitingStudies(arrived, discipline)
        self._begun = [-1.0] * len(arrived)
        self._reported = [0.0] * len(arrived)
        self._study = [-1] * duty.readers  # the study that each reader reads
        self._until = [0.0] * duty.readers
        self._turn = [0] * duty.readers  # events of an earlier turn of the reader are void
        self._idle: deque[int] = deque()
        self._events: list[tuple[float, int, int]] = []

    def run(self) -> Timeline:
        """Read every study."""
        for reader in range(self._duty.readers):
            heappush(self._events, (self._duty.next_on(reader, self._arrived[0]), reader, 0))
        for study, minute in enumerate(self._arrived):
            self._free_readers_until(minute)
            self._arrive(study, minute)
        self._free_readers_until(inf)
        return Timeline(self._begun, self._reported)

    def _free_readers_until(self, minute: float) -> None:
        events = self._events
        while events and events[0][0] <= minute:
            at, reader, turn = heappop(events)
            if turn == self._turn[reader]:
                self._free(reader, at)

    def _free(self, reader: int, now: float) -> None:
        if self._study[reader] >= 0:
            self._reported[self._study[reader]] = now
            self._study[reader] = -1
        if not self._on_duty(reader, now):
            return
        if self._waiting.count:
            self._read(reader, self._waiting.take(now), now)
        else:
            self._idle.append(reader)

    def _on_duty(self, reader: int, now: float) -> bool:
        """Return whether the reader is on duty; if not, add the event of the next begin of duty."""
        on = self._duty.next_on(reader, now)
        if on > now:
            self._turn[reader] += 1
            heappush(self._events, (on, reader, self._turn[reader]))
        return on == now

    def _arrive(self, study: int, now: float) -> None:
        while self._idle:
            reader = self._idle.popleft()
            if self._on_duty(reader, now):
                self._read(reader, study, now)
                return
        reader = self._least_urgent(self._level[self._line[study]], now)
        if reader < 0:
            self._waiting.add(study, self._line[study])
            return
        interrupted = self._study[reader]
        self._left[interrupted] = self._until[reader] - now
        self._waiting.put_back(interrupted, self._line[interrupted])
        self._read(reader, study, now)

    def _least_urgent(self, level: int, now: float) -> int:
        """Return the reader to interrupt for a study of ``level``, -1 for none."""
        found, worst = -1, (level, len(self._arrived))
        for reader, study in enumerate(self._study):
            if study < 0 or now - self._arrived[study] >= self._cap[self._line[study]]:
                continue
            rank = (self._level[self._line[study]], study)
            if rank > worst and self._duty.next_on(reader, now) == now:
                found, worst = reader, rank
        return found

    def _read(self, reader: int, study: int, now: float) -> None:
        if self._begun[study] < 0:
            self._begun[study] = now
        self._study[reader] = study
        self._until[reader] = now + self._left[study]
        self._turn[reader] += 1
        heappush(self._events, (self._until[reader], reader, self._turn[reader]))
