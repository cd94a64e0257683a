"""Waiting studies, and the rule that selects the next one. PURE."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

_Studies = deque[int]


@dataclass(frozen=True)
class WaitingLine:
    """Studies that wait in order of arrival.

    Of two lines that of the lower ``level`` is read first; lines of one level are read as if they were one. A study
    that has waited ``cap`` minutes goes before all lines.
    """

    level: int = 0
    cap: float = inf


@dataclass(frozen=True)
class Discipline:
    """The rule that selects the next study.

    Of several studies past the caps of their ``lines``, the one goes first that has been past its cap for the longest
    time. With ``preemptive`` an arriving study interrupts the reading of one of a lower level (the latest of the
    lowest), which is resumed later. A study past its cap is not interrupted, nor is a reader who works past the end of
    duty.
    """

    lines: tuple[WaitingLine, ...] = (WaitingLine(),)
    preemptive: bool = False

    @classmethod
    def by_level(cls, levels: int, cap: float = inf, preemptive: bool = False) -> Discipline:
        """Return the discipline of one line for each level, all with the same cap in minutes."""
        return cls(tuple(WaitingLine(level, cap) for level in range(levels)), preemptive)


class WaitingStudies:
    """The studies that wait now, by line; ``arrived`` in minutes."""

    def __init__(self, arrived: Sequence[float], discipline: Discipline) -> None:
        self._arrived = arrived
        self._lines: list[_Studies] = [deque() for _ in discipline.lines]
        both = list(zip(discipline.lines, self._lines, strict=True))
        self._capped = [(line.cap, studies) for line, studies in both if line.cap < inf]
        levels = sorted({line.level for line in discipline.lines})
        self._levels = [[studies for line, studies in both if line.level == level] for level in levels]
        self.count = 0

    def add(self, study: int, line: int) -> None:
        """Put a study that arrives at the end of its line."""
        self._lines[line].append(study)
        self.count += 1

    def put_back(self, study: int, line: int) -> None:
        """Put an interrupted study at the head of its line: all others there arrived later."""
        self._lines[line].appendleft(study)
        self.count += 1

    def take(self, now: float) -> int:
        """Remove and return the next study at the minute ``now``."""
        self.count -= 1
        if self._capped and (overdue := self._longest_overdue(now)):
            return overdue.popleft()
        for lines in self._levels:
            if len(lines) == 1:
                if lines[0]:
                    return lines[0].popleft()
            elif waiting := [line for line in lines if line]:
                return min(waiting, key=_head).popleft()
        raise IndexError("no study waits")

    def _longest_overdue(self, now: float) -> _Studies | None:
        found, first = None, (inf, 0)
        for cap, line in self._capped:
            if line and self._arrived[line[0]] <= now - cap:
                due = (self._arrived[line[0]] + cap, line[0])
                if due < first:
                    found, first = line, due
        return found


def _head(line: _Studies) -> int:
    return line[0]
