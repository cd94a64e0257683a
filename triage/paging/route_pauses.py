"""Pauses of routes that do not work, so that one that hangs delays no page of another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

FIRST_S, LONGEST_S = 15.0, 240.0


@dataclass
class RoutePauses:
    """Failures in a row of each route of a rota, and when it is tried again; in memory: a restart tries at once."""

    now: Callable[[], float]
    _failures: dict[tuple[str, str], int] = field(default_factory=dict)
    _next_try: dict[tuple[str, str], float] = field(default_factory=dict)

    def is_open(self, rota: str, route: str) -> bool:
        """Return True if the route may be tried. A time beyond the longest pause is of a clock that was ahead."""
        wait_s = self._next_try.get((rota, route), 0.0) - self.now()
        return not 0 < wait_s <= LONGEST_S

    def failed(self, rota: str, route: str) -> float:
        """Note a failure, and return the seconds until the next attempt."""
        before = self._failures.get((rota, route), 0)
        wait_s = float(min(FIRST_S * 2.0 ** min(before, 10), LONGEST_S))
        self._failures[rota, route] = before + 1
        self._next_try[rota, route] = self.now() + wait_s
        return wait_s

    def worked(self, rota: str, route: str) -> None:
        """Note a success."""
        self._failures.pop((rota, route), None)
        self._next_try.pop((rota, route), None)
