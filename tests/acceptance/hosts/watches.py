"""What is looked at all the time: who leads, and which listeners and workers take work."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from tests.acceptance.hosts.background import Background
from tests.acceptance.hosts.bounds import Look, Period
from tests.acceptance.hosts.service import LEADERS, Service
from tests.support.tcp_proxy import ask


@dataclass
class LeaderWatch(Background):
    """Looks each half second whether a process of each leading role works, and notes for how long none did.

    A time without a leader is from the first look that saw none to the last one: what a look itself takes is not in it.
    """

    leads: Callable[[str], bool]
    gaps: dict[str, list[Period]] = field(default_factory=lambda: {role: [] for role in LEADERS})
    gone: dict[str, Period] = field(default_factory=dict)
    """Roles that no process leads now: since when, and until when that was seen."""

    def start(self) -> None:
        self.begin(*(partial(self.repeat, partial(self._look_now, role)) for role in self.gaps))

    def end(self) -> None:
        """Look no more. A time that has not ended is one like the others, and is told apart by ``gone``."""
        super().end()
        for role, period in self.gone.items():
            self.gaps[role].append(period)

    def _look_now(self, role: str) -> None:
        self.look(role, time.monotonic())

    def look(self, role: str, now: float) -> None:
        if not self.leads(role):
            since, _ = self.gone.get(role, (now, now))
            self.gone[role] = (since, now)
        elif role in self.gone:
            self.gaps[role].append(self.gone.pop(role))


def listener(host: str) -> str:
    """The name of a host's listener in a look."""
    return f"{host}/listen"


def worker(host: str) -> str:
    """The name of a host's worker in a look."""
    return f"{host}/work"


@dataclass
class WorkWatch(Background):
    """Looks each half second which listeners the balancer gives associations, and which workers are ready."""

    service: Service
    balancer: Path
    """The socket of the balancer before the listeners."""
    looks: list[Look] = field(default_factory=list)

    def start(self) -> None:
        self.begin(partial(self.repeat, self._look))

    def takes(self, name: str) -> bool:
        """Whether it took work at the last look."""
        return bool(self.looks) and self.looks[-1].takes[name]

    def _look(self) -> None:
        with suppress(OSError):
            workers = {worker(host): self.service.is_ready(host, "work") for host in self.service.hosts}
            self.looks.append(Look(time.monotonic(), workers | self._listeners()))

    def _listeners(self) -> dict[str, bool]:
        hosts = dict(zip(("listener1", "listener2", "listener3"), self.service.hosts, strict=True))
        head, *rows = [line.split(",") for line in ask(self.balancer, "show stat").splitlines() if line]
        status = head.index("status")
        return {listener(hosts[row[1]]): row[status].startswith("UP") for row in rows if row[1] in hosts}
